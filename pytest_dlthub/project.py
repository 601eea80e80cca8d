"""The objects that run pipelines for tests: of a project, and of plain dlt code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import dlt

from dlthub_project import current, switched_profile
from dlthub_project.runner import PipelineRunner
from dlthub_project.sandbox import Sandbox, active_sandbox, choose_file_format_freely, isolated
from pytest_dlthub.check import check_profile
from pytest_dlthub.run import PipelineRun

if TYPE_CHECKING:
    from dlthub_project.catalog import Catalog, WritableDataset
    from dlthub_project.context import Project, ProjectRunContext
    from dlthub_project.entities import EntityFactory, ProjectSourceFactory
    from dlthub_project.runner import PipelineManager


class DltProject:
    """The project under test: its runs, and everything that `dlthub_project.current` gives."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        """Make the project; fixtures give one.

        Args:
            sandbox: A sandbox of its own; None for the one that is active.
        """
        self._sandbox = sandbox

    def run(
        self,
        pipeline: str,
        *,
        data: Any = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        destination: str | None = None,
        dataset_name: str | None = None,
        **run_arguments: Any,
    ) -> PipelineRun:
        """Run a pipeline of `dlt.yml` into a temporary DuckDB.

        Args:
            pipeline: Its name.
            data: What to load instead of its sources.
            limit: The number of pages that each resource yields at most.
            resources: The resources to load; None for all.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.
        """
        with self._entered():
            live = current.entities().get_pipeline(
                pipeline, destination=destination, dataset_name=dataset_name
            )
            info = current.runner().run(
                live, data=data, limit=limit, resources=resources, **run_arguments
            )
            return PipelineRun(live, info)

    @property
    def config(self) -> Project:
        """The project: its settings and its merged manifest."""
        return self.context.project

    @property
    def context(self) -> ProjectRunContext:
        """The run context of the project."""
        with self._entered():
            return current.context()

    @property
    def entities(self) -> EntityFactory:
        """The factory of the project's entities."""
        with self._entered():
            return current.entities()

    @property
    def catalog(self) -> Catalog:
        """The catalog of the project's datasets."""
        with self._entered():
            return current.catalog()

    @property
    def runner(self) -> PipelineManager:
        """The runner of the project's pipelines."""
        with self._entered():
            return current.runner()

    def dataset(self, name: str) -> WritableDataset:
        """Return a dataset that was loaded in this test."""
        with self._entered():
            return current.catalog().dataset(name)

    def pipeline(self, name: str) -> dlt.Pipeline:
        """Return a pipeline without running it."""
        with self._entered():
            return current.entities().get_pipeline(name)

    def source(self, name: str) -> ProjectSourceFactory:
        """Return the factory of a source; call it for the source."""
        with self._entered():
            return current.entities().get_source(name)

    @contextmanager
    def profile(self, name: str) -> Iterator[ProjectRunContext]:
        """Switch to another profile for a while; its data stay in the sandbox."""
        with switched_profile(name) as context:
            yield context

    def check(self, profile: str) -> None:
        """Validate the manifest under any profile and build all that it declares.

        Needs no secrets and connects to nothing: environment variables that are not set have
        placeholders. Put `dlt_project.check("prod")` into a test, and a typo in production's
        section is found before it is deployed.

        Raises:
            ManifestError: The manifest is not valid under the profile.
            ProfileNotFound: The project does not have it.
            ProjectError: An entity cannot be built; all of them are listed.
        """
        sandbox = self._sandbox or active_sandbox()
        assert sandbox is not None
        check_profile(self.config, profile, sandbox)

    def _entered(self) -> AbstractContextManager[Any]:
        return isolated(self._sandbox, goes_on=True) if self._sandbox else nullcontext()


class DltRun:
    """Runs any data through a pipeline made for the test."""

    def __call__(self, data: Any, **arguments: Any) -> PipelineRun:
        """Run `data` into a temporary DuckDB.

        Args:
            data: Whatever `dlt.Pipeline.run` takes.
            **arguments: Arguments of `dlt.pipeline` (by default the pipeline is called
                `dlt_run` and its destination `duckdb`) and of `dlt.Pipeline.run`.

        Raises:
            TypeError: An argument belongs to neither.
        """
        of_pipeline = {"pipeline_name": "dlt_run", "destination": "duckdb"}
        of_run: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in _RUN_ARGUMENTS:
                of_run[name] = value
            elif name in _PIPELINE_ARGUMENTS:
                of_pipeline[name] = value
            else:
                raise TypeError(f"dlt_run: neither dlt.pipeline nor its run() takes `{name}`")
        pipeline = dlt.pipeline(**of_pipeline)
        choose_file_format_freely(pipeline)
        return PipelineRun(pipeline, PipelineRunner(pipeline).run(data, **of_run))


_PIPELINE_ARGUMENTS = frozenset(inspect.signature(dlt.pipeline).parameters) - {"injection_kwargs"}
# what both take belongs to the pipeline: it stays for the next run in the test
_RUN_ARGUMENTS = frozenset(inspect.signature(dlt.Pipeline.run).parameters) - _PIPELINE_ARGUMENTS
