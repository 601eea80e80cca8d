"""The Python files of a project: which code counts for a template, and which only tests use."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

INSTALLED = ("site-packages", "dist-packages", "__pycache__")
"""Folders of packages: their version says what is in them."""

_NAMES_OF_TESTS = re.compile(rb"\btest_[a-zA-Z0-9_]+")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# code in these runs later than the body around it
_LATER = (*_FUNCTIONS, ast.Lambda, ast.GeneratorExp, ast.ClassDef)
# with these, code can read a name without writing it
_BY_OTHER_MEANS = {
    *("globals", "vars", "locals", "eval", "exec", "getattr", "__dict__", "__import__"),
    *("modules", "import_module", "inspect"),
}


class PythonFiles:
    """The Python files below a folder, less its tests."""

    def __init__(self, root: Path, known: Path) -> None:
        """Make the object; reads nothing yet.

        Args:
            root: The folder.
            known: A folder for a cache of parsed test files, by content: to parse one takes ms.
        """
        self._root = root
        self._known = known / "test_files.json"

    @property
    def digest(self) -> str:
        """A digest of the content and names of all files."""
        plain: dict[str, str] = {}
        tests: dict[str, bytes] = {}
        used: set[str] = set()
        for path in sorted(_python_files(self._root)):
            with contextlib.suppress(OSError):
                content = Path(path).read_bytes()
                plain[path] = hashlib.blake2b(content, digest_size=16).hexdigest()
                # by name, collected or not: another session may collect other files
                if os.path.basename(path).startswith("test_") or path.endswith("_test.py"):
                    tests[path] = content
                else:
                    used.update(map(bytes.decode, _NAMES_OF_TESTS.findall(content)))
        parsed = self._parsed({plain[path]: content for path, content in tests.items()})
        # a source may have the name of a test
        used |= {name for path in tests for name in parsed[plain[path]]["names"]}
        state = hashlib.blake2b(digest_size=16)
        for path, digest in plain.items():
            parts = [digest]
            if path in tests:
                found = parsed[digest]
                bodies = (text for name, text in found["bodies"].items() if name in used)
                parts = [found["digest"], *bodies]
            state.update("\0".join([path, *parts, ""]).encode("utf-8", "surrogateescape"))
        return state.hexdigest()

    def _parsed(self, contents: Mapping[str, bytes]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        # not there yet, or half written
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._known.read_text(encoding="utf-8"))
        new = {d: _without_tests(c) for d, c in contents.items() if d not in found}
        found = {**{d: f for d, f in found.items() if d in contents}, **new}
        if new:
            with contextlib.suppress(OSError):
                self._known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                written = self._known.with_name(f"{os.getpid()}-{self._known.name}")
                written.write_text(json.dumps(found), encoding="utf-8")
                written.replace(self._known)
        return found


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if may_have_code(os.path.join(folder, name))]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".py"))


def may_have_code(folder: str) -> bool:
    """Tell whether a folder may hold code of the project, and not files of a tool."""
    name = os.path.basename(folder)
    if name.startswith(".") or name in (*INSTALLED, "_data", "node_modules"):
        return False
    return not os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _without_tests(code: bytes) -> dict[str, Any]:
    """Return a digest of a test file without its tests, the digests of tests, and used names."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return {"digest": hashlib.blake2b(code).hexdigest(), "bodies": {}, "names": []}
    names: set[str] = set()
    bodies: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, _FUNCTIONS) and is_test(node):
            bodies[node.name] = bodies.get(node.name, "") + _digest_of_tree(node)
    # their decorators, too: they are marks, and count by what fixtures do with them
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [n for n in body if not (isinstance(n, _FUNCTIONS) and is_test(n))]
    return {"digest": _digest_of_tree(tree), "bodies": bodies, "names": sorted(names)}


def is_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is a test, and neither a fixture nor part of a source."""
    marks = all(".mark." in ast.unparse(decorator) for decorator in node.decorator_list)
    return marks and node.name.startswith("test_")


def _digest_of_tree(tree: ast.AST) -> str:
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()


def is_only_of_tests(name: str, file: str, others: Collection[str]) -> bool:
    """Tell whether only bodies of tests use a name of a test module, such as a counter.

    Args:
        name: The name.
        file: The file of the test module.
        others: The files of all other modules that are not installed.
    """
    outside, tests = _names_and_tests(file)
    if not tests or name in outside or outside & _BY_OTHER_MEANS or tests & outside:
        return False
    return not _is_in_any(frozenset((name, *tests)), frozenset(others))


# every load asks for this again: we read each text once
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
def _names_and_tests(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that code outside of tests uses, and the names of tests."""
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
    """Yield the nodes outside of tests' bodies, and those in them that run later."""
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
