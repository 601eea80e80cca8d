"""Values of rows that columns of a table would round or cut, before anything is normalized."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema import Schema

from dlthub_project import ProjectError
from dlthub_project.catalog.losses import refuse_losses

NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001  # as a source has it
MIDNIGHT = datetime(2024, 1, 1)  # noqa: DTZ001  # as above
DECIMAL: dict[str, Any] = {"data_type": "decimal", "precision": 10, "scale": 1}

# the column of the table, values that it loses a part of with their type, and those that it keeps
CASES: list[tuple[dict[str, Any], dict[str, list[Any]], list[Any]]] = [
    (
        {"data_type": "date"},
        {"timestamp": [NOON, "2024-01-01T12:00:00"], "bigint": [7], "double": [7.5]},
        [MIDNIGHT, date(2024, 1, 1), "2024-01-01", "no date", True],
    ),
    ({"data_type": "bool"}, {"bigint": [2, -1]}, [0, 1, True, "true"]),
    (
        {"data_type": "double"},
        {"bigint": [2**60 + 1], "decimal(17,16)": [Decimal("1.1234567890123456")]},
        [3, 0.1, Decimal("0.5"), float("nan"), "1"],
    ),
    ({"data_type": "wei"}, {"double": [1.5], "decimal(2,1)": [Decimal("1.5")]}, [7, 1.0]),
    (DECIMAL, {"decimal(3,2)": [Decimal("1.55")], "double": [1.55]}, [Decimal("1.50"), 1.5, 7]),
    # dlt gives one without scale and precision nine places
    (
        {"data_type": "decimal"},
        {"decimal(11,10)": [Decimal("1.1234567891")]},
        [Decimal("1.123456789"), Decimal("Infinity")],
    ),
    ({"data_type": "decimal", "precision": 5}, {"double": [0.5]}, [12.0]),
    # dlt gives a value that does not fit a column of its own
    ({"data_type": "bigint"}, {}, [1.7, "1.7"]),
]


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    made: dlt.Pipeline = dlt.pipeline(
        "save",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(tmp_path / "save.duckdb")),
    )
    return made


def stored(**tables: dict[str, Any]) -> Schema:
    """Return the schema of a dataset with tables, by column."""
    schema = Schema("shop")
    for table, columns in tables.items():
        named = {name: {"name": name, **hints} for name, hints in columns.items()}
        schema.tables[table] = {"name": table, "columns": named}  # type: ignore[typeddict-item]
    return schema


def test_a_value_that_a_column_cannot_hold_is_refused_and_others_are_not(
    pipeline: dlt.Pipeline,
) -> None:
    values: dict[str, tuple[dict[str, Any], Any, str | None]] = {}
    for column, lost, kept in CASES:
        told = [(value, kind) for kind, those in lost.items() for value in those]
        for value, kind in (*told, *((value, None) for value in kept)):
            values[f"t{len(values)}"] = column, value, kind
    pipeline.extract(
        [
            dlt.resource([{"of": None}, {"of": value}], name=name)
            for name, (_, value, _) in values.items()
        ]
    )

    for table, (column, value, kind) in values.items():
        there = stored(**{table: {"of": column}})
        if kind is None:
            refuse_losses(pipeline, [stored(), there])
            continue
        with pytest.raises(ProjectError) as caught:
            refuse_losses(pipeline, [stored(), there])
        reason = caught.value.reason
        assert reason.startswith(f"Column `of` of table `{table}` is {column['data_type']}"), value
        assert f"the data have {kind}: values would be rounded" in reason, value


def test_values_nested_in_rows_are_compared_with_their_own_tables(pipeline: dlt.Pipeline) -> None:
    pipeline.extract(
        [
            {
                "Place": {"since": NOON, "deeper": {"since": MIDNIGHT}},
                "lines": [{"day": MIDNIGHT}, "no mapping", {"parts": [{"on": NOON}]}],
            }
        ],
        table_name="shops",
    )
    day = {"data_type": "date"}
    place, deeper = {"place__since": day}, {"place__deeper__since": day}

    refuse_losses(pipeline, [stored(shops={**deeper, "other": day}, shops__lines={"day": day})])
    # no table of the dataset is like it
    refuse_losses(pipeline, [stored(others=place)])
    with pytest.raises(ProjectError, match="Column `place__since` of table `shops` is date"):
        refuse_losses(pipeline, [stored(shops=place)])
    with pytest.raises(ProjectError, match="Column `on` of table `shops__lines__parts` is date"):
        refuse_losses(
            pipeline, [stored(shops={}, shops__lines={}, shops__lines__parts={"on": day})]
        )
