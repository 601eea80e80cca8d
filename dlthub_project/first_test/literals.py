"""Python code for values, as a test has them."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import enum
import math
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dlthub_project.errors import ProjectError

_WIDTH = 100
_INDENT = "    "
_STANDARD = {
    "datetime": "import datetime",
    "uuid": "import uuid",
    "zoneinfo": "import zoneinfo",
    "Decimal": "from decimal import Decimal",
}
_OTHERS = {"dlt": "import dlt", "pl": "import polars as pl", "pa": "import pyarrow as pa"}
_PLAIN_TYPES = {
    "bool": "bool_",
    "double": "float64",
    "float": "float32",
    "halffloat": "float16",
}


class Code(str):
    """A text that is code already."""


def imports_of(code: str) -> list[str]:
    """Return the lines that import what code of `literal` uses, in the order of formatters."""
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    groups = [
        [line for name, line in group.items() if name in used] for group in (_STANDARD, _OTHERS)
    ]
    return "\n\n".join("\n".join(group) for group in groups if group).splitlines()


def literal(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return the code of a value, over several lines where it is long.

    Args:
        value: A row, a page, a frame, an Arrow table, or a value of one.
        indent: How deep the code stands.
        before: The number of characters before it on its first line.

    Raises:
        ProjectError: There is no code for it.
    """
    value = plain(value)
    if is_table(value):
        return _table(value, indent)
    is_mapping = isinstance(value, Mapping)
    if not is_mapping and not isinstance(value, list | tuple | set | frozenset):
        return _scalar(value)
    parts = (
        [(f"{literal(key)}: ", item) for key, item in value.items()]
        if is_mapping
        else [("", item) for item in value]
    )
    opening, closing = _brackets(value)
    if not parts:
        return f"{opening}{closing}"
    codes = [f"{key}{literal(item)}" for key, item in parts]
    comma = "," if isinstance(value, tuple) and len(codes) == 1 else ""
    line = f"{opening}{', '.join(codes)}{comma}{closing}"
    if "\n" not in line and 4 * indent + before + len(line) < _WIDTH:
        return line
    inner = _INDENT * (indent + 1)
    lines = [f"{inner}{key}{literal(item, indent + 1, len(key))}," for key, item in parts]
    return "\n".join((opening, *lines, f"{_INDENT * indent}{closing}"))


def plain(value: Any) -> Any:
    """Return what a value of another class holds: a row of a model is a mapping."""
    if isinstance(value, Code | bytes) or is_table(value):
        return value
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    # a scalar of numpy
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, set | frozenset):
        return ("{", "}") if value else ("set(", ")")
    if isinstance(value, Mapping):
        return "{", "}"
    return ("(", ")") if isinstance(value, tuple) else ("[", "]")


def _scalar(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return _in_double_quotes(repr(str(value)))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f'float("{float(value)}")'
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, bytes):
        return _in_double_quotes(repr(bytes(value)))
    if isinstance(value, Decimal):
        return f'Decimal("{Decimal(value)}")'
    if isinstance(value, uuid.UUID):
        return f'uuid.UUID("{value}")'
    if isinstance(value, datetime.timedelta):
        return repr(datetime.timedelta(seconds=value.total_seconds()))
    if isinstance(value, datetime.datetime):
        parts = [*value.timetuple()[:6], value.microsecond]
        return f"datetime.datetime({_numbers(parts, 3)}{_zone(value)})"
    if isinstance(value, datetime.date):
        return f"datetime.date({value.year}, {value.month}, {value.day})"
    if isinstance(value, datetime.time):
        parts = [value.hour, value.minute, value.second, value.microsecond]
        return f"datetime.time({_numbers(parts, 1)}{_zone(value)})"
    raise ProjectError(
        f"A value of type `{type(value).__module__}.{type(value).__qualname__}` cannot be written "
        "as code.",
        "Leave its resource out with --resources, or write its test by hand.",
    )


def _in_double_quotes(code: str) -> str:
    """Return the code of a text or of bytes as formatters have it."""
    prefix, quoted = code.partition("'")[::2]
    is_plain = prefix in ("", "b") and code.endswith("'") and '"' not in code
    return f'{prefix}"{quoted[:-1]}"' if is_plain else code


def _numbers(parts: list[int], least: int) -> str:
    while len(parts) > least and parts[-1] == 0:
        parts.pop()
    return ", ".join(map(str, parts))


def _zone(value: datetime.datetime | datetime.time) -> str:
    offset = value.utcoffset()
    if value.tzinfo is None:
        return ""
    key = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "name", None)
    if offset == datetime.timedelta(0) or offset is None:
        return ", tzinfo=datetime.timezone.utc"
    if isinstance(key, str) and "/" in key:
        return f", tzinfo=zoneinfo.ZoneInfo({literal(key)})"
    seconds = int(offset.total_seconds())
    return f", tzinfo=datetime.timezone(datetime.timedelta(seconds={seconds}))"


def is_table(value: Any) -> bool:
    """Tell whether a value is an Arrow table, a record batch or a frame."""
    is_arrow = hasattr(value, "num_rows") and hasattr(value, "schema")
    return is_arrow or (hasattr(value, "head") and hasattr(value, "columns"))


def _table(value: Any, indent: int) -> str:
    """Return the code of an Arrow table or record batch, or of a frame that is made of one."""
    import pyarrow as pa

    module = type(value).__module__.partition(".")[0]
    kind, after, opening = "Table", "", ""
    if module == "pandas":
        value, after = pa.Table.from_pandas(value, preserve_index=False), ".to_pandas()"
    elif module == "polars":
        value, opening, after = value.to_arrow(), "pl.from_arrow(", ")"
    elif isinstance(value, pa.RecordBatch):
        kind = "RecordBatch"
    fields = Code(f"pa.schema({literal([Code(_field(f)) for f in value.schema], indent + 1)})")
    rows = literal(value.to_pylist(), indent + 1)
    inner, outer = _INDENT * (indent + 1), _INDENT * indent
    return (
        f"{opening}pa.{kind}.from_pylist(\n{inner}{rows},\n{inner}schema={fields},\n{outer}){after}"
    )


def _field(field: Any) -> str:
    nullable = "" if field.nullable else ", nullable=False"
    return f"pa.field({literal(field.name)}, {_arrow_type(field.type)}{nullable})"


def _arrow_type(type_: Any) -> str:
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(type_):
        zone = f", tz={literal(type_.tz)}" if type_.tz else ""
        return f'pa.timestamp("{type_.unit}"{zone})'
    for name in ("time32", "time64", "duration"):
        if getattr(types, f"is_{name}")(type_):
            return f'pa.{name}("{type_.unit}")'
    for name in ("decimal128", "decimal256"):
        if getattr(types, f"is_{name}")(type_):
            return f"pa.{name}({type_.precision}, {type_.scale})"
    if types.is_struct(type_):
        return f"pa.struct([{', '.join(_field(type_.field(i)) for i in range(type_.num_fields))}])"
    if types.is_large_list(type_):
        return f"pa.large_list({_arrow_type(type_.value_type)})"
    if types.is_fixed_size_list(type_):
        return f"pa.list_({_arrow_type(type_.value_type)}, {type_.list_size})"
    if types.is_list(type_):
        return f"pa.list_({_arrow_type(type_.value_type)})"
    if types.is_map(type_):
        return f"pa.map_({_arrow_type(type_.key_type)}, {_arrow_type(type_.item_type)})"
    if types.is_dictionary(type_):
        index, value = _arrow_type(type_.index_type), _arrow_type(type_.value_type)
        return f"pa.dictionary({index}, {value})"
    if types.is_fixed_size_binary(type_):
        return f"pa.binary({type_.byte_width})"
    if types.is_date(type_):
        return f"pa.{'date32' if types.is_date32(type_) else 'date64'}()"
    name = _PLAIN_TYPES.get(str(type_), str(type_))
    if not hasattr(pa, name):
        raise ProjectError(
            f"Arrow's type `{type_}` cannot be written as code.",
            "Leave its resource out with --resources, or write its test by hand.",
        )
    return f"pa.{name}()"
