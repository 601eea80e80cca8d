"""`Project`: what users see of a project, read-only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlthub_project import Project, current, ensure_project

WriteProject = Callable[..., Path]

MANIFEST = """
    project: {name: mart, default_profile: prod, allow_undefined_entities: false}
    sources:
      orders: {type: shop.orders, token: hunter2, tags: [1], path: "{data_dir}/x"}
    destinations:
      warehouse: {type: duckdb, credentials: "postgresql://me:hunter2@db/shop"}
      duckdb:
    datasets: {shop_data: {destination: [warehouse]}}
    pipelines: {load: {source: orders, destination: warehouse}}
    caches: {hot: {inputs: [{dataset: shop_data}]}}
    transformations: {report: {cache: hot}}
    profiles: {prod: {sources: {orders: {rows: 5}}}}
    url: "{env.NOT_SET}"
"""


@pytest.fixture
def project(write_project: WriteProject) -> Project:
    write_project(MANIFEST)
    return current.project()


def test_a_project_knows_its_settings(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "shop"

    assert project.name == "mart"
    assert project.root_dir == str(root)
    assert project.project_dir == str(root)
    assert project.settings_dir == str(root / ".dlt")
    assert project.data_dir == str(root / "_data/prod")
    assert project.local_dir == str(root / "_data/prod/local")
    assert project.current_profile == "prod"
    assert project.default_profile == "prod"
    assert project.profiles == ["dev", "tests", "access", "prod"]
    assert project.allow_undefined_entities is False


def test_a_project_shows_its_declared_entities(project: Project) -> None:
    assert project.sources == {
        "orders": {
            "type": "shop.orders",
            "token": "hunter2",
            "tags": [1],
            "path": f"{project.data_dir}/x",
            "rows": 5,
        }
    }
    assert project.destinations["duckdb"] == {}
    assert project.datasets == {"shop_data": {"destination": ["warehouse"]}}
    assert project.pipelines == {"load": {"source": "orders", "destination": "warehouse"}}
    assert project.caches == {"hot": {"inputs": [{"dataset": "shop_data"}]}}
    assert project.transformations == {"report": {"cache": "hot"}}


def test_the_configuration_is_the_merged_manifest(project: Project) -> None:
    config = project.config

    assert config["sources"]["orders"]["rows"] == 5
    assert config["sources"]["orders"]["path"] == f"{project.data_dir}/x"
    assert config["url"] == "{env.NOT_SET}"
    assert "profiles" not in config


def test_the_configuration_is_a_plain_dict(project: Project) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return type(value) is dict and all(map(plain, value.values()))
        if isinstance(value, list):
            return all(map(plain, value))
        return type(value) in (str, int, bool, type(None))

    assert plain(project.config)


def test_changing_what_a_project_returns_changes_nothing(project: Project) -> None:
    before = project.config

    project.config["sources"]["orders"]["tags"].append(2)
    project.config.clear()
    project.sources["orders"]["tags"].append(2)
    project.sources["orders"]["token"] = "other"
    project.pipelines.clear()
    project.destinations["new"] = {}
    project.profiles.append("new")

    assert project.config == before
    assert project.sources["orders"]["tags"] == [1]
    assert list(project.destinations) == ["warehouse", "duckdb"]
    assert "new" not in project.profiles


@pytest.mark.parametrize("name", ["name", "data_dir", "config", "sources", "current_profile"])
def test_the_properties_of_a_project_cannot_be_set(project: Project, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(project, name, "other")


def test_a_project_prints_its_name_profile_and_counts_without_secrets(project: Project) -> None:
    assert repr(project) == (
        "<Project 'mart', profile 'prod': 1 sources, 2 destinations, 1 datasets, 1 pipelines>"
    )
    assert "hunter2" not in repr(current.context())
    assert "hunter2" not in repr(project.manifest)


def test_an_empty_project_prints_no_counts_above_zero(write_project: WriteProject) -> None:
    write_project("sources:\n")

    assert repr(ensure_project(profile="tests").project) == (
        "<Project 'shop', profile 'tests': 0 sources, 0 destinations, 0 datasets, 0 pipelines>"
    )


def test_a_context_prints_its_folder_and_profile(project: Project, tmp_path: Path) -> None:
    assert repr(current.context()) == f"<ProjectRunContext {tmp_path / 'shop'}, profile 'prod'>"
