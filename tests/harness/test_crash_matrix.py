"""A matrix of crashes without dlt: what it refuses, and what it says of runs that end badly.

A crash that has not happened, or that is compared with nothing, is a green that lies.
"""

from __future__ import annotations

import os
import signal
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import pytest

from dlthub_project.dlt_internals import fault_points
from dlthub_project.dlt_internals.fault_points import Place, PlaceName
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import Sandbox
from pytest_dlthub.crashes import marked_tests, matrix
from pytest_dlthub.crashes.arguments import is_project_runner, once_more
from pytest_dlthub.crashes.contents import Contents, Table
from pytest_dlthub.crashes.forks import Child, Outcome, Steps, run_side_by_side
from pytest_dlthub.crashes.marked_tests import broken_before
from pytest_dlthub.crashes.matrix import Matrix

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a crash is tested in forks")

SHOP = "shop"
OF_RUN: tuple[PlaceName, ...] = ("before package", "after package", "job committed", "after entry")


def outcome_of(work: Callable[[], Any], folder: Path, longest: float = 60) -> Outcome:
    """Return what comes of the work of one child."""

    def steps() -> Steps:
        outcome = yield Child(work, folder, longest)
        return outcome

    [outcome] = run_side_by_side([steps()], 1)
    found: Outcome = outcome
    return found


def raising(error: BaseException) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_comes_of_a_child(tmp_path: Path) -> None:
    assert outcome_of(lambda: {"rows": 3}, tmp_path / "a") == Outcome(value={"rows": 3})

    error = raising(ValueError(f"no file\nin {tmp_path / 'b'}"))
    failed = outcome_of(error, tmp_path / "b")
    assert failed.error == "ValueError: no file"
    assert isinstance(failed.exception, ValueError)
    # the same, wherever it is
    failed = outcome_of(raising(OSError(f"{tmp_path / 'c'} is full")), tmp_path / "c")
    assert failed.error == "OSError: … is full"

    assert outcome_of(killed, tmp_path / "d") == Outcome(is_killed=True)
    ended = outcome_of(lambda: os._exit(3), tmp_path / "e")
    assert ended == Outcome(error="the process ended with status 768")


def test_of_what_cannot_be_pickled_a_child_tells_the_text(tmp_path: Path) -> None:
    class Local(Exception):
        pass

    failed = outcome_of(raising(Local("by itself")), tmp_path)
    assert (failed.error, failed.exception) == ("Local: by itself", None)

    failed = outcome_of(lambda: Local, tmp_path)
    assert (failed.error or "").startswith("what it returns cannot be pickled: ")
    assert failed.value is None


def test_what_a_child_prints_is_in_its_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome_of(lambda: print("from the child"), tmp_path)

    assert (tmp_path / "output.txt").read_text() == "from the child\n"
    assert capfd.readouterr().out == ""


def test_a_child_that_does_not_end_ends_all_of_them(tmp_path: Path) -> None:
    children: list[Child] = []

    def steps(name: str, longest: float) -> Steps:
        children.append(Child(lambda: time.sleep(60), tmp_path / name, longest))
        yield children[-1]

    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="a run has not ended within 0 s"):
        run_side_by_side([steps("a", 60), steps("b", 0.05)], 2)
    assert time.monotonic() - begun < 30
    assert [child.outcome and child.outcome.is_killed for child in children] == [True, True]


def test_steps_run_side_by_side_and_tell_in_the_order_that_was_asked(tmp_path: Path) -> None:
    met = tmp_path / "met"

    def waiting() -> None:
        while not met.exists():
            time.sleep(0.001)

    def steps(name: str, *works: Callable[[], Any]) -> Steps:
        for number, work in enumerate(works):
            yield Child(work, tmp_path / f"{name}{number}", 60)
        return name

    # the first one waits for the last step of the second one
    both = [steps("a", waiting), steps("b", lambda: None, met.touch), steps("c")]
    assert run_side_by_side(both, 2) == ["a", "b", "c"]


ROWS = ({"id": 1}, {"id": 2})


def contents(*rows: Any, ids: Any = None) -> Contents:
    table = Table(rows, ids or [str(n) for n in range(len(rows))], ("id",), ())
    return Contents({"orders": table}, {}, {}, {}, (), 0, ())


def pipeline_of(**changes: Any) -> Any:
    """Return what stands for a pipeline into DuckDB."""
    plain = {"pipeline_name": SHOP, "dev_mode": False, "destination": dlt.destinations.duckdb()}
    return SimpleNamespace(**plain | changes)


def reach(*names: PlaceName) -> None:
    """Have the run of a pipeline reach places."""
    for name in names:
        table, job = ("orders", "orders.1") if name == "job committed" else (None, None)
        if job:
            fault_points._reached(Place("before job", SHOP, table, job))
        fault_points._reached(Place(name, SHOP, table, job))


def write(name: str) -> None:
    """Write into the folder of the sandbox that is active, which has a database after a run."""
    folder = Path(dlt.current.run_context().local_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


def is_there(name: str) -> bool:
    return Path(dlt.current.run_context().local_dir, name).exists()


def run(_: bool) -> Any:
    """Run as a pipeline that survives."""
    write("shop.duckdb")
    reach(*OF_RUN, "before trace")
    return pipeline_of()


@pytest.fixture
def left() -> list[Callable[[], Contents]]:
    """What runs have left at their ends: the function that tells it."""
    return [lambda: contents(*ROWS)]


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: list[Callable[[], Contents]]
) -> Callable[..., Matrix]:
    """Make a matrix of runs that are functions of a test."""
    sandbox = Sandbox(str(tmp_path / "sandbox"), None, str(tmp_path))
    Path(sandbox.local_dir).mkdir(parents=True)
    monkeypatch.setattr(matrix, "contents_of", lambda *_: left[-1]())
    monkeypatch.setattr(matrix, "_LIBRARIES", ())

    def made(run: Callable[[bool], Any], **arguments: Any) -> Matrix:
        return Matrix(run, sandbox, "dlt", **arguments)

    return made


MakeMatrix = Callable[..., Matrix]


def test_a_run_that_survives_says_where_it_was_broken(make: MakeMatrix) -> None:
    crashes = make(run, points=["commit", "trace"]).crashes()

    assert crashes.reached == ["commit", "trace"]
    assert crashes.summary == "shop: a kill at 2 points"
    assert crashes.crashes[0].tables == ("orders",)


def test_rows_that_are_there_twice_after_a_crash_are_told(
    make: MakeMatrix, left: list[Callable[[], Contents]]
) -> None:
    def doubling(_: bool) -> Any:
        write("second" if is_there("first") else "first")
        reach(*OF_RUN, "before trace")
        return pipeline_of()

    left.append(lambda: contents(*ROWS * (2 if is_there("second") else 1), ids=None))
    with pytest.raises(AssertionError) as caught:
        make(doubling, points="trace").crashes()

    assert str(caught.value).splitlines()[0] == (
        "orders: 2 rows twice after a kill while dlt's trace is stored (id=1, 2)"
    )


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (raising(OSError("it is locked")), "OSError: it is locked"),
        (killed, "its process is killed"),
        (lambda: reach("before package"), "_Unlike: 4 runs after the crash have extracted nothing"),
    ],
)
def test_a_run_that_does_not_get_past_a_crash_is_told(
    make: MakeMatrix, second: Callable[[], Any], told: str
) -> None:
    def fails_then(_: bool) -> Any:
        if is_there("first"):
            second()
        else:
            write("first")
            reach(*OF_RUN, "before trace")
        return pipeline_of()

    with pytest.raises(AssertionError) as caught:
        make(fails_then, points="trace").crashes()

    assert str(caught.value).splitlines()[:2] == [
        "shop: the next run fails after a kill while dlt's trace is stored",
        f"  {told}",
    ]


def test_a_source_that_yields_other_rows_is_run_until_it_has_yielded_them(
    make: MakeMatrix, left: list[Callable[[], Contents]]
) -> None:
    def once(has_other: bool) -> Any:
        write("other" if has_other else "first")
        reach(*OF_RUN, "before trace")
        return pipeline_of()

    left.append(lambda: contents(*ROWS[: 1 + is_there("other")]))
    crashes = make(once, points=["extract", "trace"], has_again=True).crashes()

    assert crashes.reached == ["extract", "trace"]


def test_points_that_a_run_does_not_have_test_nothing(make: MakeMatrix) -> None:
    with pytest.raises(AssertionError, match="shop: never reached: normalize; nothing is tested"):
        make(run, points=["normalize", "trace"]).crashes()
    with pytest.raises(ValueError, match="Did you mean `trace`"):
        make(run, points="trac").crashes()


def test_a_run_that_ends_before_its_point_is_told(make: MakeMatrix, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()

    def fails_late(_: bool) -> Any:
        write("shop.duckdb")
        number = len(list(runs.iterdir()))
        (runs / str(os.getpid())).touch()
        if number >= 2:
            # both that were whole are over
            raise OSError("the third time")
        reach(*OF_RUN, "before trace")
        return pipeline_of()

    with pytest.raises(
        AssertionError, match="the run ends before it reaches the point: OSError: the third"
    ):
        make(fails_late, points="trace").crashes()


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (raising(SystemExit("bye")), "bye"),
        (killed, "the run fails without any crash: its process is killed"),
        (
            lambda: pipeline_of(dev_mode=True),
            "pipeline `shop` is in dev_mode: each run starts from nothing",
        ),
        (
            lambda: pipeline_of(
                destination=dlt.destinations.postgres("postgresql://u:p@db.invalid/x")
            ),
            "destination `postgres` is not a file in the sandbox",
        ),
        (
            raising(RemoteDestinationBlocked("`warehouse` is blocked", "Allow it.")),
            "crashes are tested only on destinations that are files in the sandbox",
        ),
        (lambda: pipeline_of(), "pipeline `shop` loads into memory, which a crash loses"),
    ],
)
def test_error_when_a_run_cannot_be_tested(
    make: MakeMatrix, run: Callable[[], Any], told: str
) -> None:
    with pytest.raises((pytest.UsageError, SystemExit)) as caught:
        make(lambda _: run()).crashes()

    assert told in str(caught.value)


def test_error_when_a_run_leaves_nothing_to_lose(
    make: MakeMatrix, left: list[Callable[[], Contents]]
) -> None:
    def loads_nothing(_: bool) -> Any:
        write("shop.duckdb")
        reach("before package", "after package")
        return pipeline_of()

    with pytest.raises(AssertionError, match="shop: the run loads nothing; nothing is tested"):
        make(loads_nothing).crashes()
    left.append(contents)
    with pytest.raises(AssertionError, match="shop: there are no rows; nothing is tested"):
        make(run).crashes()


def test_error_when_two_runs_differ_by_themselves(
    make: MakeMatrix, left: list[Callable[[], Contents]]
) -> None:
    left.append(lambda: contents({"id": 1, "at": os.getpid()}))
    with pytest.raises(pytest.UsageError) as caught:
        make(run).crashes()

    first, second, *_, last = str(caught.value).splitlines()
    assert first.startswith("two runs without a crash differ")
    assert second == "orders: 1 row differs"
    assert last.endswith("or leave columns out: ignore=[...]")


def test_error_when_a_run_takes_too_long(make: MakeMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_LONGEST", 0.05)
    with pytest.raises(AssertionError, match="a run has not ended within 0 s"):
        make(lambda _: time.sleep(60)).crashes()


def test_error_where_what_a_test_has_loaded_before_is_elsewhere(
    make: MakeMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = SimpleNamespace(pipeline=pipeline_of(destination=None))
    monkeypatch.setattr(matrix, "runs_in", lambda _: [ended])
    with pytest.raises(pytest.UsageError, match="those of pipeline `shop` cannot be copied"):
        make(run).crashes()


def test_error_in_a_process_that_is_itself_to_crash_and_skipped_without_forks(
    make: MakeMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "can_fork", lambda: False)
    with pytest.raises(pytest.skip.Exception, match="Linux, macOS or WSL"):
        make(run).crashes()
    monkeypatch.setattr(matrix, "is_child", lambda: True)
    with pytest.raises(pytest.UsageError, match="marked with dlt_crash does not call crashed"):
        make(run).crashes()


@dlt.source
def shop() -> Any:
    return [dlt.resource([1], name=name) for name in ("orders", "lines")]


GIVEN = {"orders": [{"id": 1}]}


@pytest.mark.parametrize(
    ("data", "given", "again", "expected"),
    [
        # rows, given ones, and those of resources
        ([{"id": 1}], None, [], ([], None)),
        ([{"id": 1}], None, [{"id": 2}], ([{"id": 2}], None)),
        ("data", GIVEN, [], ("data", {"orders": ()})),
        ("data", GIVEN, {"orders": [{"id": 2}]}, ("data", {"orders": [{"id": 2}]})),
        ("data", None, "others", ("others", None)),
    ],
)
def test_once_more_is_what_a_test_says(data: Any, given: Any, again: Any, expected: Any) -> None:
    assert once_more(data, given, again) == expected


def test_once_more_nothing_of_a_source_is_nothing_of_each_resource() -> None:
    source, single = shop(), dlt.resource([1], name="single")

    given = {"shop.orders": (), "shop.lines": ()}
    assert once_more(source, None, {}) == (source, given)
    assert once_more([source.with_resources("orders"), single], None, ())[1] == {
        "shop.orders": (),
        "single": (),
    }


def test_error_when_there_is_no_such_runner() -> None:
    assert [is_project_runner(name) for name in ("dlt", "project")] == [False, True]
    with pytest.raises(ValueError, match=r"There is no runner `projects`.*Did you mean `project`"):
        is_project_runner("projects")


def item_of(
    runtest: Callable[[], None] = lambda: None, cls: Any = None, *args: Any, **named: Any
) -> Any:
    """Return what stands for a test with the mark."""
    mark = pytest.mark.dlt_crash.with_args(*args, **named).mark
    return SimpleNamespace(get_closest_marker=lambda _: mark, cls=cls, runtest=runtest)


def check(item: Any) -> None:
    """Break the run of a test, which then passes."""
    with broken_before(item):
        pass


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (item_of(lambda: None, None, "kill"), "dlt_crash takes kind, points, ignore, by name"),
        (item_of(point="trace"), "dlt_crash takes kind, points, ignore, by name"),
        (item_of(cls=type("T", (unittest.TestCase,), {})), "use dlt_run.crashed(...)"),
    ],
)
def test_error_when_a_mark_cannot_be_understood(item: Any, told: str) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        check(item)

    assert told in str(caught.value)


def test_a_test_without_a_mark_is_left_alone() -> None:
    check(SimpleNamespace(get_closest_marker=lambda _: None))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pipelines that a marked test runs."""
    names: list[str] = []

    @contextmanager
    def observe(note: Callable[[Any, Any], None]) -> Iterator[None]:
        for name in names:
            note(SimpleNamespace(pipeline_name=name), None)
        yield

    monkeypatch.setattr(marked_tests, "observe_runs", observe)
    monkeypatch.setattr(marked_tests, "active_sandbox", lambda: SimpleNamespace(folder="nowhere"))
    return names


def run_as_whole(monkeypatch: pytest.MonkeyPatch, is_whole: bool = True) -> None:
    """Have the matrix of marked tests run the test alone, without a crash."""

    class Once(SimpleNamespace):
        def __init__(self, run: Any, *_: Any, run_whole: Any, **named: Any) -> None:
            super().__init__(crashes=lambda: (run_whole if is_whole else run)(False))

    monkeypatch.setattr(marked_tests, "Matrix", Once)


def test_error_when_a_marked_test_does_not_run_one_pipeline(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_as_whole(monkeypatch)
    with pytest.raises(pytest.UsageError, match="this one runs none that succeeds"):
        check(item_of())
    ran += ["b", "a"]
    with pytest.raises(pytest.UsageError, match="this one runs a, b; use dlt_run"):
        check(item_of())
    ran[:] = ["a", "a"]
    check(item_of())


def test_a_marked_test_that_fails_by_itself_says_so_when_it_runs(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_as_whole(monkeypatch)
    with pytest.raises(OSError, match="gone"), broken_before(item_of(raising(OSError("gone")))):
        raise OSError("gone")
    with pytest.raises(pytest.fail.Exception, match=r"nothing was tested.*fork.*crash: 2 != 3"):
        check(item_of(raising(AssertionError("2 != 3"))))

    ran.append("a")
    # after a crash its own assertions say nothing; a run that fails is told
    run_as_whole(monkeypatch, is_whole=False)
    check(item_of(raising(ValueError("2 != 3"))))
    failed = SimpleNamespace(failure=OSError("gone"))
    monkeypatch.setattr(marked_tests, "runs_in", lambda _: [failed])
    with pytest.raises(ValueError, match="2 != 3"):
        check(item_of(raising(ValueError("2 != 3"))))


def test_a_marked_test_that_skips_itself_is_skipped(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    skips = item_of(raising(pytest.skip.Exception("not today")))
    run_as_whole(monkeypatch)
    with pytest.raises(pytest.skip.Exception, match="not today"), broken_before(skips):
        skips.runtest()
    with pytest.raises(pytest.fail.Exception, match="without a crash: it is skipped: not today"):
        check(skips)
    run_as_whole(monkeypatch, is_whole=False)
    with pytest.raises(pytest.skip.Exception, match="not today"):
        check(skips)


def test_what_does_not_survive_fails_a_marked_test_by_its_text_alone(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(SimpleNamespace):
        def __init__(self, *_: Any, **named: Any) -> None:
            super().__init__(crashes=raising(AssertionError("orders: 2 rows twice")))

    monkeypatch.setattr(marked_tests, "Matrix", Fails)
    with pytest.raises(pytest.fail.Exception, match="orders: 2 rows twice") as caught:
        check(item_of())
    assert caught.value.pytrace is False
