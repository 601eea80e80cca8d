"""The report: its arithmetic on a few rows, its figures on all of them."""

import pandas as pd
import pytest

from pytest_dlthub import DltProject, DltRun
from reports import delays


def test_cancelled_flights_count_but_have_no_delay(dlt_run: DltRun) -> None:
    flights = [
        {"carrier": "UA", "dep_time": 517, "dep_delay": 2},
        {"carrier": "UA", "dep_time": 554, "dep_delay": -4},
        {"carrier": "UA", "dep_time": None, "dep_delay": None},
        {"carrier": "AA", "dep_time": 542, "dep_delay": 30},
    ]
    run = dlt_run(flights, table_name="flights")

    assert delays.delays_by_carrier(run.dataset).to_dict("records") == [
        {"carrier": "AA", "flights": 1, "cancelled": 0, "mean_delay": 30},
        {"carrier": "UA", "flights": 3, "cancelled": 1, "mean_delay": -1},
    ]


def test_mean_over_chunks_is_the_mean_over_rows(dlt_run: DltRun) -> None:
    delay = pd.Series(range(5_000))
    carriers = ["UA"] * 3_000 + ["AA"] * 2_000
    flights = pd.DataFrame({"carrier": carriers, "dep_time": 517, "dep_delay": delay})
    run = dlt_run(flights, table_name="flights")

    report = delays.delays_by_carrier(run.dataset, chunk_size=2_048)  # 2,048 + 2,048 + 904
    assert report["carrier"].tolist() == ["AA", "UA"]
    assert report["mean_delay"].tolist() == [delay[3_000:].mean(), delay[:3_000].mean()]


def test_report_of_2013_is_saved_beside_the_flights(
    dlt_project: DltProject, capsys: pytest.CaptureFixture[str]
) -> None:
    dlt_project.run("load_flights", resources=["flights"])
    delays.main()
    delays.main()  # a report that is made again takes the place of the first

    report = dlt_project.catalog.dataset("nyc").table("delays_by_carrier").df()
    assert report is not None
    flights = dict(zip(report["carrier"], report["flights"], strict=True))
    assert len(report) == 16
    assert (flights["UA"], flights["OO"]) == (58_665, 32)
    assert report["cancelled"].sum() == 8_255
    assert report.set_index("carrier")["mean_delay"]["UA"] == pytest.approx(12.106, abs=0.001)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["UA", "58665", "686", "12.1"] in printed
