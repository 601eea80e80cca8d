"""Commands that change nothing, wherever they are called: in each kind of project, and in none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

EXAMPLE = Path(__file__).parents[2] / "example_project"
COMMANDS = [
    "project info",
    "project config show",
    "project config show --origins",
    "project config validate",
    "project check",
    "profile info",
    "profile list",
    "source list",
    "source check",
    "destination list",
    "destination check",
]
WITHOUT_PROJECT = [
    "project list",
    "project config schema",
    "source list-available",
    "destination list-available",
]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example project, which is a package, too."""
    folder = tmp_path / "nyc_flights_project"
    ignored = shutil.ignore_patterns("_data", "__pycache__", "tests")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.sampled(2)
@pytest.mark.parametrize("profile", ["", "dev", "tests", "access", "prod"])
def test_in_the_example_project_under_each_profile(
    example: Path, dlt_main: DltProgram, profile: str
) -> None:
    for command in [*COMMANDS, *WITHOUT_PROJECT]:
        words = command.split()
        chosen = ("--profile", profile) if profile else ()
        done = dlt_main(*words, *chosen)

        assert (command, done.returncode) == (command, 0), done.stderr
        if profile == "tests":
            # the arguments may stand before the operation, too
            assert dlt_main(words[0], *chosen, *words[1:]).stdout == done.stdout
    assert list(example.rglob("*.duckdb")) == []


def test_in_a_project_within_another_one_and_from_elsewhere(
    example: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nested = example / "reports" / "inner"
    below = nested / "deep" / "down"
    below.mkdir(parents=True)
    (nested / "dlt.yml").write_text("destinations: {inner_lake: {type: duckdb}}\n")
    monkeypatch.chdir(below)
    inner = {command: dlt_main(*command.split()) for command in COMMANDS}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    named = {c: dlt_main(*c.split(), "--project", str(nested)) for c in COMMANDS}
    by_variable = dlt_main("project", "info", DLT_PROJECT_DIR=str(nested))

    for command, done in inner.items():
        assert (command, done.returncode) == (command, 0), done.stderr
        assert named[command].stdout == done.stdout
    assert "inner_lake" in inner["destination list"].stdout
    assert "nyc" not in inner["project info"].stdout.replace(str(example), "")
    assert by_variable.stdout == inner["project info"].stdout
    assert list(elsewhere.iterdir()) == []


def test_outside_of_any_project_each_says_how_to_make_one(
    dlt_main: DltProgram, tmp_path: Path
) -> None:
    changing = ["project clean", "profile x add", "profile x pin", "profile unpin"]
    changing += ["source x add python", "destination x add duckdb"]
    for command in [*COMMANDS, *changing]:
        done = dlt_main(*command.split())

        assert (command, done.returncode, done.stdout) == (command, 3, "")
        assert f"there is no dlt.yml in {tmp_path}" in done.stderr
        assert "`dlt project init` makes a whole one" in done.stderr
        assert "Traceback" not in done.stderr
    for command in WITHOUT_PROJECT:
        done = dlt_main(*command.split())
        assert (command, done.returncode) == (command, 0), done.stderr
    assert list(tmp_path.iterdir()) == []
