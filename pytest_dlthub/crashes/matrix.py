"""Breaks a run at one point after another, runs it again, and compares it with a whole run."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dlt
import pytest

from dlthub_project.dlt_internals.fault_points import listening
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.faults import Kind, Point, Strike, Trail, chosen_points
from dlthub_project.sandbox import Sandbox, branch_of, continued, is_local, runs_in, unobserved
from pytest_dlthub.crashes.contents import Contents, contents_of
from pytest_dlthub.crashes.crash_report import Crash, Crashes, joined
from pytest_dlthub.crashes.forks import (
    Child,
    Outcome,
    Steps,
    can_fork,
    is_child,
    run_side_by_side,
)
from pytest_dlthub.crashes.problems import Problem, differences
from pytest_dlthub.report import note_crashes
from pytest_dlthub.sandbox_copies import copy_sandboxes

Run = Callable[[bool], dlt.Pipeline]
"""Runs as production does, and returns the pipeline; True where the source has other rows now."""

# what each child would import; they are asked for nearly always
_LIBRARIES = ("duckdb", "pandas", "pyarrow", "dlt.destinations.impl.duckdb.sql_client")
_STRUCK = "struck.json"
_LONGEST = 60.0
# a run that finishes what is pending extracts nothing with dlt alone; the next one does
_MOST_RUNS = 4


class _Unlike(Exception):
    """The run cannot be tested this way; the message says why."""


@dataclass(frozen=True)
class _Whole:
    """A run without a crash."""

    pipeline: str
    contents: Contents
    trail: Trail
    libraries: Sequence[str]


@dataclass(frozen=True)
class Matrix:
    """Which run to break, at which points, and how.

    Attributes:
        run: Runs the pipeline.
        sandbox: The sandbox of the test.
        runner: Who runs it: `dlt`, `project`, or `test`.
        kind: What happens at each point.
        points: The names of the points; None for all.
        ignore: Columns to leave out of the comparison.
        has_again: Whether the source yields other rows once a run has extracted its rows.
        run_whole: Runs the pipeline without a fault; None for `run`.
    """

    run: Run
    sandbox: Sandbox
    runner: str
    kind: Kind = "kill"
    points: str | Sequence[str] | None = None
    ignore: Collection[str] = ()
    has_again: bool = False
    run_whole: Run | None = None

    def crashes(self) -> Crashes:
        """Break the run at each point.

        Raises:
            AssertionError: The result differs from that of a whole run. Or the run reached no
                point, or missed one that was named.
            UsageError: The run cannot be tested this way.
            Exception: The error of a run without a fault.
        """
        __tracebackhide__ = True
        points = chosen_points(self.points, self.kind)
        if is_child():
            raise pytest.UsageError("a test that is marked with dlt_crash does not call crashed()")
        _check_platform()
        self._check_place()
        # beside the folder of the test: inside of it, a copy would contain copies
        place = Path(self.sandbox.folder)
        folder = _new_folder(place.with_name(f"crashes-{place.name}"))
        try:
            crashes = self._all(points, folder)
            note_crashes(self.sandbox.folder, crashes.summary)
            return self._checked(crashes)
        except TimeoutError as error:
            raise AssertionError(str(error)) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()

    def _all(self, points: Sequence[Point], folder: Path) -> Crashes:
        # the test's process opens no database, as a fork could not use it
        dlt.current.run_context()
        _import(_LIBRARIES)
        whole, second = run_side_by_side(
            (self._whole(folder / name) for name in ("whole", "second")), _at_once()
        )
        _import(name for name in whole.libraries if name not in sys.modules)
        self._check_whole(whole, folder / "whole")
        apart = differences(second.contents, whole.contents)
        if apart:
            raise pytest.UsageError(_not_the_same(apart))
        steps = (self._at(point, whole, folder / point.name) for point in points)
        found = run_side_by_side(steps, _at_once())
        loads = whole.trail.loads(whole.pipeline)
        return Crashes(whole.pipeline, self.kind, self.runner, tuple(found), loads)

    def _checked(self, crashes: Crashes) -> Crashes:
        __tracebackhide__ = True
        if text := crashes.text():
            raise AssertionError(text)
        if self.points is not None and crashes.unreached:
            missed = ", ".join(crashes.unreached)
            raise AssertionError(f"{crashes.pipeline}: never reached: {missed}; nothing is tested")
        if not crashes.reached:
            raise AssertionError(f"{crashes.pipeline}: no point was reached; nothing is tested")
        return crashes

    def _whole(self, folder: Path) -> Steps:
        """Run without a fault."""
        _copy(self.sandbox, folder)

        def work() -> _Whole:
            with self._in_copy(folder):
                trail = Trail()
                with listening(trail):
                    pipeline = (self.run_whole or self.run)(False)
                    self._check_local(pipeline, folder)
                    if self.has_again:
                        with unobserved():
                            self.run(True)
                name = pipeline.pipeline_name
                contents = contents_of(pipeline, self.ignore)
                return _Whole(name, contents, trail, _imported_libraries())

        outcome = yield Child(work, folder, _LONGEST)
        if isinstance(outcome.exception, RemoteDestinationBlocked):
            raise pytest.UsageError(
                "crashes are tested only on destinations that are files in the sandbox, since each "
                f"point needs a copy of them. {outcome.exception}"
            )
        if isinstance(outcome.exception, _Unlike):
            raise pytest.UsageError(str(outcome.exception))
        if outcome.exception is not None:
            raise outcome.exception
        if outcome.error is not None or outcome.is_killed:
            raise pytest.UsageError(
                f"the run fails without any crash: {outcome.error or 'its process is killed'}"
            )
        return outcome.value

    def _at(self, point: Point, whole: _Whole, folder: Path) -> Steps:
        """Break the run at a point; once for each table, if the fault strikes them one by one."""
        if not whole.trail.has(point, whole.pipeline):
            return Crash(point, False)
        tables = whole.trail.tables(whole.pipeline, of_followups=point.of_followups)
        passed: set[str] = set()
        crashes: list[Crash] = []
        while not crashes or (point.is_held and crashes[-1].is_reached and tables - passed):
            number = len(crashes)
            crash = yield from self._once(point, whole, folder / str(number), frozenset(passed))
            crashes.append(crash)
            passed |= {*crash.tables}
        return joined(crashes)

    def _once(self, point: Point, whole: _Whole, folder: Path, passed: Collection[str]) -> Steps:
        _copy(self.sandbox, folder)
        first: Outcome = yield Child(self._struck(point, whole, folder, passed), folder, _LONGEST)
        path = folder / _STRUCK
        if not path.exists():
            if first.error is not None or first.is_killed:
                words = f"the run ends before it reaches the point: {first.error or 'killed'}"
                return Crash(point, False, problems=(Problem(whole.pipeline, words),))
            return Crash(point, False)
        struck = json.loads(path.read_text(encoding="utf-8"))
        last = first
        if first.is_killed or first.error is not None:
            last = yield Child(self._again(whole, folder, struck["extracted"]), folder, _LONGEST)
        if last.value is None:
            words, more = "the next run fails", (last.error or "its process is killed",)
            problems = [Problem(whole.pipeline, words, cause="fails", more=more)]
        else:
            problems = differences(last.value, whole.contents)
        return Crash(point, True, tuple(struck["tables"]), tuple(problems))

    def _struck(
        self, point: Point, whole: _Whole, folder: Path, passed: Collection[str]
    ) -> Callable[[], Contents]:
        """Return the work of the process that meets the fault; it may survive it."""

        def work() -> Contents:
            trail = Trail()

            def tell(tables: Collection[str]) -> None:
                path = folder / _STRUCK
                known = json.loads(path.read_text()) if path.exists() else {"tables": []}
                known["tables"] = sorted({*known["tables"], *tables})
                known["extracted"] = trail.has_extracted(whole.pipeline)
                path.write_text(json.dumps(known), encoding="utf-8")

            strike = Strike(point, self.kind, whole.pipeline, tell, passed)
            with self._in_copy(folder):
                with listening(trail), listening(strike):
                    pipeline = self.run(False)
                if self.has_again:
                    self.run(True)
                return contents_of(pipeline, self.ignore)

        return work

    def _again(self, whole: _Whole, folder: Path, is_extracted: bool) -> Callable[[], Contents]:
        """Return the work of the next process: it runs the pipeline until nothing is pending."""

        def work() -> Contents:
            has_other = self.has_again and is_extracted
            with self._in_copy(folder):
                for _ in range(_MOST_RUNS):
                    trail = Trail()
                    with listening(trail):
                        pipeline = self.run(has_other)
                    if not trail.has_extracted(whole.pipeline):
                        continue
                    if has_other or not self.has_again:
                        return contents_of(pipeline, self.ignore)
                    has_other = True
            raise _Unlike(f"{_MOST_RUNS} runs after the crash have extracted nothing")

        return work

    @contextmanager
    def _in_copy(self, folder: Path) -> Iterator[None]:
        with continued(self.sandbox, str(folder / "sandbox")):
            yield

    def _check_whole(self, whole: _Whole, folder: Path) -> None:
        """Make sure that a run without a crash loads rows, into files.

        Raises:
            AssertionError: It loads no rows.
            UsageError: It loads into memory, which is gone with its process.
        """
        __tracebackhide__ = True
        local = Path(branch_of(self.sandbox, str(folder / "sandbox")).local_dir)
        if not any(path.is_file() for path in local.rglob("*")):
            raise pytest.UsageError(
                f"pipeline `{whole.pipeline}` loads into memory, which a crash loses"
            )
        if not any(table.rows for table in whole.contents.tables.values()):
            raise AssertionError(f"{whole.pipeline}: there are no rows; nothing is tested")
        if self.points is None and not whole.trail.tables(whole.pipeline, of_followups=False):
            raise AssertionError(f"{whole.pipeline}: the run loads nothing; nothing is tested")

    def _check_local(self, pipeline: dlt.Pipeline, folder: Path) -> None:
        if pipeline.dev_mode:
            raise _Unlike(
                f"pipeline `{pipeline.pipeline_name}` is in dev_mode: each run starts from "
                "nothing, and cannot finish what a crash has left"
            )
        here = branch_of(self.sandbox, str(folder / "sandbox"))
        if not is_local(pipeline.destination, here):
            name = pipeline.destination.destination_name
            raise _Unlike(
                f"destination `{name}` is not a file in the sandbox, so its data cannot be copied "
                "for each point. Give only its type, and the plugin chooses the place: "
                '`destination="duckdb"`'
            )

    def _check_place(self) -> None:
        """Make sure that the data which the test has loaded before can be copied.

        Raises:
            UsageError: They cannot.
        """
        here = branch_of(self.sandbox, self.sandbox.folder)
        for ended in runs_in(self.sandbox.folder):
            pipeline = ended.pipeline
            if pipeline.destination is None or not is_local(pipeline.destination, here):
                raise pytest.UsageError(
                    "each crash begins with a copy of the data that the test has loaded, but those "
                    f"of pipeline `{pipeline.pipeline_name}` cannot be copied: they are not in the "
                    "sandbox of the test"
                )


def _import(names: Iterable[str]) -> None:
    """Import libraries in the test's process, so that not each child imports them."""
    for name in names:
        with suppress(Exception):  # of any class: a run that needs the library raises it again
            importlib.import_module(name)


def _imported_libraries() -> list[str]:
    """Return the imported modules of libraries, without those of the user."""
    of_libraries = (sys.prefix, os.path.dirname(os.__file__))
    return [
        name
        for name, module in list(sys.modules.items())
        if str(getattr(module, "__file__", None) or "").startswith(of_libraries)
    ]


def _new_folder(folder: Path) -> Path:
    number = 0
    while (found := folder / str(number)).exists():
        number += 1
    found.mkdir(parents=True)
    return found


def _copy(sandbox: Sandbox, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    copy_sandboxes([sandbox.folder], str(folder / "sandbox"))


def _check_platform() -> None:
    if not can_fork():
        pytest.skip("crashes are tested in forks of the process, on Linux, macOS or WSL")


def _at_once() -> int:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, min(4, (os.cpu_count() or 1) // workers))


def _not_the_same(apart: Sequence[Problem]) -> str:
    lines = [f"{p.subject}: {p.words}" + (f" ({p.rows})" if p.rows else "") for p in apart]
    lines += [f"  {line}" for problem in apart for line in problem.more]
    return "\n".join(
        [
            "two runs without a crash differ, so that they cannot show the effect of a crash:",
            *lines[:10],
            "Freeze what changes (the clock, random values), or leave columns out: ignore=[...]",
        ]
    )
