"""A save that fails: the dataset is exactly as it was, and the next save works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed
from saved import DISPOSITIONS, Store, batch_of, names_of, rows_of

from dlthub_project import ProjectError

MakeStore = Callable[..., Store]

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
KINDS = ["duckdb", POSTGRES, "filesystem"]


def batches(store: Store, table: str) -> list[tuple[int, int]]:
    return sorted(store.open()[table].select("id", "batch").fetchall())


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_save_of_many_tables_that_is_refused_at_its_very_end_changes_nothing(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    dataset = store.load()
    store.refuse_loads()
    before = store.contents()

    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(
            batch_of(kind, 1, new_column="new", new_table=[{"a": 1}]), write_disposition=None
        )
    assert caught.value.step == "load"
    assert store.contents() == before


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_save_after_one_that_failed_while_loading_brings_its_own_rows_alone(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    dataset = store.load()
    store.refuse_loads()
    with pytest.raises(PipelineStepFailed):
        dataset.save(batch_of(kind, 1), write_disposition=None)
    store.allow_loads()
    dataset.save(batch_of(kind, 2), write_disposition=None)

    assert batches(store, "appended") == [(1, 0), (1, 2), (10, 0), (12, 2)]
    assert batches(store, "replaced") == [(1, 2), (12, 2)]
    if "merged" in names_of(kind):
        assert batches(store, "merged") == [(1, 2), (10, 0), (12, 2)]
        assert batches(store, "versioned") == [(1, 0), (1, 2), (10, 0), (12, 2)]


def failing(batch: int) -> Callable[[], Iterator[Any]]:
    def rows() -> Iterator[Any]:
        yield rows_of(batch, new_column="new")
        raise ConnectionError("the shop is closed")

    return rows


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", pytest.param("filesystem", marks=pytest.mark.slow)])
def test_a_generator_that_fails_in_its_midst_changes_nothing(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    dataset = store.load()
    before = store.contents()

    with pytest.raises(PipelineStepFailed, match="the shop is closed"):
        dataset.save(failing(1), "replaced", write_disposition="replace")
    assert store.contents() == before


@pytest.mark.slow
@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_matrix_of_dispositions_and_destinations(
    make_store: MakeStore, kind: str, disposition: str
) -> None:
    if disposition not in names_of(kind):
        pytest.skip("is appended there")
    store = make_store(kind)
    dataset = store.load()
    store.refuse_loads()
    before = store.contents()
    for table in (disposition, "new_table"):
        with pytest.raises(PipelineStepFailed):
            dataset.save(
                rows_of(1, new_column="new"),
                table,
                write_disposition=DISPOSITIONS[disposition],
                primary_key=None if disposition == "versioned" else "id",
            )
        assert (table, store.contents()) == (table, before)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["duckdb", POSTGRES])
def test_a_row_that_the_database_refuses_takes_the_rows_before_it_along(
    make_store: MakeStore, kind: str
) -> None:
    store = make_store(kind)
    dataset = store.load()
    dataset.save([{"id": 1, "age": 3}], "people")
    before = store.contents()

    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save(
            [{"id": 2, "share": 1}, {"id": 3, "share": 12345}],
            "people",
            columns={"share": {"data_type": "decimal", "precision": 2, "scale": 0}},
        )
    assert caught.value.step == "load"
    assert store.contents() == before


@pytest.mark.postgres
def test_a_commit_that_is_refused_is_a_load_that_failed(make_store: MakeStore) -> None:
    store = make_store("postgres")
    dataset = store.load_by_hand()
    store.execute(
        f'ALTER TABLE "{store.name}".appended ADD CONSTRAINT once UNIQUE (id) INITIALLY DEFERRED'
    )
    before = store.contents()

    with pytest.raises(PipelineStepFailed, match="duplicate key") as caught:
        dataset.save([{"id": 1}], "appended")
    assert caught.value.step == "load"
    assert store.contents() == before


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "kind",
    [
        "duckdb",
        pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow]),
        pytest.param("filesystem", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "data",
    [[{"id": 2, "note": "new"}], pd.DataFrame({"id": [2], "note": ["new"]})],
    ids=["dicts", "frame"],
)
def test_a_breach_of_the_contract_changes_nothing_at_all(
    make_store: MakeStore, kind: str, data: Any
) -> None:
    store = make_store(kind, contract="freeze")
    dataset = store.load_by_hand()
    before = store.contents()

    for table in ("appended", "new_table"):
        with pytest.raises(PipelineStepFailed) as caught:
            dataset.save(data, table)
        assert is_breach(caught.value)
    with pytest.raises(PipelineStepFailed) as caught:
        dataset.save([{"id": "text"}], "appended", schema_contract={"data_type": "freeze"})
    assert is_breach(caught.value)
    assert store.contents() == before


def is_breach(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, DataValidationError):
        error = error.__cause__
    return error is not None


def test_a_save_goes_nowhere_else(make_store: MakeStore) -> None:
    dataset = make_store("duckdb").load_by_hand()

    for name in ("destination", "dataset_name", "staging", "credentials", "schema"):
        with pytest.raises(ProjectError, match=f"takes no `{name}`"):
            dataset.save([{"id": 1}], "people", **{name: "other"})
