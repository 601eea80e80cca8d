"""`on_failed_check`: what follows when checks of what a pipeline has loaded fail."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dlthub_project import LoadFailedChecks, ProjectError, current
from dlthub_project import data_quality as dq

WriteProject = Callable[..., Path]

MANIFEST = """
sources:
  orders: {type: shop.orders}
  sums: {type: shop.sums}
destinations: {warehouse: {type: duckdb}}
datasets:
  sales:
    destination: warehouse
    tables:
      orders:
        checks: [{is_unique: id}, {between: {column: id, low: 5, severity: warn}}]
        metrics: [row_count]
pipelines:
  load: {source: orders, destination: warehouse, dataset_name: sales, run_config: RUN_CONFIG}
  sum: {source: sums, destination: warehouse, dataset_name: reports, after: load}
"""
CODE = """
import dlt

@dlt.resource
def orders():
    yield [{"id": 1}, {"id": 1}]

@dlt.resource
def sums():
    yield {"of": 1}
"""
FAILED = "orders: id__is_unique: 2 of 2 rows fail"
WARNED = "orders: id__between: 2 of 2 rows fail"


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        pytest.param("warn", ["loaded", "loaded"], marks=pytest.mark.slow),
        ("fail", ["failed", "loaded"]),
        pytest.param("stop", ["failed", "skipped"], marks=pytest.mark.slow),
    ],
)
def test_pipelines_go_on_or_stop_as_the_run_config_says(
    write_project: WriteProject, policy: str, statuses: list[str]
) -> None:
    manifest = MANIFEST.replace("RUN_CONFIG", f"{{on_failed_check: {policy}}}")
    write_project(manifest, {"sources/shop.py": CODE})

    results = current.runner().run_pipelines(max_workers=1)

    loaded = results["load"]
    assert [one.status for one in results.values()] == statuses
    assert [str(one) for one in loaded.checks if not one.passed] == [FAILED, WARNED]
    assert loaded.has_loaded
    assert loaded.row_counts == {"orders": 2}
    assert loaded.load_info is not None
    assert results.is_ok == (policy == "warn")
    if policy != "warn":
        with pytest.raises(
            ProjectError, match="Pipeline `load` has loaded, and 1 check has failed"
        ):
            results.raise_for_failures()
    if policy == "stop":
        told = "load has failed checks (on_failed_check: stop)"
        assert results["sum"].error is not None
        assert results["sum"].error.message == told
        return
    dataset = current.catalog().dataset("sales")
    stored = dq.read_check(dataset).select("check_name", "status").fetchall()
    assert sorted(stored) == [("id__between", "failed"), ("id__is_unique", "failed")]
    assert dq.read_metric(dataset).select("value").fetchall() == [(2.0,)]


class Watch:
    """Keeps what it hears of checks."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_checks(self, pipeline: object, results: Sequence[object]) -> None:
        self.heard += map(str, results)


FAIL = MANIFEST.replace("RUN_CONFIG", "{on_failed_check: fail}")


@pytest.mark.slow
def test_one_pipeline_raises_what_has_failed(write_project: WriteProject) -> None:
    write_project(FAIL, {"sources/shop.py": CODE})
    watch = Watch()

    with pytest.raises(LoadFailedChecks) as failed:
        current.runner().run_pipeline("load", observers=[watch])

    assert watch.heard == [FAILED, WARNED]
    assert FAILED in str(failed.value)
    assert WARNED not in str(failed.value)
    assert failed.value.load_info.loads_ids
    again = pickle.loads(pickle.dumps(failed.value))
    assert (str(again), len(again.results), again.load_info) == (str(failed.value), 2, None)


@pytest.mark.slow
def test_a_table_that_is_declared_must_be_there_when_all_is_loaded(
    write_project: WriteProject,
) -> None:
    write_project(FAIL.replace("      orders:", "      ordrs:"), {"sources/shop.py": CODE})

    with pytest.raises(LoadFailedChecks, match=r"no table `ordrs`.*Did you mean `orders`"):
        current.runner().run_pipeline("load")
    # a part of it may lack a table
    current.runner().run_pipeline("load", resources=["orders"])


@pytest.mark.slow
def test_error_of_a_policy_that_there_is_not(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(MANIFEST.replace("RUN_CONFIG", "{}"), {"sources/shop.py": CODE})
    monkeypatch.setenv("PIPELINES__LOAD__RUN_CONFIG__ON_FAILED_CHECK", "fial")
    with pytest.raises(ProjectError, match=r"is `fial`.*Did you mean `fail`"):
        current.runner().run_pipeline("load")
