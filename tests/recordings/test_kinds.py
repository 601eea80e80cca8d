"""Every kind of resource is recorded, and replayed without being asked."""

# without postponed annotations: dlt finds no incremental in them
import asyncio
import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.extract import DltResource, DltSource

from dlthub_project.errors import RecordingMissing
from pytest_dlthub import DltItems, DltRun

Recording = Callable[..., AbstractContextManager[Any]]

TYPED = {
    "id": 1,
    "total": Decimal("1.10"),
    "at": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
    "day": datetime.date(2026, 1, 2),
    "time": datetime.time(3, 4),
    "raw": b"\x00\xff",
    "uid": UUID(int=7),
    "none": None,
    "nan": [1.5, True],
    "nested": {"$decimal": "no type", "separator": "a\u2028b\nc"},
}
asked: list[str] = []


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    """Count from none."""
    asked.clear()


@dlt.resource
def pages() -> Any:
    asked.append("pages")
    yield [TYPED, {"id": 2}]
    yield []
    yield [{"id": 3}]


@dlt.resource
def rows() -> Any:
    asked.append("rows")
    yield {"id": 1}
    yield [{"id": 2}, {"id": 3}]
    yield {"id": 4}


@dlt.resource
def returned() -> Any:
    asked.append("returned")
    return [{"id": 1}, {"id": 2}]


@dlt.resource
async def asynchronous() -> Any:
    asked.append("asynchronous")
    await asyncio.sleep(0)
    yield [{"id": 1}]


@dlt.resource(parallelized=True)
def parallel() -> Any:
    asked.append("parallel")
    yield [{"id": 1}]
    yield [{"id": 2}]


@dlt.resource
def deferred() -> Any:
    asked.append("deferred")

    @dlt.defer
    def page() -> Any:
        return [{"id": 1}]

    yield page()


@dlt.resource
def arrow() -> Any:
    asked.append("arrow")
    yield pa.table(
        {"id": [1, 2], "at": [datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), None]}
    )
    yield pa.table({"id": [3], "at": [None]}).cast(
        pa.schema({"id": "int64", "at": pa.timestamp("us", "UTC")})
    )


@dlt.resource
def frames() -> Any:
    asked.append("frames")
    yield pd.DataFrame({"id": [1, 2], "n": [1, 2]})
    # another schema: pandas guesses for each page
    yield pd.DataFrame({"id": [3], "n": [1.5]})


@dlt.resource
def from_cursor(at: Any = dlt.sources.incremental("at", initial_value=2)) -> Any:
    asked.append("from_cursor")
    yield [{"id": 1, "at": 1}, {"id": 2, "at": 2}]


@dlt.source
def dynamic(names: list[str]) -> Any:
    def rows_of(name: str) -> Any:
        asked.append(name)
        yield [{"name": name}]

    return [dlt.resource(rows_of, name=name)(name) for name in names]


def plain(item: Any) -> Any:
    return item.to_pylist() if isinstance(item, pa.Table) else item


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return one.equals(other) and list(one.dtypes) == list(other.dtypes)
    return bool(plain(one) == plain(other)) and type(one) is type(other)


@pytest.mark.parametrize(
    "resource",
    [pages, rows, returned, asynchronous, parallel, deferred, arrow, frames, from_cursor],
    ids=lambda resource: resource.name,
)
def test_each_kind_is_replayed_as_it_was_recorded(
    recording: Recording, folder: Path, resource: DltResource
) -> None:
    with recording(mode="new"):
        first = DltItems()(resource, given="recorded")
    assert asked
    asked.clear()
    with recording():
        again = DltItems()(resource, given="recorded")

    assert len(first) == len(again) > 0
    assert all(map(same, first, again))
    assert asked == []


def test_types_of_values_stay(recording: Recording) -> None:
    for mode in ("new", ""):
        with recording(mode=mode):
            found = DltItems()(pages, given="recorded")

    assert found[0] == TYPED
    assert {name: type(value) for name, value in found[0].items()} == {
        name: type(value) for name, value in TYPED.items()
    }


def test_pages_stay_pages(recording: Recording) -> None:
    seen: list[Any] = []

    def watched(name: str) -> DltResource:
        made = {"pages": pages, "rows": rows}[name].with_name(f"{name}_seen")
        made.add_step(lambda item, meta=None: seen.append(item) or item)
        return made

    for name in ("pages", "rows"):
        data = [[TYPED, {"id": 2}], [], [{"id": 3}]]
        if name == "rows":
            data = [{"id": 1}, [{"id": 2}, {"id": 3}], {"id": 4}]
        with recording(mode="all"):
            DltItems()(watched(name), given="recorded")
        seen.clear()
        with recording():
            DltItems()(watched(name), given="recorded")

        assert seen == data


def test_maps_filters_and_transformers_of_the_user_run_on_what_was_recorded(
    recording: Recording,
) -> None:
    @dlt.source
    def shop() -> Any:
        @dlt.transformer(data_from=pages)
        def numbers(page: Any) -> Any:
            yield {"number": page["id"] if isinstance(page, dict) else len(page)}

        return pages.add_filter(lambda row: row["id"] < 3), numbers

    with recording(mode="new"):
        first = DltItems()(shop(), given="recorded")
    asked.clear()
    with recording():
        again = DltItems()(shop(), given="recorded")

    assert first == again
    assert [row["id"] for row in again["pages"]] == [1, 2]
    assert len(again["numbers"]) > 0
    assert asked == []


def test_transformers_that_call_out_are_recorded_where_that_is_asked_for(
    recording: Recording, folder: Path
) -> None:
    @dlt.transformer(data_from=rows)
    def details(item: Any) -> Any:
        asked.append("details")
        yield {"detail": item["id"] if isinstance(item, dict) else len(item)}

    with recording(mode="new"):
        first = DltRun()(details, given="recorded", record="transformers")
    asked.clear()
    with recording():
        again = DltRun()(details, given="recorded", record="transformers", pipelines_dir="replayed")

    assert first.row_counts == again.row_counts == {"details": 3}
    assert asked == []
    assert sorted(path.name for path in folder.iterdir()) == ["details.jsonl", "recording.yml"]


def test_dynamic_resources_and_names_of_tables(recording: Recording) -> None:
    @dlt.resource
    def events() -> Any:
        asked.append("events")
        yield dlt.mark.with_table_name([{"id": 1}], "clicks")
        yield dlt.mark.with_hints(
            [{"id": 2}], dlt.mark.make_hints(table_name="views", primary_key="id"), True
        )

    def run(folder: str) -> Any:
        data = [dynamic(["a", "b"]), events]
        return DltRun()(data, given="recorded", pipelines_dir=folder)

    with recording(mode="new"):
        first = run("first")
    asked.clear()
    with recording():
        again = run("again")

    assert again.row_counts == first.row_counts == {"a": 1, "b": 1, "clicks": 1, "views": 1}
    assert again.schema.tables["views"]["columns"]["id"]["primary_key"] is True
    assert asked == []


def test_generator_that_code_made_before_the_run(recording: Recording) -> None:
    def fetched(day: str) -> Any:
        asked.append(day)
        yield [{"day": day}]

    with recording(mode="new"):
        first = DltRun()(fetched("mon"), given="recorded", table_name="days")
    asked.clear()
    with recording():
        again = DltRun()(fetched("mon"), given="recorded", table_name="days", pipelines_dir="again")

    assert first.row_counts == again.row_counts == {"days": 1}
    assert asked == []


def test_data_that_code_holds_are_never_recorded(recording: Recording, folder: Path) -> None:
    def data(held: str) -> DltSource:
        @dlt.source
        def mixed() -> Any:
            return dlt.resource([{"held": held}], name="held"), pages

        return mixed()

    with recording(mode="new"):
        DltItems()(data("first"), given="recorded")
    with recording():
        again = DltItems()(data("changed since"), given="recorded")

    assert again["held"] == [{"held": "changed since"}]
    assert not (folder / "held.jsonl").exists()


def test_day_1_and_day_2_have_a_file_each(recording: Recording, folder: Path) -> None:
    days = iter([[{"id": 1, "at": 5}], [{"id": 2, "at": 7}]])

    @dlt.resource
    def orders(at: Any = dlt.sources.incremental("at")) -> Any:
        yield next(days)

    with recording(mode="new"):
        items = DltItems()
        items(orders, given="recorded")
        items(orders, given="recorded")
    with recording():
        items = DltItems()
        first, second = items(orders, given="recorded"), items(orders, given="recorded")

    assert (first, second) == ([{"id": 1, "at": 5}], [{"id": 2, "at": 7}])
    assert sorted(path.name for path in folder.glob("*.jsonl")) == [
        "orders.jsonl",
        "orders.run2.jsonl",
    ]


def test_nothing_is_recorded_unasked(recording: Recording, folder: Path) -> None:
    with recording(), pytest.raises(RecordingMissing, match="--dlt-record"):
        DltItems()(pages, given="recorded")

    assert asked == []
    assert not folder.exists()


@pytest.mark.parametrize("mode", ["", "new"])
def test_recording_is_not_overwritten_unless_that_is_asked_for(
    recording: Recording, folder: Path, mode: str
) -> None:
    with recording(mode="new"):
        DltItems()(rows, given="recorded")
    before = (folder / "rows.jsonl").read_bytes()
    (folder / "rows.jsonl").write_bytes(before + b'{"id": 5}\n')
    with recording(mode=mode):
        found = DltItems()(rows, given="recorded")

    assert found[-1] == {"id": 5}
    with recording(mode="all"):
        DltItems()(rows, given="recorded")
    assert (folder / "rows.jsonl").read_bytes() == before
