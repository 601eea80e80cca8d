"""What is told of failed runs, by the messages of destinations and by what dlt keeps of a load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from pydantic import BaseModel

from dlthub_project.dlt_internals.failures import failed_step, failure_lines, job_failure

DECIMAL = {"data_type": "decimal", "precision": 5, "scale": 2}


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    """A pipeline whose schema has a table `orders`, and that has run nothing."""
    made = dlt.pipeline("failing", pipelines_dir="pipelines", destination="duckdb")
    made.extract(
        dlt.resource(
            [{"id": 1}],
            name="orders",
            columns={
                "id": {"data_type": "bigint", "unique": True},
                "price": DECIMAL,
                "code": {"data_type": "text", "precision": 3},
            },
        )
    )
    return made


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        pytest.param(
            "Conversion Error: Could not cast value 123456 to DECIMAL(5,2)\n\nLINE 4: (1,\n   ^",
            [
                "orders.price: job failed: cannot cast 123456 to DECIMAL(5,2)",
                "Conversion Error: Could not cast value 123456 to DECIMAL(5,2)",
            ],
            id="duckdb, cast",
        ),
        pytest.param(
            "Constraint Error: NOT NULL constraint failed: orders.code",
            ["orders.code: job failed: Constraint Error: NOT NULL constraint failed: orders.code"],
            id="duckdb and sqlite, null",
        ),
        pytest.param(
            'Constraint Error: UNIQUE violation: duplicate key "1"',
            ['orders.id: job failed: Constraint Error: UNIQUE violation: duplicate key "1"'],
            id="duckdb, key",
        ),
        pytest.param(
            "numeric field overflow\nDETAIL:  A field with precision 5, scale 2 must round.\n",
            [
                "orders.price: job failed: numeric field overflow",
                "DETAIL:  A field with precision 5, scale 2 must round.",
            ],
            id="postgres, decimal",
        ),
        pytest.param(
            "value too long for type character varying(3)\n",
            ["orders.code: job failed: value too long for type character varying(3)"],
            id="postgres, text",
        ),
        pytest.param(
            'null value in column "code" violates a constraint\n'
            "DETAIL:  Failing row contains (1, null).",
            [
                'orders.code: job failed: null value in column "code" violates a constraint',
                "DETAIL:  Failing row contains (1, null).",
            ],
            id="postgres, null",
        ),
        pytest.param(
            "(DataError) (1264, \"Out of range for column 'price'\")\n"
            "[SQL: INSERT INTO `orders` (`id`) VALUES (%s)]\n[parameters: (1,)]",
            ["orders.price: job failed: (DataError) (1264, \"Out of range for column 'price'\")"],
            id="mariadb by sqlalchemy",
        ),
        pytest.param(
            "Traceback (most recent call last):\n  File 'a.py', line 1, in f\nKeyError: 'x'\n\n"
            "The above exception was the direct cause of the following exception:\n\n"
            "Traceback (most recent call last):\n  File 'b.py', line 1, in g\n"
            "dlt.destinations.exceptions.DatabaseTerminalException: no such table: orders\n",
            ["orders: job failed: no such table: orders"],
            id="a traceback alone",
        ),
        pytest.param(
            "one\ntwo\nthree\nfour\nfive",
            ["orders: job failed: one", "two", "three", "and 2 more lines"],
            id="a long message",
        ),
    ],
)
@pytest.mark.leans_on("dlt.common.storages.load_package:ParsedLoadJobFileName.parse")
def test_the_message_of_a_destination_tells_the_column(
    pipeline: dlt.Pipeline, message: str, lines: list[str]
) -> None:
    assert job_failure("orders.0a1b2c3d4e.insert_values", message, pipeline).lines == lines


class Strict(BaseModel):
    """A model of rows."""

    id: int


def rows(*items: Any, name: str = "orders", **hints: Any) -> Any:
    return dlt.resource(list(items), name=name, **hints)


def transformed() -> Any:
    @dlt.transformer(data_from=rows({"id": 1}), name="halves")
    def half(_items: Any) -> Iterator[Any]:
        error = ZeroDivisionError("no half")
        error.add_note("a note") if hasattr(error, "add_note") else None
        raise error
        yield

    return half


TWO = {"a": DECIMAL, "b": DECIMAL}


@pytest.mark.parametrize(
    ("data", "arguments", "line"),
    [
        (
            lambda: rows({"a": 1, "b": 2}, {"a": 4, "b": 123456789}, columns=TWO),
            {},
            "orders.b: job failed: cannot cast 123456789 to DECIMAL(5,2)",
        ),
        (
            lambda: rows({"a": 1, "b": 2}, {"a": 4, "b": 123456789}, columns=TWO),
            {"loader_file_format": "parquet"},
            "orders.b: cannot be written: *",
        ),
        (
            lambda: rows({"id": 1, "n": 2**64 - 1}),
            {},
            "orders.n: job failed: cannot cast 18446744073709551615 to INT64",
        ),
        (
            lambda: rows({"id": 1, "n": 2**64 - 1}),
            {"loader_file_format": "parquet"},
            "orders.n: cannot be written: *",
        ),
        (
            lambda: rows({"id": 1, "lines": [{"sub": {"Qty": -(2**70)}}]}),
            {},
            "orders__lines.sub__qty: -1180591620717411303424 is over 64 bits, *",
        ),
        (lambda: rows({"s": object()}), {}, "orders.s: <object object at *> cannot be loaded: *"),
        (lambda: rows({"s": "\ud800"}), {}, r"orders.s: '\ud800' cannot be loaded: *"),
        (
            lambda: rows({"id": "x"}, columns=Strict, schema_contract={"data_type": "freeze"}),
            {},
            "orders.id: contract on data_type is freeze: Input should be a valid integer*",
        ),
        (transformed, {}, "resource halves: ZeroDivisionError: no half"),
        (
            lambda: rows({"id": 1}, name="since").add_map(lambda row: row["at"]),
            {},
            "resource since: KeyError: 'at'",
        ),
    ],
    ids=[
        *("two decimals", "two decimals, parquet", "unsigned", "unsigned, parquet", "nested"),
        *("object", "surrogate", "pydantic", "transformer", "map"),
    ],
)
@pytest.mark.leans_on(
    "dlt.pipeline.exceptions:PipelineStepFailed",
    "dlt.common.storages.load_package:PackageStorage.fail_job",
)
def test_what_dlt_keeps_of_a_load_tells_the_column(
    data: Callable[[], Any], arguments: dict[str, Any], line: str
) -> None:
    pipeline = dlt.pipeline("failing", pipelines_dir="pipelines", destination="duckdb")

    with pytest.raises(PipelineStepFailed) as failure:
        pipeline.run(data(), **arguments)

    error = failure.value
    said = str(error)
    lines = failure_lines(error)
    assert fnmatch(lines[0], line)
    # of the error nothing is changed, and a second look needs no files
    assert str(error) == said
    pipeline.drop()
    assert failure_lines(error) == lines
    assert failed_step(error, "run").step == error.step
