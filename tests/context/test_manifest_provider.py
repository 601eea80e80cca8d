"""The manifest as dlt configuration: every other place wins over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.providers import CustomLoaderDocProvider

from dlthub_project import ManifestError, current, ensure_project
from dlthub_project.dlt_internals import pipelines
from dlthub_project.sandbox import Sandbox, isolated

WriteProject = Callable[..., Path]

MANIFEST = """
    api: {url: from manifest, token: from manifest}
    profiles: {prod: {api: {url: from prod of manifest}}}
"""


def test_values_of_the_manifest_are_configuration_and_secrets(write_project: WriteProject) -> None:
    """A top-level key that is no section is plain dlt configuration."""
    write_project(MANIFEST)

    assert dlt.config["api.url"] == "from manifest"
    assert dlt.secrets["api.token"] == "from manifest"


def test_the_merged_profile_is_what_counts(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    ensure_project(profile="prod")

    assert dlt.config["api.url"] == "from prod of manifest"
    assert dlt.config["api.token"] == "from manifest"


def test_toml_files_win_over_the_manifest_and_profiles_over_plain_files(
    write_project: WriteProject,
) -> None:
    files = {
        ".dlt/config.toml": 'api.url = "config"\n',
    }
    root = write_project(MANIFEST, files)
    ensure_project()
    assert dlt.config["api.url"] == "config"

    (root / ".dlt/prod.config.toml").write_text('api.url = "prod config"\n')
    ensure_project(profile="prod")
    assert dlt.config["api.url"] == "prod config"

    (root / ".dlt/secrets.toml").write_text('api.url = "secrets"\n')
    ensure_project(profile="prod")
    assert dlt.secrets["api.url"] == "secrets"

    (root / ".dlt/prod.secrets.toml").write_text('api.url = "prod secrets"\n')
    ensure_project(profile="prod")
    assert dlt.secrets["api.url"] == "prod secrets"

    ensure_project(profile="dev")
    assert dlt.secrets["api.url"] == "secrets"


def test_the_environment_wins_over_toml_files(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(MANIFEST, {".dlt/dev.secrets.toml": 'api.url = "toml"\n'})
    monkeypatch.setenv("API__URL", "environment")

    assert dlt.secrets["api.url"] == "environment"


def test_the_global_folder_stands_between_the_project_and_the_manifest(
    write_project: WriteProject, tmp_path: Path
) -> None:
    """In order: environment, TOML of profile and project, global folder, vaults, `dlt.yml`."""
    root = write_project(MANIFEST, {".dlt/config.toml": 'api.token = "project"\n'})
    sandbox = Sandbox(str(tmp_path / "sandbox"), str(root), str(root))
    Path(sandbox.global_dir).mkdir(parents=True)
    Path(sandbox.global_dir, "config.toml").write_text('api.url = "global"\napi.token = "no"\n')

    with isolated(sandbox):
        assert dlt.config["api.url"] == "global"
        assert dlt.config["api.token"] == "project"


def test_a_provider_that_is_added_wins_over_the_manifest_and_no_more(
    write_project: WriteProject,
) -> None:
    write_project(MANIFEST, {".dlt/config.toml": 'api.token = "toml"\n'})
    vault = CustomLoaderDocProvider(
        "vault", lambda: {"api": {"url": "vault", "token": "vault"}}, supports_secrets=True
    )
    dlt.config.register_provider(vault)

    assert dlt.config["api.url"] == "vault"
    assert dlt.config["api.token"] == "toml"


def test_a_section_named_as_the_active_pipeline_wins_in_the_manifest(
    write_project: WriteProject,
) -> None:
    write_project("level: of all\nload: {level: of load}\nload_more: {level: of load_more}\n")

    @dlt.resource
    def levels(level: str = dlt.config.value) -> Any:
        yield {"level": level}

    assert list(levels()) == [{"level": "of all"}]
    dlt.pipeline("load")
    assert list(levels()) == [{"level": "of load"}]


def test_a_source_takes_its_arguments_from_its_section(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBER", "7")
    write_project(
        """
        sources:
          orders: {type: shop.orders, rows: "{env.NUMBER}", strict: "false", token: t1}
        """
    )

    @dlt.source(section="orders")
    def orders(
        rows: int = dlt.config.value,
        strict: bool = dlt.config.value,
        token: str = dlt.secrets.value,
        type: str = "not the reference",
    ) -> Any:
        seen.extend([rows, strict, token, type])
        return dlt.resource([1], name="items")

    seen: list[Any] = []
    orders()

    assert seen == [7, False, "t1", "not the reference"]


@pytest.mark.parametrize(
    "argument",
    ["project", "sources", "destination", "destinations", "datasets", "pipelines", "caches",
     "transformations", "profiles"],
)  # fmt: skip
def test_an_argument_called_as_a_section_is_not_given_the_section(
    write_project: WriteProject, argument: str
) -> None:
    write_project(
        """
        project: {name: mart}
        sources: {orders: {type: shop.orders}}
        destinations: {warehouse: {type: duckdb}}
        datasets: {shop_data: {destination: warehouse}}
        pipelines: {load: {source: orders}}
        caches: {hot: {}}
        transformations: {report: {}}
        profiles: {prod: {}}
        """,
        {
            "sources/shop.py": f"""
                import dlt

                @dlt.source
                def orders({argument}="default"):
                    return dlt.resource([{argument}], name="items")
            """
        },
    )

    assert list(current.entities().get_source("orders")()) == ["default"]
    assert argument not in dlt.config


def test_a_value_called_as_a_pipeline_is_not_given_its_entry(write_project: WriteProject) -> None:
    write_project("pipelines: {dev_mode: {source: a}, load: {source: a, dev_mode: true}}\n")

    assert "pipelines.dev_mode" not in dlt.config
    assert dlt.config["pipelines.load.dev_mode"] is True


def test_destinations_answer_for_the_section_destination(write_project: WriteProject) -> None:
    write_project(
        """
        destinations:
          warehouse: {type: postgres, credentials: {database: shop}}
          duckdb:
        """
    )

    assert dlt.config["destination.warehouse.destination_type"] == "postgres"
    assert dlt.config["destination.warehouse.credentials"] == {"database": "shop"}
    assert dlt.config["destination.duckdb.destination_type"] == "duckdb"
    assert "destinations.warehouse.type" not in dlt.config


def test_a_pipeline_made_by_name_takes_destination_and_dataset_of_its_entry(
    write_project: WriteProject,
) -> None:
    write_project(
        """
        destinations: {warehouse: {type: duckdb}}
        pipelines: {load: {source: orders, destination: warehouse, dataset_name: shop_data}}
        """
    )

    pipeline = dlt.pipeline("load")

    assert pipeline.dataset_name == "shop_data"
    assert pipeline.destination is not None
    assert pipeline.destination.destination_name == "warehouse"
    assert pipeline.destination.destination_type == "dlt.destinations.duckdb"


def test_variables_are_filled_in_when_a_value_is_asked_for(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole-string `{env.X}` keeps dlt's own casting."""
    write_project('a: {path: "{data_dir}/x", token: "{env.TOKEN}", list: ["{env.TOKEN}"]}\n')
    assert dlt.config["a.path"] == f"{current.project().data_dir}/x"

    monkeypatch.setenv("TOKEN", "t1")
    assert dlt.secrets["a.token"] == "t1"
    assert dlt.config["a.list"] == ["t1"]

    monkeypatch.setenv("TOKEN", "t2")
    assert dlt.secrets["a.token"] == "t2"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sources.a.token", r"dlt\.yml:1:24: sources\.a\.token: the environment variable NOT_SET"),
        (
            "destination.b.destination_type",
            r"dlt\.yml:2:20: destinations\.b\.type: the environment variable NOT_SET",
        ),
        ("destination.b.credentials", r"dlt\.yml:2:57: destinations\.b\.credentials\.password"),
        ("pipelines.c.destination_type", r"dlt\.yml:3:17: pipelines\.c\.destination: the envir"),
        ("plain", r"dlt\.yml:4:1: plain: the environment variable NOT_SET"),
    ],
)
def test_a_variable_that_is_not_set_is_an_error_with_the_place_of_the_value(
    write_project: WriteProject, key: str, message: str
) -> None:
    write_project(
        'sources: {a: {type: x, token: "{env.NOT_SET}"}}\n'
        'destinations: {b: {type: "{env.NOT_SET}", credentials: {password: "{env.NOT_SET}"}}}\n'
        'pipelines: {c: {destination: "{env.NOT_SET}"}}\n'
        'plain: "{env.NOT_SET}"\n'
    )

    with pytest.raises(ManifestError, match=message):
        dlt.secrets[key]


def test_a_variable_that_is_not_set_does_no_harm_where_the_environment_has_the_value(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project('sources: {a: {type: x, token: "{env.NOT_SET}"}}\n')
    monkeypatch.setenv("SOURCES__A__TOKEN", "t1")

    assert dlt.secrets["sources.a.token"] == "t1"


def test_a_value_that_is_nowhere_is_dlts_own_error_and_says_that_the_manifest_was_asked(
    write_project: WriteProject,
) -> None:
    write_project("")

    with pytest.raises(ConfigFieldMissingException, match=r"dlt\.yml"):
        dlt.secrets["api.gone"]


def test_a_value_that_is_set_by_code_does_not_change_the_project(
    write_project: WriteProject,
) -> None:
    write_project("api: {url: a}\n")
    project = current.project()

    pipelines.set_default("url", "b", "api")

    assert dlt.config["api.url"] == "b"
    assert project.config["api"] == {"url": "a"}


def test_null_is_no_value(write_project: WriteProject) -> None:
    write_project("sources: {a: {type: x, token: null}}\nb: null\n")

    assert "sources.a.token" not in dlt.config
    assert "b" not in dlt.config


def test_the_log_level_comes_from_the_manifest(write_project: WriteProject) -> None:
    write_project("runtime: {log_level: ERROR}\n")

    assert current.context().runtime_config.log_level == "ERROR"
