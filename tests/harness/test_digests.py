"""Digests of what a mark is given: equal content has an equal one, in every process."""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import dlt
import pandas as pd
import pyarrow as pa
import pytest

from dlthub_project.sandbox import Sandbox, isolated
from pytest_dlthub.templates import digests
from pytest_dlthub.templates.digests import NoDigest, digest

BERLIN = ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 1, 1, 12, tzinfo=BERLIN)


class Colour(Enum):
    RED = 1
    BLUE = 2


class Api:
    def __init__(self, url: str) -> None:
        self.url = url
        self.seen = {"b", "a", "c"}

    def rows(self) -> Any:
        yield {"url": self.url}


def times(n: int) -> Callable[..., Any]:
    """A decorator that changes what a function gives."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return [row for row in function(*args) for _ in range(n)]

        return wrapper

    return decorate


def rows(n: int = 1) -> Any:
    yield {"n": n}


def returns(value: Any) -> Callable[[], Any]:
    return lambda: value


@dlt.resource(primary_key="id")
def users(since: Any = dlt.sources.incremental("id"), page: int = 1) -> Any:
    yield [{"id": page}]


@dlt.source
def shop(page: int = 1) -> Any:
    return users(page=page)


def in_try(x: Any) -> Any:
    try:
        x()
    except ValueError:
        return None
    return x()


def with_both_in_try(x: Any) -> Any:
    try:
        x()
        return x()
    except ValueError:
        return None


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


# each makes two values that are to be told apart; called twice, it makes equal ones
PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "numbers": lambda: (1, True),
    "number and text": lambda: (1, "1"),
    "zeros": lambda: (0.0, -0.0),
    "NaN and None": lambda: ([float("nan")], [None]),
    "decimals of different scale": lambda: (Decimal("1.0"), Decimal("1.00")),
    "times of different zones": lambda: (NOON, NOON.replace(tzinfo=dt.timezone.utc)),
    "naive and aware": lambda: (NOON, NOON.replace(tzinfo=None)),
    "bytes and text": lambda: (b"a", "a"),
    "identifiers": lambda: (UUID(int=1), UUID(int=2)),
    "members": lambda: (Colour.RED, Colour.BLUE),
    "many rows": lambda: ([{"a": n} for n in range(99)], [{"a": n * 1.0} for n in range(99)]),
    "many rows with dates": lambda: ([{"a": NOON}] * 99, [{"a": NOON.date()}] * 99),
    "order of columns": lambda: ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "pages and rows": lambda: ([[{"a": 1}], [{"a": 2}]], [[{"a": 1}, {"a": 2}]]),
    "list and tuple": lambda: ([1], (1,)),
    "sets": lambda: ({"a", "b"}, {"a", "c"}),
    "lambdas with other constants": lambda: (lambda: [{"a": 1}], lambda: [{"a": 2}]),
    "lambdas with other names": lambda: (lambda x: x.a, lambda x: x.b),
    "parameters and variables": lambda: (lambda a, b=1: a, lambda a, *, b=1: a),
    "what is in try": lambda: (in_try, with_both_in_try),
    "defaults": lambda: (lambda a=1: a, lambda a=2: a),
    "defaults of keywords": lambda: (lambda *, a=1: a, lambda *, a=2: a),
    "closures": lambda: (returns([1]), returns([2])),
    "partials": lambda: (functools.partial(rows, 1), functools.partial(rows, n=1)),
    "decorators' arguments": lambda: (times(2)(rows), times(3)(rows)),
    "methods of objects": lambda: (Api("a").rows, Api("b").rows),
    "built-in functions": lambda: (max, min),
    "frames of other types": lambda: (
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
    ),
    "frames of objects": lambda: (
        pd.DataFrame({"a": [1, "x"]}, dtype=object),
        pd.DataFrame({"a": [1, "y"]}, dtype=object),
    ),
    "Arrow tables": lambda: (
        pa.table({"a": pa.array([1], pa.int32())}),
        pa.table({"a": pa.array([1], pa.int64())}),
    ),
    "resources' arguments": lambda: (users(page=1), users(page=2)),
    "limits": lambda: (users(page=1).add_limit(1), users(page=1).add_limit(2)),
    "maps": lambda: (users().add_map(lambda row: row), users().add_map(lambda row: [row])),
    "map and filter": lambda: (users().add_map(rows), users().add_filter(rows)),
    "cursors": lambda: (
        users(since=dlt.sources.incremental(initial_value=1)),
        users(since=dlt.sources.incremental(initial_value=2)),
    ),
    "the greatest and the least": lambda: (
        users(since=dlt.sources.incremental("id", last_value_func=max)),
        users(since=dlt.sources.incremental("id", last_value_func=min)),
    ),
    "hints": lambda: (users().apply_hints(primary_key="a"), users().apply_hints(primary_key="b")),
    "rows of a resource": lambda: (
        dlt.resource([{"a": 1}], name="r"),
        dlt.resource([{"a": 2}], name="r"),
    ),
    "source and factory": lambda: (shop, shop()),
    "arguments of sources": lambda: (shop(1), shop(2)),
    "selected resources": lambda: (shop(), shop().with_resources()),
    "nesting of sources": lambda: (shop(), _nested_at_most_0(shop())),
    "factories": lambda: (shop, shop.clone(name="other")),
    "limited factories": lambda: (shop, shop.clone().add_limit(1)),
}


def _nested_at_most_0(source: Any) -> Any:
    source.max_table_nesting = 0
    return source


@pytest.mark.parametrize("name", PAIRS)
def test_what_differs_has_another_digest_and_what_is_equal_the_same(name: str) -> None:
    if name == "limited factories" and not hasattr(shop, "add_limit"):
        pytest.skip("this dlt has no limits of factories")
    one, other = PAIRS[name]()
    again, _ = PAIRS[name]()

    assert digest(one) != digest(other)
    assert digest(one) == digest(again)


def test_the_order_of_a_set_is_none() -> None:
    assert digest({"a", "b", "c"}) == digest({"c", "b", "a"})


def test_a_path_has_the_content_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    missing = digest(file)
    file.write_text("a")
    first = digest(file)
    file.write_text("b")

    assert len({missing, first, digest(file), digest(str(file))}) == 4


def test_a_folder_has_the_content_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_text("1")
    first = digest(tmp_path)
    (tmp_path / "deep" / "a").rename(tmp_path / "deep" / "b")

    assert digest(tmp_path) != first


def test_functions_that_know_each_other_have_one() -> None:
    def one() -> Any:
        return other

    def other() -> Any:
        return one

    in_itself: list[Any] = []
    in_itself.append(in_itself)

    assert digest(one) == digest(one)
    assert digest(in_itself) == digest(in_itself)


@pytest.mark.parametrize(
    "value",
    [
        iter([1]),
        (n for n in range(3)),
        map(str, [1]),
        threading.Lock(),
        dlt.resource((n for n in [{"a": 1}]), name="r"),
        dlt.resource(iter([{"a": 1}]), name="r"),
        pa.table({"a": [1]}).to_reader(),
        nested(5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_where_nothing_can_be_compared(value: Any) -> None:
    with pytest.raises(NoDigest):
        digest([value])


def test_error_where_what_values_share_would_be_looked_at_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digests, "_MOST_VALUES", 1000)
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]

    with pytest.raises(NoDigest, match="more than 1,000 parts"):
        digest(shared)


def test_error_where_a_value_leads_to_the_session_of_pytest(
    request: pytest.FixtureRequest,
) -> None:
    config = request.config
    for value in (request, config, config.pluginmanager, request.node, request.session):
        with pytest.raises(NoDigest, match="belongs to the pytest session"):
            digest({"kept": value})


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "make",
    [
        lambda: users(page=1),
        lambda: shop(),
        lambda: shop().add_limit(2),
        lambda: users(since=dlt.sources.incremental(initial_value=0)),
        lambda: users().apply_hints(incremental=dlt.sources.incremental("id", initial_value=0)),
        lambda: users().add_map(lambda row: row).add_limit(1),
    ],
)
def test_a_run_does_not_change_the_digest(make: Callable[[], Any], tmp_path: Path) -> None:
    data = make()
    before = digest(data)

    with isolated(Sandbox(str(tmp_path / "sandbox"), None, str(tmp_path))):
        dlt.pipeline("p", destination="duckdb").run(data)

    assert digest(data) == before
    assert digest(make()) == before


CODE = """
    import functools
    import dlt
    from pytest_dlthub.templates.digests import digest


    class Api:
        def __init__(self):
            self.names = {"a", "b", "c", "d"}

        def rows(self):
            yield from ({"n": n} for n in self.names if n in {"a", "b", "x", "y"})


    @dlt.resource(primary_key="id")
    def users(since=dlt.sources.incremental("id")):
        yield [{"id": 1}]


    print(digest(Api().rows, {"a", "b", "c"}, users().add_map(lambda row: row), users, max))
    """


@pytest.mark.slow
def test_two_processes_agree(run_bare_python: Callable[..., str], tmp_path: Path) -> None:
    assert len({run_bare_python(CODE, tmp_path, PYTHONHASHSEED=str(n)) for n in (1, 2, 3)}) == 1


def test_a_value_whose_class_does_not_tell_its_module_has_one() -> None:
    class OfCython:
        """As the functions of NumPy 2.2 are, which its generators of random numbers hold."""

    type.__setattr__(OfCython, "__module__", property(lambda self: "numpy.random"))
    one, same, other = OfCython(), OfCython(), OfCython()
    other.seed = 1  # type: ignore[attr-defined]

    assert digest(one) == digest(same)
    assert digest(one) != digest(other)
