"""Runs of plain dlt code: those that `dlt_run` starts, and all that `dlt_runs` has seen."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import dlt
from dlt.common.destination import Destination

from dlthub_project.runner import PipelineRunner, extractables, narrowed
from dlthub_project.sandbox import choose_file_format_freely, observe_runs
from pytest_dlthub.given import Given, give, located, placeholders
from pytest_dlthub.run import PipelineRun

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination
    from dlt.common.pipeline import LoadInfo

_DEFAULT_DESTINATION = "duckdb"


class DltRun:
    """Runs any data through a pipeline made for the test."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make the object; the fixture gives one.

        Args:
            folder: The folder of the test, which files that it names are relative to.
        """
        self._folder = folder or Path()

    def __call__(
        self,
        data: Any,
        *,
        given: Given | None = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        pipeline: dlt.Pipeline | None = None,
        **arguments: Any,
    ) -> PipelineRun:
        """Run `data` into a temporary DuckDB.

        Args:
            data: Whatever `dlt.Pipeline.run` takes.
            given: What named resources yield instead of what they would extract, as
                `DltProject.run` takes it.
            limit: The number of pages that each resource yields at most.
            resources: The resources to load; None for all.
            pipeline: A pipeline to run instead of a new one.
            **arguments: Arguments of `dlt.pipeline` (by default the pipeline is called
                `dlt_run` and its destination `duckdb`) and of `dlt.Pipeline.run`.

        Raises:
            TypeError: An argument belongs to neither.
            EntityNotFound: There is no such resource.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        of_pipeline, of_run = split_arguments(arguments)
        live = pipeline or self.pipeline(**of_pipeline)
        with nullcontext() if given is None else placeholders():
            loaded = data
            if given is not None:
                loaded = give(extractables(data, "given"), located(given, self._folder))
            info = PipelineRunner(live).run(narrowed(loaded, resources, limit), **of_run)

        def again(data: Any = data, given: Given | None = given, **changes: Any) -> PipelineRun:
            if isinstance(data, Iterator):
                raise TypeError("next: data= is needed: an iterator was run, which is used up")
            arguments = {"limit": limit, "resources": resources, **of_run, **changes}
            return self(data, given=given, pipeline=live, **arguments)

        return PipelineRun(live, info, again)

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
    """The pipeline runs of a test, in order; those that failed are not among them."""

    def __init__(self) -> None:
        self._runs: list[PipelineRun] = []

    @classmethod
    @contextmanager
    def observed(cls) -> Iterator[DltRuns]:
        """Collect the runs of this process in a block."""
        runs = cls()
        with observe_runs(runs._add):
            yield runs

    def _add(self, pipeline: dlt.Pipeline, info: LoadInfo) -> None:
        def again(data: Any = None, **arguments: Any) -> PipelineRun:
            if data is None:
                raise TypeError("next: data= is needed: the run was started by other code")
            return DltRun()(data, pipeline=pipeline, **arguments)

        self._runs.append(PipelineRun(pipeline, info, again))

    @property
    def last(self) -> PipelineRun:
        """The last run.

        Raises:
            AssertionError: No pipeline was run in this test.
        """
        if not self._runs:
            raise AssertionError("no pipeline was run in this test")
        return self._runs[-1]

    def of(self, pipeline_name: str) -> list[PipelineRun]:
        """Return the runs of one pipeline."""
        return [run for run in self._runs if run.pipeline.pipeline_name == pipeline_name]

    @overload
    def __getitem__(self, index: int) -> PipelineRun: ...
    @overload
    def __getitem__(self, index: slice) -> list[PipelineRun]: ...
    def __getitem__(self, index: int | slice) -> PipelineRun | list[PipelineRun]:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<DltRuns {self._runs}>"


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `dlt.pipeline` and those of its `run` among those of `dlt_run`.

    Raises:
        TypeError: An argument belongs to neither.
    """
    of_pipeline: dict[str, Any] = {}
    of_run: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _OWN_ARGUMENTS:
            continue
        if name in _PIPELINE_ARGUMENTS:
            # what both take belongs to the pipeline: it stays for the next run in the test
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
