"""What the marks of a test ask to be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory

from dlthub_project import current
from pytest_dlthub.given import located
from pytest_dlthub.project import DltProject, DltRun, split_arguments
from pytest_dlthub.templates.digests import NoDigest, digest_and_files

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination.reference import AnyDestination

    from pytest_dlthub.run import PipelineRun

MARK = "dlt_load"

_HOW = (
    f'Mark the test with the name of a pipeline of dlt.yml, `@pytest.mark.{MARK}("name")`, or with '
    f"a source: `@pytest.mark.{MARK}(source=my_source)`."
)


@dataclass(frozen=True)
class Load:
    """One run that a mark asks for.

    Attributes:
        name: The pipeline.
        is_declared: It is a pipeline of `dlt.yml`.
        source: What is loaded otherwise.
        arguments: Those of `DltProject.run` or `DltRun`.
        folder: That of the test, which files are relative to.
        depends_on: Files whose content counts.
    """

    name: str
    is_declared: bool
    source: Any
    arguments: Mapping[str, Any]
    folder: Path
    depends_on: tuple[Path, ...] = ()

    def run(self, pipeline: dlt.Pipeline | None = None, **changes: Any) -> PipelineRun:
        """Run the pipeline in the active sandbox.

        Args:
            pipeline: What `open_pipeline` gave; None for a new one.
            **changes: Arguments to have otherwise.
        """
        arguments = {**self.arguments, **changes}
        if self.is_declared:
            return DltProject(self.folder).run(pipeline or self.name, **arguments)
        arguments.setdefault("data", _called(self.source))
        return DltRun(self.folder)(pipeline=pipeline, **arguments)

    def open_pipeline(self) -> dlt.Pipeline:
        """Return the pipeline in the active sandbox, with what it loaded there."""
        if self.is_declared:
            chosen = {key: self.arguments.get(key) for key in ("destination", "dataset_name")}
            return current.entities().get_pipeline(self.name, **chosen)
        return DltRun().pipeline(**split_arguments(self.arguments)[0])

    def destination(self) -> AnyDestination:
        """Return the destination of the pipeline in the active sandbox, without the pipeline."""
        if not self.is_declared:
            return DltRun().destination(**self.arguments)
        chosen = {key: self.arguments.get(key) for key in ("destination", "dataset_name")}
        entities = current.entities()
        where = entities.datasets.locate_pipeline(self.name, **chosen)
        return entities.get_destination(where.destination_name)

    @property
    def digest(self) -> str:
        """A digest of what is asked for.

        Raises:
            UsageError: An argument cannot be compared.
        """
        return self._digest_and_files[0]

    @property
    def files(self) -> frozenset[str]:
        """The files that define the functions and classes among source and arguments."""
        return self._digest_and_files[1]

    @cached_property
    def _digest_and_files(self) -> tuple[str, frozenset[str]]:
        files = [path for path in self.depends_on if not path.exists()]
        if files:
            raise pytest.UsageError(f"{MARK}: depends_on: there is no {files[0]}")
        try:
            arguments = dict(self.arguments)
            if "given" in arguments:
                # the content of files counts, and not their names
                arguments["given"] = located(arguments["given"], self.folder)
            return digest_and_files(
                self.name, self.is_declared, self.source, arguments, self.depends_on
            )
        except NoDigest as error:
            raise pytest.UsageError(
                f"{MARK}({self.name}): an argument cannot be compared with that of another test "
                f"process: {error}. Give the function that makes it: a source factory, or "
                "`source=lambda: my_source(...)`."
            ) from error


class Marks:
    """The marks of a session's tests; what each asks for is worked out once."""

    def __init__(self) -> None:
        self._loads: dict[tuple[int, Path], tuple[pytest.Mark, Load]] = {}

    def loads_of(self, item: pytest.Item) -> dict[str, Load]:
        """Return what the marks of a test ask for, by pipeline: of its module, its class, itself.

        Where two name one pipeline, the one nearer to the test holds.

        Raises:
            UsageError: There is no mark, or one that cannot be understood.
        """
        marks = [*item.iter_markers(MARK)]
        if not marks:
            raise pytest.UsageError(f"dlt_loaded: {item.name} does not say what to load. {_HOW}")
        # the nearest first; for one function the lowest first
        loads = [self._load(mark, item.path.parent) for mark in reversed(marks)]
        return {load.name: load for load in loads}

    def _load(self, mark: pytest.Mark, folder: Path) -> Load:
        # kept with the mark, whose id another one could have after it
        key = (id(mark), folder)
        if key not in self._loads:
            self._loads[key] = mark, _load(mark, folder)
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


def _name_of(source: Any) -> str:
    if isinstance(source, SourceFactory):
        return str(source.ref.name)
    name = str(getattr(source, "name", None) or getattr(source, "__name__", ""))
    return name if name.isidentifier() else "dlt_run"


def _called(source: Any) -> Any:
    """Return what a function gives; a source, resource or factory as it is."""
    is_dlts = isinstance(source, DltSource | DltResource | SourceFactory)
    return source if is_dlts or not callable(source) else source()
