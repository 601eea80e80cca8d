"""Settings of one test: above all other configuration, and gone with the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.providers import CustomLoaderDocProvider

from dlthub_project.sandbox import Overrides, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject


@dlt.resource
def whoami(token: str = dlt.secrets.value) -> Any:
    yield {"token": token}


def token_in(pipeline: dlt.Pipeline) -> Any:
    pipeline.run(whoami())
    return pipeline.dataset().table("whoami").select("token").fetchall()


def test_they_are_above_environment_and_files(
    make_sandbox: MakeSandbox, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(
        "project: {name: shop}",
        {".dlt/secrets.toml": '[sources.test_overrides.whoami]\ntoken = "file"\n'},
    )
    monkeypatch.setenv("SOURCES__TEST_OVERRIDES__WHOAMI__TOKEN", "environment")

    with isolated(make_sandbox("first", project=project)) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.test_overrides.whoami.token"] = "test"
        pipeline = dlt.pipeline("tokens", destination="duckdb", dataset_name="data")
        assert token_in(pipeline) == [("test",)]
    with isolated(make_sandbox("second", project=project)):
        pipeline = dlt.pipeline("tokens", destination="duckdb", dataset_name="data")
        assert token_in(pipeline) == [("environment",)]


def test_they_are_seen_by_a_context_that_is_active_already(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        assert dlt.config.get("sources.github.token") is None
        Overrides(sandbox)["sources.github.token"] = "late"
        assert dlt.config["sources.github.token"] == "late"


def test_they_are_seen_as_often_as_they_are_asked_for(make_sandbox: MakeSandbox) -> None:
    @dlt.resource
    def orders(country: str = dlt.config.value) -> Any:
        yield {"country": country}

    with isolated(make_sandbox()) as sandbox:
        Overrides(sandbox)["country"] = "de"
        assert [list(orders), list(orders)] == [[{"country": "de"}]] * 2


def test_they_outlive_a_switch_of_the_profile(
    make_sandbox: MakeSandbox, write_project: WriteProject
) -> None:
    project = write_project("profiles: {prod: {}}")

    with isolated(make_sandbox(project=project)) as sandbox:
        Overrides(sandbox)["a.b"] = 1
        dlt.hub.current.project.context().switch_profile("prod")
        assert dlt.config["a.b"] == 1


def test_they_are_gone_when_the_same_folder_is_used_again(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        Overrides(sandbox)["a"] = 1
    with isolated(make_sandbox()) as sandbox:
        assert dict(Overrides(sandbox)) == {}
        assert dlt.config.get("a") is None


def test_they_are_a_mapping_of_dotted_paths(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        settings = Overrides(sandbox)
        settings.update({"top": 1, "sources.github.token": "x", "sources.github.org": "dlt"})

        assert dict(settings) == {
            "top": 1,
            "sources.github.token": "x",
            "sources.github.org": "dlt",
        }
        assert len(settings) == 3
        assert "sources.github.token" in settings
        assert "sources.github.missing" not in settings
        assert "top.below" not in settings
        assert settings.get("sources.gitlab.token", "none") == "none"
        assert settings.pop("top") == 1
        assert list(settings) == ["sources.github.token", "sources.github.org"]
        with pytest.raises(KeyError, match="top"):
            settings["top"]


def test_a_deleted_section_is_missing_and_leaves_what_stands_beside_it(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__TOKEN", "environment")

    with isolated(make_sandbox()) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.github.token"] = "x"
        settings["sources.github.org"] = "dlt"
        settings["sources.gitlab.token"] = "y"
        assert dlt.config["sources.github.token"] == "x"

        del settings["sources.github"]

        assert dict(settings) == {"sources.gitlab.token": "y"}
        assert dlt.config.get("sources.github.token") is None
        settings.clear()
        assert dict(settings) == {}
        assert dlt.config["sources.github.token"] == "environment"


def test_a_section_is_set_as_a_mapping_that_stays_the_users_own(make_sandbox: MakeSandbox) -> None:
    mine = {"token": "x"}

    with isolated(make_sandbox()) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.github"] = mine
        settings["sources.github.org"] = "dlt"

        assert dlt.config["sources.github.token"] == "x"
        assert dict(settings) == {"sources.github.token": "x", "sources.github.org": "dlt"}
        assert mine == {"token": "x"}


def test_a_value_may_become_a_section(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.github"] = "x"
        settings["sources.github.token"] = "y"

        assert dict(settings) == {"sources.github.token": "y"}


PRODUCTION = {
    ".dlt/secrets.toml": """
[credentials]
host = "wide.invalid"

[sources.shop.credentials]
drivername = "postgresql"
host = "<configure me>"
password = "of production"
username = "loader"
database = "prod"
port = 5439

[sources.shop]
token = "of production"
""",
    "shop.py": """
import dlt
from dlt.sources.credentials import ConnectionStringCredentials

@dlt.source
def shop(
    credentials: ConnectionStringCredentials = dlt.secrets.value,
    token: str = dlt.secrets.value,
    params: dict = dlt.config.value,
):
    @dlt.resource
    def rows():
        url = credentials.to_native_representation()
        found = {key: params.get(key, -1) for key in ("size", "page")}
        yield {"url": url, "token": token, **found}
    return rows
""",
}
MANIFEST = """
sources:
  shop: {type: shop.shop, params: {size: 100}}
destinations:
  warehouse: {type: duckdb}
pipelines:
  load_shop: {source: shop, destination: warehouse, dataset_name: data}
"""


@pytest.fixture
def in_production(write_project: WriteProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose source has its values in TOML, in variables and in the manifest."""
    root = write_project(MANIFEST, PRODUCTION)
    monkeypatch.setenv("SOURCES__SHOP__CREDENTIALS__QUERY__SSLMODE", "require")
    monkeypatch.setenv("SOURCES__SHOP__CREDENTIALS__PORT", "5440")
    monkeypatch.setenv("LOAD_SHOP__SOURCES__SHOP__CREDENTIALS__USERNAME", "of the pipeline")
    yield root
    sys.modules.pop("shop", None)


def loaded() -> dict[str, Any]:
    """Return the only row of a run of the project's pipeline."""
    project = dlt.hub.current.project
    project.runner().run_pipeline("load_shop")
    relation = project.catalog().dataset("data").table("rows")
    (row,) = relation.select("url", "token", "page", "size").fetchall()
    return dict(zip(("url", "token", "page", "size"), row, strict=True))


SQLITE = "sqlite:////folder/of/test.db"


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "settings",
    [
        {"sources.shop.credentials": SQLITE},
        {"sources.shop.credentials": {"drivername": "sqlite", "database": "/folder/of/test.db"}},
        {"sources.shop.credentials.password": "x", "sources.shop.credentials": SQLITE},
        {"credentials": SQLITE, "sources.shop.credentials": SQLITE},
        {"sources.credentials": SQLITE},
        {"load_shop.sources.shop.credentials": SQLITE},
    ],
    ids=repr,
)
def test_a_value_given_as_a_whole_replaces_the_whole(
    make_sandbox: MakeSandbox, in_production: Path, settings: dict[str, Any]
) -> None:
    with isolated(make_sandbox(project=in_production)) as sandbox:
        Overrides(sandbox).update(settings)

        row = loaded()

    assert (row["url"], row["token"]) == (SQLITE, "of production")


def test_a_single_value_leaves_those_beside_it(
    make_sandbox: MakeSandbox, in_production: Path
) -> None:
    with isolated(make_sandbox(project=in_production)) as sandbox:
        Overrides(sandbox)["sources.shop.credentials.password"] = "of-the-test"

        url = loaded()["url"]

    assert "of the pipeline:of-the-test" in url
    assert ":5440/prod" in url


@pytest.mark.parametrize(
    ("value", "size", "page"),
    [(None, 100, -1), ({"page": 2}, -1, 2)],
    ids=repr,
)
def test_a_mapping_that_an_argument_is_made_of_is_replaced_as_a_whole(
    make_sandbox: MakeSandbox, in_production: Path, value: Any, size: Any, page: Any
) -> None:
    with isolated(make_sandbox(project=in_production)) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.shop.credentials"] = SQLITE
        if value is not None:
            settings["sources.shop.params"] = value

        row = loaded()

    assert (row["size"], row["page"]) == (size, page)


@dlt.resource
def with_params(params: Any = dlt.config.value) -> Any:
    yield {"keys": "-".join(sorted(params)), "none": None in params.values()}


@pytest.mark.parametrize("way", ["None", "del"])
def test_a_part_of_a_mapping_can_be_missing(
    make_sandbox: MakeSandbox, in_production: Path, way: str
) -> None:
    def unset(settings: Overrides, path: str) -> None:
        if way == "None":
            settings[path] = None
        else:
            del settings[path]

    with isolated(make_sandbox("project", project=in_production)) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.shop.credentials"] = SQLITE
        settings["sources.shop.params.page"] = 3
        unset(settings, "sources.shop.params.size")
        row = loaded()
        assert (row["size"], row["page"]) == (-1, 3)

    values = {"with_params": {"params": {"size": 1, "page": 2, "deep": {"a": 1}}}}
    with isolated(make_sandbox("plain")) as sandbox:
        dlt.config.register_provider(CustomLoaderDocProvider("own", lambda: {"sources": values}))
        unset(Overrides(sandbox), "sources.with_params.params.size")
        assert list(with_params()) == [{"keys": "deep-page", "none": False}]
        unset(Overrides(sandbox), "sources.with_params.params.deep.a")
        assert dlt.config["sources.with_params.params"] == {"page": 2, "deep": {}}
        Overrides(sandbox).clear()
        assert list(with_params()) == [{"keys": "deep-page-size", "none": False}]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("path", ["sources.shop.token", "token", "load_shop.sources.shop.token"])
@pytest.mark.parametrize("way", ["None", "del"])
def test_a_secret_can_be_missing(
    make_sandbox: MakeSandbox, in_production: Path, path: str, way: str
) -> None:
    with isolated(make_sandbox(project=in_production)) as sandbox:
        settings = Overrides(sandbox)
        settings["sources.shop.credentials"] = SQLITE
        settings[path] = "first"
        if way == "None":
            settings[path] = None
        else:
            del settings[path]
        assert path not in settings

        with pytest.raises(ConfigFieldMissingException, match="token"):
            loaded()

        settings.clear()
        settings["sources.shop.credentials"] = SQLITE
        assert loaded()["token"] == "of production"


def test_a_whole_secret_section_can_be_missing(
    make_sandbox: MakeSandbox, in_production: Path
) -> None:
    with isolated(make_sandbox(project=in_production)) as sandbox:
        del Overrides(sandbox)["sources.shop.credentials"]

        with pytest.raises(ConfigFieldMissingException, match="credentials"):
            loaded()


def test_providers_that_users_add_give_way_too(make_sandbox: MakeSandbox) -> None:
    def values(*_: Any) -> dict[str, Any]:
        return {"sources": {"shop": {"token": "of a vault"}}}

    with isolated(make_sandbox()) as sandbox:
        settings = Overrides(sandbox)
        settings["other"] = 1
        provider = CustomLoaderDocProvider("mine", values)
        dlt.config.register_provider(provider)
        assert dlt.config["sources.shop.token"] == "of a vault"

        settings["sources.shop.token"] = None
        assert dlt.config.get("sources.shop.token") is None
        assert dlt.config["other"] == 1

    # the provider itself stays what it was
    assert provider.get_value("token", str, None, "sources", "shop")[0] == "of a vault"
