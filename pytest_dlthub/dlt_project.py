"""The project under test, as the fixture `dlt_project` gives it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dlt

from dlthub_project import current, switched_profile
from dlthub_project.dlt_internals.pipelines import requested_dataset_name
from dlthub_project.errors import EntityNotFound, known_names
from dlthub_project.profile_check import check_profile
from dlthub_project.runner import extractables, narrowed
from dlthub_project.runner.pipeline_order import planned
from dlthub_project.sandbox import Sandbox, active_sandbox, isolated
from pytest_dlthub.crashes import SAME, Matrix, is_project_runner, once_more, rows_given
from pytest_dlthub.data_coverage import active_recorder
from pytest_dlthub.given import Given, Recorded, children_told, give, read_given
from pytest_dlthub.pipeline_run import PipelineRun
from pytest_dlthub.placeholders import placeholders
from pytest_dlthub.recordings.recorded_tests import asked
from pytest_dlthub.transformation_run import ProjectTransformation

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.catalog import Catalog, WritableDataset
    from dlthub_project.context import Project, ProjectRunContext
    from dlthub_project.entities import ProjectSourceFactory
    from dlthub_project.entity_factory import EntityFactory
    from dlthub_project.faults import Kind
    from dlthub_project.runner import PipelineManager
    from pytest_dlthub.crashes import Crashes


class DltProject:
    """The project under test: runs its pipelines, and gives what `dlthub_project.current` gives."""

    def __init__(
        self,
        folder: Path | None = None,
        sandbox: Sandbox | None = None,
        *,
        is_run_by_dlt: bool = False,
    ) -> None:
        """Make the project. Tests get it from the fixture `dlt_project`.

        Args:
            folder: The folder of the test. Paths that the test names are relative to it.
            sandbox: A sandbox of its own; None for the active one.
            is_run_by_dlt: Run pipelines by `dlt.Pipeline.run` instead of the runner.
        """
        self._folder = folder or Path()
        self._sandbox = sandbox
        self._is_run_by_dlt = is_run_by_dlt

    def run(
        self,
        pipeline: str | dlt.Pipeline,
        *,
        data: Any = None,
        given: Given | Recorded | None = None,
        hints: Any = None,
        record: str | None = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
        destination: str | None = None,
        dataset_name: str | None = None,
        **run_arguments: Any,
    ) -> PipelineRun:
        """Run a pipeline of `dlt.yml` into a temporary DuckDB.

        Args:
            pipeline: Its name, or what `pipeline(name)` gave.
            data: What to load instead of its sources.
            given: What resources yield instead of what they would extract, by `resource` or
                `source.resource`: rows, a frame, an Arrow table, or the path of a file beside the
                test. Only the named resources run, and those that get their data from them.
                Placeholders stand for secrets that are not configured. Or `"recorded"`: what
                `pytest --dlt-record` has recorded of this test's resources.
            hints: Hints of given resources that their source would take from elsewhere, as
                `sql_database` takes keys and types from its database: by resource, arguments of
                `DltResource.apply_hints`; or a schema of dlt, or the path of a file with one.
            record: `"transformers"` also records what transformers yield, in a recorded run.
                Otherwise transformers run on the recorded items of their parents.
            limit: The largest number of pages that each resource yields.
            resources: The resources to load; None for all.
            destination: A destination to use instead of the declared one.
            dataset_name: A dataset to use instead of the declared one.
            **run_arguments: Further arguments of `dlt.Pipeline.run`.

        Raises:
            EntityNotFound: There is no such pipeline or resource.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
            TypeError: There are hints, and nothing is given.
        """
        with self._entered(), asked(given, record, "run") as to_give:
            rows, own_hints = read_given(to_give, hints, self._folder, "run")
            live = self._pipeline(pipeline, destination, dataset_name)
            with nullcontext() if rows is None else placeholders(rows, own_hints):
                loaded = data
                if rows is not None:
                    loaded = give(self._sources(live.pipeline_name, data), rows, own_hints)
                with children_told(loaded, rows):
                    info = self._loaded(live, loaded, limit, resources, run_arguments)
        # `refresh` holds for one run
        run_arguments.pop("refresh", None)
        same = {
            "data": data,
            "given": given,
            "hints": hints,
            "record": record,
            "limit": limit,
            "resources": resources,
        }
        target = {"destination": destination, "dataset_name": dataset_name}

        def again(**changes: Any) -> PipelineRun:
            arguments = {**same, **run_arguments, **changes}
            # hints belong to rows, `record` to recordings
            is_recorded = arguments["given"] == "recorded"
            if (is_recorded or arguments["given"] is None) and "hints" not in changes:
                arguments["hints"] = None
            if not is_recorded and "record" not in changes:
                arguments["record"] = None
            if isinstance(arguments["data"], Iterator) and "data" not in changes:
                raise TypeError("next: give data=, since the last run has used up an iterator")
            if target.keys() & changes:
                return self.run(pipeline, **{**target, **arguments})
            return self.run(live, **arguments)

        return PipelineRun(live, info, again)

    def crashed(
        self,
        pipeline: str | dlt.Pipeline,
        *,
        data: Any = None,
        given: Given | Recorded | None = None,
        again: Any = SAME,
        runner: Literal["dlt", "project"] = "project",
        kind: Kind = "kill",
        points: str | Sequence[str] | None = None,
        ignore: Collection[str] = (),
        **arguments: Any,
    ) -> Crashes:
        """Assert that a pipeline of `dlt.yml` survives a crash; see `DltRun.crashed`.

        Args:
            pipeline: Its name, or what `pipeline(name)` gave.
            data: What to load instead of its sources.
            given: What named resources yield, as `run` takes it; not `"recorded"`.
            again: What the source yields after the crash, if a run has extracted its rows before.
            runner: `project` for the runner of projects, which `run` and production use; `dlt` for
                `dlt.Pipeline.run`.
            kind: What happens: `kill`, `exception`, `disconnect` or `full_disk`.
            points: The names of the points; by default all.
            ignore: Columns to leave out of the comparison.
            **arguments: Further arguments of `run`.

        Raises:
            AssertionError: Rows are lost or loaded twice, or something else differs.
            UsageError: Two runs without a crash differ, or the loaded data cannot be copied.
            ValueError: There is no such runner, kind or point.
        """
        __tracebackhide__ = True
        is_by_dlt = not is_project_runner(runner)
        sandbox = self._sandbox or active_sandbox()
        assert sandbox is not None
        own = rows_given(given, arguments.get("record"), sandbox)
        # it runs in copies of the sandbox
        project = DltProject(self._folder, is_run_by_dlt=is_by_dlt)

        def run(is_again: bool) -> dlt.Pipeline:
            loaded, rows = data, own
            if is_again:
                name = pipeline if isinstance(pipeline, str) else pipeline.pipeline_name
                of_pipeline = project._sources(name, data) if data is None else data
                loaded, rows = once_more(of_pipeline, own, again)
            return project.run(pipeline, data=loaded, given=rows, **arguments).pipeline

        has_again = again is not SAME
        with self._entered():
            return Matrix(run, sandbox, runner, kind, points, ignore, has_again).crashes()

    def run_all(
        self,
        names: Sequence[str] | None = None,
        *,
        given: Mapping[str, Given | Recorded] | None = None,
        limit: int | None = None,
    ) -> dict[str, PipelineRun]:
        """Run all pipelines of the project, each after the pipelines whose datasets it reads.

        Args:
            names: The pipelines; None for all.
            given: What `run(given=...)` takes, by pipeline.
            limit: The largest number of pages that each resource yields.

        Returns:
            The runs by pipeline, in the order in which they ran.

        Raises:
            EntityNotFound: There is no such pipeline.
            ProjectError: Pipelines wait for each other.
            PipelineStepFailed: A pipeline fails; no other runs after it.
        """
        given = given or {}
        with self._entered():
            entities = current.entities()
            chosen = entities.list_pipelines() if names is None else list(names)
            ordered = [one.name for one in planned(entities, chosen)]
        for name in given:
            if name not in ordered:
                known = known_names(name, ordered)
                raise EntityNotFound(f"given: there is no pipeline `{name}` here. {known}")
        return {name: self.run(name, given=given.get(name), limit=limit) for name in ordered}

    def _loaded(
        self,
        pipeline: dlt.Pipeline,
        data: Any,
        limit: int | None,
        resources: Sequence[str] | None,
        run_arguments: dict[str, Any],
    ) -> LoadInfo | None:
        if not self._is_run_by_dlt:
            return current.runner().run(
                pipeline, data=data, limit=limit, resources=resources, **run_arguments
            )
        name = requested_dataset_name(pipeline)
        contract = current.entities().datasets.contract_of(name)
        own = {} if contract is None else {"schema_contract": contract}
        sources = self._sources(pipeline.pipeline_name, data) if data is None else data
        return pipeline.run(narrowed(sources, resources, limit), **{**own, **run_arguments})

    def _pipeline(
        self, pipeline: str | dlt.Pipeline, destination: str | None, dataset_name: str | None
    ) -> dlt.Pipeline:
        if isinstance(pipeline, str):
            name = pipeline
        elif destination is None and dataset_name is None:
            return pipeline
        else:
            name = pipeline.pipeline_name
        return current.entities().get_pipeline(
            name, destination=destination, dataset_name=dataset_name
        )

    def _sources(self, pipeline: str, data: Any) -> list[Any]:
        if data is None:
            data = [factory() for factory in current.entities().get_pipeline_sources(pipeline)]
        return extractables(data, "given")

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
        """Return a dataset. It can be read once this test has loaded it."""
        with self._entered():
            return current.catalog().dataset(name)

    def pipeline(self, name: str) -> dlt.Pipeline:
        """Return a pipeline without running it."""
        with self._entered():
            return current.entities().get_pipeline(name)

    def source(self, name: str) -> ProjectSourceFactory:
        """Return the factory of a source. Call it to make the source."""
        with self._entered():
            return current.entities().get_source(name)

    def transformation(self, name: str) -> ProjectTransformation:
        """Return a transformation, to run it on rows of the test: `.run(given={...})`.

        Raises:
            EntityNotFound: It is not declared, or its cache is not.
        """
        return ProjectTransformation(name, self._folder, self._entered)

    @contextmanager
    def profile(self, name: str) -> Iterator[ProjectRunContext]:
        """Switch to another profile until the block ends. Its data stay in the sandbox, too."""
        with switched_profile(name) as context:
            yield context

    def check(self, profile: str) -> None:
        """Validate the manifest under a profile, and build everything that it declares.

        The check needs no secrets and connects to nothing: placeholders stand for environment
        variables that are not set. A test with `dlt_project.check("prod")` finds a typo in the
        section of production before you deploy it. `dlt project check` does the same.

        Raises:
            ManifestError: The manifest is not valid under the profile.
            ProfileNotFound: The project does not have it.
            ProjectError: An entity cannot be built; all of them are listed.
        """
        sandbox = self._sandbox or active_sandbox()
        assert sandbox is not None
        check_profile(self.config, profile, sandbox)
        if (recorder := active_recorder.recorder()) is not None:
            recorder.profile_checked(profile)

    def _entered(self) -> AbstractContextManager[Any]:
        return isolated(self._sandbox, goes_on=True) if self._sandbox else nullcontext()
