"""`dlt project`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import dlt_plugin
from dlthub_project.cli import commands_beside
from dlthub_project.errors import ManifestError

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]


def test_info_shows_the_project_its_profile_and_its_entities(
    shop: Path, dlt_main: DltProgram
) -> None:
    done = dlt_main("project", "info")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "project         shop",
        "profile         dev (of dev, tests, access)",
        f"project folder  {shop}",
        f"data folder     {shop / '_data' / 'dev'}",
        "sources         orders",
        "destinations    warehouse",
        "datasets        shop_data",
        "pipelines       load_orders",
    ]
    assert not (shop / "_data" / "dev" / "pipelines").exists()


def test_info_takes_project_and_profile(shop: Path, dlt_main: DltProgram) -> None:
    done = dlt_main("project", "info", "--project", ".", "--profile", "tests")

    assert f"data folder     {shop / '_data' / 'tests'}" in done.stdout.splitlines()


def test_info_of_an_empty_manifest_shows_the_defaults(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project("", folder="bare")
    lines = dlt_main("project", "info").stdout.splitlines()

    assert lines[0] == "project         bare"
    assert lines[-1] == "pipelines       -"


def test_info_outside_of_a_project_says_where_it_looked_and_how_to_make_one(
    tmp_path: Path, dlt_main: DltProgram
) -> None:
    done = dlt_main("project", "info")

    assert done.returncode == 3
    assert f"there is no dlt.yml in {tmp_path}" in done.stderr
    assert "Put an empty file dlt.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_info_of_a_broken_manifest_shows_the_place(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project("pipelines:\n  load_orders: {sauce: orders}\n")
    done = dlt_main("project", "info")

    assert done.returncode == 3
    assert f"{root / 'dlt.yml'}:2:" in done.stderr
    assert "pipelines.load_orders.sauce" in done.stderr
    assert "Traceback" not in done.stderr


def test_project_alone_shows_its_subcommands(shop: Path, dlt_main: DltProgram) -> None:
    done = dlt_main("project")

    assert done.returncode == 0
    assert "info" in done.stdout


def test_a_project_that_cannot_be_opened_does_not_hide_another_one(
    shop: Path, write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project("project: {default_profile: nowhere}\n", folder="broken")
    refused = dlt_main("project", "info")
    other = dlt_main("project", "info", "--project", str(shop))
    profile = dlt_main("project", "info", "--profile", "dev")
    # commands that do not open a project tell of it, as they would use other folders
    plain = dlt_main("telemetry")
    pipeline = dlt_main("pipeline", "load_orders", "info")

    assert (refused.returncode, other.returncode, profile.returncode) == (3, 0, 0)
    assert "There is no profile `nowhere`" in refused.stderr
    assert (plain.returncode, pipeline.returncode) == (1, 3)
    assert str(root / "dlt.yml") in plain.stderr
    assert str(root / "dlt.yml") in pipeline.stderr


def test_debug_shows_where_an_error_comes_from(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project("pipelines: 1\n")

    with pytest.raises(ManifestError):
        dlt_main("--debug", "project", "info")


def test_the_words_of_all_commands_are_known_before_a_project_is_opened() -> None:
    ours = {command.command for command in commands_beside([])}

    assert {*ours, "pipeline"} - {"run"} <= {*dlt_plugin._OF_PROJECTS}


def test_with_a_stand_in_for_dlthub_the_commands_are_not_there(
    shop: Path, dlt_main: DltProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "dlthub").mkdir(parents=True)
    (tmp_path / "site" / "dlthub" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "dlthub", raising=False)
    shown = dlt_main("--help").stdout
    refused = dlt_main("project", "info")
    pipeline = dlt_main("pipeline", "--help").stdout

    assert "telemetry" in shown
    assert "project" not in shown
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "dlt.yml" not in pipeline
