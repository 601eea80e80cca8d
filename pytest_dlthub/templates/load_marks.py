"""What the marks of a test ask to be loaded."""

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

# what says where a declared pipeline loads to
_OF_PLACE = ("destination", "dataset_name")


@dataclass(frozen=True)
class Load:
    """One run that a `dlt_load` mark asks for.

    Attributes:
        name: The pipeline.
        is_declared: It is a pipeline of `dlt.yml`.
        source: What is loaded otherwise, as the mark has it; None for a declared pipeline.
        arguments: Those of `dlt_project.run` or `dlt_run` that the mark has, by name.
        folder: That of the test, which files are relative to.
        depends_on: Files whose content counts.
        recorder: Makes what records or replays it, each time anew; None where nobody asks for it.
        recorded: Returns what a replay reads; for all tests of a session what the first one had.
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
            sandbox: That one.

        Raises:
            RecordingMissing: It is to be replayed, and was never recorded.
        """
        if self.recorder is None:
            return self.run()
        # one for this build: what a failed one has recorded is not written
        recorder = self.recorder()
        with recorder_in(sandbox, lambda: recorder):
            run = self.run()
        if problem := recorder.finish(must_be_used=True, has_failed=False):
            raise RecordingStale(problem)
        return run

    def run(self, pipeline: dlt.Pipeline | None = None, **changes: Any) -> PipelineRun:
        """Run the pipeline in the active sandbox.

        Args:
            pipeline: What `open_pipeline` gave; None for a new one.
            **changes: Arguments to have otherwise.
        """
        same = dict(self.arguments)
        if pipeline is not None:
            # they made it, and it has them
            made = split_arguments(same)[0] if not self.is_declared else _OF_PLACE
            same = {key: value for key, value in same.items() if key not in {*made, "refresh"}}
        arguments = {**same, **changes}
        if "given" in changes and changes["given"] is None and "hints" not in changes:
            # they are of what was given
            arguments["hints"] = None
        if self.is_declared:
            return DltProject(self.folder).run(pipeline or self.name, **arguments)
        arguments.setdefault("data", _called(self.source))
        return DltRun(self.folder)(pipeline=pipeline, **arguments)

    def open_pipeline(self) -> dlt.Pipeline:
        """Return the pipeline in the active sandbox, with what it loaded there."""
        if self.is_declared:
            chosen = {key: self.arguments.get(key) for key in _OF_PLACE}
            return current.entities().get_pipeline(self.name, **chosen)
        return DltRun().pipeline(**split_arguments(self.arguments)[0])

    def destination(self) -> AnyDestination:
        """Return the destination of the pipeline in the active sandbox, without the pipeline."""
        if not self.is_declared:
            destination = DltRun().destination(**self.arguments)
            # as dlt binds it to the first pipeline that uses it: its file may be called after that
            destination.config_params.setdefault("pipeline_name", self.name)
            return destination
        chosen = {key: self.arguments.get(key) for key in _OF_PLACE}
        entities = current.entities()
        where = entities.datasets.locate_pipeline(self.name, **chosen)
        return entities.get_destination(where.destination_name)

    def digest(self) -> str:
        """Return a digest of what is asked for, as it is now: a fixture may have changed it.

        Raises:
            UsageError: An argument cannot be compared, or a file is not there.
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
    """The marks of a session's tests; what each asks for is worked out once."""

    def __init__(self) -> None:
        self._loads: dict[tuple[int, str, Path], tuple[pytest.Mark, Load]] = {}

    def loads_of(self, item: pytest.Item) -> dict[str, Load]:
        """Return what the marks of a test ask for, by pipeline: of its module, its class, itself.

        Where two name one pipeline, the one nearer to the test holds.

        Raises:
            UsageError: There is no mark, or one that cannot be understood, or that needs a project
                where there is none.
        """
        marks = [*item.iter_markers_with_node(MARK)]
        if not marks:
            raise pytest.UsageError(f"dlt_loaded: {item.name} does not say what to load. {_HOW}")
        # the nearest first; for one function the lowest first
        loads = [self._load(mark, node, item) for node, mark in reversed(marks)]
        for load in loads:
            if load.is_declared and not isinstance(dlt.current.run_context(), ProjectRunContext):
                item.config.stash[SESSION].check_has_project(f"{MARK}({load.name!r})")
        return {load.name: load for load in loads}

    def _load(self, mark: pytest.Mark, node: Any, item: pytest.Item) -> Load:
        # kept with the mark, whose id another one could have after it
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
    """Return a load with what records it, beside what is marked, if it asks for that."""
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
    """Return what a function gives; a source, resource or factory as it is."""
    is_dlts = isinstance(source, DltSource | DltResource | SourceFactory)
    return source if is_dlts or not callable(source) else source()


def check_destination(destination: AnyDestination, sandbox: Sandbox) -> None:
    """Make sure, before a load, that what it loads can be copied.

    Args:
        destination: Where it loads to.
        sandbox: That of the template.

    Raises:
        UsageError: All tests would share it.
    """
    name, kind = destination.destination_name, short_type(destination)
    if name in sandbox.owned:
        return
    # of the test's other folders there are no copies
    if not is_local(destination, replace(sandbox, local_roots=())):
        raise pytest.UsageError(
            f"dlt_load: what is loaded into destination `{name}` ({kind}) cannot be copied for "
            f"each test: its place is not in the test's sandbox. {_INSTEAD}"
        )
    if kind == "filesystem" and _bucket_of(destination).startswith("memory:"):
        raise _in_memory(name, kind)


def check_run(run: PipelineRun, sandbox: Sandbox) -> None:
    """Make sure, after a load, that what it has loaded can be copied.

    Raises:
        UsageError: It cannot.
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
