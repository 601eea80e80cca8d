"""The snippets of the public page "Python API to interact with dltHub Project" run as printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

PAGE = Path(__file__).with_name("python_api_page.md")
SNIPPETS = re.findall(r"```py\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)

MANIFEST = """
sources:
  my_source: {type: mine.rows}
destinations:
  duckdb: {}
datasets:
  my_pipeline_dataset: {destination: [duckdb]}
  my_reports: {destination: [duckdb]}
pipelines:
  my_pipeline: {source: my_source, destination: duckdb}
caches:
  my_cache:
    inputs: [{dataset: my_pipeline_dataset}]
    outputs: [{dataset: my_reports, tables: {counts: counts}}]
transformations:
  stressed_transformation: {engine: sql, cache: my_cache}
"""

SOURCE = """
import dlt


@dlt.source
def rows():
    return dlt.resource([{"id": i} for i in range(2500)], name="items")
"""


@pytest.fixture
def project(write_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> Path:
    """A project with the names that the page uses, its pipeline run once."""
    query = "SELECT count(*) AS n FROM items"
    files = {"sources/mine.py": SOURCE, "transformations/stressed_transformation/counts.sql": query}
    root = write_project(MANIFEST, files)
    dlt.hub.current.project.runner().run_pipeline("my_pipeline")
    capsys.readouterr()
    return root


def run(snippet: str) -> dict[str, object]:
    """Run a snippet as a script, and return its names."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(snippet, str(PAGE), "exec"), names)
    return names


def snippet_with(text: str) -> str:
    found = [snippet for snippet in SNIPPETS if text in snippet]
    assert len(found) == 1
    return found[0]


def test_every_snippet_of_the_page_has_a_test() -> None:
    tested = [
        "import dlt\n",
        "my_dlt_package",
        "project().datasets",
        "get_transformation",
        "run_pipeline",
        "row_counts",
        "my_table",
        "transform_frames",
        "switch_profile",
    ]

    assert len(SNIPPETS) == len(tested)
    assert all(any(text in snippet for text in tested) for snippet in SNIPPETS)


def test_settings(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("project().datasets"))

    profile, folder, config, datasets = capsys.readouterr().out.splitlines()
    assert profile == "dev"
    assert folder == str(project)
    assert "'my_pipeline': {'source': 'my_source', 'destination': 'duckdb'}" in config
    assert datasets == (
        "{'my_pipeline_dataset': {'destination': ['duckdb']}, "
        "'my_reports': {'destination': ['duckdb']}}"
    )


def test_entities(project: Path) -> None:
    names: dict[str, Any] = run(snippet_with("get_transformation"))

    assert isinstance(names["pipeline"], dlt.Pipeline)
    assert names["pipeline"].pipeline_name == "my_pipeline"
    assert names["destination"].destination_name == "duckdb"
    assert names["transformation"].run().rows == {"my_reports": {"counts": 1}}
    dataset = dlt.hub.current.project.catalog().dataset("my_reports")
    assert dataset["counts"].select("n").fetchall() == [(2500,)]


def test_runner(project: Path) -> None:
    run(snippet_with("run_pipeline"))

    dataset = dlt.hub.current.project.catalog().dataset("my_pipeline_dataset")
    assert dataset.row_counts().fetchall() == [("items", 5000)]


def test_catalog(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("row_counts"))

    assert capsys.readouterr().out.split() == ["table_name", "row_count", "0", "items", "2500"]


def test_save_of_a_frame(project: Path) -> None:
    run(snippet_with("my_table"))

    dataset = dlt.hub.current.project.catalog().dataset("my_pipeline_dataset")
    rows = dataset.table("my_table").select("name", "age").fetchall()
    assert rows == [("John", 30), ("Jane", 25), ("Jim", 35)]


def test_save_of_a_table_read_in_chunks(project: Path) -> None:
    run(snippet_with("transform_frames"))

    dataset = dlt.hub.current.project.catalog().dataset("my_pipeline_dataset")
    counts = dict(dataset.row_counts().fetchall())
    assert counts == {"items": 2500, "my_new_table": 2500}


def test_switching_profiles(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("switch_profile"))

    assert capsys.readouterr().out == "dev\ntests\n"


def test_packaged_project(
    write_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    init = """
        from dlthub_project import PackagedProject
        access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)
    """
    root = write_project(
        MANIFEST,
        {"__init__.py": init, "sources/mine.py": SOURCE},
        folder="my_dlt_package",
        enter=False,
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_dlt_package", raising=False)

    package = run(snippet_with("my_dlt_package"))["my_dlt_package"]

    assert list(package.catalog()) == ["my_pipeline_dataset", "my_reports"]  # type: ignore[attr-defined]
    assert package.context().profile == "access"  # type: ignore[attr-defined]
    assert package.config().project_dir == str(root)  # type: ignore[attr-defined]
    package.runner().run_pipeline("my_pipeline")  # type: ignore[attr-defined]
    assert package.entities().list_pipelines() == ["my_pipeline"]  # type: ignore[attr-defined]
    assert package.catalog().dataset("my_pipeline_dataset").tables  # type: ignore[attr-defined]
    assert package.context().switch_profile("dev").profile == "dev"  # type: ignore[attr-defined]
    assert package.config().current_profile == "dev"  # type: ignore[attr-defined]
