from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource

from dlthub_project import (
    Catalog,
    DatasetInUse,
    DatasetNotLoaded,
    DestinationNotAllowed,
    DisputedColumn,
    EntityFactory,
    EntityNotFound,
    EntityReferenceError,
    LoadFailedChecks,
    ManifestError,
    MergeKeyNotKnown,
    MergeStrategyNotSupported,
    NotSupportedInProduction,
    PackagedProject,
    PipelineManager,
    PipelineResult,
    PipelineResults,
    PipelinesInterrupted,
    PlusLogCollector,
    ProfileNotFound,
    Project,
    ProjectError,
    ProjectRunContext,
    ProjectRunContextNotAvailable,
    RecordingMissing,
    RecordingStale,
    RemoteDestinationBlocked,
    SourceUsedUp,
    ValueNotSet,
    WritableDataset,
    current,
    ensure_project,
    kept_context,
    switch_profile,
    switched_profile,
    transformation,
)

MISTAKES: tuple[type[ProjectError], ...] = (
    DatasetInUse,
    DisputedColumn,
    DatasetNotLoaded,
    DestinationNotAllowed,
    EntityNotFound,
    EntityReferenceError,
    LoadFailedChecks,
    ManifestError,
    MergeKeyNotKnown,
    MergeStrategyNotSupported,
    NotSupportedInProduction,
    ProfileNotFound,
    ProjectRunContextNotAvailable,
    RecordingMissing,
    RecordingStale,
    SourceUsedUp,
    ValueNotSet,
)


def place() -> tuple[str, str, list[str]]:
    context: ProjectRunContext = current.context()
    project: Project = current.project()
    folders = [
        project.root_dir,
        project.project_dir,
        project.data_dir,
        project.local_dir,
        project.settings_dir,
        context.run_dir,
    ]
    assert all(Path(folder).is_absolute() for folder in folders)
    assert context.project is project is current.config()
    assert context.profile == project.current_profile
    assert set(context.configured_profiles()) <= set(context.available_profiles())
    return project.name, project.default_profile, project.profiles


def declared() -> dict[str, list[str]]:
    project = current.config()
    entries: dict[str, dict[str, Any]] = {
        "sources": project.sources,
        "destinations": project.destinations,
        "datasets": project.datasets,
        "pipelines": project.pipelines,
        "caches": project.caches,
        "transformations": project.transformations,
    }
    found = {section: list(below) for section, below in entries.items()}
    entities: EntityFactory = current.entities()
    assert project.allow_undefined_entities
    assert list(project.config) == [section for section in project.config if found[section]]
    assert found == {
        "sources": entities.list_sources(),
        "destinations": entities.list_destinations(),
        "datasets": entities.list_datasets(),
        "pipelines": entities.list_pipelines(),
        "caches": entities.list_caches(),
        "transformations": entities.list_transformations(),
    }
    return found


def rows_of(profile: str) -> int:
    with switched_profile(profile) as context:
        assert context.profile == profile
        source: DltSource = current.entities().get_source("orders")()
        return len(list(source))


def use(profile: str) -> str:
    ensured: ProjectRunContext = ensure_project(profile=profile)
    switched: ProjectRunContext = switch_profile(profile)
    own: ProjectRunContext = switched.switch_profile(profile)
    assert ensured.uri == own.uri
    return str(current.config().explain("sources.orders.rows"))


def load() -> LoadInfo:
    runner: PipelineManager = current.runner()
    return runner.run_pipeline("load_orders", limit=1, resources=["items"])


@transformation
def cheap(dataset: dlt.Dataset) -> Iterator[dlt.Relation]:
    yield dataset.table("items").where("price", "lt", 15)


def save_cheap() -> list[tuple[Any, ...]]:
    catalog: Catalog = current.catalog()
    dataset: WritableDataset = catalog.dataset("shop_data")
    info: LoadInfo = dataset.save(cheap(dataset), table_name="cheap")
    assert info.loads_ids
    return catalog["shop_data"].table("cheap").select("id", "price").fetchall()


def read() -> int:
    pipeline: dlt.Pipeline = current.entities().get_pipeline("load_orders")
    dataset: dlt.Dataset = current.entities().get_dataset("shop_data")
    assert pipeline.dataset_name == dataset.dataset_name
    assert current.entities().get_destination("warehouse").destination_name == "warehouse"
    return len(dataset.table("items").fetchall())


def mistake(pipeline: str) -> str:
    try:
        current.runner().run_pipeline(pipeline)
    except MISTAKES as error:
        return f"{error.reason}\n{error.instruction}"
    except RemoteDestinationBlocked as blocked:
        return blocked.instruction
    return ""


def nightly() -> list[str]:
    try:
        results: PipelineResults = current.runner().run_pipelines(max_workers=2, fail_fast=True)
    except PipelinesInterrupted as interrupted:
        return list(interrupted.results)
    first: PipelineResult = results["load_orders"]
    return [first.status, str(first.error)]


class Changes(PlusLogCollector):
    def on_schema_change(
        self, pipeline: dlt.Pipeline, trace: object, schema_name: str, changes: object
    ) -> None:
        print(pipeline.pipeline_name, schema_name, changes)


package = PackagedProject(__file__)
access_profile, context, config, entities, runner, catalog = package


def of_package() -> list[str]:
    with kept_context():
        packaged: Project = config()
        assert access_profile() == "access"
        assert packaged.current_profile == context().profile
        assert list(catalog()) == packaged_names(entities())
        assert runner().entities.list_sources() == list(package.config().sources)
        return packaged.profiles


def packaged_names(entities: EntityFactory) -> list[str]:
    return entities.list_datasets()


if __name__ == "__main__":
    print(place())
