"""Suites of plain dlt code: finds out early whether tests use sandboxes, and moves dlt's folder.

Before collection only the texts of files are there. It parses each file that has one of our names.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from pytest_dlthub.options import collected_paths

# fixtures that have a sandbox; `dlt_load` is the mark that uses one of them
FIXTURES = frozenset(
    {
        "dlt_config",
        "dlt_dataset",
        "dlt_faults",
        "dlt_isolated",
        "dlt_items",
        "dlt_loaded",
        "dlt_project",
        "dlt_run",
        "dlt_runs",
        "dlt_schema_snapshot",
    }
)
_MARK = "dlt_load"
_OURS = re.compile(rb"(?:%s)\b" % "|".join((*FIXTURES, _MARK)).encode())
_CALLS_WITH_NAMES = {"add_marker", "getfixturevalue", "usefixtures"}


_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n#;]*)|import[ \t]+([^\n#;]*))",
    re.MULTILINE,
)
_PLUGINS = re.compile(rb"^pytest_plugins\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)", re.MULTILINE)
_DOTTED = re.compile(r"[.\w]+")


_TELEMETRY_VARIABLE = "RUNTIME__DLTHUB_TELEMETRY"
# where dlt keeps files that code makes outside of sandboxes; the second is for the runtime, since
# no variable of dlt moves all of them
_FOLDER_VARIABLES = ("DLT_DATA_DIR", "DLTHUB_PROJECT_EARLY_CODE")
_SECRETS_VARIABLE = "DLTHUB_PROJECT_EARLY_SECRETS"


def asks_for_sandbox(item: pytest.Item) -> bool:
    """Tell whether a test uses one of our fixtures."""
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def import_before(tests: Iterable[pytest.Item], *, isolates_all: bool) -> None:
    """Import what sandboxes need, if tests use them, before the first test.

    Within a test, pytest-timeout could break the import off, for all later tests too.
    """
    asks = isolates_all or any(map(asks_for_sandbox, tests))
    if asks and "dlt.pipeline.pipeline" in sys.modules:
        importlib.import_module("dlthub_project.sandbox.patches")


def suite_asks_for_sandbox(config: pytest.Config) -> bool:
    """Tell whether a suite uses one of our fixtures, or has our mark.

    Its own fixtures may have the names of ours; they do not count. It misses fixtures of installed
    plugins that use ours.
    """
    if FIXTURES.intersection(config.getini("usefixtures")):
        return True
    files = SuiteFiles(config)
    tests: list[str] = config.getini("python_functions")
    # a fixture that conftests override is theirs in test files too
    overridden: set[str] = set()
    for text in files.conftests():
        found = _Names(text, tests)
        if found.asked - found.overridden:
            return True
        overridden |= found.overridden
    for text in files.tests():
        found = _Names(text, tests)
        if found.asked - found.overridden - overridden:
            return True
    return False


class _Names:
    """Which of our names one file uses, and which it gives to fixtures of its own."""

    def __init__(self, text: bytes, tests: Iterable[str]) -> None:
        self.asked: set[str] = set()
        self.overridden: set[str] = set()
        if not _OURS.search(text):
            return
        self._tests = tests
        try:
            with warnings.catch_warnings():
                # pytest shows warnings of its syntax when it imports the file
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            # pytest reports that when it imports the file
            return
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._add_function(node)
            elif isinstance(node, ast.Call) and _last_name(node.func) in _CALLS_WITH_NAMES:
                self._add(_text_of(argument) for argument in node.args)
            elif isinstance(node, ast.Attribute) and _last_name(node.value) == "mark":
                self._add([node.attr])

    def _add_function(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        fixture = _fixture_name(function)
        if fixture is None and not self._is_test(function.name):
            return
        given = function.args
        names = {argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        self._add(names)
        if fixture in FIXTURES and fixture not in names:
            self.overridden.add(fixture)

    def _is_test(self, name: str) -> bool:
        return any(name.startswith(test) or fnmatch.fnmatch(name, test) for test in self._tests)

    def _add(self, names: Iterable[str]) -> None:
        self.asked.update(name for name in names if name in FIXTURES or name == _MARK)


def _fixture_name(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """Return the name of a fixture, or None if the function is not one."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        # this includes `pytest_asyncio.fixture` and those of other plugins
        if "fixture" in _last_name(called):
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = [_text_of(keyword.value) for keyword in keywords if keyword.arg == "name"]
            return next(filter(None, named), function.name)
    return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


class SuiteFiles:
    """The files of a suite, each once, with its text."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._patterns: list[str] = config.getini("python_files")
        self._skipped: list[str] = config.getini("norecursedirs")
        self._paths: list[Path] = config.getini("pythonpath")
        self._plugins: list[str] = getattr(config.known_args_namespace, "plugins", None) or []
        self._collected = list(collected_paths(config))
        self._listings: dict[Path, frozenset[str]] = {}
        self._read: set[Path] = set()
        self._looked_up: set[tuple[Path, bytes]] = set()

    def conftests(self) -> Iterator[bytes]:
        """Yield the texts of conftests and of the suite's own plugins."""
        above = {folder for path in self._collected for folder in self._up_from(path)}
        yield from self._texts(folder / "conftest.py" for folder in above)
        yield from self._texts(self._walk(["conftest.py"]))
        for name in self._plugins:
            yield from self._texts(self._modules(name, [self._root, *self._paths]))

    def tests(self) -> Iterator[bytes]:
        """Yield the texts of test files."""
        yield from self._texts(path for path in self._collected if path.is_file())
        yield from self._texts(self._walk(self._patterns))

    def _up_from(self, path: Path) -> list[Path]:
        """Return the folders from that of a file up to pytest's rootdir."""
        folder = path if path.is_dir() else path.parent
        folders = [folder, *folder.parents]
        return folders[: folders.index(self._root) + 1] if self._root in folders else [folder]

    def _walk(self, patterns: Iterable[str]) -> Iterator[Path]:
        for path in self._collected:
            for folder, folders, files in os.walk(path):
                folders[:] = [
                    name
                    for name in folders
                    if not _matches(name, self._skipped)
                    and not os.path.isfile(os.path.join(folder, name, "pyvenv.cfg"))
                ]
                yield from (Path(folder, name) for name in files if _matches(name, patterns))

    def _texts(self, paths: Iterable[Path]) -> Iterator[bytes]:
        for first in paths:
            waiting = [first]
            while waiting:
                path = waiting.pop()
                if path in self._read:
                    continue
                self._read.add(path)
                try:
                    text = path.read_bytes()
                except OSError:
                    # pytest reports that when it collects the file
                    continue
                yield text
                waiting.extend(self._imported(path, text))

    def _imported(self, path: Path, text: bytes) -> Iterator[Path]:
        for found in _IMPORT.finditer(text):
            # the same line in the same folder imports the same files
            line = (path.parent, found[0])
            if line in self._looked_up:
                continue
            self._looked_up.add(line)
            module, names, modules = found.groups()
            if module:
                yield from self._imported_from(path, module.decode(), _dotted(names))
            else:
                for name in _dotted(modules):
                    yield from self._modules(name, self._bases(path))
        if b"pytest_plugins" not in text:
            return
        for plugins in _PLUGINS.findall(text):
            for name in _dotted(plugins):
                yield from self._modules(name, self._bases(path))

    def _imported_from(self, path: Path, module: str, names: list[str]) -> Iterator[Path]:
        absolute = module.lstrip(".")
        dots = len(module) - len(absolute)
        bases = [path.parents[min(dots, len(path.parents)) - 1]] if dots else self._bases(path)
        for name in ["", *names]:
            yield from self._modules(".".join(filter(None, (absolute, name))), bases)

    def _bases(self, path: Path) -> list[Path]:
        """Return the folders that may hold the modules which a file imports."""
        return [*self._up_from(path), *self._paths]

    def _modules(self, name: str, bases: Iterable[Path]) -> Iterator[Path]:
        """Yield the files that run if a module is imported: those of its packages, and its own."""
        for base in bases:
            folder = base
            for part in name.split("."):
                if f"{part}.py" in self._listing(folder):
                    yield folder / f"{part}.py"
                if part not in self._listing(folder):
                    break
                folder /= part
                if "__init__.py" in self._listing(folder):
                    yield folder / "__init__.py"

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]


def _dotted(text: bytes) -> list[str]:
    return _DOTTED.findall(text.decode(errors="replace"))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def take_over_earlier_code() -> None:
    """Take over the state of dlt, for tests, from a plugin that was imported before this one."""
    if "dlt" in sys.modules:
        from dlthub_project.sandbox import take_over_context

        take_over_context()


class EarlyCode:
    """The environment of plain code before its sandboxes."""

    def __init__(self, config: pytest.Config, secrets: str, folder: Callable[[], Path]) -> None:
        """Take pytest's configuration, the secrets that tests see, and the maker of the folder."""
        self._config = config
        self._secrets = secrets
        self._folder = folder
        self._before: dict[str, str | None] = {}
        self._ours: dict[str, str] = {}

    def begin_imports(self) -> None:
        """Parse the suite when a module first imports dlt: a suite without dlt loses no time."""
        if "dlt" in sys.modules:
            self._begin_if_asked()
            if self._ours:
                take_over_earlier_code()
        else:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing, and leave it to others: this only notices the import of dlt."""
        if name == "dlt" and self in sys.meta_path:
            sys.meta_path.remove(self)
            self._begin_if_asked()
        return None

    def _begin_if_asked(self) -> None:
        if suite_asks_for_sandbox(self._config):
            self._begin()

    def _begin(self) -> None:
        self._ours = {_TELEMETRY_VARIABLE: "false", _SECRETS_VARIABLE: self._secrets}
        self._ours.update(dict.fromkeys(_FOLDER_VARIABLES, str(self._folder())))
        self._before = {name: os.environ.get(name) for name in self._ours}
        os.environ.update(self._ours)
        # imported here, since that module imports dlt
        from dlthub_project.sandbox import note_threads

        note_threads()

    def end(self) -> None:
        """Put the environment back, except for variables that others have changed meanwhile."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, value in self._before.items():
            if os.environ.get(name) != self._ours[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self._before = {}

    @contextmanager
    def setup_of(self, item: pytest.Item) -> Iterator[None]:
        """Give a test's fixtures the early environment, if the test uses a sandbox."""
        if asks_for_sandbox(item):
            self._begin()
        try:
            yield
        finally:
            self.end()
