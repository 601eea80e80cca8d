"""Stand-ins for secrets that are not configured, in a test that gives rows."""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from enum import Enum
from typing import Any, get_origin, is_typeddict
from uuid import UUID

from dlthub_project.context import unset_variables_missing
from dlthub_project.dlt_internals import placeholders as dlt_placeholders

Hints = Mapping[str, Any]

DRIVER = "dlthub_given"
"""The SQLAlchemy dialect in the stand-in for a database URL."""

described_tables: ContextVar[Mapping[str, Hints]] = ContextVar("described_tables")
"""The tables of such a database, with the arguments of `apply_hints` for each."""

_NOT_SET = "not-set"
_PLACEHOLDERS: dict[Any, Any] = {
    bool: False,
    bytes: b"not-set",
    datetime.date: datetime.date(1970, 1, 1),
    datetime.datetime: datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.time: datetime.time(),
    datetime.timedelta: datetime.timedelta(),
    Decimal: Decimal(0),
    dict: {},
    float: 0.0,
    int: 0,
    list: [],
    Mapping: {},
    Sequence: [],
    set: set(),
    tuple: (),
    UUID: UUID(int=0),
}
# the words in the name of a secret, and a text in that format, so that code can parse it
_TEXTS = {
    "host|hostname|domain": "not-set.invalid",
    "email|mail": "not-set@not-set.invalid",
    "json": "{}",
    "date|day": "1970-01-01",
    "port|timeout": "0",
    "conn|connection|credentials|database|db|dsn|engine": f"{DRIVER}://",
    "url|uri|endpoint|webhook": "https://not-set.invalid",
}
# for a value without a type
_UNTYPED: dict[str, Any] = {
    "headers|params|config|options|settings": {},
    "ids|list|names|scopes": [],
    "port|timeout": 0,
}


@contextmanager
def placeholders(
    given: Mapping[str, Any] | None = None, hints: Mapping[str, Hints] | None = None
) -> Iterator[None]:
    """Resolve required secrets that are not configured to placeholders of their type.

    Values of `dlt.yml` that refer to unset environment variables count as not configured. The URL
    of a database leads to one that has the given tables, with columns from `hints`.

    Args:
        given: The given rows, by resource or `source.resource`.
        hints: Arguments of `apply_hints`, by resource.
    """
    tables: dict[str, Hints] = {name.rpartition(".")[2]: {} for name in given or ()}
    tables.update({name.rpartition(".")[2]: own for name, own in (hints or {}).items()})
    token = described_tables.set(tables)
    try:
        with unset_variables_missing(_NOT_SET), dlt_placeholders.placeholders(_placeholder):
            yield
    finally:
        described_tables.reset(token)


def _placeholder(name: str, hint: Any) -> Any:
    """Return the placeholder for a secret: by its type, else by its name.

    SQLAlchemy can create an engine from the placeholder for a database URL.
    """
    if name == "drivername":
        return DRIVER
    if hint not in (str, Any):
        # Python 3.10 takes `list[str]` for a type
        if isinstance(hint, type) and get_origin(hint) is None and issubclass(hint, Enum):
            return next(iter(hint), _NOT_SET)
        return copy.copy({} if is_typeddict(hint) else _PLACEHOLDERS.get(hint, _NOT_SET))
    for words, value in (_TEXTS if hint is str else {**_TEXTS, **_UNTYPED}).items():
        if re.search(rf"(?:^|_)(?:{words})(?:_|$)", name.lower()):
            return copy.copy(value)
    return _NOT_SET
