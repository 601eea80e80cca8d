"""Rules of the house that import-linter cannot express."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for package in ("dlthub_project", "pytest_dlthub")
    for path in (ROOT / package).rglob("*.py")
)
INTERNALS = ROOT / "dlthub_project" / "dlt_internals"

# what dlt does not document for others to build on
NON_PUBLIC = (
    "dlt._workspace",
    "dlt.common.configuration.container",
    "dlt.common.configuration.resolve",
    "dlt.common.runtime",
    "dlt.dataset.utils",
    "dlt.destinations.impl",
    "dlt.destinations.job_client_impl",
    "dlt.destinations.sql_client",
)


def imported_at_run_time(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that are imported, also in functions; not those for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_dlt_internals_imports_what_dlt_does_not_document(path: Path) -> None:
    if INTERNALS in path.parents:
        return
    imported = imported_at_run_time(ast.parse(path.read_text(encoding="utf-8")))

    assert [name for name in imported if name.startswith(NON_PUBLIC)] == []


def test_what_is_silenced_says_why() -> None:
    with_reason = re.compile(r"(type: ignore\[[^]]*\]|noqa: \w+)\s+# \w")
    without = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if "# type: ignore" in line or "# noqa" in line:
                # behind it, or in a comment above
                above = any(re.match(r"\s*# \w", earlier) for earlier in lines[number - 4 : number])
                if not (with_reason.search(line) or above):
                    without.append(f"{path}:{number + 1}")

    assert without == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
