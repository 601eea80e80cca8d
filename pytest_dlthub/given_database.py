"""An empty database for SQLAlchemy: sources reflect the tables that a test describes.

It stands in for a database whose URL is not configured. SQLAlchemy finds its dialect by an entry
point, so that only tests that need it import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from sqlalchemy import MetaData, Table, types
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import NullPool

from pytest_dlthub.placeholders import DRIVER, Hints, described_tables

_TYPES: Mapping[str, type[types.TypeEngine[Any]]] = {
    "bigint": types.BigInteger,
    "binary": types.LargeBinary,
    "bool": types.Boolean,
    "date": types.Date,
    "decimal": types.Numeric,
    "double": types.Float,
    "json": types.JSON,
    "text": types.Text,
    "time": types.Time,
    "timestamp": types.DateTime,
    "wei": types.Numeric,
}


class NothingPooled(NullPool):
    """A pool that takes the sizes of a real one, and keeps no connection.

    The engine of a table whose rows are given is never disposed of: dlt does so when it has read
    the table. Python 3.13 warns of each connection that is still open then.
    """

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        max_overflow: int = 10,
        timeout: float = 30.0,
        use_lifo: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(creator, **others)


class GivenDatabase(SQLiteDialect_pysqlite):
    """The dialect: it has every table, with the columns whose types the hints give."""

    name = DRIVER
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: Any) -> type[NullPool]:
        """Return the pool of an engine, which closes each connection after use."""
        return NothingPooled

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Connect to nothing, whatever the URL and the arguments of a driver say."""
        return super().connect(":memory:")

    def has_table(self, *args: Any, **kwargs: Any) -> bool:
        """Return true: the real database may have the table."""
        return True

    def get_table_names(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return the tables that are given or have hints."""
        return list(described_tables.get({}))

    def get_view_names(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return none: `get_table_names` returns all."""
        return []

    def get_columns(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        """Return the columns of a table that have known types."""
        return [
            {
                "name": name,
                "type": _TYPES[hint["data_type"]](),
                "nullable": hint.get("nullable", True),
                "default": None,
            }
            for name, hint in _columns(described_tables.get({}).get(table_name, {}))
            if hint.get("data_type") in _TYPES
        ]

    def get_pk_constraint(self, *args: Any, **kwargs: Any) -> Any:
        """Return none: the resource has its key by hints."""
        return {"constrained_columns": [], "name": None}

    def get_table_options(self, *args: Any, **kwargs: Any) -> Any:
        """Return none."""
        return {}

    def get_foreign_keys(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Return none."""
        return []

    get_indexes = get_unique_constraints = get_check_constraints = get_foreign_keys


def _columns(hints: Hints) -> list[tuple[str, Mapping[str, Any]]]:
    columns = hints.get("columns") or {}
    if isinstance(columns, Mapping):
        return [(str(name), hint) for name, hint in columns.items()]
    # a list of columns with their names; a pydantic model has no dlt types
    return [(c["name"], c) for c in columns if isinstance(c, Mapping)] if columns else []


def _reflecting_what_is_asked(reflect: Callable[..., None]) -> Callable[..., None]:
    """Wrap `MetaData.reflect`, since it refuses tables that the database does not list."""

    @wraps(reflect)
    def reflect_given(self: MetaData, bind: Any, *args: Any, **kwargs: Any) -> None:
        only = kwargs.get("only")
        if not isinstance(bind.dialect, GivenDatabase) or not only or callable(only):
            return reflect(self, bind, *args, **kwargs)
        for name in only:
            Table(name, self, autoload_with=bind)
        return None

    return reflect_given


MetaData.reflect = _reflecting_what_is_asked(MetaData.reflect)  # type: ignore[method-assign]  # a function, as before
