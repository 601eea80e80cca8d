"""What code has registered with Python and with libraries, for all code of the process."""

from __future__ import annotations

import builtins
import calendar
import csv
import gettext
import mimetypes
import sqlite3
import sys
import zoneinfo
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_BUILT_IN = dict(vars(builtins))
# to read it by `os.umask` is to set it, for other threads too
_STATUS = Path("/proc/self/status")


def registries() -> Mapping[str, Any]:
    """Return it, by the name that a user knows it by; of libraries, of those that are imported."""
    found = {name: read() for name, read in _OF_PYTHON.items()}
    for name, (library, read_of) in _OF_LIBRARIES.items():
        module = sys.modules.get(library)
        found[name] = None if module is None else read_of(module)
    return {name: value for name, value in found.items() if value is not None}


def _of_builtins() -> dict[str, Any]:
    now = vars(builtins)
    changed = {n: now[n] for n in now if n not in _BUILT_IN or now[n] is not _BUILT_IN[n]}
    return {**changed, **{n: "removed" for n in _BUILT_IN if n not in now}}


def _of_dialects() -> dict[str, Any]:
    dialects = {name: csv.get_dialect(name) for name in csv.list_dialects()}
    return {
        name: {a: getattr(dialect, a) for a in dir(dialect) if not a.startswith("_")}
        for name, dialect in dialects.items()
    }


def _of_umask() -> str | None:
    """Return which rights files are made without; None where it cannot be asked."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith("Umask:")), None)


def _of_types() -> list[dict[str, str]]:
    if not mimetypes.inited:
        # as the first question does
        mimetypes.init()
    types = (mimetypes.types_map, mimetypes.common_types)
    return [dict(known) for known in (*types, mimetypes.encodings_map, mimetypes.suffix_map)]


def _of_limits() -> dict[str, tuple[int, int]] | None:
    try:
        import resource
    except ImportError:
        # Windows
        return None
    names = (name for name in vars(resource) if name.startswith("RLIMIT_"))
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def _of_yaml(yaml: ModuleType) -> dict[str, Any]:
    kinds = ("yaml_constructors", "yaml_multi_constructors", "yaml_implicit_resolvers")
    return {
        f"{loader}.{kind}": dict(getattr(getattr(yaml, loader, None), kind, {}))
        for loader in ("BaseLoader", "SafeLoader", "FullLoader", "Loader")
        for kind in kinds
    }


def _of_pendulum(pendulum: ModuleType) -> tuple[Any, ...]:
    names = ("_LOCALE", "_WEEK_STARTS_AT", "_WEEK_ENDS_AT")
    return tuple(repr(vars(pendulum).get(name)) for name in names)


_OF_PYTHON: dict[str, Callable[[], Any]] = {
    "names in builtins": _of_builtins,
    "csv.register_dialect()": _of_dialects,
    "csv.field_size_limit()": csv.field_size_limit,
    "calendar.setfirstweekday()": calendar.firstweekday,
    "gettext.textdomain()": gettext.textdomain,
    "sqlite3.register_converter()": lambda: dict(sqlite3.converters),
    "sqlite3.register_adapter()": lambda: {str(kind): v for kind, v in sqlite3.adapters.items()},
    "sys.set_int_max_str_digits()": getattr(sys, "get_int_max_str_digits", lambda: None),
    "mimetypes.add_type()": _of_types,
    "resource.setrlimit()": _of_limits,
    "zoneinfo.reset_tzpath()": lambda: [*zoneinfo.TZPATH],
    "os.umask()": _of_umask,
}
_OF_LIBRARIES: dict[str, tuple[str, Callable[[ModuleType], Any]]] = {
    "yaml.add_constructor()": ("yaml", _of_yaml),
    "pendulum's locale and week": ("pendulum", _of_pendulum),
}
