"""Names of test modules that no load reads: counters that tests keep for themselves."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_dlthub.templates.python_files import is_test

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# what runs later than the body that it stands in
_LATER = (*_FUNCTIONS, ast.Lambda, ast.GeneratorExp, ast.ClassDef)
# by which code reads a name that it does not say
_BY_OTHER_MEANS = {
    *("globals", "vars", "locals", "eval", "exec", "getattr", "__dict__", "__import__"),
    *("modules", "import_module", "inspect"),
}


def is_only_of_tests(name: str, file: str, others: Collection[str]) -> bool:
    """Tell whether the bodies of tests alone name what a test module has.

    Args:
        name: What it is called.
        file: The file of the test module.
        others: The files of all other modules that are not installed.
    """
    outside, tests = _read(file)
    if not tests or name in outside or outside & _BY_OTHER_MEANS or tests & outside:
        return False
    return not _is_in_any(frozenset((name, *tests)), frozenset(others))


# asked again for each load, with the same answer: texts are read once
@functools.lru_cache(maxsize=1024)
def _is_in_any(words: frozenset[str], files: frozenset[str]) -> bool:
    return any(word in text for text in map(_text, files) for word in words)


@functools.lru_cache(maxsize=4096)
def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@functools.lru_cache(maxsize=1024)
def _read(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that code outside of tests reads, and the names of tests."""
    try:
        tree = ast.parse(_text(file))
    except (SyntaxError, ValueError):
        return frozenset(), frozenset()
    names: set[str] = set()
    tests: set[str] = set()
    for node in _outside(tree, tests):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
        elif isinstance(node, ast.alias):
            names |= {node.name.rpartition(".")[2], node.asname or ""}
    return frozenset(names), frozenset(tests)


def _outside(node: ast.AST, tests: set[str]) -> Iterator[ast.AST]:
    """Yield what is in no body of a test, and what runs later though it is in one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS) and is_test(child):
            tests.add(child.name)
            for part in (child.args, *child.decorator_list):
                yield from ast.walk(part)
            for statement in child.body:
                yield from _later(statement)
            continue
        yield child
        yield from _outside(child, tests)


def _later(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _LATER):
        yield from ast.walk(node)
        return
    for child in ast.iter_child_nodes(node):
        yield from _later(child)
