"""Rules of the house that import-linter cannot express."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from dlthub_project import context, sandbox
from dlthub_project.manifest import FILE_NAME, models
from dlthub_project.runner import declared, retry
from pytest_dlthub import activation, roots

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for package in ("dlthub_project", "pytest_dlthub")
    for path in (ROOT / package).rglob("*.py")
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
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


def test_the_map_in_contributing_names_every_room() -> None:
    named: set[str] = set()
    package = ""
    for line in CONTRIBUTING.split("```")[1].splitlines():
        name = line.strip().partition(" ")[0]
        if not line.startswith(" "):
            package = name
        named.add(name if name == package else package + name)
    rooms = set()
    for path in MODULES:
        package, *inner = path.relative_to(ROOT).parts
        rooms.add(f"{package}/{inner[0]}/" if len(inner) > 1 else f"{package}/{inner[0]}")

    assert sorted(r for r in rooms - named if not r.endswith("__init__.py")) == []


def test_the_table_in_contributing_names_files_that_are_there() -> None:
    _, table = CONTRIBUTING.split("## Where to change what")
    named = {match for match in re.findall(r"`([a-z_/]+(?:\.py|/))`", table) if "/" in match}
    packages = (ROOT, ROOT / "dlthub_project", ROOT / "pytest_dlthub")

    assert [n for n in sorted(named) if not any((p / n).exists() for p in packages)] == []


def test_names_that_two_rooms_have_are_the_same() -> None:
    policy, run_config = models.RetryPolicyEntry, models.RunConfigEntry
    assert set(retry._POLICIES) == {*literals(policy, "type")}
    assert {*retry._DEFAULTS, "type"} == {*policy.model_fields}
    assert set(declared._NUMBERS) == {*retry._DEFAULTS}
    assert set(retry.STEPS) == {*literals(run_config, "retry_pipeline_steps")}
    # the plugin imports nothing of the runtime, and says again what that reads
    assert activation.SANDBOX_VARIABLE == sandbox.ENVIRONMENT_VARIABLE
    assert activation.PROFILE_VARIABLE == context.PROFILE_VARIABLE
    assert roots.MANIFEST == FILE_NAME


def literals(model: type[BaseModel], field: str) -> Iterator[str]:
    """Yield the words that a field of a model may have."""
    left = [model.model_fields[field].annotation]
    while left:
        found = left.pop()
        left += [part for part in get_args(found) if not isinstance(part, str)]
        yield from (part for part in get_args(found) if isinstance(part, str))
