"""Finds sources and destinations in the code of a project, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_DECORATORS = {
    "sources": ("dlt.source", "dlt.resource", "source", "resource"),
    "destinations": ("dlt.destination", "destination"),
}


def references_in_code(project_dir: Path, package: str) -> list[str]:
    """Return the references to code in `sources` or `destinations` that `type:` may hold.

    Args:
        project_dir: The root of the project's Python modules.
        package: The name of the folder.
    """
    found: list[str] = []
    folder = project_dir / package
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        prefix = "" if package == "sources" else f"{package}."
        found += [f"{prefix}{module}.{name}" for name in _decorated(path, _DECORATORS[package])]
    return found


def _decorated(path: Path, decorators: tuple[str, ...]) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # a run that uses the file raises the error
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {
                ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list
            }
            if not names.isdisjoint(decorators):
                yield node.name
