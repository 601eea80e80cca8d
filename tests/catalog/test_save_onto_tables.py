"""A save onto what others have made: tables without dlt's columns, and datasets yet to be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from saved import Store

from dlthub_project import DatasetNotLoaded, ProjectError, WritableDataset, current

MakeStore = Callable[..., Store]

KINDS = [
    "duckdb",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.slow]),
    pytest.param("sqlite", marks=pytest.mark.slow),
    "filesystem",
]
THERE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]
SAVED = [{"id": 2, "name": "Hopper"}, {"id": 3, "name": "Alan"}]
FORMS = ("rows", "frame", "arrow", "relation")
EXPECTED = {
    "append": [(1, "Ada"), (2, "Grace"), (2, "Hopper"), (3, "Alan")],
    "replace": [(2, "Hopper"), (3, "Alan")],
    "merge": [(1, "Ada"), (2, "Hopper"), (3, "Alan")],
}


def dispositions_of(kind: str) -> list[str]:
    """Files cannot be merged."""
    return list(EXPECTED)[:2] if kind == "filesystem" else list(EXPECTED)


@dlt.source(name="made")
def tables_of_arrow(kind: str) -> Any:
    """Tables of two rows as Arrow, one for each form and way to write, and `others`."""
    for form in FORMS:
        for disposition in dispositions_of(kind):
            yield dlt.resource(
                pa.Table.from_pylist(THERE), name=f"{form}_{disposition}", primary_key="id"
            )
    yield dlt.resource(pa.Table.from_pylist(SAVED), name="others")


def saved_as(form: str, dataset: WritableDataset) -> Any:
    forms: dict[str, Any] = {
        "rows": SAVED,
        "frame": pd.DataFrame(SAVED),
        "arrow": pa.Table.from_pylist(SAVED),
        "relation": dataset.table("others").select("id", "name"),
    }
    return forms[form]


@pytest.mark.slow
# dlt's SQLAlchemy destination makes this warning when it merges
@pytest.mark.sampled(1)
@pytest.mark.filterwarnings("ignore:implicitly coercing SELECT")
@pytest.mark.parametrize("kind", KINDS)
def test_data_of_any_form_are_saved_onto_tables_that_were_loaded_as_arrow(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    current.runner().run_pipeline("load_first", data=tables_of_arrow(kind))
    dataset = store.open()

    for form in FORMS:
        for disposition in dispositions_of(kind):
            dataset.save(
                saved_as(form, dataset),
                table_name=f"{form}_{disposition}",
                write_disposition=disposition,
            )

    dataset = store.open()
    for form in FORMS:
        for disposition in dispositions_of(kind):
            table = dataset.table(f"{form}_{disposition}")
            rows = sorted(table.select("id", "name").fetchall())
            assert rows == EXPECTED[disposition], (form, disposition)
            # the schema says what the database holds
            assert table.columns_schema["_dlt_id"]["nullable"] is True


def test_error_when_a_merge_would_look_for_ids_that_rows_loaded_as_arrow_lack(
    make_store: MakeStore,
) -> None:
    store = make_store("duckdb")
    table = pa.Table.from_pylist(THERE)
    current.runner().run_pipeline("load_first", data=table, table_name="people")
    rows = [{**row, "pets": [{"name": "Rex"}]} for row in SAVED]
    versioned = {"disposition": "merge", "strategy": "scd2"}
    before = store.contents()

    for data, way in ((rows, "merge"), (SAVED, versioned)):
        with pytest.raises(ProjectError, match="Table `people` has rows without `_dlt_id`"):
            store.open().save(data, "people", write_disposition=way, primary_key="id")
    assert store.contents() == before

    store.open().save(rows, table_name="people")
    found = store.open()["people"].arrow()
    # dlt reads them as Arrow, with what the schema says
    assert (found.num_rows, found["_dlt_id"].null_count) == (4, 2)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_save_into_a_declared_dataset_makes_it_and_a_failed_one_makes_nothing(
    make_store: MakeStore, kind: str
) -> None:
    def broken() -> Any:
        yield SAVED
        raise ConnectionError("the shop is closed")

    dataset = make_store(kind).open()
    with pytest.raises(PipelineStepFailed, match="the shop is closed"):
        dataset.save(broken, table_name="people")
    for read in (lambda: dataset.tables, lambda: dataset["people"], lambda: dataset("SELECT 1")):
        with pytest.raises(DatasetNotLoaded, match=r"`dlt pipeline load_first run"):
            read()
    dataset.save(pd.DataFrame(SAVED), table_name="people")
    dataset.save(SAVED, table_name="people")

    for opened in (dataset, current.catalog()[dataset.dataset_name]):
        rows = opened["people"].select("id", "name").fetchall()
        assert sorted(rows) == sorted(2 * [(row["id"], row["name"]) for row in SAVED])
    if kind == "filesystem":
        # dlt reads no table of files in two formats
        return
    # whoever loads it later adds to it
    current.runner().run_pipeline("load_first", data=THERE, table_name="people")
    assert len(current.catalog()[dataset.dataset_name]["people"].fetchall()) == 6
