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
from dlthub_project.runner import pipeline_manager, retry
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


def test_no_import_leads_back_to_where_it_came_from() -> None:
    # TYPE_CHECKING and imports inside of functions count: a reader follows them, too
    names = {dotted(path): path for path in MODULES}
    imports: dict[str, set[str]] = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                of_module = {f"{node.module}.{alias.name}" for alias in node.names} & names.keys()
                found |= of_module or {str(node.module)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        imports[name] = (found & names.keys()) - {name}
    # whatever imports only what is no part of a circle is no part of one
    while free := [name for name, found in imports.items() if not found]:
        for name in free:
            del imports[name]
        imports = {name: found - {*free} for name, found in imports.items()}

    assert imports == {}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_only_dlt_internals_touches_private_parts_of_others() -> None:
    """A name with an underscore that no module of ours defines is a private part of others."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    ours = {name for tree in trees.values() for name in defined_names(tree)}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, tree in trees.items()
        if INTERNALS not in path.parents
        for name, line in touched_names(tree)
        if name.startswith("_") and not name.startswith("__") and name not in ours
    ]

    assert [one for one in found if not one.endswith(DOCUMENTED)] == []


# of named tuples, `sys` and `os`: not dlt's
DOCUMENTED = ("_replace", "_getframe", "_asdict", "_fields", "_Environ")


def defined_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id
                elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    yield target.attr


def touched_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("getattr", "setattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            yield str(node.args[1].value), node.lineno


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
    assert set(pipeline_manager._NUMBERS) == {*retry._DEFAULTS}
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
