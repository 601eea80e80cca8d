"""Loading flights and weather: the figures of 2013, and what later runs add."""

from collections import Counter
from datetime import date, datetime, timezone

import pytest

from pytest_dlthub import DltProject, DltRun, assert_unique
from sources.nyc import FLIGHTS_KEY, WEATHER_KEY, departures


def test_every_flight_of_2013_is_loaded(dlt_project: DltProject) -> None:
    run = dlt_project.run("load_flights")

    assert run.row_counts == {"flights": 336_776, "weather": 26_115}
    flights, weather = run.columns("flights"), run.columns("weather")
    assert Counter(flights.values()) == {"bigint": 14, "text": 4, "timestamp": 1}
    assert Counter(weather.values()) == {"bigint": 5, "double": 8, "text": 1, "timestamp": 1}
    assert flights["dep_time"] == "bigint"
    assert flights["time_hour"] == weather["time_hour"] == "timestamp"


def test_second_run_loads_nothing_new(dlt_project: DltProject) -> None:
    january = dlt_project.source("departures")(until=date(2013, 2, 1))
    first = dlt_project.run("load_flights", data=january)
    second = dlt_project.run("load_flights", data=january)

    assert first.row_counts == {"flights": 26_865, "weather": 2_211}
    assert second.row_counts == {}


def test_february_is_added_to_january(dlt_project: DltProject) -> None:
    source = dlt_project.source("departures")
    january, february = source(until=date(2013, 2, 1)), source(until=date(2013, 3, 1))
    dlt_project.run("load_flights", data=january, resources=["weather"])
    run = dlt_project.run("load_flights", data=february, resources=["weather"])

    assert run.row_counts == {"weather": 2_010}
    assert len(run.rows("weather")) == 2_211 + 2_010


@pytest.mark.parametrize(
    ("table", "key", "rows"),
    [("weather", WEATHER_KEY, 124), ("flights", FLIGHTS_KEY, 1_639)],
)
def test_load_that_stopped_within_an_hour_goes_on_without_doubles(
    dlt_project: DltProject, table: str, key: tuple[str, ...], rows: int
) -> None:
    source = dlt_project.source("departures")
    pages = source(until=date(2013, 1, 3), chunk_size=50)  # ends within an hour of either
    stopped = dlt_project.run("load_flights", data=pages, resources=[table], limit=1)
    whole = source(until=date(2013, 1, 3))
    rest = dlt_project.run("load_flights", data=whole, resources=[table])

    assert stopped.row_counts == {table: 50}
    assert rest.row_counts == {table: rows - 50}
    assert len(rest.rows(table)) == rows
    assert_unique(rest.dataset.table(table), *key)


def test_missing_values_are_null(dlt_run: DltRun) -> None:
    run = dlt_run(departures(until=date(2013, 1, 2)))  # a source alone, without the project

    ((first, *_), *_) = run.rows("flights", "time_hour", order_by="time_hour")
    assert first == datetime(2013, 1, 1, 10, tzinfo=timezone.utc)
    names = ("carrier", "flight", "dep_delay", "arr_delay")
    cancelled = run.rows("flights", *names, where={"dep_time": None})
    assert cancelled == [
        ("AA", 1925, None, None),
        ("B6", 125, None, None),
        ("EV", 4308, None, None),
    ]
    unmeasured = run.rows("weather", "origin", "hour", "wind_gust", where={"pressure": None})
    assert unmeasured == [("EWR", 13, None), ("JFK", 13, None), ("LGA", 12, None)]


def test_every_column_of_a_flight_and_of_the_weather_is_as_in_the_files(dlt_run: DltRun) -> None:
    run = dlt_run(departures(until=date(2013, 1, 2)))

    assert run.rows("flights", where={"flight": 1545}) == [
        {
            "year": 2013,
            "month": 1,
            "day": 1,
            "dep_time": 517,
            "sched_dep_time": 515,
            "dep_delay": 2,
            "arr_time": 830,
            "sched_arr_time": 819,
            "arr_delay": 11,
            "carrier": "UA",
            "flight": 1545,
            "tailnum": "N14228",
            "origin": "EWR",
            "dest": "IAH",
            "air_time": 227,
            "distance": 1400,
            "hour": 5,
            "minute": 15,
            "time_hour": datetime(2013, 1, 1, 10, tzinfo=timezone.utc),
        }
    ]
    assert run.rows("weather", where={"origin": "EWR", "hour": 18}) == [
        {
            "origin": "EWR",
            "year": 2013,
            "month": 1,
            "day": 1,
            "hour": 18,
            "temp": 33.98,
            "dewp": 15.08,
            "humid": 45.43,
            "wind_dir": 310,
            "wind_speed": pytest.approx(12.65858),
            "wind_gust": pytest.approx(25.31716),
            "precip": 0,
            "pressure": 1014.1,
            "visib": 10,
            "time_hour": datetime(2013, 1, 1, 23, tzinfo=timezone.utc),
        }
    ]
