"""The mark `dlt_load`: reads what it asks for, runs it, and refuses what cannot be copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project import current
from dlthub_project.context import ProjectRunContext
from dlthub_project.dlt_internals import destinations
from dlthub_project.errors import RecordingStale
from dlthub_project.sandbox import Sandbox, is_local, short_type
from pytest_dlthub.activation import SESSION
from pytest_dlthub.dlt_project import DltProject
from pytest_dlthub.dlt_run import DltRun, split_arguments
from pytest_dlthub.given import hints_by_resource, located
from pytest_dlthub.recordings.record_options import Settings, folder_of_load
from pytest_dlthub.recordings.recorder import Recorder, recorder_in
from pytest_dlthub.templates.digests import NoDigest, digest

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination

    from pytest_dlthub.pipeline_run import PipelineRun


MARK = "dlt_load"

_HOW = (
    f'Mark the test with the name of a pipeline of dlt.yml, `@pytest.mark.{MARK}("name")`, or with '
    f"a source: `@pytest.mark.{MARK}(source=my_source)`."
)


_INSTEAD = (
    "Run the pipeline in each test, with dlt_run or dlt_project.run, or once in a fixture of your "
    "own, with dlt_project_factory."
)

# the arguments that choose where a declared pipeline loads to
_OF_PLACE = ("destination", "dataset_name")


@dataclass(frozen=True)
class Load:
    """One run that a `dlt_load` mark asks for.

    Attributes:
        name: The pipeline.
        is_declared: Whether `dlt.yml` declares the pipeline.
        source: The source of the mark; None for a declared pipeline.
        arguments: The arguments of the mark for `dlt_project.run` or `dlt_run`.
        folder: The folder of the test. Paths in the mark are relative to it.
        depends_on: Further files that the data depend on, by content.
        recorder: Makes a new recorder for each build; None if the load is not recorded.
        recorded: Returns what a replay reads: the same for all tests of a session.
    """

    name: str
    is_declared: bool
    source: Any
    arguments: Mapping[str, Any]
    folder: Path
    depends_on: tuple[Path, ...] = ()
    recorder: Callable[[], Recorder] | None = None
    recorded: Callable[[], list[Any]] = list

    def build(self, sandbox: Sandbox) -> PipelineRun:
        """Run the pipeline once for all tests, in the active sandbox.

        Args:
            sandbox: The active sandbox.

        Raises:
            RecordingMissing: The load replays a recording that does not exist.
        """
        if self.recorder is None:
            return self.run()
        # a new one: what a failed build has recorded must not be written
        recorder = self.recorder()
        with recorder_in(sandbox, lambda: recorder):
            run = self.run()
        if problem := recorder.finish(must_be_used=True, has_failed=False):
            raise RecordingStale(problem)
        return run

    def run(self, pipeline: dlt.Pipeline | None = None, **changes: Any) -> PipelineRun:
        """Run the pipeline in the active sandbox.

        Args:
            pipeline: The result of `open_pipeline`; None for a new pipeline.
            **changes: Arguments that differ from those of the mark.
        """
        same = dict(self.arguments)
        if pipeline is not None:
            # the pipeline was made with these
            made = split_arguments(same)[0] if not self.is_declared else _OF_PLACE
            same = {key: value for key, value in same.items() if key not in {*made, "refresh"}}
        arguments = {**same, **changes}
        if "given" in changes and changes["given"] is None and "hints" not in changes:
            # hints belong to what was given
            arguments["hints"] = None
        if self.is_declared:
            return DltProject(self.folder).run(pipeline or self.name, **arguments)
        arguments.setdefault("data", _called(self.source))
        return DltRun(self.folder)(pipeline=pipeline, **arguments)

    def open_pipeline(self) -> dlt.Pipeline:
        """Return the pipeline in the active sandbox, with its state."""
        if self.is_declared:
            chosen = {key: self.arguments.get(key) for key in _OF_PLACE}
            return current.entities().get_pipeline(self.name, **chosen)
        return DltRun().pipeline(**split_arguments(self.arguments)[0])

    def destination(self) -> AnyDestination:
        """Return the destination of the pipeline in the active sandbox, without the pipeline."""
        if not self.is_declared:
            destination = DltRun().destination(**self.arguments)
            # dlt does so at the first use, and may name the file after the pipeline
            destination.config_params.setdefault("pipeline_name", self.name)
            return destination
        chosen = {key: self.arguments.get(key) for key in _OF_PLACE}
        entities = current.entities()
        where = entities.datasets.locate_pipeline(self.name, **chosen)
        return entities.get_destination(where.destination_name)

    def digest(self) -> str:
        """Return a digest of the load as it is now: a fixture may have changed its arguments.

        Raises:
            UsageError: An argument cannot be compared, or a file does not exist.
        """
        files = [path for path in self.depends_on if not path.exists()]
        if files:
            raise pytest.UsageError(f"{MARK}: depends_on: there is no {files[0]}")
        try:
            arguments = dict(self.arguments)
            if "given" in arguments:
                # the content of files counts, and not their names
                arguments["given"] = (
                    located(arguments["given"], self.folder)
                    if self.recorder is None
                    else self.recorded()
                )
            if "hints" in arguments:
                arguments["hints"] = hints_by_resource(arguments["hints"], self.folder)
            return digest(self.name, self.is_declared, self.source, arguments)
        except NoDigest as error:
            raise pytest.UsageError(
                f"{MARK}({self.name}): an argument cannot be compared with that of another test "
                f"process: {error}. Give the function that makes it: a source factory, or "
                "`source=lambda: my_source(...)`."
            ) from error


class Marks:
    """The marks of a session's tests; reads each mark once."""

    def __init__(self) -> None:
        self._loads: dict[tuple[int, str, Path], tuple[pytest.Mark, Load]] = {}

    def loads_of(self, item: pytest.Item) -> dict[str, Load]:
        """Return the loads of a test by pipeline, from marks of its module, its class and itself.

        If two marks name one pipeline, the one nearer to the test counts.

        Raises:
            UsageError: There is no mark, a mark is wrong, or it needs a project and there is none.
        """
        marks = [*item.iter_markers_with_node(MARK)]
        if not marks:
            raise pytest.UsageError(f"dlt_loaded: {item.name} does not say what to load. {_HOW}")
        # pytest yields the nearest first, and for one function the lowest first
        loads = [self._load(mark, node, item) for node, mark in reversed(marks)]
        for load in loads:
            if load.is_declared and not isinstance(dlt.current.run_context(), ProjectRunContext):
                item.config.stash[SESSION].check_has_project(f"{MARK}({load.name!r})")
        return {load.name: load for load in loads}

    def _load(self, mark: pytest.Mark, node: Any, item: pytest.Item) -> Load:
        # with the mark itself: another mark could get its id once it is gone
        key = (id(mark), node.nodeid, item.path.parent)
        if key not in self._loads:
            self._loads[key] = mark, _recorded(_load(mark, item.path.parent), node, item)
        return self._loads[key][1]


def _load(mark: pytest.Mark, folder: Path) -> Load:
    arguments = dict(mark.kwargs)
    source = arguments.pop("source", None)
    if len(mark.args) + (source is not None) != 1 or not isinstance((*mark.args, "")[0], str):
        raise pytest.UsageError(f"{MARK}: {len(mark.args)} pipelines and {source!r}. {_HOW}")
    depends_on = arguments.pop("depends_on", ())
    if isinstance(depends_on, str | Path):
        depends_on = (depends_on,)
    paths = tuple(Path(folder, path) for path in depends_on)
    if mark.args:
        return Load(mark.args[0], True, None, arguments, folder, paths)
    arguments.setdefault("pipeline_name", _name_of(source))
    return Load(arguments["pipeline_name"], False, source, arguments, folder, paths)


def _recorded(load: Load, node: Any, item: pytest.Item) -> Load:
    """Return a load with its recorder, if the mark asks for a recording."""
    if load.arguments.get("given") != "recorded":
        return load
    place = folder_of_load(node, item, load.name)
    settings = Settings.of(item)
    notes: list[str] = []

    def make() -> Recorder:
        return Recorder(place, settings, notes=notes)

    return replace(load, recorder=make, recorded=cache(lambda: make().inputs()))


def _name_of(source: Any) -> str:
    if isinstance(source, SourceFactory):
        return str(source.ref.name)
    name = str(getattr(source, "name", None) or getattr(source, "__name__", ""))
    return name if name.isidentifier() else "dlt_run"


def _called(source: Any) -> Any:
    """Call a function, and return its result; return a source, resource or factory as it is."""
    is_dlts = isinstance(source, DltSource | DltResource | SourceFactory)
    return source if is_dlts or not callable(source) else source()


def check_destination(destination: AnyDestination, sandbox: Sandbox) -> None:
    """Make sure, before a load, that its data can be copied.

    Args:
        destination: The destination of the load.
        sandbox: The sandbox of the template.

    Raises:
        UsageError: All tests would share the destination.
    """
    name, kind = destination.destination_name, short_type(destination)
    if name in sandbox.owned:
        return
    # the template has no copies of the test's other folders
    if not is_local(destination, replace(sandbox, local_roots=())):
        raise pytest.UsageError(
            f"dlt_load: what is loaded into destination `{name}` ({kind}) cannot be copied for "
            f"each test: its place is not in the test's sandbox. {_INSTEAD}"
        )
    if kind == "filesystem" and _bucket_of(destination).startswith("memory:"):
        raise _in_memory(name, kind)


def check_run(run: PipelineRun, sandbox: Sandbox) -> None:
    """Make sure, after a load, that its data can be copied.

    Raises:
        UsageError: They cannot.
    """
    pipeline = run.pipeline
    name, kind = pipeline.destination.destination_name, short_type(pipeline.destination)
    if pipeline.dev_mode:
        raise pytest.UsageError(
            f"dlt_load: pipeline `{pipeline.pipeline_name}` is in dev_mode: it begins anew each "
            "time, and would not find what was loaded. Leave dev_mode out in tests: their "
            "sandboxes are new anyway."
        )
    if kind != "duckdb" or name in sandbox.owned:
        return
    path = run.database_path
    if path is None:
        raise _in_memory(name, kind)
    if not replace(sandbox, local_roots=()).is_local_path(str(path)):
        raise pytest.UsageError(
            f"dlt_load: what is loaded into destination `{name}` cannot be copied for each test: "
            f"{path} is not in the test's sandbox. {_INSTEAD}"
        )


def _in_memory(name: str, kind: str) -> pytest.UsageError:
    return pytest.UsageError(
        f"dlt_load: what is loaded into destination `{name}` ({kind}) cannot be copied for each "
        f"test: it is in memory. {_INSTEAD}"
    )


def _bucket_of(destination: AnyDestination) -> str:
    bucket = destination.config_params.get("bucket_url")
    return str(bucket or destinations.configured_bucket(destination.destination_name) or "")
