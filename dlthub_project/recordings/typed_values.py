"""Values of rows as JSON that a person can read, with the types that JSON lacks.

`Decimal("1.10")` becomes `{"$decimal": "1.10"}`. A mapping of a source becomes a list of pairs if
a key begins with `$` or is no text, so that nobody takes it for such a value.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pendulum
from dlt.common.wei import Wei

PLAIN = frozenset((str, int, bool, type(None)))
"""Types whose values JSON has as they are."""

_TYPED = '{"$'
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class NotRecordable(TypeError):
    """A value that no recording can hold."""


def to_line(value: Any, *, is_plain: bool = False) -> str:
    """Return a value as one line of JSON, with sorted keys.

    Args:
        value: The value.
        is_plain: It is known to hold nothing but what JSON has.

    Raises:
        NotRecordable: There is a value of a type that a recording does not know.
    """
    shown = value if is_plain else to_json(value)
    return _ENCODER.encode(shown)


def from_line(line: str) -> Any:
    """Return the value of a line.

    Raises:
        ValueError: It is no JSON, or names a type that is not known.
    """
    value = json.loads(line)
    return from_json(value) if _TYPED in line else value


def to_json(value: Any) -> Any:
    """Return a value as values that JSON has.

    Raises:
        NotRecordable: There is one of a type that a recording does not know.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is list:
        return [to_json(one) for one in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            # SQLAlchemy's names are of a subclass of `str`
            return {str(key): to_json(one) for key, one in value.items()}
        return {"$mapping": [[to_json(key), to_json(one)] for key, one in value.items()]}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    for known, name, encode in _KINDS:
        if isinstance(value, known):
            if kind.__module__.startswith("pendulum"):
                return {"$pendulum": {f"${name}": encode(value)}}
            return encode(value) if not name else {f"${name}": encode(value)}
    raise NotRecordable(f"{kind.__module__}.{kind.__qualname__}")


def from_json(value: Any) -> Any:
    """Return what `to_json` was given.

    Raises:
        ValueError: It names a type that is not known.
    """
    if isinstance(value, list):
        return [from_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (name, inner), *_ = value.items()
        if name.startswith("$"):
            if name not in _DECODERS:
                raise ValueError(f"there is no type `{name}`")
            return _DECODERS[name](inner)
    return {key: from_json(one) for key, one in value.items()}


def _zoned(value: datetime.datetime) -> str:
    zone = getattr(value.tzinfo, "key", None)
    return f"{value.isoformat()}[{zone}]" if zone and zone != "UTC" else value.isoformat()


def _of_zoned(text: str) -> datetime.datetime:
    written, _, zone = text.rstrip("]").partition("[")
    # Python 3.10 does not know the `Z` that people write
    moment = datetime.datetime.fromisoformat(written.replace("Z", "+00:00"))
    return moment.astimezone(ZoneInfo(zone)) if zone else moment


def _enum_or_itself(value: Any) -> Any:
    return to_json(value.value) if hasattr(value, "value") else str.__str__(value)


# each type with its name, the narrower type first; without a name it becomes a value of JSON
_KINDS: tuple[tuple[type | tuple[type, ...], str, Callable[[Any], Any]], ...] = (
    (str, "", _enum_or_itself),
    (int, "", int),
    (float, "", lambda value: to_json(float(value))),
    (Wei, "wei", str),
    (Decimal, "decimal", str),
    (datetime.datetime, "datetime", _zoned),
    (datetime.date, "date", lambda value: value.isoformat()),
    (datetime.time, "time", lambda value: value.isoformat()),
    (datetime.timedelta, "timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    ((bytes, bytearray, memoryview), "bytes", lambda v: base64.b64encode(v).decode()),
    (UUID, "uuid", str),
    (tuple, "tuple", lambda value: [to_json(one) for one in value]),
    ((set, frozenset), "set", lambda value: sorted(map(to_json, value), key=repr)),
    (list, "", lambda value: [to_json(one) for one in value]),
)
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$bytes": base64.b64decode,
    "$date": datetime.date.fromisoformat,
    "$datetime": _of_zoned,
    "$decimal": Decimal,
    "$float": float,
    "$mapping": lambda pairs: {from_json(key): from_json(one) for key, one in pairs},
    "$pendulum": lambda inner: _in_pendulum(from_json(inner)),
    "$set": lambda values: {from_json(one) for one in values},
    "$time": datetime.time.fromisoformat,
    "$timedelta": lambda parts: datetime.timedelta(*parts),
    "$tuple": lambda values: tuple(from_json(one) for one in values),
    "$uuid": UUID,
    "$wei": Wei,
}


def _in_pendulum(value: Any) -> Any:
    if isinstance(value, datetime.timedelta):
        return pendulum.duration(value.days, value.seconds, value.microseconds)
    if isinstance(value, datetime.time):
        return pendulum.instance(value, tz=None)
    return pendulum.instance(value)
