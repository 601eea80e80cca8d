"""The second run of a first test: which faults of the user's code it notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import current
from dlthub_project.first_test import write_first_test

MANIFEST = """
    sources:
      shop: {type: kinds.shop}
      plain: {type: kinds.plain}
    destinations:
      warehouse: {type: bigquery}
    pipelines:
      load_shop: {source: shop, destination: warehouse}
      load_plain: {source: plain, destination: warehouse}
"""
SOURCES = """
    import dlt


    @dlt.source
    def shop():
        @dlt.resource(primary_key="id", write_disposition="merge")
        def orders(at=dlt.sources.incremental("at", initial_value=1)):
            yield [{"id": 1, "at": 4, "lines": [{"sku": "tea"}]}]
            yield [{"id": 2, "at": 5, "lines": []}]

        @dlt.resource(primary_key="id", write_disposition="append")
        def visits(at=dlt.sources.incremental("at")):
            yield [{"id": 1, "at": 7, "seen": 9}, {"id": 2, "at": 8, "seen": 9}]

        @dlt.resource(merge_key="code", write_disposition="merge")
        def articles():
            yield [{"code": "tea"}, {"code": "mug"}]

        @dlt.resource(name="rates", write_disposition="replace")
        def of_today():
            yield {"rate": 2}

        return orders, visits, articles, of_today


    @dlt.source
    def plain():
        @dlt.resource
        def rows():
            yield {"n": 1}

        return rows
"""
ORDERS = '(primary_key="id", write_disposition="merge")'
FAULTS = [
    (ORDERS, '(write_disposition="merge")'),
    (ORDERS, '(primary_key="at", write_disposition="append")'),
    (ORDERS, '(primary_key="id", write_disposition="append")'),
    (ORDERS, '(primary_key="id", write_disposition="replace")'),
    ('at=dlt.sources.incremental("at", initial_value=1)', ""),
    ('("at", initial_value=1)', '("at", initial_value=5)'),
    ('("at", initial_value=1)', '("id", initial_value=1)'),
    ('("at", initial_value=1)', '("at", initial_value=1, last_value_func=min)'),
    ('primary_key="id", write_disposition="append"', 'write_disposition="replace"'),
    ('primary_key="id", write_disposition="append"', 'primary_key="id", write_disposition="merge"'),
    ('visits(at=dlt.sources.incremental("at"))', "visits()"),
    ('(merge_key="code", write_disposition="merge")', "()"),
    ('(merge_key="code", ', "("),
    (', write_disposition="replace")', ")"),
    (', write_disposition="replace")', ', primary_key="rate", write_disposition="merge")'),
]
Write = Callable[[str], str]
RunWritten = Callable[..., pytest.RunResult]


@pytest.fixture
def folder(write_project: Callable[..., Path]) -> Path:
    return write_project(MANIFEST, {"sources/kinds.py": SOURCES})


@pytest.fixture
def write(folder: Path, run_written: RunWritten) -> Write:
    """Write the first test of a pipeline; return it."""

    def run_tests(project: Path, path: Path) -> str:
        done = run_written(project, path)
        return "" if done.ret == 0 else done.stdout.str()

    def call(pipeline: str) -> str:
        path = folder / "tests" / f"test_{pipeline}.py"
        write_first_test(current.entities(), pipeline, path, rows=3, limit=3, run_tests=run_tests)
        return path.read_text(encoding="utf-8")

    return call


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([FAULTS[0], FAULTS[4], FAULTS[9], FAULTS[12]], id="some"),
        pytest.param(FAULTS, id="all", marks=pytest.mark.slow),
    ],
)
def test_lost_keys_cursors_and_dispositions_make_the_written_test_red(
    folder: Path, write: Write, run_written: RunWritten, faults: list[tuple[str, str]]
) -> None:
    text = write("load_shop")
    assert '    assert run.cursors == {"orders.at": 5, "visits.at": 8}' in text.splitlines()

    source = folder / "sources" / "kinds.py"
    code = source.read_text(encoding="utf-8")
    green = []
    for old, new in faults:
        assert old in code
        source.write_text(code.replace(old, new, 1), encoding="utf-8")
        if run_written(folder, folder / "tests").ret != 1:
            green.append((old, new))
    assert green == []


def test_a_plain_resource_has_one_run(write: Write) -> None:
    text = write("load_plain")

    assert text.count("dlt_project.run(") == 1
    assert "next(" not in text
