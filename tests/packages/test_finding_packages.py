"""`--project PACKAGE`: packages are found by their entry point, and not imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import python

from dlthub_project.context import find_package, installed_packages

Install = Callable[..., Path]
WriteProject = Callable[..., Path]


def dlt_program(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `dlt` where the packages in `site` are installed."""
    program = str(Path(sys.executable).with_name("dlt"))
    environment = {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*python(), program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_packages_are_listed_with_their_folders_and_not_imported(install: Install) -> None:
    roots = {name: install(name) for name in ("rates_mart", "acme.nested_mart")}
    # found as a part of its parent: that one is not imported either
    (roots["acme.nested_mart"].parent / "__init__.py").write_text("raise SystemExit\n")

    found = installed_packages()

    assert {name: folder for name, folder in found.items() if name in roots} == roots
    assert not {"rates_mart", "acme"} & sys.modules.keys()


@pytest.mark.parametrize("name", ["rates_mart", "rates-mart", "Rates_Mart"])
def test_a_package_is_found_by_module_or_entry_point(install: Install, name: str) -> None:
    root = install("rates_mart")

    assert find_package(name) == root


def test_a_package_that_is_installed_editable_is_found_where_it_is(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    root = install("rates_mart").rename(clone / "rates_mart")
    monkeypatch.syspath_prepend(str(clone))

    assert find_package("rates_mart") == root


def test_a_clone_in_the_working_directory_does_not_hide_what_is_installed(
    install: Install, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = install("rates_mart")
    clone = write_project("", {"__init__.py": ""}, folder="rates_mart", enter=False)
    monkeypatch.syspath_prepend(str(clone.parent))

    assert find_package("rates-mart") == root


def test_packages_that_are_no_projects_are_not_found(install: Install, site: Path) -> None:
    (install("rates_mart") / "dlt.yml").unlink()
    install("gone_mart").rename(site / "elsewhere")

    assert find_package("rates_mart") is find_package("gone_mart") is find_package("json") is None
    assert not {"rates_mart", "gone_mart"} & installed_packages().keys()


@pytest.mark.slow
def test_commands_take_a_package_and_use_it_with_profile_access(
    install: Install, site: Path, write_project: WriteProject
) -> None:
    root = install("rates_mart")
    write_project("")

    done = dlt_program(site, "pipeline", "load_rates", "run", "--project", "rates_mart")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("load_rates -> rates@warehouse (profile access)\n")
    assert (root / "_data" / "access" / "local" / "warehouse.duckdb").is_file()


def test_commands_take_a_profile_of_a_package(install: Install, site: Path) -> None:
    root = install("rates_mart")

    shown = dlt_program(site, "project", "info", "--project", "rates-mart", "--profile", "prod")

    assert f"data folder      {root / '_data' / 'prod'}" in shown.stdout.splitlines()


def test_a_folder_comes_before_a_package_of_its_name(
    install: Install, site: Path, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("rates_mart")
    folder = write_project("", folder="rates_mart")
    monkeypatch.chdir(folder.parent)

    shown = dlt_program(site, "project", "info", "--project", "rates_mart").stdout

    assert f"project folder   {folder}" in shown.splitlines()


def test_a_name_that_is_neither_is_an_error_with_the_known_ones(
    install: Install, site: Path, tmp_path: Path
) -> None:
    install("rates_mart")
    done = dlt_program(site, "project", "info", "--project", "rate_mart")

    assert done.returncode != 0
    assert f"there is no dlt.yml in {tmp_path / 'rate_mart'}" in done.stderr
    assert "no installed package of that name" in done.stderr
    assert "Did you mean `rates_mart`?" in done.stderr
    assert "Traceback" not in done.stderr
