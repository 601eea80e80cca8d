"""Templates of sources: an entry, code, sample data, and rows for a first test.

None of them merges, because some destinations cannot.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SourceTemplate:
    """The template of a source.

    Attributes:
        help: What it loads, in a line.
        name: The name of the source, if nobody gives another.
        table: The table that it loads.
        entry: Its entry in `sources`; `{name}` in texts is its name.
        code: The module `sources/<name>.py`; empty if the entry is all. `NAME` is its name.
        data: Sample files by their path below the folder of the `dlt.yml`: their content.
        given: The rows of a test in place of those of the source; None if it reads nothing remote.
        rows: How many rows the test finds.
        columns: Some columns of the table that the test finds.
        requires: What `pip` has to install beside this package.
    """

    help: str
    name: str
    table: str
    entry: Mapping[str, Any]
    rows: int
    columns: tuple[str, ...]
    code: str = ""
    data: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    given: str = ""
    requires: tuple[str, ...] = ()


def _sample_database() -> bytes:
    """Return a SQLite file with three customers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.db")
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
            rows = [(1, "Ada"), (2, "Bo"), (3, "Cy")]
            connection.executemany("INSERT INTO customers VALUES (?, ?)", rows)
        connection.close()
        return path.read_bytes()


_PYTHON = '''"""NAME: rows of a generator. Ask your API in place of the list."""

import dlt

ROWS = [
    {"id": 1, "customer": "Ada", "amount": 20, "updated_at": "2026-01-01"},
    {"id": 2, "customer": "Bo", "amount": 5, "updated_at": "2026-01-02"},
    {"id": 3, "customer": "Cy", "amount": 12, "updated_at": "2026-01-03"},
]


@dlt.source
def NAME():
    """The orders of a shop."""

    @dlt.resource(primary_key="id")
    def orders(updated_at=dlt.sources.incremental("updated_at", initial_value="2026-01-01")):
        yield ROWS

    return orders
'''

_DATAFRAME = '''"""NAME: data frames. Read a file or ask a database in place of the lists."""

import dlt
import pandas as pd


@dlt.source
def NAME():
    """Measurements of some stations."""

    @dlt.resource(primary_key="id", write_disposition="replace")
    def measurements():
        yield pd.DataFrame({"id": [1, 2, 3], "station": ["a", "a", "b"], "value": [0.5, 0.7, 1.2]})

    return measurements
'''

_ARROW = '''"""NAME: Arrow tables. Read a file or ask a database in place of the lists."""

import dlt
import pyarrow as pa


@dlt.source
def NAME():
    """Measurements of some stations."""

    @dlt.resource(primary_key="id", write_disposition="replace")
    def measurements():
        yield pa.table({"id": [1, 2, 3], "station": ["a", "a", "b"], "value": [0.5, 0.7, 1.2]})

    return measurements
'''

_FILES = '''"""NAME: the CSV files of a folder or bucket, each of them once."""

import dlt
from dlt.sources.filesystem import filesystem, read_csv


@dlt.source
def NAME(bucket_url: str = dlt.config.value, file_glob: str = "*.csv"):
    """The visits that the files tell of."""
    files = filesystem(bucket_url=bucket_url, file_glob=file_glob)
    files.apply_hints(incremental=dlt.sources.incremental("modification_date"))
    return (files | read_csv()).with_name("visits")
'''

_VISITS = b"id,page,visitor\n1,/,Ada\n2,/cart,Ada\n3,/,Bo\n"

TEMPLATES: Mapping[str, SourceTemplate] = {
    "python": SourceTemplate(
        help="rows of a Python generator, only those that are new",
        name="shop",
        table="orders",
        entry={"type": "{name}.{name}"},
        code=_PYTHON,
        rows=3,
        columns=("id", "customer", "amount"),
    ),
    "dataframe": SourceTemplate(
        help="pandas data frames",
        name="stations",
        table="measurements",
        entry={"type": "{name}.{name}"},
        code=_DATAFRAME,
        rows=3,
        columns=("id", "station", "value"),
    ),
    "arrow": SourceTemplate(
        help="Arrow tables",
        name="stations",
        table="measurements",
        entry={"type": "{name}.{name}"},
        code=_ARROW,
        rows=3,
        columns=("id", "station", "value"),
    ),
    "rest_api": SourceTemplate(
        help="a REST API, described in dlt.yml alone",
        name="pokemon_api",
        table="pokemon",
        entry={
            "type": "rest_api",
            "client": {"base_url": "https://pokeapi.co/api/v2/"},
            "resources": [
                {
                    "name": "pokemon",
                    "primary_key": "name",
                    "write_disposition": "replace",
                    "endpoint": {"path": "pokemon", "params": {"limit": 1000}},
                }
            ],
        },
        given='[{"name": "bulbasaur", "url": "https://example.invalid/1"}]',
        rows=1,
        columns=("name", "url"),
    ),
    "sql_database": SourceTemplate(
        help="tables of a SQL database; at first those of a sample in SQLite",
        name="shop_database",
        table="customers",
        entry={
            "type": "sql_database",
            "credentials": "sqlite:///{{project_dir}}/data/{name}.db",
            "table_names": ["customers"],
        },
        data={"data/{name}.db": _sample_database},
        given='[{"id": 7, "name": "Eve"}]',
        rows=1,
        columns=("id", "name"),
        requires=("dlt[sql_database]",),
    ),
    "filesystem": SourceTemplate(
        help="CSV files of a folder or bucket, each of them once",
        name="site",
        table="visits",
        entry={
            "type": "{name}.{name}",
            "bucket_url": "{{project_dir}}/data/{name}",
            "file_glob": "*.csv",
        },
        code=_FILES,
        data={"data/{name}/visits.csv": lambda: _VISITS},
        rows=3,
        columns=("id", "page", "visitor"),
    ),
}
"""The sources that `init` and `add` know, by the words for them."""


def filled(value: Any, name: str) -> Any:
    """Return an entry of a template with the name of the source in it."""
    if isinstance(value, Mapping):
        return {key: filled(below, name) for key, below in value.items()}
    if isinstance(value, list):
        return [filled(item, name) for item in value]
    return value.format(name=name) if isinstance(value, str) else value
