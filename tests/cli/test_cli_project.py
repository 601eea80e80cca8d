"""`dlt project`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]


def test_info_shows_the_project_its_profile_and_its_entities(
    shop: Path, dlt_program: DltProgram
) -> None:
    done = dlt_program("project", "info")

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


def test_info_takes_project_and_profile(shop: Path, dlt_program: DltProgram) -> None:
    done = dlt_program("project", "info", "--project", ".", "--profile", "tests")

    assert f"data folder     {shop / '_data' / 'tests'}" in done.stdout.splitlines()


def test_info_of_an_empty_manifest_shows_the_defaults(
    write_project: WriteProject, dlt_program: DltProgram
) -> None:
    write_project("", folder="bare")
    lines = dlt_program("project", "info").stdout.splitlines()

    assert lines[0] == "project         bare"
    assert lines[-1] == "pipelines       -"


def test_info_outside_of_a_project_says_where_it_looked_and_how_to_make_one(
    tmp_path: Path, dlt_program: DltProgram
) -> None:
    done = dlt_program("project", "info")

    assert done.returncode != 0
    assert f"there is no dlt.yml in {tmp_path}" in done.stderr
    assert "Put an empty file dlt.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_info_of_a_broken_manifest_shows_the_place(
    write_project: WriteProject, dlt_program: DltProgram
) -> None:
    root = write_project("pipelines:\n  load_orders: {sauce: orders}\n")
    done = dlt_program("project", "info")

    assert done.returncode != 0
    assert f"{root / 'dlt.yml'}:2:" in done.stderr
    assert "pipelines.load_orders.sauce" in done.stderr
    assert "Traceback" not in done.stderr


def test_project_alone_shows_its_subcommands(shop: Path, dlt_program: DltProgram) -> None:
    done = dlt_program("project")

    assert done.returncode == 0
    assert "info" in done.stdout
