"""`dlt project init`: what it writes works at once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path

import pytest
from neighbours import without_neighbours
from sessions import run_program_here

from dlthub_project.scaffold import TEMPLATES, NewProject, destination_types

DltProgram = Callable[..., subprocess.CompletedProcess[str]]


def run_tests_of(folder: Path) -> str:
    """Run pytest in a folder, as its owner would, and return what it prints."""
    environment = {**os.environ, "PYTEST_ADDOPTS": f"-p no:cacheprovider {without_neighbours()}"}
    code, printed = run_program_here(["pytest", "-q", "-W", "ignore"], folder, environment)
    assert code == 0, printed
    return printed


def made(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new folder, which is the working directory."""
    path = folder / name
    path.mkdir()
    monkeypatch.chdir(path)
    return path


# dlt's own default of the argument
@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:`detect_precision_hints` argument:DeprecationWarning")
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("python", "postgres"),
        ("rest_api", "snowflake"),
        ("sql_database", "bigquery"),
        ("filesystem", "filesystem"),
        pytest.param("dataframe", "motherduck", marks=pytest.mark.slow),
        pytest.param("arrow", "duckdb", marks=pytest.mark.slow),
    ],
)
def test_a_new_project_passes_its_own_tests_and_runs_at_once(
    tmp_path: Path,
    dlt_main: DltProgram,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    destination: str,
) -> None:
    folder = made(tmp_path, "new", monkeypatch)
    done = dlt_main("project", "init", source, destination)
    printed = run_tests_of(folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert "2 passed" in printed
    assert "dlt_secrets = tests" in (folder / "pytest.ini").read_text()
    assert ".dlt/*secrets.toml" in (folder / ".gitignore").read_text().splitlines()
    assert {"sources", "tests", ".dlt", "requirements.txt"} <= {p.name for p in folder.iterdir()}
    # a test leaves nothing
    assert not list(folder.rglob("*.duckdb"))
    # of `rest_api`, the run asks a server
    if source != "rest_api":
        pipeline, data = f"load_{TEMPLATES[source].table}", f"{TEMPLATES[source].table}_data"
        run = dlt_main("pipeline", pipeline, "run")
        assert run.returncode == 0, run.stderr
        assert f"{pipeline} -> {data}@warehouse (profile dev)" in run.stdout


def test_every_source_to_begin_with_is_tested() -> None:
    (mark,) = (
        mark
        for mark in test_a_new_project_passes_its_own_tests_and_runs_at_once.pytestmark
        if mark.name == "parametrize"
    )
    tested = {getattr(case, "values", case)[0] for case in mark.args[1]}

    assert tested == {*TEMPLATES}


@pytest.mark.slow
@pytest.mark.parametrize("destination", destination_types())
def test_a_new_project_passes_its_own_tests_for_every_destination(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch, destination: str
) -> None:
    folder = made(tmp_path, "new", monkeypatch)
    assert dlt_main("project", "init", "python", destination).returncode == 0

    assert "2 passed" in run_tests_of(folder)


def test_a_new_package_passes_its_tests_and_is_found_by_its_name(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "mart", monkeypatch)
    done = dlt_main("project", "init", "--package", "--project-name", "Rates Mart")
    printed = run_tests_of(folder)
    info = dlt_main("project", "info", "--project", "rates_mart")

    assert done.returncode == 0
    assert "2 passed" in printed
    assert 'rates-mart = "rates_mart"' in (folder / "pyproject.toml").read_text()
    assert "rates_mart/.dlt/*secrets.toml" in (folder / ".gitignore").read_text().splitlines()
    assert not (folder / "dlt.yml").exists()
    assert info.stdout.splitlines()[0].split() == ["project", "Rates", "Mart"]


def test_nothing_is_overwritten_without_force(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "mine", monkeypatch)
    (folder / "dlt.yml").write_text("# mine\n")
    (folder / ".gitignore").write_text("*.log")
    refused = dlt_main("project", "init")

    assert refused.returncode == 1
    assert "dlt.yml. Nothing was written." in refused.stderr
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "dlt.yml"]
    assert (folder / "dlt.yml").read_text() == "# mine\n"
    assert dlt_main("project", "init", "--force").returncode == 0
    assert "# mine" not in (folder / "dlt.yml").read_text()
    # others write to it, too
    assert (folder / ".gitignore").read_text().splitlines()[:2] == ["*.log", "__pycache__/"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pyton",), "Did you mean `python`?"),
        (("python", "snowflak"), "Did you mean `snowflake`?"),
        (("--project-name", "a/b"), "Give a name with --project-name."),
        (("--package", "--project-name", "1st"), "A package cannot be called `1st`"),
        (("--project", "nowhere"), "There is no folder"),
    ],
)
def test_a_mistake_writes_nothing(
    tmp_path: Path,
    dlt_main: DltProgram,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    folder = made(tmp_path, "new", monkeypatch)
    refused = dlt_main("project", "init", *arguments)

    assert refused.returncode == 1
    assert message in refused.stderr
    assert list(folder.iterdir()) == []


def test_sources_and_destinations_are_added_listed_and_checked(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "new", monkeypatch)
    assert dlt_main("project", "init").returncode == 0
    before = (folder / "dlt.yml").read_text()
    for arguments in (
        ("source", "visits", "add", "filesystem"),
        ("source", "numbers", "add", "arrow"),
        (
            "source",
            "numbers2",
            "add",
            "numbers.numbers2",
            "--set",
            "token={env.TOKEN}",
            "--set",
            "rows=3",
        ),
        ("destination", "lake", "add", "filesystem"),
        ("destination", "warehouse", "add", "postgres", "--profile", "prod"),
    ):
        done = dlt_main(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    told = dlt_main("destination", "copy", "add", "duckdb", "--set", "credentials=copy.duckdb")
    listed = json.loads(dlt_main("source", "list", "--format", "json").stdout)
    available = dlt_main("source", "list-available").stdout
    destinations = dlt_main("destination", "list", "--profile", "prod").stdout
    check = dlt_main("source", "visits", "check")
    all_of_them = dlt_main("source", "check")
    prod = dlt_main("destination", "check", "--profile", "prod")
    unknown = dlt_main("source", "visit", "check")

    assert "`credentials` may be a secret, and stands in dlt.yml now." in told.stderr
    # what was there is there, in its order
    lines = (folder / "dlt.yml").read_text().splitlines()
    assert [line for line in lines if line in before.splitlines()][:6] == before.splitlines()[:6]
    assert '    token: "{env.TOKEN}"' in lines
    assert "    rows: 3" in lines
    assert [one["name"] for one in listed] == ["shop", "visits", "numbers", "numbers2"]
    assert listed[0]["pipelines"] == ["load_orders"]
    assert "visits.visits" in available
    assert destinations.splitlines()[1].split()[:2] == ["warehouse", "postgres"]
    assert (check.returncode, check.stdout) == (0, "source visits: can be built.\n")
    assert all_of_them.returncode == 1
    assert "source numbers2:" in all_of_them.stderr
    assert prod.returncode == 0, prod.stderr
    assert "Did you mean `visits`?" in unknown.stderr
    assert "# host = " in (folder / ".dlt" / "prod.secrets.toml").read_text()
    assert dlt_main("project", "config", "validate").returncode == 0


def test_what_cannot_be_added_changes_nothing(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "new", monkeypatch)
    assert dlt_main("project", "init").returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for arguments, status, message in (
        (("source", "shop", "add", "python"), 1, "shop.py is there already"),
        (("source", "shop", "add", "x.y"), 1, "`sources.shop` is there already"),
        (("source", "a-b", "add", "python"), 1, "cannot be one"),
        (("source", "x", "add", "pyton"), 1, "Did you mean `python`?"),
        (("destination", "add", "postgrs"), 2, "the name is missing: dlt destination NAME add"),
        (("destination", "x", "add", "postgrs"), 1, "Did you mean `postgres`?"),
        (("source", "x", "add", "a.b", "--set", "pin"), 2, "must be KEY=VALUE, not pin"),
        (("source", "x", "add", "a.b", "--set", "pin=[the-pin"), 2, "the value of pin is no YAML"),
    ):
        refused = dlt_main(*arguments)
        assert refused.returncode == status
        assert message in refused.stderr
        assert "the-pin" not in refused.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert dlt_main("source", "list-available", "--project", "nowhere").returncode == 3


@pytest.mark.parametrize("destination", destination_types())
def test_what_a_destination_requires_is_an_extra_of_dlt(destination: str) -> None:
    project = NewProject("shop", "python", destination)
    lines = project.files()["requirements.txt"].decode().splitlines()
    extras = metadata("dlt").get_all("Provides-Extra")

    (extra,) = (line.removeprefix("dlt[").removesuffix("]") for line in lines if "[" in line)
    assert extra in (extras or ())
