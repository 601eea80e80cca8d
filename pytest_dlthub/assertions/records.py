"""The rows of a relation, with the same values from every destination."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dlthub_project.dlt_internals import sql_clients

if TYPE_CHECKING:
    import dlt


# dlt's scale for a decimal without one
_SCALE = 9
_Reader = Callable[[Any, Mapping[str, Any]], Any]


def records_of(relation: dlt.Relation) -> list[dict[str, Any]]:
    """Return the rows of `relation` as the destination returns them, with all their columns."""
    # not as a frame: frames change types, and DuckDB warns while it makes one
    return read_records(relation.columns_schema.items(), relation.fetchall())


def read_records(
    columns: Iterable[tuple[str, Mapping[str, Any]]], rows: Iterable[Sequence[Any]]
) -> list[dict[str, Any]]:
    """Return rows of a destination as mappings; `reader_of` converts their values.

    Args:
        columns: The name of each cell of a row, and the hints of its column.
        rows: The rows.
    """
    readers = [(name, reader_of(column)) for name, column in columns]
    return [
        {name: read(cell) for (name, read), cell in zip(readers, row, strict=True)} for row in rows
    ]


def records_of_sql(client: Any, query: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and rows of a query at the destination, without dlt's relations.

    Args:
        client: An open SQL client.
        query: The query, in the SQL of the destination.

    Raises:
        ValueError: Two columns have the same name.
    """
    columns, rows = sql_clients.columns_and_rows(client, query)
    names = [name for name, _ in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"The query gives several columns `{twice[0]}`. Rename them with AS.")
    hints = ((name, {"data_type": kind if kind == "json" else None}) for name, kind in columns)
    return names, read_records(hints, rows)


def without_dlt_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without dlt's own columns."""
    return {name: cell for name, cell in record.items() if not is_dlt_name(name)}


def is_dlt_name(name: str) -> bool:
    """Tell whether a column or table is dlt's own."""
    return name.lower().startswith("_dlt_")


def sort_key(value: Any) -> tuple[int, Any]:
    """Return a key to sort values of any type by; nulls come first, then numbers."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float | Decimal):
        return (2, value) if value == value else (1, 0)
    if isinstance(value, str):
        return 3, value
    if isinstance(value, bytes):
        return 4, value
    if isinstance(value, datetime.date | datetime.time):
        # a datetime with a time zone is in UTC here
        return 5, value.isoformat()
    return 6, json.dumps(value, sort_keys=True, default=repr)


def orders(order_by: Any) -> list[tuple[str, bool]]:
    """Return the columns in the value of `order_by`, and whether each descends."""
    if order_by is None:
        return []
    given = order_by if isinstance(order_by, list) else [order_by]
    pairs = [(each, "asc") if isinstance(each, str) else tuple(each) for each in given]
    if any(len(pair) != 2 or pair[1] not in ("asc", "desc") for pair in pairs):
        raise ValueError(
            f'rows: order_by={order_by!r} is no column, ("column", "desc"), or list of these'
        )
    return [(str(name), direction == "desc") for name, direction in pairs]


def by_all_columns(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows sorted by their cells, last by those of dlt, whose ids are random."""
    if not records:
        return records
    names = sorted(records[0], key=lambda name: (is_dlt_name(name), name))
    return sorted(records, key=lambda row: [sort_key(row[name]) for name in names])


def reader_of(column: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a function that converts a column's values to the type in dlt's schema.

    PostgreSQL's driver returns objects for JSON and memoryviews for binary values. DuckDB returns
    text for JSON. SQLite has no dates, times, decimals or booleans. MySQL has no time zones, and
    durations for times. A value that does not fit the type stays as it is.

    Args:
        column: Its hints in dlt's schema, or those that dlt derives from a query.
    """
    make = _READERS.get(column.get("data_type"))

    def read(value: Any) -> Any:
        if isinstance(value, memoryview | bytearray):
            return bytes(value)
        if value is None or make is None:
            return _in_utc(value) if isinstance(value, datetime.datetime) else value
        try:
            return make(value, column)
        except (ValueError, ArithmeticError):
            return value

    return read


def _json(value: Any, _column: Mapping[str, Any]) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def _bool(value: Any, _column: Mapping[str, Any]) -> Any:
    return bool(value) if value in (0, 1) else value


def _decimal(value: Any, column: Mapping[str, Any]) -> Any:
    scale = _SCALE if column.get("precision") is None else column.get("scale") or 0
    if scale == 0:
        # dlt's relations give this type to a wei
        return _wei(value, column)
    return round(Decimal(str(value)), scale) if isinstance(value, int | float | str) else value


def _wei(value: Any, _column: Mapping[str, Any]) -> Any:
    # PostgreSQL returns it with 78 decimal places
    number = Decimal(value)
    return Decimal(int(number)) if number == int(number) else number


def _date(value: Any, _column: Mapping[str, Any]) -> Any:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


def _time(value: Any, _column: Mapping[str, Any]) -> Any:
    if isinstance(value, datetime.timedelta):
        midnight = datetime.datetime.combine(datetime.date.min, datetime.time())
        return (midnight + value).time()
    return datetime.time.fromisoformat(value) if isinstance(value, str) else value


def _timestamp(value: Any, column: Mapping[str, Any]) -> Any:
    moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime.datetime):
        return moment
    if column.get("timezone") is False:
        return _in_utc(moment).replace(tzinfo=None)
    # a timestamp without a time zone is in UTC, since dlt converts it when it loads
    return _in_utc(moment) if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.astimezone(datetime.timezone.utc) if moment.tzinfo else moment


_READERS: dict[str | None, _Reader] = {
    "json": _json,
    "bool": _bool,
    "decimal": _decimal,
    "wei": _wei,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
}


def type_told(column: Mapping[str, Any], precise: bool = True) -> str:
    """Return the type of a column as text: `decimal(5,2)`, with its numbers if `precise`."""
    numbers = [str(n) for n in (column.get("precision"), column.get("scale")) if n is not None]
    inner = f"({','.join(numbers)})" if precise and numbers else ""
    return f"{column.get('data_type')}{inner}"
