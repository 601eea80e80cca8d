"""Loading airlines, airports and planes: one row for each key, however often it runs."""

import pyarrow as pa

from pytest_dlthub import DltProject, assert_unique

ROWS = {"airlines": 16, "airports": 1_458, "planes": 3_322}


def test_every_code_stays_unique_after_a_second_run(dlt_project: DltProject) -> None:
    first = dlt_project.run("load_reference")
    second = dlt_project.run("load_reference")

    assert first.row_counts == ROWS
    assert dict(second.dataset.row_counts().fetchall()) == ROWS
    for table, key in (("airlines", "carrier"), ("airports", "faa"), ("planes", "tailnum")):
        assert_unique(second.dataset.table(table), key)


def test_changed_row_replaces_the_one_with_its_key(dlt_project: DltProject) -> None:
    dlt_project.run("load_reference", resources=["airlines"])
    renamed = pa.table({"carrier": ["UA"], "name": ["United Airlines"]})
    run = dlt_project.run(
        "load_reference",
        data=renamed,
        table_name="airlines",
        write_disposition="merge",
        primary_key="carrier",
    )

    names = dict(run.rows("airlines", "carrier", "name"))
    assert names["UA"] == "United Airlines"
    assert len(names) == 16
