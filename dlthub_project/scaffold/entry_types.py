"""What `type:` may be in an entry: destinations of dlt, with their settings, and own code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt.destinations
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.destination import Destination

from dlthub_project import destinations
from dlthub_project.errors import EntityReferenceError, known_names

# these are a function of the project, or keep nothing
_OF_NO_SYSTEM = ("destination", "dummy")
_OURS = tuple(destinations.__all__)
_EMBEDDED = ("duckdb", "ducklake", "filesystem", "lance", "lancedb", *_OURS)
_FOLDERS = ("filesystem", *_OURS)
# most others need the package `dlt[name]`
_EXTRAS = {"delta": "deltalake", "iceberg": "pyiceberg", "fabric": "mssql", "lance": "lancedb"}
# settings that dlt adds to URLs and drivers, which nobody has to set
_RARE = ("query", "drivername", "connect_timeout", "session_timezone", "application")
_DECORATORS = {
    "sources": ("dlt.source", "dlt.resource", "source", "resource"),
    "destinations": ("dlt.destination", "destination"),
}


def destination_types() -> list[str]:
    """Return the types of destinations that dlt has."""
    return sorted({*dlt.destinations.__all__, *_OURS} - {*_OF_NO_SYSTEM})


def check_type(name: str) -> None:
    """Make sure that a type of destination is one of dlt's, or a dotted path.

    Raises:
        EntityReferenceError: It is neither.
    """
    if "." not in name and name not in {*destination_types(), *_OF_NO_SYSTEM}:
        raise EntityReferenceError(
            f"There is no destination of type `{name}`. {known_names(name, destination_types())}",
            "Take one of them, or give the dotted path of a function with @dlt.destination.",
        )


def is_embedded(name: str) -> bool:
    """Tell whether destinations of this type keep their data in files, and need no secrets."""
    return name in _EMBEDDED


def entry_of(name: str) -> dict[str, Any]:
    """Return the entry of a destination of this type, without secrets."""
    return {"type": name, **({"bucket_url": "{local_dir}/lake"} if name in _FOLDERS else {})}


def requirement_of(name: str) -> str:
    """Return what `pip` has to install for a destination of this type; empty if nothing."""
    if name in _OF_NO_SYSTEM or "." in name:
        return ""
    return f"dlt[{_EXTRAS.get(name, name)}]"


def secrets_file(destination: str, type_name: str) -> str:
    """Return a TOML file with the settings that a destination needs, as comments to fill in."""
    lines = [
        f"# What destination `{destination}` needs. Fill it in; git does not take this file.",
        f"# [destination.{destination}.credentials]",
        *(f"# {name} = {_example(value)}" for name, value in _credentials(type_name)),
    ]
    return "\n".join(lines) + "\n"


def _credentials(type_name: str) -> Iterator[tuple[str, Any]]:
    try:
        destination = Destination.from_reference(type_name)
        hint = destination.spec.get_resolvable_fields()["credentials"] if destination else None
    except Exception:
        # its library is not installed: dlt's page on it names the settings
        return
    for spec in (hint, *getattr(hint, "__args__", ())):
        if isinstance(spec, type) and issubclass(spec, BaseConfiguration):
            values = vars(spec)
            for name in spec.get_resolvable_fields():
                if name not in _RARE and not name.startswith("_"):
                    yield name, values.get(name)
            return


def _example(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else '""'


def settings_file(settings_dir: Path, profile: str) -> Path:
    """Return the file for the secrets of a profile."""
    return settings_dir / f"{profile}.secrets.toml"


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
