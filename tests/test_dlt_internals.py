"""Contracts with dlt: what `dlt_internals` relies on, on the lowest and the newest version."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration import configspec, plugins, resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs import (
    BaseConfiguration,
    ConnectionStringCredentials,
    RuntimeConfiguration,
)
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.destination.reference import DestinationReference
from dlt.common.pipeline import current_pipeline
from dlt.common.runtime import anon_tracker
from dlt.common.typing import TSecretStrValue
from dlt.extract.reference import SourceReference
from dlt.pipeline.exceptions import PipelineStepFailed
from interrupted import committed_and_not_marked

from dlthub_project.context import ProjectRunContext, ensure_project
from dlthub_project.dlt_internals import (
    command_line,
    configuration,
    contexts,
    datasets,
    destinations,
    normalization,
    pipelines,
    placeholders,
)
from dlthub_project.runner import load_packages


def provider_names() -> list[str]:
    saved = contexts.save_run_context()
    assert saved is not None
    return [p.name for p in saved.providers.providers]


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext.reload_providers",
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext.initialize_runtime",
)
def test_saved_context_comes_back_with_the_providers_added_by_hand(shop: Path) -> None:
    context = ensure_project()
    dlt.config.register_provider(Extra({"by_hand": 1}))
    saved = contexts.save_run_context()

    contexts.plug_new_run_context(str(shop), "tests", "ProjectRunContext")
    assert "extra" not in provider_names()

    contexts.restore_run_context(saved)
    assert contexts.active_run_context() is context
    assert "extra" in provider_names()
    assert dlt.config["by_hand"] == 1


@pytest.mark.leans_on("dlt.common.runtime.anon_tracker:_send_event")
def test_suspended_telemetry_goes_on_to_where_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anon_tracker, "_ANON_TRACKER_ENDPOINT", "https://telemetry.invalid")

    resume = contexts.suspend_telemetry()
    assert anon_tracker._ANON_TRACKER_ENDPOINT is None
    resume()
    assert anon_tracker._ANON_TRACKER_ENDPOINT == "https://telemetry.invalid"


class Extra(configuration.DocumentProvider):
    """A provider as users add them."""

    @property
    def name(self) -> str:
        return "extra"

    @property
    def supports_secrets(self) -> bool:
        return True


@pytest.mark.leans_on(
    "dlt.common.configuration.container:Container.__getitem__",
    "dlt.common.pipeline:PipelineContext.activate",
)
def test_suspended_contexts_are_found_anew_and_put_back(shop: Path) -> None:
    context = ensure_project()
    pipeline = dlt.pipeline("mine", destination="duckdb")

    suspended = contexts.suspend_contexts()
    assert current_pipeline() is None
    found_anew = contexts.active_run_context()
    assert isinstance(found_anew, ProjectRunContext)
    assert found_anew is not context
    contexts.resume_contexts(suspended)

    assert contexts.active_run_context() is context
    assert current_pipeline() is pipeline


@pytest.mark.leans_on(
    "dlt.common.destination.capabilities:DestinationCapabilitiesContext",
    "dlt.common.configuration.container:Container.__getitem__",
)
def test_abilities_of_an_active_pipelines_destination_are_suspended_with_it(shop: Path) -> None:
    @dlt.destination(naming_convention="direct")
    def direct(items: object, table: object) -> None:
        """Gets no rows."""

    def normalized() -> str:
        return dlt.Schema("new").naming.normalize_identifier("Two Words")

    dlt.pipeline("direct", destination=direct)
    assert normalized() == "Two Words"

    suspended = contexts.suspend_contexts()
    assert normalized() == "two_words"
    contexts.resume_contexts(suspended)

    assert normalized() == "Two Words"


@pytest.mark.leans_on("dlt.common.pipeline:PipelineContext.deactivate")
def test_resuming_without_contexts_leaves_none(shop: Path) -> None:
    suspended = contexts.suspend_contexts()
    dlt.pipeline("mine", destination="duckdb")

    contexts.resume_contexts(suspended)

    assert current_pipeline() is None


@pytest.mark.leans_on(
    "dlt._workspace.providers:ProfileConfigTomlProvider",
    "dlt._workspace.providers:ProfileSecretsTomlProvider",
)
def test_toml_providers_read_the_profiles_files_first(tmp_path: Path) -> None:
    settings, everywhere = tmp_path / ".dlt", tmp_path / "global"
    for folder in (settings, everywhere):
        folder.mkdir()
    (everywhere / "config.toml").write_text('a = "global"\nb = "global"\nc = "global"\n')
    (settings / "config.toml").write_text('a = "project"\nb = "project"\n')
    (settings / "tests.config.toml").write_text('a = "profile"\n')
    (settings / "prod.config.toml").write_text('a = "other"\n')

    secrets, config = contexts.toml_providers(str(settings), "tests", str(everywhere))

    assert [config.get_value(key, str, "")[0] for key in "abc"] == ["profile", "project", "global"]
    assert isinstance(secrets, ConfigProvider)
    assert secrets.supports_secrets


@pytest.mark.leans_on(
    "dlt.extract.reference:SourceReference.find",
    "dlt.common.destination.reference:DestinationReference.find",
)
def test_references_of_a_package_are_forgotten(shop: Path) -> None:
    ensure_project()
    dlt.hub.current.project.entities().get_source("orders")
    assert "sources.shop.orders" in SourceReference.SOURCES
    others = {r for r in DestinationReference.DESTINATIONS if not r.startswith("sources.")}

    contexts.forget_references("sources")

    assert not [r for r in SourceReference.SOURCES if r.startswith("sources.")]
    assert others == set(DestinationReference.DESTINATIONS)


@pytest.mark.parametrize(
    ("credentials", "path"),
    [(None, "db.duckdb"), ("other.duckdb", "other.duckdb"), (":pipeline:", None)],
)
@pytest.mark.leans_on(
    "dlt.destinations.impl.duckdb.configuration:DuckDbBaseCredentials",
    "dlt.dataset.utils:get_destination_clients",
)
def test_path_of_an_embedded_database(
    tmp_path: Path, credentials: str | None, path: str | None
) -> None:
    destination = dlt.destinations.duckdb(credentials, destination_name="db")
    if credentials == ":pipeline:":
        pipeline = dlt.pipeline("mine", destination=destination, pipelines_dir=str(tmp_path))
        with pipeline.destination_client() as client:
            found = datasets.local_database(client)
        assert found == str(tmp_path / "mine" / "db.duckdb")
        return
    client = datasets.open_destination(destination, "data", "schema")

    assert datasets.local_database(client) == str(tmp_path / str(path))


@pytest.mark.leans_on("dlt.destinations.impl.duckdb.configuration:DuckDbBaseCredentials")
def test_databases_without_a_file_and_other_destinations_have_no_path(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        in_memory = dlt.destinations.duckdb(connection, destination_name="db")
        assert datasets.local_database(datasets.open_destination(in_memory, "data", "schema")) in (
            None,
            "",
        )
    files = dlt.destinations.filesystem(str(tmp_path / "bucket"))
    client = datasets.open_destination(files, "data", "schema")

    assert datasets.local_database(client) is None


@pytest.mark.leans_on(
    "dlt.destinations.job_client_impl:SqlJobClientBase.update_stored_schema",
    "dlt.common.schema:Schema._bump_version",
)
def test_made_dataset_is_there_and_has_no_table(shop: Path) -> None:
    destination = dlt.destinations.duckdb(str(shop / "made.duckdb"))
    datasets.make_dataset(destination, "data", "mine")

    with datasets.open_destination(destination, "data", "data") as client:
        assert [name for name, _ in datasets.stored_versions(client)] == ["mine"]
        assert list(client.get_storage_tables(["rows"])) == [("rows", {})]


@pytest.mark.leans_on("dlt.destinations.job_client_impl:SqlJobClientBase._update_schema_in_storage")
def test_stored_versions_are_listed_from_the_oldest(shop: Path) -> None:
    pipeline = dlt.pipeline("mine", destination="duckdb", dataset_name="data")
    pipeline.run([{"a": 1}], table_name="rows")
    first = pipeline.default_schema.version_hash
    pipeline.run([{"a": 1, "b": 2}], table_name="rows")
    second = pipeline.default_schema.version_hash

    with datasets.open_destination(pipeline.destination, "data", "data") as client:
        assert datasets.stored_versions(client) == [("mine", first), ("mine", second)]


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.config_providers_context:ConfigProvidersContainer.add_provider"
)
def test_default_is_below_every_other_provider(
    shop: Path, monkeypatch: pytest.MonkeyPatch, write_project: Callable[..., Path]
) -> None:
    ensure_project()
    pipelines.set_default("workers", 3, "mine", "load")
    assert dlt.config["mine.load.workers"] == 3

    monkeypatch.setenv("MINE__LOAD__WORKERS", "7")
    assert dlt.config["mine.load.workers"] == 7


@pytest.mark.leans_on("dlt.common.pipeline:PipelineContext.activate")
def test_no_pipeline_is_active_for_a_while(shop: Path) -> None:
    pipeline = dlt.pipeline("mine", destination="duckdb")

    with contexts.no_active_pipeline():
        assert current_pipeline() is None
        dlt.pipeline("other", destination="duckdb")

    assert current_pipeline() is pipeline


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext.reload"
)
def test_first_context_of_a_process_is_plugged_without_finding_another_one(
    shop: Path, write_project: Callable[..., Path]
) -> None:
    other = write_project("project: {name: other}", folder="other", enter=False)
    assert contexts.save_run_context() is None

    context = ensure_project(str(other))

    assert contexts.active_run_context() is context
    assert Path(context.data_dir).is_dir()
    assert "dlt.yml" in provider_names()
    assert not (shop / "_data").exists()


@pytest.mark.leans_on("dlt.common.configuration.container:Container.__getitem__")
def test_a_process_without_context_is_without_one_again_after_a_failure(
    write_project: Callable[..., Path],
) -> None:
    write_project("project: {default_profile: nowhere}")

    with pytest.raises(Exception, match="nowhere"):
        ensure_project()
    assert contexts.save_run_context() is None

    assert ensure_project(profile="tests").profile == "tests"
    contexts.restore_run_context(None)
    assert contexts.save_run_context() is None


@pytest.mark.parametrize("variable", ["DESTINATION__LAKE__REPLACE_STRATEGY", "REPLACE_STRATEGY"])
@pytest.mark.leans_on(
    "dlt.common.configuration.resolve:_build_section_lookup_paths",
    "dlt.common.destination.client:DestinationClientDwhConfiguration",
)
def test_way_to_replace_is_the_one_that_dlt_would_find(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert destinations.configured_replace_strategy("lake") is None

    monkeypatch.setenv(variable, "insert-from-staging")

    lake = dlt.destinations.filesystem("memory://bucket", destination_name="lake")
    assert destinations.configured_replace_strategy("lake") == "insert-from-staging"
    client = datasets.open_destination(lake, "data", "schema")
    assert client.config.replace_strategy == "insert-from-staging"
    assert "staging-optimized" not in normalization.replace_strategies(lake)


@pytest.mark.parametrize("variable", ["DESTINATION__LAKE__BUCKET_URL", "BUCKET_URL"])
@pytest.mark.leans_on(
    "dlt.common.configuration.resolve:_build_section_lookup_paths",
    "dlt.common.storages.configuration:FilesystemConfiguration",
)
def test_bucket_is_the_one_that_dlt_would_find(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert destinations.configured_bucket("lake") is None

    monkeypatch.setenv(variable, "memory://bucket")

    assert destinations.configured_bucket("lake") == "memory://bucket"
    client = datasets.open_destination(
        dlt.destinations.filesystem(destination_name="lake"), "data", "schema"
    )
    assert client.config.bucket_url == "memory://bucket"


@pytest.mark.leans_on(
    "dlt.common.destination.reference:DestinationReference.ensure_factory",
    "dlt.destinations.impl.destination.factory:destination",
)
def test_references_to_custom_destinations_are_told_from_others(
    write_project: Callable[..., Path],
) -> None:
    write_project(
        "project: {name: shop}",
        {
            "destinations/sinks.py": """
                import dlt

                @dlt.destination
                def webhook(items, table):
                    pass
            """
        },
    )
    ensure_project()

    assert destinations.is_custom_reference("destinations.sinks.webhook")
    for other in ("duckdb", "dlt.destinations.duckdb", "no.such.module"):
        assert not destinations.is_custom_reference(other)


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext.initialize_runtime"
)
def test_a_new_context_is_set_up_twice_and_can_tell(tmp_path: Path) -> None:
    found: list[bool] = []

    class Context(contexts.PlainRunContext):
        def initialize_runtime(self, runtime_config: RuntimeConfiguration | None = None) -> None:
            found.append(contexts.is_setting_up_context())

    context = Context(str(tmp_path))
    Container()[PluggableRunContext] = PluggableRunContext(context)
    context.initialize_runtime()

    assert found == [True, True, False]


def asked_of_environment(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what the provider of environment variables is asked for, and when a look-up begins."""
    # the first look-up of all sets up the run context
    dlt.config.get("gone")
    asked: list[str] = []
    get_value = EnvironProvider.get_value

    def note_key(self: Any, *args: Any) -> Any:
        value, key = get_value(self, *args)
        asked.append(key)
        return value, key

    monkeypatch.setattr(EnvironProvider, "get_value", note_key)
    begins = property(lambda _self: asked.append("begins"))
    monkeypatch.setattr(EnvironProvider, "is_empty", begins)
    return asked


@pytest.mark.leans_on("dlt.common.configuration.resolve:_resolve_single_value")
def test_a_look_up_begins_with_the_question_whether_a_provider_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = asked_of_environment(monkeypatch)

    dlt.config.get("orders.rows")
    assert asked == ["begins", "ORDERS__ROWS"]

    asked.clear()
    resolve_configuration(Rows(), sections=("sources", "shop", "orders"))
    assert asked == [
        "begins",
        "SOURCES__SHOP__ORDERS__ROWS",
        "SOURCES__SHOP__ROWS",
        "SOURCES__ORDERS__ROWS",
        "SOURCES__ROWS",
        "ROWS",
    ]


@configspec
class Rows(BaseConfiguration):
    rows: int = 1


@pytest.mark.parametrize(
    "sections", [("sources", "shop", "orders"), ("sources", "a", "a"), ("destination", "w"), ()]
)
@pytest.mark.leans_on("dlt.common.configuration.resolve:_build_section_lookup_paths")
def test_sections_of_a_look_up_are_those_of_dlt(
    sections: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_of_environment(monkeypatch)
    resolve_configuration(Rows(), sections=sections)

    found = configuration.look_up_sections(sections)

    assert ["__".join((*found_in, "rows")).upper() for found_in in found] == asked[1:]


@pytest.mark.leans_on(
    "dlt.normalize.configuration:NormalizeConfiguration",
    "dlt.load.configuration:LoaderConfiguration",
    "dlt.common.data_writers.buffered:BufferedDataWriter",
)
def test_sections_of_dlt_that_stay_with_a_value_and_that_are_dropped_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    destination = dlt.destinations.duckdb(str(tmp_path / "x.duckdb"))
    pipeline = dlt.pipeline("load", destination=destination, pipelines_dir=str(tmp_path))
    asked = asked_of_environment(monkeypatch)
    pipeline.run([1], table_name="t")
    keys = {tuple(key.lower().split("__")) for key in asked}

    for section in ("normalize", "load"):
        assert section in configuration.STEP_SECTIONS
        assert {(section, "workers"), ("workers",)} <= keys
    for section, key in [("extract", "workers"), ("data_writer", "file_max_items")]:
        assert section in configuration.CONFIGURATION_SECTIONS
        assert (section, key) in keys
    assert ("normalize", "data_writer", "file_max_items") in keys
    assert ("file_max_items",) not in keys


@pytest.mark.leans_on("dlt.common.pipeline:PipelineContext.activate")
def test_active_pipeline_is_named(shop: Path) -> None:
    assert configuration.active_pipeline_name() is None
    dlt.pipeline("load", destination="duckdb")
    assert configuration.active_pipeline_name() == "load"


@pytest.mark.leans_on("dlt.common.configuration.utils:deserialize_value")
def test_values_are_cast_as_dlt_does() -> None:
    assert configuration.cast_value("k", "5", int) == 5
    assert configuration.cast_value("k", '{"a": 1}', dict) == {"a": 1}
    assert configuration.cast_value("k", "5", Path) == "5"
    assert configuration.cast_value("k", None, int) is None


@pytest.mark.parametrize(
    ("hint", "may_be"),
    [
        (dict, True),
        (Any, True),
        (dict[str, Any] | None, True),
        (str, False),
        (TSecretStrValue, False),
        (int | None, False),
        (list[str], False),
        (ConnectionStringCredentials, False),
        (ConnectionStringCredentials | None, False),
    ],
)
@pytest.mark.leans_on(
    "dlt.common.configuration.specs.base_configuration:is_base_configuration_inner_hint"
)
def test_hints_of_mappings_are_told_from_others(hint: Any, may_be: bool) -> None:
    assert configuration.may_be_mapping(hint) is may_be


@pytest.mark.leans_on("dlt.common.configuration.utils:get_resolved_traces")
def test_secrets_that_were_looked_up_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__SHOP__PLAIN", "a")
    monkeypatch.setenv("SOURCES__SHOP__HIDDEN", "a")

    assert dlt.config["sources.shop.plain"] == dlt.secrets["sources.shop.hidden"] == "a"

    assert configuration.was_looked_up_as_secret(("sources", "shop", "hidden"))
    assert not configuration.was_looked_up_as_secret(("sources", "shop", "plain"))
    assert not configuration.was_looked_up_as_secret(("sources", "other", "hidden"))


@pytest.mark.leans_on("dlt.common.configuration.utils:get_resolved_traces")
def test_a_look_up_without_dlt_is_in_its_log() -> None:
    configuration.note_look_up("rows", int, 5, "environment", ("sources", "shop"))

    last = get_resolved_traces().all_traces[-1]
    assert (last.key, last.value, tuple(last.sections)) == ("rows", 5, ("sources", "shop"))


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("runtime.log_level", "WARNING"),
        ("extract.workers", 5),
        ("load.workers", 20),
        ("normalize.data_writer.disable_compression", False),
        ("pipelines.load.dev_mode", False),
        ("pipelines.load.dataset_name", None),
        ("normalize.gone", None),
        ("gone.workers", None),
    ],
)
@pytest.mark.leans_on(
    "dlt.common.configuration.specs:RuntimeConfiguration",
    "dlt.load.configuration:LoaderConfiguration",
    "dlt.pipeline.configuration:PipelineConfiguration",
)
def test_defaults_of_dlt_are_known(path: str, default: Any) -> None:
    assert configuration.default_of(path.split(".")) == default


@pytest.mark.leans_on(
    "dlt.pipeline.pipeline:with_runtime_trace", "dlt.common.runtime.collector:Collector.update"
)
def test_the_steps_of_a_run_are_told_and_the_collector_goes_on(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []
    pipeline = dlt.pipeline(
        "watched",
        pipelines_dir=str(tmp_path),
        destination=dlt.destinations.duckdb(str(tmp_path / "watched.duckdb")),
        progress=dlt.progress.log(dump_system_stats=False),
    )
    collector = pipeline.collector
    counted: list[str] = []
    collector.update = lambda name, *_, **__: counted.append(name)  # type: ignore[method-assign]
    with pipelines.watched_steps(pipeline, lambda step, end, _: seen.append((step, bool(end)))):
        pipeline.run([{"id": 1}], table_name="items")

    steps = [(step, ended) for step in ("extract", "normalize", "load") for ended in (False, True)]
    assert seen == [("run", False), *steps, ("run", True)]
    assert {"Resources", "Files", "Jobs"} <= set(counted)
    assert pipeline.collector is collector


@pytest.mark.leans_on(
    "dlt.pipeline.pipeline:with_runtime_trace", "dlt.common.configuration.utils:get_resolved_traces"
)
def test_what_was_looked_up_for_a_step_is_known_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__HIDDEN", "secret value")
    monkeypatch.setenv("SOURCES__PLAIN", "5")

    @dlt.resource
    def items(hidden: str = dlt.secrets.value, plain: int = dlt.config.value) -> Any:
        yield {"id": plain}

    at_end: dict[str, list[Any]] = {}

    def on_step(step: str, end: Any, _trace: Any) -> None:
        if end:
            at_end[step] = list(configuration.looked_up_values())

    pipeline = dlt.pipeline(
        "watched",
        pipelines_dir=str(tmp_path),
        destination=dlt.destinations.duckdb(str(tmp_path / "watched.duckdb")),
    )
    with pipelines.watched_steps(pipeline, on_step):
        pipeline.run(items())

    variables = "Environment Variables"
    assert ("hidden", "secret value", True, variables) in at_end["extract"]
    assert ("plain", "5", False, variables) in at_end["extract"]
    assert list(configuration.looked_up_values()) == []


@pytest.fixture
def interrupted(tmp_path: Path) -> dlt.Pipeline:
    """A pipeline whose load of two rows with two nested ones is committed and not marked."""
    database = dlt.destinations.duckdb(str(tmp_path / "shop.duckdb"))
    pipeline = dlt.pipeline(
        "interrupted", pipelines_dir=str(tmp_path / "pipelines"), destination=database
    )
    rows = [{"id": 1, "lines": [{"line": 1}]}, {"id": 2, "lines": [{"line": 2}]}]
    pipeline.extract(rows, table_name="items")
    pipeline.normalize()
    with committed_and_not_marked(pipeline, "items", "items__lines"):
        pipeline.load()
    return pipeline


def row_counts(pipeline: dlt.Pipeline, *tables: str) -> list[int]:
    dataset = pipeline.dataset()
    return [len(dataset[table].fetchall()) for table in tables]


def states(package: load_packages.PendingPackage) -> dict[str, str]:
    return {
        job.table: "marked" if job.marked else "doubtful" if job.doubtful else "to do"
        for job in package.jobs()
    }


@pytest.mark.leans_on(
    "dlt.common.storages.load_package:PackageStorage.load_pending_transition",
    "dlt.common.storages.load_package:PackageStorage.retry_job",
)
def test_jobs_of_a_pending_package_tell_how_far_they_came(interrupted: dlt.Pipeline) -> None:
    (package,) = load_packages.pending_packages(interrupted)
    doubtful = {"items": "doubtful", "items__lines": "doubtful"}
    assert package.is_begun
    assert states(package) == {**doubtful, "_dlt_pipeline_state": "marked"}

    # dlt's own mark of what the destination has committed, and a job that it tries once more
    items, _ = [job for job in package.jobs() if job.doubtful]
    storage = package._packages
    storage.save_pending_transition(package.load_id, items.file_name, "completed")
    assert states(package)["items"] == "marked"
    for job in package.jobs():
        package.put_back(job)
    assert set(states(package).values()) == {"doubtful"}
    storage.retry_job(package.load_id, items.file_name, *reason_to_retry())
    assert states(package)["items"] == "doubtful"
    package.discard(next(job for job in package.jobs() if job.table == "items"))
    assert "items" not in states(package)


def reason_to_retry() -> list[str]:
    """Return what newer versions of dlt note of a job that is tried again."""
    from dlt.common.storages.load_package import PackageStorage

    notes = "failed_message" in PackageStorage.retry_job.__code__.co_varnames
    return ["the network is down", "transient"] if notes else []


@pytest.mark.leans_on(
    "dlt.load.load:Load.load_single_package",
    "dlt.common.storages.load_package:PackageStorage.save_schema_updates",
)
def test_a_package_is_begun_when_its_tables_are_made(tmp_path: Path) -> None:
    pipeline = dlt.pipeline("new", pipelines_dir=str(tmp_path), destination="duckdb")
    assert load_packages.pending_packages(pipeline) == []
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.normalize()

    (package,) = load_packages.pending_packages(pipeline)
    assert not package.is_begun
    assert set(states(package).values()) == {"to do"}


@pytest.mark.leans_on("dlt.common.storages.load_package:PackageStorage.complete_loading_package")
def test_a_package_that_is_marked_complete_and_was_not_moved_is_completed_again(
    interrupted: dlt.Pipeline,
) -> None:
    (package,) = load_packages.pending_packages(interrupted)
    package._packages.complete_loading_package(package.load_id, "loaded")
    with pytest.raises(PipelineStepFailed):
        interrupted.load()
    package.complete_again()
    package.complete_again()
    interrupted.load()

    assert load_packages.pending_packages(interrupted) == []


@pytest.mark.leans_on("dlt.normalize.normalize:Normalize.run")
def test_an_extract_that_is_normalized_already_is_deleted(tmp_path: Path) -> None:
    pipeline = dlt.pipeline("new", pipelines_dir=str(tmp_path), destination="duckdb")
    load_packages.discard_normalized_extracts(pipeline)
    extracted = Path(pipeline.working_dir) / "normalize" / "extracted"
    pipeline.extract([{"id": 1}], table_name="items")
    (extract,) = extracted.iterdir()
    shutil.copytree(extract, tmp_path / "copy")
    pipeline.normalize()
    shutil.move(tmp_path / "copy", extract)
    pipeline.extract([{"id": 2}], table_name="items")

    assert len(pipeline.list_extracted_load_packages()) == 2
    load_packages.discard_normalized_extracts(pipeline)
    assert len(pipeline.list_extracted_load_packages()) == 1
    assert not extract.exists()


@pytest.mark.leans_on(
    "dlt.load.load:Load.complete_package",
    "dlt.destinations.job_client_impl:SqlJobClientBase.prepare_load_table",
)
def test_rows_of_a_package_are_removed_by_its_load_id_or_by_the_rows_of_a_file(
    interrupted: dlt.Pipeline,
) -> None:
    (package,) = load_packages.pending_packages(interrupted)
    (lines,) = [job for job in package.jobs() if job.table == "items__lines"]
    with load_packages.destination_of_package(interrupted, package) as destination:
        assert destination.is_sql
        assert not destination.is_files
        assert destination.column("items", "_dlt_load_id") == "_dlt_load_id"
        assert destination.column("items__lines", "_dlt_load_id") is None
        assert not destination.holds_nothing_else("items")
        assert not destination.is_swapped("items")
        destination.remove_rows_of(lines, "_dlt_id", None)
        destination.remove_entry()
    assert row_counts(interrupted, "items", "items__lines", "_dlt_loads") == [2, 0, 0]

    with load_packages.destination_of_package(interrupted, package) as destination:
        destination.remove_load("items", "_dlt_load_id")
    assert row_counts(interrupted, "items", "items__lines") == [0, 0]


@pytest.mark.leans_on(
    "dlt.destinations.impl.filesystem.filesystem:FilesystemClient.list_table_files",
    "dlt.destinations.path_utils:create_path",
)
def test_a_file_is_removed_by_the_id_of_its_job(tmp_path: Path) -> None:
    files = dlt.destinations.filesystem(str(tmp_path / "files"))
    pipeline = dlt.pipeline("filed", pipelines_dir=str(tmp_path / "work"), destination=files)
    for number in (1, 2):
        pipeline.extract([{"id": number}], table_name="items")
        pipeline.normalize()
        if number == 1:
            pipeline.load()
    with committed_and_not_marked(pipeline):
        pipeline.load()
    (package,) = load_packages.pending_packages(pipeline)
    (job,) = [job for job in package.jobs() if job.table == "items"]
    with load_packages.destination_of_package(pipeline, package) as destination:
        assert destination.is_files
        assert destination.has_files_named_by_id("items")
        destination.remove_file(job)

    assert pipeline.dataset()["items"].select("id").fetchall() == [(1,)]


@pytest.mark.leans_on("dlt.common.configuration.providers.doc:BaseDocProvider")
def test_configured_documents_are_those_of_the_active_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text("[sources]\ntoken = 'of the file'")
    monkeypatch.chdir(tmp_path)
    assert list(configuration.configured_documents()) == []

    assert dlt.secrets["sources.token"] == "of the file"

    found = dict(configuration.configured_documents())
    assert found["secrets.toml"] == {"sources": {"token": "of the file"}}


@pytest.mark.leans_on("dlt.common.configuration.providers.doc:BaseDocProvider.set_value")
def test_copied_documents_are_those_that_code_has_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dlt.config["etl.region"] = "EU"
    dlt.secrets["etl.token"] = "t"
    found = dict(configuration.configured_documents())
    before = contexts.suspend_contexts()
    assert dlt.config.get("etl.region") is None

    configuration.copy_documents(found)
    assert (dlt.config["etl.region"], dlt.secrets["etl.token"]) == ("EU", "t")
    dlt.config["etl.region"] = "US"
    assert found["config.toml"] == {"etl": {"region": "EU"}}
    contexts.resume_contexts(before)


@pytest.mark.leans_on(
    "dlt.common.configuration.resolve:_resolve_single_value",
    "dlt.extract.pipe_iterator:PipeIterator",
)
def test_placeholders_are_for_one_thread_and_those_that_dlt_starts_for_it() -> None:
    @dlt.resource(parallelized=True)
    def rows(token: str = dlt.secrets.value) -> Any:
        def row() -> Any:
            yield {"token": token, "again": dlt.secrets["another_token"]}

        yield from row()

    def resolved() -> list[Any]:
        return list(rows())

    def placeholder(name: str, _hint: Any) -> str:
        return f"no {name}"

    with ThreadPoolExecutor(1) as other:
        with placeholders.placeholders(placeholder):
            assert resolved() == [{"token": "no token", "again": "no another_token"}]
            with pytest.raises(ConfigFieldMissingException):
                other.submit(lambda: dlt.secrets["another_token"]).result()
            assert other.submit(lambda: "token" in dlt.secrets).result() is False
            with placeholders.placeholders(lambda _name, _hint: "inner"):
                assert dlt.secrets["token"] == "inner"
            assert dlt.secrets["token"] == "no token"
        with pytest.raises(ConfigFieldMissingException):
            resolved()
    with pytest.raises(ZeroDivisionError), placeholders.placeholders(placeholder):
        1 / 0  # noqa: B018  # what fails in the block
    with pytest.raises(ConfigFieldMissingException):
        dlt.secrets["token"]


@pytest.mark.leans_on(
    "dlt.common.configuration.providers.doc:BaseDocProvider",
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext",
)
def test_a_document_is_set_in_place_of_another_and_initial_providers_know_nothing_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suspended = contexts.suspend_contexts()
    try:
        dlt.config["from"] = "code"
        toml = dlt.config.writable_provider
        assert configuration.document_of(toml) == {"from": "code"}
        with contexts.initial_providers_alone():
            assert "from" not in dlt.config
        configuration.set_document(toml, {"from": "another"})
        assert dlt.config["from"] == "another"
        assert isinstance(toml, tuple(configuration.providers_with_documents()))
        assert configuration.document_of(dlt.config.config_providers[0]) is None
    finally:
        contexts.resume_contexts(suspended)


@pytest.mark.leans_on(
    "dlt.common.configuration.providers.doc:BaseDocProvider",
    "dlt.common.configuration.providers.vault:VaultDocProvider",
    "dlt.common.configuration.specs.pluggable_run_context:PluggableRunContext",
)
def test_what_code_has_set_is_told_when_a_run_context_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text("[of]\nfile = 1\nboth = 1\n")
    suspended = contexts.suspend_contexts()
    try:
        assert contexts.take_run_context() is None
        dlt.config["of.both"] = dlt.config["of.deep.code"] = 2
        toml = dlt.config.writable_provider
        taken = contexts.take_run_context()
        assert taken is not None
        providers, initial = taken
        before = next(provider for provider in initial if provider.name == toml.name)
        assert {*configuration.set_since(before, toml)} == {("of", "both"), ("of", "deep", "code")}
        assert [p.name for p in providers] == [p.name for p in initial]
        assert not any(map(configuration.is_vault, providers))
        assert "of.deep" not in dlt.config
    finally:
        contexts.resume_contexts(suspended)


@pytest.mark.leans_on("dlt.common.destination.reference:Destination._raw_capabilities")
def test_types_of_destinations_tell_offline_what_they_can_do() -> None:
    naming = dlt.Schema("s", normalizers={"names": "sql_cs_v1"}).naming
    found = normalization.known_capabilities("snowflake", None, naming)
    assert not isinstance(found, str)
    # by the naming convention
    assert found.has_case_sensitive_identifiers
    assert found.casefold_identifier is str

    given = dlt.destinations.postgres(max_identifier_length=20, naming_convention="direct")
    limits = normalization.limits_of_names("postgres", given)
    assert limits["max_identifier_length"] == 20
    assert limits["max_column_identifier_length"] == 63
    assert limits["naming_convention"] == "direct"
    # of another type, the object says nothing
    assert normalization.limits_of_names("mssql", given)["max_identifier_length"] == 128

    assert "UnknownDestinationModule" in str(normalization.known_capabilities("no", None, None))
    assert normalization.limits_of_names("", given) == {}


@pytest.mark.leans_on(
    "dlt._workspace.cli.exceptions:CliCommandException",
    "dlt._workspace.cli._debug:is_debug_enabled",
    "dlt._workspace.cli._dlt:main",
)
def test_a_failure_of_a_command_carries_its_status_and_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dlt._workspace.cli import _debug, _dlt

    class Command:
        command, parent, compose, docs_url = "fail", None, "replace", None
        help_string = description = "Fails."

        def configure_parser(self, parser: argparse.ArgumentParser) -> None:
            pass

        def execute(self, args: argparse.Namespace) -> None:
            raise command_line.failure(ValueError("the reason"), 3)

    class Plugin:
        @plugins.hookimpl
        def plug_cli(self, host: str) -> type:
            return Command

    manager = plugins.manager()
    monkeypatch.setattr(_debug, "_DEBUG_FLAG", False)
    manager.register(Plugin(), name="failing")
    try:
        monkeypatch.setattr(sys, "argv", ["dlt", "fail"])
        with pytest.raises(SystemExit) as ended:
            _dlt.main()
        told = capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["dlt", "--debug", "fail"])
        with pytest.raises(ValueError, match="the reason"):
            _dlt.main()
    finally:
        manager.unregister(name="failing")
    assert ended.value.code == 3
    assert told == ("", "the reason\n")
