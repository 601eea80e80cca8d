"""Our provider of environment variables answers as dlt's own does, on every kind of look-up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.typing import TSecretStrValue, TSecretValue

from dlthub_project.sandbox import Sandbox, isolated, speed
from dlthub_project.sandbox.speed import FastEnvironProvider

HINTS = [str, int, dict, Any, TSecretStrValue, TSecretValue]
PATHS: list[tuple[str, str | None, tuple[str, ...]]] = [
    ("key", None, ()),
    ("key", "pipe", ()),
    ("key", None, ("sources", "github")),
    ("key", "pipe", ("sources", "github", "issues")),
    ("Key", "", ("Sources", "", "github")),
    ("a_b", "pipe", ("", "c__d")),
    ("not_set", None, ("sources",)),
]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "KEY",
        "PIPE__KEY",
        "SOURCES__GITHUB__KEY",
        "PIPE__SOURCES__GITHUB__ISSUES__KEY",
        "PIPE__C__D__A_B",
    ):
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv(speed.ENVIRONMENT_VARIABLE, raising=False)


@pytest.mark.parametrize("hint", HINTS)
@pytest.mark.parametrize(("key", "pipeline", "sections"), [*PATHS, ("empty", None, ())])
def test_answers_and_names_are_those_of_dlt(
    hint: Any, key: str, pipeline: str | None, sections: tuple[str, ...]
) -> None:
    ours = FastEnvironProvider().get_value(key, hint, pipeline, *sections)

    assert ours == EnvironProvider().get_value(key, hint, pipeline or "", *sections)


def test_it_is_called_and_empty_as_that_of_dlt() -> None:
    ours, dlts = FastEnvironProvider(), EnvironProvider()

    assert ours.name == dlts.name
    assert ours.is_empty == dlts.is_empty
    assert ours.supports_secrets == dlts.supports_secrets
    assert ours.supports_sections == dlts.supports_sections


def test_where_there_are_files_of_secrets_dlt_itself_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources--github--key").write_text("from a file")
    monkeypatch.setattr(speed, "_SECRET_FILES", str(tmp_path))
    module = "dlt.common.configuration.providers.environ.SECRET_STORAGE_PATH"
    monkeypatch.setattr(module, f"{tmp_path}/%s")

    found, _ = FastEnvironProvider().get_value("key", TSecretStrValue, None, "sources", "github")

    assert found == "from a file"


def test_sandboxed_contexts_ask_it(tmp_path: Path) -> None:
    with isolated(Sandbox(str(tmp_path / "sandbox"), None, str(tmp_path))):
        names = [type(p).__name__ for p in dlt.current.run_context().initial_providers()]

    assert "SandboxEnvironProvider" in names
    assert "EnvironProvider" not in names
