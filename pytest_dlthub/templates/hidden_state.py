"""Reads state that Python does not show as attributes: buffers, positions, caches, settings.

An object of a type in C may change in place: no other object takes its place, and so comparing by
identity finds nothing. So this reads its state, as the type offers it, or else as `pickle` would
write it. A type that offers neither has no digest, unless it is known not to change, or to hold
only what no key can know, such as a connection to a server.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import decimal
import functools
import gc
import hashlib
import io
import itertools
import logging
import mmap
import pickle
import queue
import random
import sqlite3
import threading
import types
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from dlt.common.schema import Schema

from dlthub_project.dlt_internals.relations import quoted
from pytest_dlthub.imports import is_pythons
from pytest_dlthub.templates.digests import NoDigest, content_of_schema, digest

State = Callable[..., object]

_ITERATORS = (Iterator, AsyncIterator, types.CoroutineType)
_HASHES = tuple(
    {type(getattr(hashlib, n)()) for n in ("md5", "sha1", "sha256", "sha3_256", "blake2b")}
)
_OF_CTYPES = (ctypes.Array, ctypes.Structure, ctypes.Union, ctypes.c_int.__base__)
_FRAMES = ("gi_frame", "cr_frame", "ag_frame")
_OF_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "traps")
_CACHE = type(functools.lru_cache(is_pythons))
HOLDERS = (ContextVar, threading.local, types.MappingProxyType, weakref.ref, _CACHE)
"""Types that hold objects and show them, but not as attributes."""

# libraries whose C objects never change (validators, decoders, keys) or belong to a network
_UNCHANGING = (
    *("cryptography", "greenlet", "grpc", "msgspec", "orjson", "pyarrow", "pydantic_core"),
    *("confluent_kafka", "sqlalchemy", "zstandard"),
)


class Unknown:
    """Stands for an unreadable state: it differs from every other."""

    __slots__ = ()

    def __reduce__(self) -> str:
        """Raise the error for a value without a digest.

        Raises:
            NoDigest: Always.
        """
        raise NoDigest("state that cannot be read")


class Tokens:
    """Reads a state, and returns the same object while it is equal: then identity compares it."""

    def __init__(self, read: State, *, is_all: bool = False) -> None:
        """Create it.

        Args:
            read: Reads the state.
            is_all: Whether the object has no other parts.
        """
        self._read = read
        self.is_all = is_all
        self._last: object = None

    def __call__(self) -> Mapping[str, object]:
        """Return the state as a part of its object."""
        try:
            now = self._read()
        except Exception:
            now = Unknown()
        if type(now) is not type(self._last) or now != self._last:
            self._last = now
        return {"state": self._last}


def state_of(value: Any, *, is_known: bool) -> Tokens | None:
    """Return a reader for the state of a value; None if it has none beyond its attributes.

    Args:
        value: The value.
        is_known: Whether to trust a type that we do not know. It belongs to a library's object,
            which may change by itself, or it has attributes that show its contents.
    """
    kind = type(value)
    for types_, read in _READERS:
        if issubclass(kind, types_):
            found: State = functools.partial(read, value)
            return Tokens(found)
    if issubclass(kind, Schema):
        return Tokens(_OfSchema(value), is_all=True)
    top = str(kind.__module__).partition(".")[0]
    if top in ("numpy", "pandas", "polars"):
        return Tokens(_Pickled(value), is_all=True)
    if top in ("duckdb", "_duckdb") and kind.__name__ == "DuckDBPyConnection":
        return Tokens(functools.partial(_of_duckdb, value))
    if is_known or kind.__dictoffset__ or is_pythons(top) or _is_unchanging(kind, top):
        return None
    return Tokens(_Pickled(value), is_all=True)


def _is_unchanging(kind: type, top: str) -> bool:
    """Tell whether objects of a type never change, or only with a server."""
    if top in _UNCHANGING or (hasattr(kind, "cursor") and hasattr(kind, "commit")):
        return True
    # objects with a hash of their contents do not change
    of_object = vars(object)
    has_hash = getattr(kind, "__hash__", None) not in (None, of_object["__hash__"])
    return has_hash and getattr(kind, "__eq__", None) is not of_object["__eq__"]


def is_used_up(value: Any) -> bool:
    """Tell whether a value changes with each use, so that it counts for those that use it."""
    kind = type(value)
    if issubclass(kind, (io.BytesIO, io.StringIO)):
        return False
    return issubclass(kind, (*_ITERATORS, random.Random, io.IOBase)) or (
        str(kind.__module__).startswith("numpy.random")
    )


def inner_of(value: Any) -> Callable[[], Mapping[Any, Any]] | None:
    """Return a reader for the objects inside of one of these types; None for other types."""
    kind = type(value)
    if issubclass(kind, ContextVar):
        return lambda: {name: item for name in ("value",) for item in _value_of(value)}
    if issubclass(kind, threading.local):
        # only for this thread
        return functools.partial(threading.local.__getattribute__, value, "__dict__")
    if issubclass(kind, types.MappingProxyType):
        return functools.partial(dict, value)
    if issubclass(kind, weakref.ref):
        return lambda: {"target": weakref.ref.__call__(value)}
    if issubclass(kind, types.BuiltinFunctionType):
        return lambda: {"self": value.__self__}
    if issubclass(kind, _CACHE):
        return functools.partial(_of_cache, value)
    return None


def _value_of(variable: ContextVar[Any]) -> Iterator[Any]:
    with contextlib.suppress(LookupError):
        yield variable.get()


def _of_cache(cached: Any) -> Mapping[Any, Any]:
    """Return the cached results of a function by its arguments; the order of use does not count."""
    found: dict[Any, Any] = dict(cached.__dict__)
    size = cached.cache_info().currsize
    if not size:
        return found
    # first the list, with key and result of each link; then the mapping
    referents = [x for x in gc.get_referents(cached) if not _is_of_caches(x)]
    if cached.cache_parameters()["maxsize"] is None:
        caches = (x for x in referents if type(x) is dict and x is not cached.__dict__)
        found.update(next(x for x in caches if len(x) == size))
    else:
        found.update(zip(referents[: 2 * size : 2], referents[1 : 2 * size : 2], strict=True))
    return found


def _is_of_caches(value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == "functools" and "lru" in value.__name__


class _Pickled:
    """Reads a value that pickles; it makes a new digest only if the bytes differ."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._bytes = b""
        self._digest = ""

    def __call__(self) -> str:
        written = pickle.dumps(self._value, protocol=5)
        now = hashlib.blake2b(written, digest_size=16).digest()
        if now != self._bytes:
            self._bytes, self._digest = now, digest(self._value)
        return self._digest


class _OfSchema:
    """Reads a schema; it makes a new digest only if the contents differ."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._text = ""
        self._digest = ""

    def __call__(self) -> str:
        text = repr(content_of_schema(self._schema))
        if text != self._text:
            self._text, self._digest = text, digest(self._schema)
        return self._digest


def _of_buffer(value: Any) -> object:
    view = memoryview(value)
    return (view.format, view.shape, view.tobytes())


def _of_mapped_file(value: mmap.mmap) -> object:
    return "closed" if value.closed else (value.tell(), value[:])


def _of_memory(value: io.BytesIO | io.StringIO) -> object:
    return "closed" if value.closed else (value.tell(), value.getvalue())


def _of_file(value: Any) -> object:
    """Return the position in a file; empty for a file that is written to, such as a log."""
    if value.closed:
        return "closed"
    mode = getattr(value, "mode", "")
    return (str(value.name), value.tell()) if mode in ("r", "rb", "rt") else ""


def _of_random(value: Any) -> object:
    try:
        return value.getstate()
    except NotImplementedError:
        # the system's generator has no state
        return ""


def of_decimals(value: decimal.Context) -> object:
    """Return the settings of a context, without the flags of past calculations."""
    return repr([getattr(value, name) for name in _OF_CONTEXT])


def _of_logger(value: logging.Logger) -> object:
    return (value.getEffectiveLevel(), bool(value.disabled), value.manager.disable)


def _of_sqlite(value: sqlite3.Connection) -> object:
    try:
        file = value.execute("PRAGMA database_list").fetchone()[2]
        # the key has the contents of files by other means
        return value.total_changes if file else "\n".join(value.iterdump())
    except sqlite3.ProgrammingError:
        return "closed, or of another thread"


def _of_duckdb(value: Any) -> object:
    """Return the contents of a database in memory: its views, and the rows of its tables."""
    try:
        cursor = value.cursor()
    except Exception:
        return "closed"
    names = "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
    in_memory = "database_name IN (SELECT database_name FROM duckdb_databases() WHERE path IS NULL)"
    found: list[object] = []
    for row in cursor.execute(f"{names} AND {in_memory} ORDER BY ALL").fetchall():
        table = quoted(*row)
        columns = cursor.execute(f"DESCRIBE {table}").fetchall()
        rows = cursor.execute(f"SELECT count(*), sum(hash(t)) FROM {table} AS t").fetchall()
        found += [(row, columns, rows)]
    found += cursor.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    return repr(found)


def _of_iterator(value: Any) -> object:
    """Return the position of an iterator, without taking anything from it."""
    if isinstance(value, itertools.count):
        return repr(value)
    for name in _FRAMES:
        if hasattr(value, name):
            frame = getattr(value, name)
            if frame is None:
                return "ended"
            names = {key: _reduced(item) for key, item in frame.f_locals.items()}
            return digest(frame.f_lasti, names)
    return digest(_reduced(value))


def _reduced(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_reduced(item) for item in value]
    if not isinstance(value, _ITERATORS):
        return value
    with warnings.catch_warnings():
        # Python 3.12 deprecates it for itertools
        warnings.simplefilter("ignore", DeprecationWarning)
        parts: Any = value.__reduce__()[1:]
    return [type(value).__qualname__, *map(_reduced, parts)]


def _of_hash(value: Any) -> object:
    return value.digest() if value.digest_size else value.hexdigest(16)


def _of_queue(value: Any) -> object:
    return "" if value.empty() else Unknown()


_READERS: tuple[tuple[Any, State], ...] = (
    (logging.Logger, _of_logger),
    ((bytearray, array.array, memoryview, *_OF_CTYPES), _of_buffer),
    (mmap.mmap, _of_mapped_file),
    ((io.BytesIO, io.StringIO), _of_memory),
    (io.IOBase, _of_file),
    (random.Random, _of_random),
    (decimal.Context, of_decimals),
    (sqlite3.Connection, _of_sqlite),
    (_HASHES, _of_hash),
    (queue.SimpleQueue, _of_queue),
    (_ITERATORS, _of_iterator),
)
