"""Metrics: against pandas, on several destinations, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import dlt
import pandas as pd
import pytest

from dlthub_project import DatasetNotLoaded, ProjectError
from dlthub_project import data_quality as dq
from dlthub_project.data_quality.metric_kinds import metric_of
from dlthub_project.data_quality.metric_queries import measured
from dlthub_project.dlt_internals import relations

of = dq.metrics.column
of_table = dq.metrics.table
of_dataset = dq.metrics.dataset

FIRST, SECOND = (datetime(2026, 1, day, tzinfo=timezone.utc) for day in (1, 2))
ROWS = [
    {"id": 1, "n": 5, "x": 0.5, "d": Decimal("1.10"), "name": "Ann", "at": FIRST},
    {"id": 2, "n": 5, "x": 1.5, "d": Decimal("1.15"), "name": "Zoë", "at": SECOND},
    {"id": 3, "n": -2, "x": None, "d": Decimal("9.99"), "name": "", "at": SECOND},
    {"id": 4, "n": 0, "x": 4.25, "d": Decimal("0.01"), "name": None, "at": None},
    {"id": 4, "n": 0, "x": 4.25, "d": Decimal("0.01"), "name": None, "at": None},
    {"id": None, "n": None, "x": None, "d": None, "name": None, "at": None},
]
COLUMNS: Any = {"d": {"data_type": "decimal", "precision": 10, "scale": 2}}
FRAME = pd.DataFrame(ROWS)
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "maximum": lambda c: c.max(),
    "minimum": lambda c: c.min(),
    "mean": lambda c: c.mean(),
    "median": lambda c: c.median(),
    "mode": lambda c: c.mode()[0],
    "sum": lambda c: c.sum(),
    "standard_deviation": lambda c: c.std(),
    "null_count": lambda c: c.isna().sum(),
    "null_rate": lambda c: c.isna().mean(),
    "unique_count": lambda c: c.nunique(),
}
LENGTHS: dict[str, Callable[[Any], Any]] = {
    "average_length": lambda c: c.str.len().mean(),
    "minimum_length": lambda c: c.str.len().min(),
    "maximum_length": lambda c: c.str.len().max(),
    **{name: NUMBERS[name] for name in ("maximum", "minimum", "mode", "unique_count")},
}


def expected() -> dict[tuple[str | None, str], Any]:
    found: dict[tuple[str | None, str], Any] = {}
    for column in ("n", "x", "d"):
        series = FRAME[column].astype("float64")
        found |= {(column, name): float(make(series)) for name, make in NUMBERS.items()}
        for share in (0.0, 0.9, 0.25):
            found[column, f"quantile_{share:g}"] = float(series.quantile(share))
    # pandas 2 has no greatest of texts and nulls
    names = FRAME["name"].dropna()
    found |= {("name", name): make(names) for name, make in LENGTHS.items()}
    return {**found, (None, "row_count"): 6, (None, "unique_count"): 5, (None, "null_row_count"): 1}


def all_of_orders() -> list[dq.Metric]:
    made = [getattr(of, name)(column) for column in ("n", "x", "d") for name in NUMBERS]
    made += [of.quantile(column, share) for column in ("n", "x", "d") for share in (0, 0.9, 0.25)]
    made += [getattr(of, name)("name") for name in LENGTHS]
    return [*made, of_table.row_count(), of_table.unique_count(), of_table.null_row_count()]


@pytest.mark.sampled(1)
def test_metrics_are_those_of_pandas_in_one_query(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run(dlt.resource(ROWS, name="orders", columns=COLUMNS))
    dataset = pipeline.dataset()
    asked: list[str] = []
    answer = relations.answer

    def answering(relation: Any, query: str, **others: Any) -> Any:
        asked.append(query)
        return answer(relation, query, **others)

    monkeypatch.setattr(relations, "answer", answering)
    results = measured(dataset, "orders", all_of_orders(), [])

    assert len(asked) == 1
    found = {(one.column, one.metric): one.value for one in results}
    wanted = expected()
    assert found.keys() == wanted.keys()
    assert {
        key: (found[key], value)
        for key, value in wanted.items()
        if not (
            found[key] == value
            if isinstance(value, str)
            else math.isclose(found[key], value, rel_tol=1e-9)
        )
    } == {}
    times = measured(dataset, "orders", [of.maximum("at"), of.mode("at")], [])
    assert [one.value for one in times] == [SECOND] * 2

    pipeline.run(dlt.resource([], name="orders"), write_disposition="replace")
    results = measured(pipeline.dataset(), "orders", all_of_orders(), [])
    empty = {(one.column, one.metric): one.value for one in results}
    counts = [key for key in empty if key[1].endswith("_count")]
    assert {empty[key] for key in counts} == {0}
    assert {value for key, value in empty.items() if key not in counts} == {None}


@dlt.source
@dq.with_metrics({"orders": [of_table.row_count()]})
def below() -> Any:
    @dq.with_metrics(of.maximum("id"))
    @dq.with_checks(dq.checks.is_unique("id"))
    @dlt.resource
    def orders(start: int = 1) -> Iterator[Any]:
        yield [{"id": start, "lines": [{"n": 1}, {"n": 2, "parts": [{"p": 1}]}]}, {"id": start + 1}]

    @dq.with_metrics(of.sum("twice"))
    @dlt.transformer(data_from=orders)
    def doubled(order: Any) -> Iterator[Any]:
        yield from ({"twice": 2 * one["id"]} for one in order)

    return orders, doubled


@pytest.mark.sampled(1)
def test_metrics_of_each_load_are_stored(pipeline: dlt.Pipeline) -> None:
    everything = (
        of_dataset.total_row_count(),
        of_dataset.load_row_count(),
        of_dataset.latest_loaded_at(),
    )
    dq.enable_data_quality(pipeline)
    infos = []
    for start in (1, 3):
        source = dq.with_metrics(*everything, {"orders": [of.mean("id")]})(below())
        source.orders.bind(start)
        infos.append(pipeline.run(source))
    dataset = pipeline.dataset()

    assert source.orders.compute_table_schema()["x-checks"]  # type: ignore[typeddict-item]
    loads = [info.loads_ids[0] for info in infos]
    names = ("load_id", "table_name", "column_name", "metric_name", "value")
    rows = dq.read_metric(dataset).select(*names).fetchall()
    assert {row for row in rows if row[3] != "latest_loaded_at"} == {
        (load, *row)
        for load, maximum, total in ((loads[0], 2.0, 7.0), (loads[1], 4.0, 14.0))
        for row in (
            ("orders", None, "row_count", 2.0 if maximum == 2 else 4.0),
            ("orders", "id", "maximum", maximum),
            ("orders", "id", "mean", 1.5 if maximum == 2 else 2.5),
            ("doubled", "twice", "sum", 6.0 if maximum == 2 else 20.0),
            (None, None, "total_row_count", total),
            (None, None, "load_row_count", 7.0),
        )
    }
    latest = dq.read_metric(dataset, metric="latest_loaded_at").select("load_id", "value_text")
    times = {load: datetime.fromisoformat(text) for load, text in latest.fetchall()}
    assert times[loads[0]] < times[loads[1]] <= datetime.now(timezone.utc)
    of_orders = dq.read_metric(dataset, table="orders", column="id", metric="mean")
    assert sorted(of_orders.select("value_text").fetchall()) == [("1.5",), ("2.5",)]
    assert len(dq.read_check(dataset).fetchall()) == 2


@pytest.mark.slow
def test_what_cannot_be_measured_is_an_error_and_no_obstacle(shop: dlt.Pipeline) -> None:
    import pyarrow as pa

    marks: Any = {"email": {"x-pii": True}}
    people = dlt.resource(
        [{"email": "a@x.invalid", "api_key": "7788"}], name="people", columns=marks
    )
    people = dq.with_metrics(
        of.maximum("email"),
        of.maximum_length("email"),
        of.mean("email"),
        of.mode("api_key"),
        of.sum("no"),
    )(people)
    frames = dlt.resource(pa.table({"a": [1]}), name="frames")
    source = dlt.source(lambda: [people, frames], name="crm")()
    info = shop.run(
        dq.with_metrics(of_dataset.load_row_count(), of_dataset.total_row_count())(source)
    )

    rows = dq.read_metric(shop.dataset()).select("metric_name", "value", "value_text", "error")
    found = {name: rest for name, *rest in rows.fetchall()}
    assert found["maximum_length"] == [11.0, "11", None]
    assert found["total_row_count"] == [2.0, "2", None]
    assert found["mode"] == [None, "***", None]
    assert "marked as personal" in found["maximum"][2]
    assert "may be personal" in found["mean"][2]
    assert "no column `no`" in found["sum"][2]
    assert "table `frames` do not tell which load" in found["load_row_count"][2]
    assert "x.invalid" not in str(found)
    more = dq.measure_load(
        shop, info, {None: [of.mean("a")], "frames": [of_dataset.latest_loaded_at()]}
    )
    assert [bool(one.error) for one in more].count(True) == 6
    assert dq.measure_load(shop, None) == []
    with pytest.raises(DatasetNotLoaded, match="No checks of dataset `sales` are stored"):
        dq.read_check(shop.dataset())
    with pytest.raises(ProjectError, match="Did you mean `people`"):
        measured(shop.dataset(), "peple", [of_table.row_count()], [])


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (lambda: of.quantile("x", 2), ValueError),
        (lambda: of.quantile("x", True), ValueError),
        (lambda: of.mean(3), TypeError),  # type: ignore[arg-type]
        (lambda: dq.with_metrics(), TypeError),
        (lambda: dq.with_metrics(dq.checks.is_unique("id")), TypeError),  # type: ignore[arg-type]
        (lambda: dq.with_checks(of.mean("x")), TypeError),  # type: ignore[arg-type]
        (lambda: dq.with_metrics({"a": [of_dataset.total_row_count()]}), TypeError),
        (
            lambda: dq.with_metrics(of_dataset.total_row_count())(dlt.resource([1], name="a")),
            TypeError,
        ),
        (lambda: dq.with_metrics(of.mean("x"))(below()), TypeError),
        (lambda: dq.with_metrics({"b": [of.mean("x")]})(below()), ValueError),
    ],
)
def test_error_of_a_metric_that_says_nothing(
    made: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        made()


def test_a_metric_is_the_same_after_it_travelled() -> None:
    for one in (*all_of_orders(), of_dataset.load_row_count()):
        assert metric_of(dlt.common.json.loads(dlt.common.json.dumps(one.as_dict()))) == one


def test_a_transformation_brings_its_metrics() -> None:
    @dq.with_metrics(of.mean("x"))
    @dlt.hub.transformation
    def total(dataset: dlt.Dataset) -> Any:
        yield dataset.table("a")

    assert total.compute_table_schema()["x-metrics"]


def test_decorators_stand_above_a_source() -> None:
    @dlt.source
    def above(rows: int) -> Any:
        return dlt.resource([{"x": n} for n in range(rows)], name="a")

    metrics = dq.with_metrics(of_dataset.total_row_count(), {"a": [of.mean("x")]})
    made = dq.with_checks({"a": [dq.checks.is_unique("x")]})(metrics(above))
    assert made is above
    hints: Any = made(3).a.compute_table_schema()
    assert hints["x-metrics"] == [of.mean("x").as_dict()]
    assert hints["x-dataset-metrics"] == [of_dataset.total_row_count().as_dict()]
    assert [plain["kind"] for plain in hints["x-checks"]] == ["is_unique"]
    with pytest.raises(ValueError, match="no resource `b`"):
        dq.with_checks({"b": [dq.checks.is_unique("x")]})(above)(3)
