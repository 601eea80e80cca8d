"""What code sees of the process: settings, clock, servers, and what it has registered."""

from __future__ import annotations

import builtins
import calendar
import csv
import decimal
import gc
import gettext
import io
import ipaddress
import locale
import logging
import mimetypes
import random
import socket
import sqlite3
import sys
import time
import warnings
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_dlthub.templates.digests import digest
from pytest_dlthub.templates.hidden_state import of_decimals

AT_START = (
    *("decimal.getcontext()", "locale", "level of logging", "warnings.filters", "os.umask()"),
    *("socket.getdefaulttimeout()", "csv.field_size_limit()", "calendar.setfirstweekday()"),
    *("sys.getrecursionlimit()", "sys.set_int_max_str_digits()", "gettext.textdomain()"),
)
"""Settings that a conftest, an option or a plugin may change before the first test."""

_BUILT_IN = dict(vars(builtins))
# `os.umask` can only read the mask by setting it, also for other threads
_STATUS = Path("/proc/self/status")
# seconds by which a machine may correct its clock
_LARGEST_STEP = 60


def settings() -> Mapping[str, Any]:
    """Return the settings of the process, by the name that users know."""
    contexts = (decimal.getcontext(), decimal.DefaultContext)
    return {
        "sys.argv": [*sys.argv],
        "sys.path": [*sys.path],
        "sys.stdin": _of_input(),
        "decimal.getcontext()": [of_decimals(context) for context in contexts],
        "locale": locale.setlocale(locale.LC_ALL),
        "the clock": _of_clock(),
        "time zone": (time.tzname, time.timezone, time.altzone),
        "level of logging": (logging.root.level, logging.root.manager.disable),
        "warnings.filters": _of_filters(),
        "socket.getdefaulttimeout()": socket.getdefaulttimeout(),
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        **_of_libraries(),
        **_registries(),
    }


def generators() -> Mapping[str, Any]:
    """Return the random number generators that all code of the process shares."""
    found = {"random": random.random}
    if numpy := sys.modules.get("numpy.random"):
        found["numpy.random"] = numpy.rand
    shared = {name: getattr(function, "__self__", None) for name, function in found.items()}
    if faker := sys.modules.get("faker.generator"):
        shared["faker"] = getattr(faker, "random", None)
    return {name: generator for name, generator in shared.items() if generator is not None}


def servers_of_process(addresses: Iterable[Any]) -> list[str]:
    """Return the addresses at which a socket of this process listens.

    Args:
        addresses: Addresses that code has connected to; in a network, a host and a port.
    """
    asked = {_place_of(address): address for address in addresses}
    if not asked:
        return []
    # not `socket.socket`: pytest-socket puts a class of its own there
    sockets = [s for s in gc.get_objects() if issubclass(type(s), socket.SocketType)]
    found = {place for one in sockets if (place := _listens_at(one)) in asked}
    names = {f"{a[0]}:{a[1]}" if isinstance(a, tuple) else str(a) for a in map(asked.get, found)}
    return [f"the server of this process at {name}" for name in sorted(names)]


def servers_elsewhere(hosts: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return the hosts other than this machine, with their ports."""
    return sorted(f"{host}:{port}" for host, port in hosts if host and not _is_here(str(host)))


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _place_of(address: Any) -> Any:
    # a host has several names
    return address[1] if isinstance(address, tuple) else address


def _listens_at(one: socket.SocketType) -> Any:
    # a socket raises if it is closed, or cannot listen
    with suppress(OSError):
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return _place_of(one.getsockname())
    return None


def _since_start() -> float:
    """Return the seconds of a clock that nobody can set; it runs while the machine sleeps."""
    # on macOS by this clock: Python's own stands still while the machine sleeps
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time.monotonic() if clock is None else time.clock_gettime(clock)


_STARTED = time.time() - _since_start()


def _of_clock() -> int | None:
    """Return the time if a test has set the clock; None if the clock runs as before."""
    now = time.time()
    return round(now) if abs(now - _since_start() - _STARTED) > _LARGEST_STEP else None


def _of_libraries() -> Mapping[str, Any]:
    found: dict[str, Callable[[], Any]] = {}
    if numpy := sys.modules.get("numpy"):
        found["numpy.geterr()"] = numpy.geterr
        found["numpy.get_printoptions()"] = numpy.get_printoptions
    if pandas := sys.modules.get("pandas"):
        # one mapping for all of them
        found["pandas.options"] = lambda: repr(object.__getattribute__(pandas.options, "d"))
    # a module may be half imported, or a stand-in of a test
    return {name: _or_none(read) for name, read in found.items()}


def _or_none(read: Callable[[], Any]) -> str | None:
    try:
        return digest(read())
    except Exception:
        return None


def _of_input() -> Any:
    given = sys.stdin
    inner = getattr(given, "buffer", None)
    for stream in (given, inner):
        if isinstance(stream, io.StringIO | io.BytesIO) and not stream.closed:
            return stream.getvalue(), given.tell() if stream is given else None
    return type(given).__qualname__


def _of_filters() -> list[list[Any]]:
    """Return the filters of warnings if one raises an error; others only print."""
    found = [_of_filter(*each[:5]) for each in warnings.filters]
    return found if any(action == "error" for action, *_ in found) else []


def _of_filter(action: str, message: Any, category: Any, module: Any, line: int) -> list[Any]:
    patterns = [getattr(text, "pattern", text) for text in (message, module)]
    return [action, *patterns, f"{category.__module__}.{category.__qualname__}", line]


def _registries() -> Mapping[str, Any]:
    """Return what code has registered with Python and with libraries that are imported."""
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
    """Return the mask for permissions of new files; None if the system does not show it."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith("Umask:")), None)


def _of_types() -> list[dict[str, str]]:
    if not mimetypes.inited:
        # as the first look-up would do
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
