"""Writes the page on red tests: what pytest prints of the suite in tests/projects/red, and why.

`python tests/support/red_page.py` writes it anew.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neighbours import without_neighbours

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "tests" / "projects" / "red"
PAGE = ROOT / "docs" / "explanation" / "red-tests.md"
OPTIONS = ("-p", "no:cacheprovider", *without_neighbours().split())

_SHOWN, _WIDTH = 8, 160
_HEADER = re.compile(r"_{3,} (test_\w+) _{3,}")
_ARGUMENT = re.compile(r"\w+ += ")
# what differs from run to run
_VOLATILE = (
    (re.compile(r"[^ '\"(]*/\d{4}-(test_\w+)"), r"…/\1"),
    (re.compile(r"[^ '\"(]*/(site-packages|lib/python\d\.\d+)/"), "…/"),
    (re.compile(r"/\S*/(shop\.duckdb|test_\w+0)"), r"…/\1"),
    (re.compile(r"\b\d+\.\d\d\b( s)?(?=[ ,):]|$)"), r"0.10\1"),
    (re.compile(r"\b\d{10}\.\d+"), "1700000000.1"),
    (re.compile(r"\.[0-9a-f]{10}\."), ".0a1b2c3d4e."),
    (re.compile(r" at 0x[0-9a-f]+"), " at 0x1"),
    (re.compile(r"\b[\w+/]{14}(?=\\?')"), "0a1b2c3d4e5f6g"),
    (re.compile(r"(test_(?:ours|plain)\.py):\d+"), r"\1:12"),
    (re.compile(r"python3? -ic"), "python -ic"),
    (re.compile(r"-{3,}( \S.*\S )-{3,}"), r"----\1----"),
    (re.compile(r"(_ ){3,}_?"), "_ _ _"),
)


@dataclass(frozen=True)
class Printed:
    """What pytest prints of a failed test.

    Attributes:
        count: The number of lines, empty ones left out.
        told: Those that are no source of a function.
    """

    count: int
    told: tuple[str, ...]


def printed_failures(lines: Iterable[str]) -> dict[str, Printed]:
    """Return what a session prints of each failed test, by its name."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        if header := _HEADER.fullmatch(line):
            current = found.setdefault(header[1], [])
        elif line.startswith("==="):
            current = None
        elif current is not None and line.strip():
            current.append(line)
    return {
        name: Printed(len(lines), tuple(map(steady, filter(_is_told, lines))))
        for name, lines in found.items()
    }


def steady(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, text in _VOLATILE:
        line = pattern.sub(text, line)
    return line.rstrip()


def page(ours: dict[str, Printed], plain: dict[str, Printed]) -> str:
    """Return the page."""
    parts = [_HEAD, "| failure | lines with plain pytest | with the plugin |", "|---|---|---|"]
    parts += [
        f"| [{_title(name)}](#{_anchor(name)}) | {plain[name].count} | {told.count} |"
        for name, told in ours.items()
    ]
    for name, told in ours.items():
        parts += ["", f"## {_title(name)}", "", *_block("With the plugin", "ours", name, told)]
        parts += ["", *_block("Plain pytest", "plain", name, plain[name])]
    return "\n".join(parts) + "\n"


def block_of(name: str, told: Printed) -> str:
    """Return the block of the page that shows what the plugin prints of a test."""
    return "\n".join(_block("With the plugin", "ours", name, told))


def _block(whose: str, module: str, name: str, printed: Printed) -> list[str]:
    # arguments of dlt's functions are in another order each time
    lines = [_cut(line) for line in printed.told if module == "ours" or not _ARGUMENT.match(line)]
    more = len(lines) - _SHOWN if module == "plain" else 0
    shown = [*lines[:_SHOWN], f"… and {more} lines more"] if more > 0 else lines
    return [f"{whose}:", "", "```text", *_source(module, name), "", *shown, "```"]


def _source(module: str, name: str) -> list[str]:
    text = (SUITE / f"test_{module}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    found = next(node for node in functions if node.name == name)
    return text.splitlines()[found.lineno - 1 : found.end_lineno]


def _title(name: str) -> str:
    words = name.removeprefix("test_").replace("_", " ").replace("not null", "NOT NULL")
    return words[0].upper() + words[1:]


def _anchor(name: str) -> str:
    return _title(name).lower().replace(" ", "-")


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _is_told(line: str) -> bool:
    return not line.startswith(("    ", ">"))


def run(module: str, *options: str) -> dict[str, Printed]:
    """Run a module of the suite in a new process; `plain` without the plugin."""
    off = ("-p", "no:dlthub") if module == "plain" else ()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_ADDOPTS")}
    with tempfile.TemporaryDirectory() as folder:
        suite = shutil.copytree(SUITE, f"{folder}/red", ignore=shutil.ignore_patterns("__py*"))
        command = [sys.executable, "-m", "pytest", f"--basetemp={folder}/tmp", *OPTIONS, *off]
        done = subprocess.run(
            [*command, f"test_{module}.py", *options],
            cwd=suite,
            env={**environment, "RUNTIME__DLTHUB_TELEMETRY": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
    return printed_failures(done.stdout.splitlines())


_HEAD = """# Red tests, with the plugin and without

Tests that fail for usual reasons, and what pytest prints of each. All of it is the output of one suite, `tests/projects/red`; `python tests/support/red_page.py` has written this page, and tests hold what the plugin prints to it. Left out are the source and arguments of functions, which pytest prints above, empty lines, and what differs from run to run; of plain pytest the first lines are shown.

The first line that is no source names the table, the column or key, and the cause. A message of the destination is there once: dlt's log has it four times more. [When a test is red](../how-to/when-a-test-is-red.md) says what the section `dlt` tells, and how to have all of dlt's traceback.
"""  # noqa: E501  # a paragraph of Markdown is one line


if __name__ == "__main__":
    PAGE.write_text(page(run("ours"), run("plain")), encoding="utf-8")
