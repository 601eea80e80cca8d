"""The Python code that loads are made from: the project's, and what it imports from elsewhere."""

from __future__ import annotations

import ast
import fnmatch
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import dlthub_project
import pytest_dlthub
from pytest_dlthub.templates.digests import file_digest

_READS = re.compile(
    r"""(?:environ(?:\.get\(|\.setdefault\(|\[)|getenv\()\s*["'](\w+)["']"""
    r"""|["'](\w+)["']\s+(?:not\s+)?in\s+(?:os\.)?environ\b""",
    re.ASCII,
)
_LOOK_UPS = re.compile(r"""(?:config|secrets)(?:\.get\(|\[)\s*["']([\w.]+)["']""", re.ASCII)
_NOT_CODE = ("__pycache__", "node_modules", "site-packages")
_INSTALLED = ("site-packages", "dist-packages")
_SCHEMAS = (".schema.yaml", ".schema.json")


class Code:
    """The code below one folder, read once: modules load once, too."""

    def __init__(self, root: Path, test_patterns: Sequence[str]) -> None:
        """Make it.

        Args:
            root: The folder of the project, workspace or plain dlt code.
            test_patterns: Names of files that hold tests, as `test_*.py`.
        """
        self.root = root
        # one that every file has does not tell tests from other code
        # conftests count: what their fixtures replace is loaded
        patterns = (p for p in test_patterns if not fnmatch.fnmatch("module.py", p))
        self._test_patterns = tuple(patterns)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of all modules that are not tests, and of the schemas that dlt finds there."""
        return {path: file_digest(Path(path)) for path in (*self._modules, *self._schemas)}

    def names_read(self, modules: Iterable[str]) -> set[str]:
        """Return the environment variables that code reads by name, perhaps when it is imported.

        Args:
            modules: The files of further modules.
        """
        return {name for path in {*self._modules, *modules} for name in _names_read_in(path)}

    def modules_beside(self, tests: Collection[str]) -> list[str]:
        """Return the files of imported modules that are not among `digests`, and not installed.

        Those beside the project are among them, and packages that are installed to be edited.

        Args:
            tests: The files of which tests were collected; they are left out.
        """
        files = {getattr(module, "__file__", None) or "" for module in [*sys.modules.values()]}
        known = {*self._modules, *tests}
        return sorted(f for f in files - known if f.endswith(".py") and not _is_installed(f))

    def tests_with(self, files: Iterable[str], tests: Collection[str]) -> list[str]:
        """Return, of test files, what they and those they import hold beside tests.

        Args:
            files: The files that define functions of a load; others than tests are left out.
            tests: The files of which tests were collected.
        """
        found: dict[str, str] = {}
        left = [*files]
        while left:
            file = left.pop()
            if file in tests and file not in found and file not in self.digests:
                tree = _without_tests(Path(file).read_bytes())
                found[file] = ast.dump(tree)
                left += _imported_in(tree, file)
        return [found[file] for file in sorted(found)]

    @cached_property
    def _modules(self) -> list[str]:
        return [path for path in self._files if path.endswith(".py")]

    @cached_property
    def _schemas(self) -> list[str]:
        folders = {os.path.dirname(path) for path in self._modules}
        schemas = (path for path in self._files if path.endswith(_SCHEMAS))
        return [path for path in schemas if os.path.dirname(path) in folders]

    @cached_property
    def _files(self) -> list[str]:
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if _may_have_code(os.path.join(folder, name))]
            yield from (os.path.join(folder, name) for name in files if not self._is_test(name))

    def _is_test(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in self._test_patterns)


def installed_versions() -> list[str]:
    """Return the names of the distributions that are installed, with their versions."""
    found: set[str] = set()
    for folder in filter(os.path.isdir, sys.path):
        found.update(n for n in os.listdir(folder) if n.endswith((".dist-info", ".egg-info")))
    return sorted(found)


def _may_have_code(folder: str) -> bool:
    name = os.path.basename(folder)
    if name.startswith(".") or name in _NOT_CODE:
        return False
    return not os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _is_installed(file: str) -> bool:
    # of this package the key has the version
    ours = (os.path.dirname(str(p.__file__)) + os.sep for p in (dlthub_project, pytest_dlthub))
    library = (sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
    is_in_site = any(f"{os.sep}{name}{os.sep}" in file for name in _INSTALLED)
    return is_in_site or file.startswith((*ours, *library))


@lru_cache(maxsize=4096)
def _names_read_in(path: str) -> frozenset[str]:
    try:
        code = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    names = {name for found in _READS.findall(code) for name in found if name}
    # through dlt: `secrets["sources.token"]` is the variable SOURCES__TOKEN
    return frozenset(names | {n.replace(".", "__").upper() for n in _LOOK_UPS.findall(code)})


def _without_tests(code: bytes) -> ast.Module:
    """Return a test file's code beside its tests: sources, what they use, fixtures."""
    whole = ast.parse(code)
    # a source may use a function that is called like a test, and a mark use a source
    used = {name for node in ast.walk(whole) for name in _names_in_decorators(node)}
    while True:
        tree: ast.Module = _Tests(used).visit(ast.parse(code))
        now = _names_in(tree)
        if now <= used:
            return tree
        used |= now


def _names_in_decorators(node: ast.AST) -> set[str]:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return {name for decorator in decorators for name in _names_in(decorator)}


def _names_in(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


class _Tests(ast.NodeTransformer):
    """Takes tests out of a module, but for those that other code uses."""

    def __init__(self, used: Collection[str]) -> None:
        self._used = used

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return self._kept(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST | None:
        return self._kept(node)

    def _kept(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST | None:
        return None if node.name.startswith("test") and node.name not in self._used else node


def _imported_in(tree: ast.Module, file: str) -> Iterator[str]:
    """Yield the files of the modules that a module imports."""
    package = next(
        (m.__package__ for m in [*sys.modules.values()] if getattr(m, "__file__", None) == file), ""
    )
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package) if node.level else relative
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if found := getattr(sys.modules.get(name), "__file__", None):
                yield found
