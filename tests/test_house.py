"""Rules of the house that import-linter cannot express."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from sampled import kept

from dlthub_project import context, sandbox
from dlthub_project.data_quality import check_kinds, metric_kinds, metrics
from dlthub_project.manifest import FILE_NAME, models
from dlthub_project.runner import declared_runs, retry
from pytest_dlthub import activation, options

ROOT = Path(__file__).parents[1]
OWN = ("dlthub_project", "pytest_dlthub")
MODULES = sorted(path for package in OWN for path in (ROOT / package).rglob("*.py"))
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
                # a name may be a module, or be found in the package's `__init__`
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in names else str(node.module))
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_dlt_internals_touches_private_parts_of_others(path: Path) -> None:
    if INTERNALS in path.parents:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours_here, ours = {*defined_names(tree)}, names_of_all_modules()

    # a class may use what its own base class has in another module; of any other object, a name
    # with an underscore is private to the module that defines it
    assert [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for name, line, is_own in touched_names(tree)
        if is_private(name) and name not in (ours if is_own else ours_here)
    ] == []


@pytest.mark.parametrize(
    "code",
    [
        "pipeline._get_destination_clients(schema)",
        "dataset._destination = other",
        "def f(pipeline):\n    return pipeline._state_restored",
        "class C(dlt.Pipeline):\n    def load(self):\n        return self._load_storage_config()",
        "class C(dlt.Pipeline):\n    def load(self):\n        self._state_restored = True",
        "class C(dlt.Pipeline):\n    def load(self):\n        super()._set_destinations()",
        'getattr(pipeline, "_destination")',
        'hasattr(pipeline, "_destination")',
        'NAME = "_destination_client"\nsetattr(dataset, NAME, client)',
        'vars(dataset)["_destination"]',
        'dataset.__dict__["_destination"] = other',
        'vars(dataset).get("_destination")',
        "dlt.pipeline(_impl_cls=Other)",
        "from dlt.pipeline.pipeline import _something",
    ],
)
def test_each_way_to_a_private_part_is_seen(code: str) -> None:
    tree = ast.parse(code)
    ours = {*defined_names(tree)}

    assert [n for n, *_ in touched_names(tree) if is_private(n) and n not in ours] != []


def test_no_class_of_ours_overrides_a_private_method_of_dlt() -> None:
    overridden = [
        f"{module}.{cls.__name__}.{name}"
        for module in map(dotted, MODULES)
        # found as `dlthub` alone; it has no classes
        if "dlt_internals" not in module and ".hub." not in module
        for cls in vars(importlib.import_module(module)).values()
        if inspect.isclass(cls) and cls.__module__ == module
        for base in cls.__mro__[1:]
        if base.__module__.startswith("dlt.")
        for name in vars(cls)
        if is_private(name) and inspect.isfunction(vars(base).get(name))
    ]

    assert overridden == []


# of named tuples, `sys` and `os`: these are documented
DOCUMENTED = ("_replace", "_asdict", "_fields", "_getframe", "_Environ")
# how attributes begin that we write on objects of others
MARK = "_dlthub_"
CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "__setstate__")


def is_private(name: str) -> bool:
    is_hidden = name.startswith("_") and not name.startswith("__")
    return is_hidden and name not in DOCUMENTED and not name.startswith(MARK)


@cache
def names_of_all_modules() -> frozenset[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in MODULES)
    return frozenset(name for tree in trees for name in defined_names(tree))


def defined_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module, its classes and the constructors of these define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            if node.name in CONSTRUCTORS:
                yield from (
                    inner.attr
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
                )
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def touched_names(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Yield the attributes, arguments and imports that a module names, with their lines.

    And whether the object is the class's own.
    """
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def text(node: ast.expr) -> str:
        found = constants.get(node.id, node) if isinstance(node, ast.Name) else node
        return str(found.value) if isinstance(found, ast.Constant) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno, ast.unparse(node.value) in ("self", "cls", "super()")
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(OWN):
            yield from ((alias.name, node.lineno, False) for alias in node.names)
        elif isinstance(node, ast.Subscript) and is_namespace(ast.unparse(node.value)):
            yield text(node.slice), node.lineno, False
        elif isinstance(node, ast.Call):
            yield from ((keyword.arg or "", node.lineno, False) for keyword in node.keywords)
            function, _, method = ast.unparse(node.func).rpartition(".")
            if method in ("getattr", "setattr", "hasattr", "delattr") and node.args[1:]:
                yield text(node.args[1]), node.lineno, False
            elif is_namespace(function) and node.args:
                yield text(node.args[0]), node.lineno, False


def is_namespace(expression: str) -> bool:
    return expression.startswith("vars(") or expression.endswith("__dict__")


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


def test_contributing_names_files_that_are_there() -> None:
    wrong = []
    folder = ROOT
    for line in CONTRIBUTING.partition("## Where to change what")[2].splitlines():
        if line.startswith("#"):
            folder = ROOT
        if below := re.search(r"Paths are below `(\w+)/`", line):
            folder = ROOT / below[1]
        for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", line):
            is_of_repository = name.split("/")[0] in (*OWN, "docs", "tests", "benchmarks")
            if not ((ROOT if is_of_repository else folder) / name).exists():
                wrong.append(name)

    assert wrong == []


def test_names_that_two_rooms_have_are_the_same() -> None:
    policy, run_config = models.RetryPolicyEntry, models.RunConfigEntry
    assert set(retry._POLICIES) == {*literals(policy, "type")}
    assert {*retry._DEFAULTS, "type"} == {*policy.model_fields}
    assert set(declared_runs._NUMBERS) == {*retry._DEFAULTS}
    for entry, functions in (
        (models.CheckEntry, check_kinds._KINDS),
        (models.ColumnMetricEntry, metric_kinds._OF_COLUMNS),
    ):
        assert {*entry.model_fields} == {*functions}
    assert {*get_args(models.TableMetric)} == {*metric_kinds._OF_TABLES}
    of_datasets = inspect.getmembers(metrics.dataset, inspect.isfunction)
    assert {*get_args(models.DatasetMetric)} == {name for name, _ in of_datasets if name[0] != "_"}
    assert set(retry.STEPS) == {*literals(run_config, "retry_pipeline_steps")}
    # the plugin imports nothing of the runtime, and says again what that reads
    assert activation.SANDBOX_VARIABLE == sandbox.ENVIRONMENT_VARIABLE
    assert activation.PROFILE_VARIABLE == context.PROFILE_VARIABLE
    assert options.MANIFEST == FILE_NAME


def literals(model: type[BaseModel], field: str) -> Iterator[str]:
    """Yield the words that a field of a model may have."""
    left = [model.model_fields[field].annotation]
    while left:
        found = left.pop()
        left += [part for part in get_args(found) if not isinstance(part, str)]
        yield from (part for part in get_args(found) if isinstance(part, str))


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (4, 1, {0}),
        (1, 2, {0}),
        (2, 2, {0, 1}),
        (9, 2, {0, 8}),
        (9, 3, {0, 4, 8}),
        (4, 3, {0, 2, 3}),
    ],
)
def test_sampled_cases_are_the_first_the_last_and_some_between(
    total: int, count: int, expected: set[int]
) -> None:
    assert kept(total, count) == expected
