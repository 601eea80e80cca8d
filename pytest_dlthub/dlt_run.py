"""Runs of plain dlt code: `dlt_run` starts them, and `dlt_runs` lists all runs of a test."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import dlt
from dlt.common.destination import Destination

from dlthub_project.errors import known_names
from dlthub_project.runner import PipelineRunner, extractables, narrowed
from dlthub_project.sandbox import active_sandbox, choose_file_format_freely
from pytest_dlthub.crashes import SAME, Matrix, is_project_runner, once_more, rows_given
from pytest_dlthub.given import Given, Recorded, children_told, give, read_given
from pytest_dlthub.pipeline_run import PipelineRun
from pytest_dlthub.placeholders import placeholders
from pytest_dlthub.recordings.recorded_tests import asked

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.faults import Kind
    from pytest_dlthub.crashes import Crashes

_DEFAULT_DESTINATION = "duckdb"


class DltRun:
    """Runs any data by a pipeline that it makes for the test."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make the object. Tests get it from the fixture `dlt_run`.

        Args:
            folder: The folder of the test. Paths that the test names are relative to it.
        """
        self._folder = folder or Path()

    def __call__(
        self,
        data: Any,
        *,
        given: Given | Recorded | None = None,
        hints: Any = None,
        record: str | None = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        pipeline: dlt.Pipeline | None = None,
        runner: bool = False,
        **arguments: Any,
    ) -> PipelineRun:
        """Run `data` into a temporary DuckDB, by `dlt.Pipeline.run`.

        Args:
            data: Whatever `dlt.Pipeline.run` takes, or a function that returns sources or
                resources.
            given: What resources yield instead of what they would extract, as `DltProject.run`
                takes it; or `"recorded"`.
            hints: Hints of given resources, as `DltProject.run` takes them.
            record: What to record, as `DltProject.run` takes it.
            limit: The largest number of pages that each resource yields.
            resources: The resources to load; None for all.
            pipeline: A pipeline to run instead of a new one.
            runner: Run by `dlt.hub.runner`, as pipelines of a project do. It first finishes what an
                earlier run has left pending, and loads each row once. dlt alone may load such rows
                twice.
            **arguments: Arguments of `dlt.pipeline` (by default the name `dlt_run` and the
                destination `duckdb`) and of `dlt.Pipeline.run`. `next` uses them again, except
                `refresh`, which holds for one run.

        Raises:
            TypeError: Neither function takes an argument, or only `dlt.pipeline` does and there is
                a pipeline already. Or there are hints without `given`.
            EntityNotFound: There is no such resource.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        of_pipeline, of_run = split_arguments(arguments, is_made=pipeline is not None)
        live = pipeline if pipeline is not None else self.pipeline(**of_pipeline)
        with asked(given, record, "dlt_run") as to_give:
            rows, own_hints = read_given(to_give, hints, self._folder, "dlt_run")
            with nullcontext() if rows is None else placeholders(rows, own_hints):
                loaded = data
                if rows is not None:
                    loaded = give(extractables(data, "given"), rows, own_hints)
                loaded = narrowed(loaded, resources, limit)
                run = PipelineRunner(live).run if runner else live.run
                with children_told(loaded, rows):
                    info = run(loaded, **of_run)
        of_run.pop("refresh", None)

        def again(
            data: Any = data, given: Given | Recorded | None = given, **changes: Any
        ) -> PipelineRun:
            if isinstance(data, Iterator):
                raise TypeError("next: give data=, since the last run has used up an iterator")
            same = {"limit": limit, "resources": resources, "runner": runner, **of_run}
            if given is not None:
                same |= {"hints": hints} if given != "recorded" else {"record": record}
            return self(data, given=given, pipeline=live, **{**same, **changes})

        return PipelineRun(live, info, again)

    def crashed(
        self,
        data: Any,
        *,
        given: Given | Recorded | None = None,
        again: Any = SAME,
        runner: Literal["dlt", "project"] = "dlt",
        kind: Kind = "kill",
        points: str | Sequence[str] | None = None,
        ignore: Collection[str] = (),
        **arguments: Any,
    ) -> Crashes:
        """Assert that a run survives a crash at any point, and loads each row once.

        The test kills the run by SIGKILL at each point that matters: in a process of its own, on a
        copy of what this test has loaded so far. Then it runs the pipeline again until nothing is
        pending, and compares rows, state and schema with those of a run without a crash.

        Args:
            data: What to load, as a call takes it.
            given: What resources yield, as a call takes it; not `"recorded"`.
            again: What the source yields after the crash, if a run has extracted its rows before:
                a value for `given`, or for `data` without `given`; `[]` for a source that yields
                each row once. By default the same as before.
            runner: `dlt` for `dlt.Pipeline.run`, `project` for the runner of projects.
            kind: What happens: `kill`, `exception`, `disconnect` (a lost connection) or
                `full_disk`.
            points: The names of points of `dlthub_project.faults.POINTS`; by default all. A point
                that the run does not reach is an error if you name it; else the result lists it in
                `unreached`.
            ignore: Columns to leave out of the comparison, `column` or `table.column`, as they
                differ between any two runs: a time of loading, for example.
            **arguments: Further arguments of a call.

        Returns:
            The points that the run reached, and those that it did not.

        Raises:
            AssertionError: Rows are lost or loaded twice, or something else differs; the message
                names point, table and rows, and what would help. Or nothing was tested.
            UsageError: Two runs without a crash differ, or the loaded data cannot be copied.
            ValueError: There is no such runner, kind or point.
        """
        __tracebackhide__ = True
        is_project = is_project_runner(runner)
        sandbox = active_sandbox()
        assert sandbox is not None
        own = rows_given(given, arguments.get("record"), sandbox)

        def run(is_again: bool) -> dlt.Pipeline:
            loaded, rows = once_more(data, own, again) if is_again else (data, own)
            return self(loaded, given=rows, runner=is_project, **arguments).pipeline

        has_again = again is not SAME
        return Matrix(run, sandbox, runner, kind, points, ignore, has_again).crashes()

    def pipeline(self, **arguments: Any) -> dlt.Pipeline:
        """Return the pipeline that a call with these arguments of `dlt.pipeline` runs."""
        pipeline: dlt.Pipeline = dlt.pipeline(**{**_DEFAULTS, **arguments})
        choose_file_format_freely(pipeline)
        return pipeline

    def destination(
        self, destination: Any = _DEFAULT_DESTINATION, destination_name: str | None = None, **_: Any
    ) -> AnyDestination:
        """Return the destination that a call with these arguments loads into."""
        found = Destination.from_reference(destination, destination_name=destination_name)
        assert found is not None  # there is a default
        return found


class DltRuns(Sequence[PipelineRun]):
    """The pipeline runs of a test, in order; `runs["name"]` is the last one of a pipeline.

    Runs that failed, and runs in subprocesses, are not among them.
    """

    def __init__(self) -> None:
        self._runs: list[PipelineRun] = []

    def add(self, run: PipelineRun) -> None:
        """Add a run that has ended."""
        self._runs.append(run)

    @property
    def last(self) -> PipelineRun:
        """The last run.

        Raises:
            AssertionError: No pipeline was run in this test.
        """
        if not self._runs:
            raise AssertionError(
                "no pipeline was run in this test; dlt_runs does not see runs of subprocesses"
            )
        return self._runs[-1]

    def of(self, pipeline_name: str) -> list[PipelineRun]:
        """Return the runs of one pipeline."""
        return [run for run in self._runs if run.pipeline.pipeline_name == pipeline_name]

    @overload
    def __getitem__(self, index: int | str) -> PipelineRun: ...
    @overload
    def __getitem__(self, index: slice) -> list[PipelineRun]: ...
    def __getitem__(self, index: int | str | slice) -> PipelineRun | list[PipelineRun]:
        if not isinstance(index, str):
            return self._runs[index]
        if not (found := self.of(index)):
            names = {run.pipeline.pipeline_name for run in self._runs}
            raise KeyError(
                f"Pipeline `{index}` was not run in this test. {known_names(index, names)}"
            )
        return found[-1]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<DltRuns {self._runs}>"


def finished_run(pipeline: dlt.Pipeline, info: LoadInfo | None) -> PipelineRun:
    """Return the result of a run that other code has started, and that has just ended."""

    def again(data: Any = None, **arguments: Any) -> PipelineRun:
        if data is None:
            raise TypeError("next: give data=, since other code has started the run")
        return DltRun()(data, pipeline=pipeline, **arguments)

    return PipelineRun(pipeline, info, again)


def split_arguments(
    arguments: Mapping[str, Any], *, is_made: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the arguments of `dlt_run` into those of `dlt.pipeline` and those of `Pipeline.run`.

    Args:
        arguments: All of them.
        is_made: Whether there is a pipeline already. Then an argument of both goes to the run.

    Raises:
        TypeError: Neither function takes an argument, or only `dlt.pipeline` does and there is a
            pipeline already.
    """
    of_pipeline: dict[str, Any] = {}
    of_run: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _OWN_ARGUMENTS:
            continue
        of_both = name in _PIPELINE_ARGUMENTS and name in _RUN_ARGUMENTS
        if name in _PIPELINE_ARGUMENTS and not (of_both and (is_made or name == "refresh")):
            if is_made:
                raise TypeError(
                    f"dlt_run: there is a pipeline already, and its run() takes no `{name}`; give "
                    "it to dlt.pipeline, or to the first dlt_run"
                )
            # an argument of both goes to the pipeline: it holds for the next run in the test, too
            of_pipeline[name] = value
        elif name in _RUN_ARGUMENTS:
            of_run[name] = value
        else:
            known = _OWN_ARGUMENTS | _PIPELINE_ARGUMENTS | _RUN_ARGUMENTS
            close = "".join(f"; did you mean `{c}`?" for c in get_close_matches(name, known, 1))
            raise TypeError(f"dlt_run: neither dlt.pipeline nor its run() takes `{name}`{close}")
    return of_pipeline, of_run


_DEFAULTS = {"pipeline_name": "dlt_run", "destination": _DEFAULT_DESTINATION}
_PIPELINE_ARGUMENTS = frozenset(inspect.signature(dlt.pipeline).parameters) - {"injection_kwargs"}
_OWN_ARGUMENTS = frozenset(inspect.signature(DltRun.__call__).parameters)
_RUN_ARGUMENTS = frozenset(inspect.signature(dlt.Pipeline.run).parameters)
