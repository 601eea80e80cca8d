"""What the harness offers: a test for each row of `docs/reference/where-fixtures-work.md`.

Each docstring is the first cell of its row.
"""

import os
import subprocess
import sys
from pathlib import Path

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from pytest_dlthub import (
    RemoteDestinationBlocked,
    assert_columns,
    assert_idempotent,
    assert_rows,
    raises_contract_violation,
)
from shop import TOKEN, at_import, load, orders, shop

GIVEN = {"orders": [{"id": 3, "price": 9}]}
NOWHERE = "postgresql://loader:password@127.0.0.1:9/shop"


@pytest.fixture(scope="module")
def loaded_once_by_hand():
    by_hand = dlt.pipeline("by_hand", destination="warehouse", dataset_name="shop_data")
    by_hand.run(orders())
    return by_hand.dataset()


@pytest.fixture(scope="session")
def dlt_destinations():
    return {"archive": "filesystem"}


def test_project(dlt_project):
    """`dlt_project`: pipelines, datasets, transformations of `dlt.yml`"""
    assert dlt_project.run("load_orders").row_counts == {"orders": 2}
    assert dlt_project.dataset("shop_data")["orders"].fetchall()


@pytest.fixture(scope="module")
def of_factory(dlt_project_factory):
    with dlt_project_factory() as project:
        yield project.run("load_orders")


def test_factory(of_factory):
    """`dlt_project_factory`"""
    assert of_factory.row_counts == {"orders": 2}


@pytest.mark.dlt_load("load_orders")
def test_load_pipeline(dlt_loaded):
    """mark `dlt_load("pipeline")`"""
    assert dlt_loaded.row_counts == {"orders": 2}


@pytest.mark.dlt_load(source=orders)
def test_load_source(dlt_loaded):
    """mark `dlt_load(source=...)`, `dlt_loaded`"""
    assert dlt_loaded.row_counts == {"orders": 2}
    assert dlt_loaded.next(given=GIVEN).row_counts == {"orders": 1}


@pytest.mark.dlt_load(source=orders)
def test_dataset(dlt_dataset):
    """`dlt_dataset`"""
    assert len(dlt_dataset["orders"].fetchall()) == 2


def test_run(dlt_run):
    """`dlt_run`, and `next`: day 2"""
    run = dlt_run(orders())
    assert run.row_counts == {"orders": 2}
    assert run.next(given=GIVEN).row_counts == {"orders": 1}
    assert len(run.rows("orders")) == 3


def test_given(dlt_run):
    """`given=`, `resources=`, `limit=`"""
    run = dlt_run(shop, given=GIVEN, resources=["orders"], limit=1)
    assert run.rows("orders") == [{"id": 3, "price": 9}]


def test_runner(dlt_run):
    """`dlt_run(..., runner=True)`: as pipelines of a project are run"""
    assert dlt_run(orders(), runner=True).row_counts == {"orders": 2}


def test_items(dlt_items):
    """`dlt_items`"""
    assert [row["id"] for row in dlt_items(orders())] == [1, 2]
    assert dlt_items.cursors == {"orders.id": 2}


def test_runs(dlt_runs):
    """`dlt_runs`: what your own functions run"""
    load()
    assert dlt_runs.last.row_counts == {"orders": 2}


@pytest.mark.dlt_crash(points="after_jobs")
def test_crash(dlt_run):
    """`dlt_run.crashed` and mark `dlt_crash`: a run that is killed, and started again"""
    assert dlt_run(orders(), write_disposition="replace").row_counts == {"orders": 2}


def test_faults(dlt_run, dlt_faults):
    """`dlt_faults`"""
    assert dlt_run.crashed(orders(), points="after_jobs").reached == ["after_jobs"]
    dlt_faults.fail("normalize")
    with pytest.raises(PipelineStepFailed, match="as this test asks"):
        dlt_run(orders())


def test_config(dlt_config, dlt_items):
    """`dlt_config`"""
    dlt_config["sources.shop.country"] = "DE"
    assert dlt_items(shop, resources=["currencies"]) == {"currencies": [{"country": "DE"}]}


def test_isolated(dlt_isolated):
    """`dlt_isolated`: folders of the test's own, also for pipelines made at import"""
    context = dlt.current.run_context()
    folders = context.data_dir, context.global_dir, context.local_dir
    assert all(Path(folder).is_relative_to(dlt_isolated.folder) for folder in folders)
    assert at_import.pipelines_dir.startswith(dlt_isolated.folder)
    assert dlt.secrets.get("sources.shop.token") is None


def test_unasked():
    """a sandbox, asked for or not"""
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    session = Path(dlt.current.run_context().data_dir, "..", "..").resolve()
    assert session.name.startswith(f"{process}-")


def test_wider_scope(loaded_once_by_hand, dlt_isolated):
    """a sandbox of their own for fixtures of wider scope that run pipelines"""
    assert len(loaded_once_by_hand["orders"].fetchall()) == 2


def test_subprocess(dlt_isolated):
    """the same sandbox in subprocesses"""
    code = "import dlt; print(dlt.current.run_context().data_dir)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.strip().startswith(dlt_isolated.folder)


def test_profile(dlt_isolated):
    """profile `tests`, its `.dlt/tests.config.toml`, `--dlt-profile`"""
    assert os.environ["WORKSPACE__PROFILE"] == "tests"
    assert dlt.config["sources.shop.country"] == "ZZ"


def test_secrets():
    """ini `dlt_secrets`: which secrets tests, and modules at import, see"""
    assert TOKEN is None


def test_replaced(dlt_run):
    """a temporary DuckDB in place of a destination that is named"""
    run = dlt_run(orders(), destination="bigquery", staging=None)
    assert run.database_path.exists()


@pytest.mark.dlt_destination("filesystem")
def test_each_destination(dlt_run):
    """mark `dlt_destination("duckdb", "filesystem")`"""
    destination = dlt_run.pipeline(destination="warehouse").destination
    assert destination.destination_type.endswith(".filesystem")


def test_destinations(dlt_run):
    """`dlt_destinations`"""
    pipeline = dlt_run.pipeline(destination="archive")
    assert pipeline.destination.destination_type.endswith(".filesystem")


def test_blocked(dlt_isolated):
    """`RemoteDestinationBlocked` before a connection is opened"""
    with pytest.raises(RemoteDestinationBlocked):
        dlt.pipeline("remote", destination=dlt.destinations.postgres(NOWHERE)).run(orders())


@pytest.mark.dlt_allow_remote(NOWHERE)
def test_allowed(dlt_isolated):
    """ini and mark `dlt_allow_remote`"""
    with pytest.raises(PipelineStepFailed, match="refused"):
        dlt.pipeline("remote", destination=dlt.destinations.postgres(NOWHERE)).sync_destination()


def test_sent(dlt_run):
    """`run.sent`: what a destination of your own would send"""

    @dlt.destination
    def chat(items, table):
        raise AssertionError("nothing is sent")

    assert len(dlt_run(orders(), destination=chat).sent["orders"]) == 2


def test_assertions(dlt_run):
    """`rows`, `assert_rows`, `assert_columns`, `assert_idempotent` and the others"""
    run = dlt_run(orders())
    assert_rows(run.dataset["orders"], [{"id": 1, "price": 4}, {"id": 2, "price": 7}])
    assert_columns(run.dataset["orders"], {"id": "bigint", "price": "bigint"})
    assert_idempotent(run)


def test_contract(dlt_run):
    """`raises_contract_violation`"""
    dlt_run(orders())
    with raises_contract_violation(table="orders"):
        surprise = {"orders": [{"id": 3, "price": "dear"}]}
        dlt_run(orders(), given=surprise, schema_contract={"data_type": "freeze"})


def test_schema_snapshot(dlt_run, dlt_schema_snapshot):
    """`dlt_schema_snapshot`"""
    assert dlt_run(orders()).schema == dlt_schema_snapshot
