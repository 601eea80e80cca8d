"""The code of a function, and of what it uses of its module, without layout."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

_LAYOUT = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_NOT_CODE = (*_LAYOUT, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def code_with_what_it_uses(code: CodeType, module: str, values: Iterable[Any]) -> list[str]:
    """Return the code of a function, and of all that it uses of its module, and these use.

    These are functions, classes and values that the module defines by name, and functions and
    objects of classes among `values`. What a module imports is not followed.

    Args:
        code: That of the function.
        module: The name of its module.
        values: What it closes over, and is called with.

    Returns:
        Texts without comments, blanks and documentation, in every version of Python the same: first
        that of the function. It is empty where its source is not known.
    """
    lines, own = _source_of(code)
    if not own:
        return [""]
    defined = _defined_in("".join(lines))
    found: dict[str, None] = {own: None}
    waiting = [own]
    for text, name in _used(values, module):
        waiting += [text] if text else defined.get(name, ())
    while waiting:
        text = waiting.pop()
        found[text] = None
        others = (one for name in _names_in(text) for one in defined.get(name, ()))
        waiting += [one for one in others if one not in found and one not in waiting]
    first, *rest = map(_without_layout, found)
    return [first, *sorted({*rest})]


def _used(values: Iterable[Any], module: str) -> Iterator[tuple[str, str]]:
    """Yield the source of functions of a module, or the name of the class of an object of it."""
    waiting, seen = list(values), set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        elif inspect.ismethod(value):
            waiting.append(value.__self__)
        elif inspect.isfunction(value):
            function = inspect.unwrap(value)
            waiting += inspect.getclosurevars(value).nonlocals.values()
            waiting += inspect.getclosurevars(function).nonlocals.values()
            if function.__module__ == module:
                yield _source_of(function.__code__)[1], ""
        else:
            kind = value if isinstance(value, type) else type(value)
            if kind.__module__ == module:
                yield "", kind.__qualname__.partition(".")[0]


def _source_of(code: CodeType) -> tuple[list[str], str]:
    """Return the lines of the file that has a function, and the source of the function."""
    try:
        return inspect.findsource(code)[0], inspect.cleandoc("\n" + inspect.getsource(code))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        return [], ""


@functools.lru_cache(maxsize=100)
def _defined_in(source: str) -> Mapping[str, list[str]]:
    """Return the statements of a module that define a name, by it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    # as Python counts lines: a form feed begins none
    lines = [f"{line}\n" for line in source.split("\n")]
    found: dict[str, list[str]] = {}
    for statement in _statements(tree.body):
        first = min([statement.lineno, *(one.lineno for one in _decorators(statement))])
        text = inspect.cleandoc("\n" + "".join(lines[first - 1 : statement.end_lineno]))
        for name in _defined_by(statement):
            found.setdefault(name, []).append(text)
    return found


def _statements(nodes: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those within `if` and `try`."""
    for node in nodes:
        if isinstance(node, ast.If | ast.Try | ast.ExceptHandler):
            yield from _statements(ast.iter_child_nodes(node))
        elif isinstance(node, ast.stmt):
            yield node


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    return statement.decorator_list if isinstance(statement, _FUNCTIONS) else []


def _defined_by(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines, or whose values it changes in place."""
    if isinstance(statement, _FUNCTIONS):
        yield statement.name
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield from _names_of(statement.value.func)
    elif not isinstance(statement, ast.Import | ast.ImportFrom):
        for node in ast.walk(statement):
            if isinstance(getattr(node, "ctx", None), ast.Store):
                yield from _names_of(node)


def _names_of(node: ast.AST) -> list[str]:
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]


@functools.lru_cache(maxsize=1_000)
def _names_in(source: str) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # a part of a statement, such as a lambda
        return frozenset(re.findall(r"[^\W\d]\w*", source))
    return frozenset(_names_of(tree))


@functools.lru_cache(maxsize=1_000)
def _without_layout(source: str) -> str:
    """Return source without its layout, in every version of Python the same."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return ""
    kept: list[str] = []
    for index, token in enumerate(tokens):
        is_alone = token.type == tokenize.STRING and tokens[index + 1].type == tokenize.NEWLINE
        before = next((t for t in reversed(tokens[:index]) if t.type != tokenize.NL), None)
        if is_alone and before is not None and before.type in _LAYOUT:
            # documentation
            continue
        if token.type not in _NOT_CODE:
            kept.append(token.string)
    # Python 3.12 has the parts of an f-string apart, and no braces doubled
    text = re.sub(r"\s+", "", "".join(kept)).replace("{{", "{").replace("}}", "}")
    return re.sub(r",([)\]}])", r"\1", text)
