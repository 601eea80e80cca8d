"""Suites of plain dlt code: whether one asks for anything of ours, before its modules are imported.

Nothing but the text of its files can tell that early. A file that has one of our names is parsed.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import warnings
from collections.abc import Iterable

import pytest

from pytest_dlthub.suite_files import SuiteFiles

# fixtures that have a sandbox, and the mark that comes with one of them
FIXTURES = frozenset(
    {
        "dlt_config",
        "dlt_dataset",
        "dlt_isolated",
        "dlt_loaded",
        "dlt_project",
        "dlt_run",
        "dlt_runs",
    }
)
_MARK = "dlt_load"
_OURS = re.compile(rb"dlt_(?:config|dataset|isolated|load|loaded|project|runs?)\b")
_CALLS_WITH_NAMES = {"add_marker", "getfixturevalue", "usefixtures"}


def asks_for_sandbox(config: pytest.Config) -> bool:
    """Tell whether a suite asks for one of our fixtures, or has our mark.

    A fixture of its own that has the name of one of ours is not ours. A fixture of an installed
    plugin that uses one of ours is not seen.
    """
    if FIXTURES.intersection(config.getini("usefixtures")):
        return True
    files = SuiteFiles(config)
    tests: list[str] = config.getini("python_functions")
    # what conftests override is not ours in test files either
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
    """Those of our names that one file asks for, and those that it gives to fixtures of its own."""

    def __init__(self, text: bytes, tests: Iterable[str]) -> None:
        self.asked: set[str] = set()
        self.overridden: set[str] = set()
        if not _OURS.search(text):
            return
        self._tests = tests
        try:
            with warnings.catch_warnings():
                # those of its syntax are for whoever imports it
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            # nor can it be imported
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
    """Return the name of a fixture, or None of what is none."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        # `pytest_asyncio.fixture` and those of other plugins are called so too
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
