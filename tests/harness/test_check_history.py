"""Which checks pytest's cache remembers, and what `--collect-only --dlt-checks` says of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_dlthub import check_history
from pytest_dlthub.activation import SESSION
from pytest_dlthub.check_history import CheckHistory

PROVES_NOTHING = (
    "2 of 2 checks have never been red, so nothing shows that they work. "
    "Give rows that break them: with raises_check(table, check)"
)


class Cache(dict[str, Any]):
    """In place of pytest's."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def checked(name: str, *, failed: bool = False) -> dict[str, Any]:
    """Return what a test notes of a check."""
    return {"table": "orders", "resource": "items", "check": name, "also": "", "failed": failed}


def config_of(cache: Cache | None, **more: Any) -> Any:
    session = SimpleNamespace(checks=True, is_project=False, is_left_to_dlthub=False)
    options = SimpleNamespace(collectonly=True)
    return SimpleNamespace(cache=cache, stash={SESSION: session}, option=options, **more)


def look(history: CheckHistory, nodeid: str, **found: Any) -> None:
    report: Any = SimpleNamespace(nodeid=nodeid, _dlthub_checks=found)
    history.pytest_runtest_logreport(report)


def listed(cache: Cache | None, *nodeids: str) -> list[str]:
    """Return what a session says that collects these tests."""
    history, lines = CheckHistory(config_of(cache)), []
    items = [SimpleNamespace(nodeid=nodeid) for nodeid in nodeids]
    history.pytest_collection_finish(SimpleNamespace(items=items))  # type: ignore[arg-type]
    terminal: Any = SimpleNamespace(write_sep=lambda *_: None, write_line=lines.append)
    history.pytest_terminal_summary(terminal)
    return lines[:-1]


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no check come from code that other tests of this session have imported."""
    monkeypatch.setattr(check_history, "_declared", list)


def test_a_check_is_listed_until_a_test_has_failed_it() -> None:
    cache = Cache()
    first = CheckHistory(config_of(cache))
    look(first, "test_a", unique=checked("unique"), low=checked("low"))
    look(first, "test_b", unique=checked("unique"))
    first.pytest_sessionfinish()
    assert listed(cache, "test_a", "test_b") == [
        "orders: low: it has passed in 1 test",
        "orders: unique: it has passed in 2 tests",
        PROVES_NOTHING,
    ]

    # in one of its phases it fails; and another session has noted something else since
    second = CheckHistory(config_of(cache))
    look(second, "test_b", unique=checked("unique", failed=True))
    look(second, "test_b", unique=checked("unique"))
    second.pytest_sessionfinish()
    assert listed(cache, "test_a", "test_b")[0] == "orders: low: it has passed in 1 test"
    assert len(listed(cache, "test_a", "test_b")) == 2
    assert cache["dlthub/checks"]["checks"]["unique"]["failed"] == "test_b"

    # it stays so; tests that are gone look at nothing
    third = CheckHistory(config_of(cache))
    look(third, "test_b", unique=checked("unique"))
    third.pytest_sessionfinish()
    assert listed(cache, "test_b") == ["none: each of 1 checks has been red in a test"]
    assert listed(cache, "test_c") == ["no checks found"]


def test_nothing_is_known_without_a_cache_and_before_any_test() -> None:
    off, unknown, nothing = listed(None)
    assert off == "pytest's cache is off (-p no:cacheprovider): earlier results are unknown"
    assert unknown == "no checks found"
    assert nothing == "pytest's cache has no test that has run a check"
    assert listed(Cache()) == [unknown, nothing]
    # what somebody else has written there
    assert listed(Cache({"dlthub/checks": "spoilt"})) == [unknown, nothing]


def test_a_worker_and_a_session_without_checks_write_nothing() -> None:
    cache = Cache()
    worker = CheckHistory(config_of(cache, workerinput={}))
    look(worker, "test_a", unique=checked("unique"))
    for history in (worker, CheckHistory(config_of(cache))):
        history.pytest_sessionfinish()
    without = CheckHistory(config_of(None))
    look(without, "test_a", unique=checked("unique"))
    without.pytest_sessionfinish()

    assert cache == {}


def test_a_check_that_no_test_has_looked_at_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    check = SimpleNamespace(name="is_unique", definition="is_unique(id)")
    monkeypatch.setattr(check_history, "_declared", lambda: [("orders", check)])

    assert listed(Cache())[0] == "orders: is_unique: no test has run it"


def test_a_source_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from dlthub_project import current

    def get_source(name: str) -> None:
        if name == "broken":
            raise SyntaxError(name)

    entities = SimpleNamespace(
        list_sources=lambda: ["broken", "orders"], get_source=get_source, list_datasets=list
    )
    monkeypatch.setattr(current, "entities", lambda: entities)
    config = config_of(Cache())
    config.stash[SESSION].is_project = True
    lines: list[str] = []
    terminal: Any = SimpleNamespace(write_sep=lambda *_: None, write_line=lines.append)
    CheckHistory(config).pytest_terminal_summary(terminal)

    assert lines[0] == (
        "source `broken` cannot be imported (SyntaxError): its checks are not known"
    )
