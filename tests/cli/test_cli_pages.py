"""The commands of the reference pages print what the pages show."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pages import Reader

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
DltProgram = Callable[..., subprocess.CompletedProcess[str]]


# two sessions of pytest in processes of their own
@pytest.mark.slow
def test_commands_of_the_page_on_data_print_what_it_shows(
    tmp_path: Path, dlt_main: DltProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        program, *arguments = words
        assert program == "dlt"
        monkeypatch.chdir(folder)
        done = dlt_main(*arguments)
        return done.returncode, done.stdout + done.stderr

    reader = Reader(tmp_path, run)
    page = REFERENCE / "commands-for-data.md"
    reader.follow(page)

    # the first test that one of the commands writes
    written = (reader.folder / "tests" / "test_load_orders.py").read_text(encoding="utf-8")
    on_page = page.read_text(encoding="utf-8")
    assert DATE.sub("", written) in DATE.sub("", on_page)
