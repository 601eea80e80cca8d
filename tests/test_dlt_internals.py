"""Contracts with dlt: what `dlt_internals` relies on, on the lowest and the newest version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.destination.reference import DestinationReference
from dlt.common.pipeline import current_pipeline
from dlt.extract.reference import SourceReference

from dlthub_project import dlt_internals
from dlthub_project.context import ProjectRunContext, ensure_project


def provider_names() -> list[str]:
    saved = dlt_internals.save_run_context()
    assert saved is not None
    return [p.name for p in saved.providers.providers]


def test_saved_context_comes_back_with_the_providers_added_by_hand(shop: Path) -> None:
    context = ensure_project()
    dlt.config.register_provider(Extra({"by_hand": 1}))
    saved = dlt_internals.save_run_context()

    dlt_internals.plug_new_run_context(str(shop), "tests", "ProjectRunContext")
    assert "extra" not in provider_names()

    dlt_internals.restore_run_context(saved)
    assert dlt_internals.active_run_context() is context
    assert "extra" in provider_names()
    assert dlt.config["by_hand"] == 1


class Extra(dlt_internals.DocumentProvider):
    """A provider as users add them."""

    @property
    def name(self) -> str:
        return "extra"

    @property
    def supports_secrets(self) -> bool:
        return True


def test_suspended_contexts_are_found_anew_and_put_back(shop: Path) -> None:
    context = ensure_project()
    pipeline = dlt.pipeline("mine", destination="duckdb")

    suspended = dlt_internals.suspend_contexts()
    assert current_pipeline() is None
    found_anew = dlt_internals.active_run_context()
    assert isinstance(found_anew, ProjectRunContext)
    assert found_anew is not context
    dlt_internals.resume_contexts(suspended)

    assert dlt_internals.active_run_context() is context
    assert current_pipeline() is pipeline


def test_resuming_without_contexts_leaves_none(shop: Path) -> None:
    suspended = dlt_internals.suspend_contexts()
    dlt.pipeline("mine", destination="duckdb")

    dlt_internals.resume_contexts(suspended)

    assert current_pipeline() is None


def test_toml_providers_read_the_profiles_files_first(tmp_path: Path) -> None:
    settings, everywhere = tmp_path / ".dlt", tmp_path / "global"
    for folder in (settings, everywhere):
        folder.mkdir()
    (everywhere / "config.toml").write_text('a = "global"\nb = "global"\nc = "global"\n')
    (settings / "config.toml").write_text('a = "project"\nb = "project"\n')
    (settings / "tests.config.toml").write_text('a = "profile"\n')
    (settings / "prod.config.toml").write_text('a = "other"\n')

    secrets, config = dlt_internals.toml_providers(str(settings), "tests", str(everywhere))

    assert [config.get_value(key, str, "")[0] for key in "abc"] == ["profile", "project", "global"]
    assert isinstance(secrets, ConfigProvider)
    assert secrets.supports_secrets


def test_references_of_a_package_are_forgotten(shop: Path) -> None:
    ensure_project()
    dlt.hub.current.project.entities().get_source("orders")
    assert "sources.shop.orders" in SourceReference.SOURCES
    others = {r for r in DestinationReference.DESTINATIONS if not r.startswith("sources.")}

    dlt_internals.forget_references("sources")

    assert not [r for r in SourceReference.SOURCES if r.startswith("sources.")]
    assert others == set(DestinationReference.DESTINATIONS)


@pytest.mark.parametrize(
    ("credentials", "path"),
    [(None, "db.duckdb"), ("other.duckdb", "other.duckdb"), (":pipeline:", None)],
)
def test_path_of_an_embedded_database(
    tmp_path: Path, credentials: str | None, path: str | None
) -> None:
    destination = dlt.destinations.duckdb(credentials, destination_name="db")
    if credentials == ":pipeline:":
        pipeline = dlt.pipeline("mine", destination=destination, pipelines_dir=str(tmp_path))
        with pipeline.destination_client() as client:
            found = dlt_internals.local_database(client)
        assert found == str(tmp_path / "mine" / "db.duckdb")
        return
    client = dlt_internals.open_destination(destination, "data", "schema")

    assert dlt_internals.local_database(client) == str(tmp_path / str(path))


def test_databases_without_a_file_and_other_destinations_have_no_path(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        in_memory = dlt.destinations.duckdb(connection, destination_name="db")
        assert dlt_internals.local_database(
            dlt_internals.open_destination(in_memory, "data", "schema")
        ) in (None, "")
    files = dlt.destinations.filesystem(str(tmp_path / "bucket"))
    client = dlt_internals.open_destination(files, "data", "schema")

    assert dlt_internals.local_database(client) is None


def test_stored_versions_are_listed_from_the_oldest(shop: Path) -> None:
    pipeline = dlt.pipeline("mine", destination="duckdb", dataset_name="data")
    pipeline.run([{"a": 1}], table_name="rows")
    first = pipeline.default_schema.version_hash
    pipeline.run([{"a": 1, "b": 2}], table_name="rows")
    second = pipeline.default_schema.version_hash

    with dlt_internals.open_destination(pipeline.destination, "data", "data") as client:
        assert dlt_internals.stored_versions(client) == [("mine", first), ("mine", second)]


def test_default_is_below_every_other_provider(
    shop: Path, monkeypatch: pytest.MonkeyPatch, write_project: Callable[..., Path]
) -> None:
    ensure_project()
    dlt_internals.set_default("workers", 3, "mine", "load")
    assert dlt.config["mine.load.workers"] == 3

    monkeypatch.setenv("MINE__LOAD__WORKERS", "7")
    assert dlt.config["mine.load.workers"] == 7


def test_no_pipeline_is_active_for_a_while(shop: Path) -> None:
    pipeline = dlt.pipeline("mine", destination="duckdb")

    with dlt_internals.no_active_pipeline():
        assert current_pipeline() is None
        dlt.pipeline("other", destination="duckdb")

    assert current_pipeline() is pipeline


def test_first_context_of_a_process_is_plugged_without_finding_another_one(
    shop: Path, write_project: Callable[..., Path]
) -> None:
    other = write_project("project: {name: other}", folder="other", enter=False)
    assert dlt_internals.save_run_context() is None

    context = ensure_project(str(other))

    assert dlt_internals.active_run_context() is context
    assert Path(context.data_dir).is_dir()
    assert "dlt.yml" in provider_names()
    assert not (shop / "_data").exists()


def test_a_process_without_context_is_without_one_again_after_a_failure(
    write_project: Callable[..., Path],
) -> None:
    write_project("project: {default_profile: nowhere}")

    with pytest.raises(Exception, match="nowhere"):
        ensure_project()
    assert dlt_internals.save_run_context() is None

    assert ensure_project(profile="tests").profile == "tests"
    dlt_internals.restore_run_context(None)
    assert dlt_internals.save_run_context() is None


@pytest.mark.parametrize("variable", ["DESTINATION__LAKE__BUCKET_URL", "BUCKET_URL"])
def test_bucket_is_the_one_that_dlt_would_find(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert dlt_internals.configured_bucket("lake") is None

    monkeypatch.setenv(variable, "memory://bucket")

    assert dlt_internals.configured_bucket("lake") == "memory://bucket"
    client = dlt_internals.open_destination(
        dlt.destinations.filesystem(destination_name="lake"), "data", "schema"
    )
    assert client.config.bucket_url == "memory://bucket"


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

    assert dlt_internals.is_custom_reference("destinations.sinks.webhook")
    for other in ("duckdb", "dlt.destinations.duckdb", "no.such.module"):
        assert not dlt_internals.is_custom_reference(other)
