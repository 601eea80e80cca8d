"""The types of saved data: kept, or an error, and no value is lost in silence."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import dlt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from one_item import with_one_item
from saved import Store

from dlthub_project import WritableDataset, current
from dlthub_project.catalog.schemas import lossy_conversions
from dlthub_project.dlt_internals.normalization import changed_by_csv

NOON = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001  # to be naive is the point


@pytest.fixture
def dataset(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> WritableDataset:
    return with_one_item(tmp_path_factory.getbasetemp())


def saved(table: str) -> dict[str, list[Any]]:
    """Return the columns of a table as they are at the destination, without dlt's own."""
    found = current.catalog().shop_data.table(table).arrow()
    return {
        name: values for name, values in found.to_pydict().items() if not name.startswith("_dlt")
    }


def test_values_of_every_type_come_back_as_they_were(dataset: WritableDataset) -> None:
    values: dict[str, tuple[Any, pa.DataType]] = {
        "price": (Decimal("1.234567890123"), pa.decimal128(38, 12)),
        "day": (dt.date(2024, 1, 1), pa.date32()),
        "hour": (dt.time(1, 2, 3, 4), pa.time64("us")),
        "photo": (b"\x00\xff", pa.binary()),
        "small": (7, pa.int8()),
        "counted": (2**62, pa.uint64()),
        "share": (0.1, pa.float64()),
        "paid": (True, pa.bool_()),
        "kind": ("new", pa.dictionary(pa.int32(), pa.string())),
        "view": ("seen", pa.string_view()),
        "encoded": ("x", pa.string()),
    }
    table = pa.table({name: pa.array([value], kind) for name, (value, kind) in values.items()})
    dataset.save(table, table_name="everything")

    assert saved("everything") == {name: [value] for name, (value, _) in values.items()}


def test_timestamps_are_instants_and_stay_naive_where_a_column_says_so(
    dataset: WritableDataset,
) -> None:
    table = pa.table(
        {
            "naive": pa.array([NOON], pa.timestamp("us")),
            "berlin": pa.array([NOON], pa.timestamp("us", "Europe/Berlin")),
            "local": pa.array([NOON], pa.timestamp("us")),
        }
    )
    dataset.save(table, table_name="times", columns={"local": {"timezone": False}})
    utc = NOON.replace(tzinfo=dt.timezone.utc)

    assert saved("times") == {"naive": [utc], "berlin": [utc], "local": [NOON]}


@pytest.mark.postgres
def test_postgres_gets_what_its_csv_would_change(make_store: Callable[..., Store]) -> None:
    """dlt loads Arrow data there as CSV, which takes an empty text for NULL."""
    store = make_store("postgres")
    dataset = store.load_by_hand()
    values: dict[str, pa.Array] = {
        "text": pa.array(["", None, '"', "NULL", "\\N", " "]),
        "large": pa.array(["", None, "x", "x", "x", "x"], pa.large_string()),
        "kind": pa.array(["", None, "x", "x", "x", "x"]).dictionary_encode(),
        "photo": pa.array([b"", None, b"\x00\xff", b"a\\b", b"x", b"x"]),
        "share": pa.array([float("inf"), None, 0.5, -1e300, 1.0, float("-inf")]),
        "tags": pa.array([["", None], None, [], ["x"], ["x"], ["x"]]),
        "place": pa.array([{"city": ""}, None, *[{"city": "x"}] * 4]),
    }
    dataset.save(pa.table(values), table_name="texts")
    dataset.save(pd.DataFrame({"n": [0, 1], "text": ["", None]}), table_name="frames")

    found = zip(*store.open().table("texts").select(*values).fetchall(), strict=True)
    for name, column in zip(values, found, strict=True):
        plain = [v.tobytes() if isinstance(v, memoryview) else v for v in column]
        assert plain == values[name].to_pylist(), name
    frame = store.open().table("frames").select("n", "text")
    assert sorted(frame.fetchall()) == [(0, ""), (1, None)]


@pytest.mark.parametrize(
    ("values", "is_changed"),
    [
        (["", "x"], True),
        ([None, "x", '"', " "], False),
        ([b"", b"x"], True),
        ([b"x", None], False),
        ([b"a\\b"], True),
        ([b"\xff"], True),
        ([[""]], True),
        ([{"city": "Rome"}], True),
        ([1, None], False),
        ([float("nan")], False),
    ],
)
def test_what_csv_would_change_is_found(
    tmp_path: Path, values: list[Any], is_changed: bool
) -> None:
    column = pa.array(values)
    columns = {"plain": column}
    if not pa.types.is_nested(column.type):
        columns["encoded"] = column.dictionary_encode()
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")

    found = dict(changed_by_csv(str(tmp_path / "rows.parquet")))
    assert sorted(found) == (sorted(columns) if is_changed else [])


def test_nested_values_are_json(dataset: WritableDataset) -> None:
    dataset.save(
        pa.table({"tags": [["a", "b"]], "place": [{"city": "Rome", "at": [1, 2]}]}), "nested"
    )

    found = {name: [json.loads(text) for text in texts] for name, texts in saved("nested").items()}
    # the order of keys is that of the version of dlt
    assert found == {"tags": [["a", "b"]], "place": [{"city": "Rome", "at": [1, 2]}]}


def test_polars_types_that_dlt_does_not_know_are_those_of_plain_columns(
    dataset: WritableDataset,
) -> None:
    frame = pl.DataFrame(
        {"name": ["Ada"], "kind": ["new"], "level": ["low"], "photo": [b"x"]},
        schema={
            "name": pl.String,
            "kind": pl.Categorical,
            "level": pl.Enum(["low"]),
            "photo": pl.Binary,
        },
    )
    dataset.save(frame, table_name="people")

    assert saved("people") == {"name": ["Ada"], "kind": ["new"], "level": ["low"], "photo": [b"x"]}


def test_identifiers_and_encoded_runs_are_plain_columns(dataset: WritableDataset) -> None:
    table = pa.table(
        {
            "id": pa.array([UUID(int=5).bytes, None], pa.uuid()),
            "kind": pa.RunEndEncodedArray.from_arrays([2], ["new"]),
        }
    )
    dataset.save(table, table_name="marked")

    assert saved("marked") == {"id": [str(UUID(int=5)), None], "kind": ["new", "new"]}


def test_a_column_of_nulls_waits_for_its_first_value(dataset: WritableDataset) -> None:
    dataset.save(pd.DataFrame({"id": [1], "note": [None]}), table_name="notes")
    assert "note" not in dataset.table("notes").columns
    dataset.save(pd.DataFrame({"id": [2], "note": ["seen"]}), table_name="notes")

    assert saved("notes") == {"id": [1, 2], "note": [None, "seen"]}


def test_chunks_need_not_have_the_same_columns_in_the_same_order(dataset: WritableDataset) -> None:
    def chunks() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"id": [1], "name": ["Ada"]})
        yield pd.DataFrame({"age": [85], "id": [2]})
        yield pd.DataFrame({"name": ["Alan"], "id": [3]})

    dataset.save(chunks, table_name="people")
    found = current.catalog().shop_data.people.select("id", "name", "age").fetchall()

    assert sorted(found) == [(1, "Ada", None), (2, None, 85), (3, "Alan", None)]


def test_chunks_are_cast_to_the_types_of_the_first_where_nothing_is_lost(
    dataset: WritableDataset,
) -> None:
    def chunks() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"n": [1]})
        # pandas makes floats of integers with a gap
        yield pd.DataFrame({"n": [2, None]})
        yield pd.DataFrame({"n": pd.Series([3], dtype="int8")})

    dataset.save(chunks, table_name="numbers")

    assert saved("numbers") == {"n": [1, 2, None, 3]}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "later",
    [pd.DataFrame({"n": [1.5]}), pa.table({"n": pa.array([Decimal("1.5")])})],
    ids=["float", "decimal"],
)
@pytest.mark.parametrize("apart", [True, False], ids=["two saves", "two chunks"])
def test_a_value_that_would_be_rounded_is_an_error_and_nothing_is_written(
    dataset: WritableDataset, later: Any, apart: bool
) -> None:
    first = pd.DataFrame({"n": [1]})
    if apart:
        dataset.save(first, table_name="numbers")

    with pytest.raises(PipelineStepFailed, match="Column `n` of table `numbers` is bigint, and"):
        dataset.save([later] if apart else [first, later], table_name="numbers")
    if apart:
        assert saved("numbers") == {"n": [1]}
    else:
        assert "numbers" not in current.catalog().shop_data.tables


def test_a_chunk_that_does_not_fit_the_first_is_an_error_of_the_column(
    dataset: WritableDataset,
) -> None:
    with pytest.raises(PipelineStepFailed, match="Column `n` of table `numbers` is bigint, and"):
        dataset.save([pd.DataFrame({"n": [1]}), pd.DataFrame({"n": ["x"]})], table_name="numbers")


DAY, HALF = dt.date(2024, 1, 1), Decimal("1.5")
# the column of the table, a value that it loses a part of, and one that it keeps
LOSSES: dict[str, tuple[Any, pa.DataType, Any, Any]] = {
    "n": (1, pa.int64(), 1.7, 2.0),
    "small": (1, pa.int32(), 2**40, 7),
    "day": (DAY, pa.date32(), NOON, dt.datetime(2024, 1, 2)),  # noqa: DTZ001  # as above
    "price": (HALF, pa.decimal128(10, 1), Decimal("1.55"), Decimal("2.50")),
    "share": (0.5, pa.float64(), 2**60 + 1, 3),
    "text": (1, pa.int64(), "1.7", "7"),
}
FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "frame": lambda row: pd.DataFrame([row]),
    "resource of Arrow": lambda row: dlt.resource(pa.Table.from_pylist([row]), name="typed"),
    "rows": lambda row: [row],
    "resource of rows": lambda row: dlt.resource([row], name="typed"),
    "relation": lambda row: _relation_of(pa.Table.from_pylist([row])),
}


def _relation_of(table: pa.Table) -> Any:
    dataset = current.catalog().shop_data
    dataset.save(table, table_name="others", write_disposition="replace")
    return dataset.table("others").select(*table.column_names)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "form",
    [f if n < 2 else pytest.param(f, marks=pytest.mark.slow) for n, f in enumerate(FORMS)],
)
def test_values_that_a_table_cannot_hold_are_refused_in_any_form_and_others_are_kept(
    dataset: WritableDataset, form: str
) -> None:
    made = {name: pa.array([there], kind) for name, (there, kind, _, _) in LOSSES.items()}
    dataset.save(pa.table(made), table_name="typed")

    all_kept = {column: kept for column, (_, _, _, kept) in LOSSES.items()}
    dataset.save(FORMS[form](all_kept), table_name="typed")
    # the table still has the types that it had
    for column, (_, _, lost, _) in LOSSES.items():
        if "rows" in form and column in ("n", "small", "text"):
            # dlt gives the value a column of its own, or the destination refuses it
            continue
        with pytest.raises(PipelineStepFailed) as caught:
            dataset.save(FORMS[form]({column: lost}), table_name="typed")
        assert f"Column `{column}` of table `typed` is " in str(caught.value), column

    expected = all_kept | {"day": dt.date(2024, 1, 2), "text": 7}
    assert saved("typed") == {
        column: [there, expected[column]] for column, (there, *_) in LOSSES.items()
    }


@pytest.mark.slow
def test_the_database_tells_the_type_of_a_column_where_plain_dlt_changed_that_in_the_schema(
    dataset: WritableDataset,
) -> None:
    by_hand = dlt.pipeline("by_hand", destination="warehouse", dataset_name="shop_data")
    for value in (1, 2.0):
        by_hand.run(pa.table({"n": [value]}), table_name="numbers")
    assert by_hand.default_schema.tables["numbers"]["columns"]["n"]["data_type"] == "double"

    for data in (pd.DataFrame({"n": [1.7]}), _relation_of(pa.table({"n": [1.7]}))):
        with pytest.raises(PipelineStepFailed, match="`n` of table `numbers` is bigint, and"):
            current.catalog().shop_data.save(data, table_name="numbers")


def test_values_nested_in_rows_are_compared_with_their_tables(dataset: WritableDataset) -> None:
    row = {"id": 1, "place": {"since": DAY}, "lines": [{"day": DAY}]}
    dataset.save([row], table_name="shops")

    for more, where in (
        ({"place": {"since": NOON}}, "`place__since` of table `shops` is date, and"),
        ({"lines": [{"day": NOON}]}, "`day` of table `shops__lines` is date, and"),
    ):
        with pytest.raises(PipelineStepFailed, match=where):
            dataset.save([row, row | more], table_name="shops")
    assert saved("shops")["id"] == [1]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("frame_first", [True, False])
def test_nested_dicts_and_frames_share_a_table(dataset: WritableDataset, frame_first: bool) -> None:
    frame = pa.table({"id": [1], "place": [{"city": "Rome"}], "tags": [[{"name": "a"}]]})
    dicts = [{"id": 2, "place": {"city": "Oslo"}, "tags": [{"name": "b"}]}]
    for data in (frame, dicts) if frame_first else (dicts, frame):
        dataset.save(data, table_name="shops")
    found = saved("shops")

    assert sorted(found["id"]) == [1, 2]
    # what dicts made tables and columns of stays so; a frame's values are JSON beside them
    assert '{"city":"Rome"}' in found["place"]
    assert ("shops__tags" in current.catalog().shop_data.tables) is not frame_first
    assert ("place__city" in found) is not frame_first


SILENT = ["double > bigint", "decimal > bigint", "decimal:10:2 > decimal:10:1", "double > decimal"]
SILENT += ["text > bigint", "text > date", "timestamp > date", "timestamp > time", "bigint > bool"]
SILENT += ["timestamp:9 > timestamp:6", "time:9 > time", "double > date", "text > double"]
OUT_OF_RANGE = ["bigint > bigint:32", "bigint > double", "bigint > decimal:10:2", "wei > bigint"]
OUT_OF_RANGE += ["decimal:38:9 > double", "decimal:12:2 > decimal:10:2", "decimal:30:0 > bigint"]
LOSSLESS = ["bigint > text", "double > text", "bool > bigint", "date > timestamp", "text > json"]
LOSSLESS += [
    "bigint:32 > bigint",
    "bigint:32 > double",
    "decimal:10:2 > decimal:12:3",
    "date > date",
]
LOSSLESS += ["bigint > decimal", "decimal:18:0 > bigint", "timestamp > timestamp:9", " > bigint"]


def columns(written: str) -> dict[str, Any]:
    data_type, *numbers = written.split(":")
    hints = dict(zip(("precision", "scale"), map(int, numbers), strict=False))
    return {"a": {"name": "a", "data_type": data_type or None, **hints}}


@pytest.mark.parametrize(
    ("conversions", "expected"), [(SILENT, [True]), (OUT_OF_RANGE, [False]), (LOSSLESS, [])]
)
def test_conversions_of_types_tell_what_they_may_lose(
    conversions: list[str], expected: list[bool]
) -> None:
    for conversion in conversions:
        source, table = map(columns, conversion.split(" > "))
        assert [c.is_silent for c in lossy_conversions(source, table)] == expected, conversion

    assert lossy_conversions(columns("double"), {}) == []
    (lossy,) = lossy_conversions(columns("decimal:10:2"), columns("bigint"))
    assert str(lossy.error("items")) == (
        "Column `a` of table `items` is bigint, and the data have decimal(10,2): values would be "
        "rounded, cut or refused.\nCast the column to bigint before, in the way that you mean, or "
        "write to another table."
    )
