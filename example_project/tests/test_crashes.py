"""What a killed run leaves: whenever that was, the next one brings each row once."""

from datetime import date

import pytest

from pytest_dlthub import DltProject


def test_weather_is_there_once_after_any_crash(dlt_project: DltProject) -> None:
    source = dlt_project.source("departures")
    first, both = source(until=date(2013, 1, 2)), source(until=date(2013, 1, 3))
    dlt_project.run("load_flights", data=first, resources=["weather"])
    crashes = dlt_project.crashed("load_flights", data=both, resources=["weather"])

    # an append has no job that merges, and no traces are stored
    assert crashes.unreached == ["merge_commit", "stored_trace"]


def test_airlines_are_merged_and_need_no_runner(dlt_project: DltProject) -> None:
    chosen = {"resources": ["airlines"], "points": ["commit", "merge_commit"]}
    crashes = dlt_project.crashed("load_reference", runner="dlt", **chosen)

    assert crashes.reached == chosen["points"]


def test_weather_would_be_there_twice_with_dlt_alone(dlt_project: DltProject) -> None:
    day = dlt_project.source("departures")(until=date(2013, 1, 2))
    with pytest.raises(AssertionError, match="weather: 52 rows twice after a kill"):
        dlt_project.crashed(
            "load_flights", data=day, resources=["weather"], runner="dlt", points="commit"
        )
