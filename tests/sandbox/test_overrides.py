"""Settings of one test: above all other configuration, and gone with the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt
import pytest

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
        with pytest.raises(KeyError, match=r"a\.b\.c"):
            del settings["a.b.c"]


def test_a_deleted_section_leaves_what_stands_beside_it(
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
        assert dlt.config["sources.github.token"] == "environment"
        settings.clear()
        assert dict(settings) == {}


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
