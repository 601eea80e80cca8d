"""What our upper bounds are for: how dlt fails with the versions that they exclude.

On the versions that the bounds admit these tests pass. tox's `unbounded` installs the newest ones:
there each is expected to fail as the page of upstream versions says, and one that passes is an
error: its bound can be lifted.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import dlt
import pytest
import tomlkit
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "reference" / "upstream-versions.md"


def is_broken(package: str, versions: str) -> bool:
    return SpecifierSet(versions, prereleases=True).contains(version(package))


@pytest.fixture
def dataset(tmp_path: Path) -> dlt.Dataset:
    pipeline = dlt.pipeline(
        "upstream",
        pipelines_dir=str(tmp_path),
        destination=dlt.destinations.duckdb(str(tmp_path / "upstream.duckdb")),
    )
    pipeline.run([{"id": 1}], table_name="items")
    return pipeline.dataset()


@pytest.mark.xfail(
    is_broken("sqlglot", ">=30.22"),
    raises=TypeError,
    reason="qualify() got an unexpected keyword argument 'infer_schema'",
)
def test_relations_are_read_with_sqlglot(dataset: dlt.Dataset) -> None:
    assert dataset.row_counts().fetchall() == [("items", 1)]


@pytest.mark.xfail(
    is_broken("duckdb", ">=2"),
    raises=AttributeError,
    reason="'DuckDBPyConnection' object has no attribute 'fetch_arrow_table'",
)
def test_arrow_tables_are_read_with_duckdb(dataset: dlt.Dataset) -> None:
    sql = dataset("SELECT id FROM items", _execute_raw_query=True)

    assert sql.arrow().to_pylist() == [{"id": 1}]


def test_the_page_has_every_upper_bound() -> None:
    settings = tomlkit.parse((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    bounded = sorted(one for one in settings["project"]["dependencies"] if "<" in one)
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert bounded
    assert sorted(row for row in rows if "<" in row) == bounded
