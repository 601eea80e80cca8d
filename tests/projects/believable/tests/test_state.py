"""What a test sees of others: nothing."""

import unittest

import dlt
import etl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TWICE = pytest.mark.parametrize("n", range(2))


@pytest.fixture
def before():
    """A fixture of the user's, which stands before ours in the arguments of a test."""
    return etl.main()


@pytest.fixture(scope="module")
def of_module():
    return etl.main()


@pytest.fixture(scope="module", params=["first", "second"])
def of_parameter(request):
    return etl.main()


@TWICE
def test_fixture_before_ours_is_in_the_sandbox(n, before, dlt_run):
    assert before == 2


def test_fixture_of_the_module_has_a_sandbox(of_module):
    assert of_module == 2


def test_each_parameter_has_a_sandbox(of_parameter):
    assert of_parameter == 2


class TestClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = etl.main()

    def test_rows(self):
        self.assertEqual(self.rows, 2)

    def test_own_rows(self):
        self.assertEqual(etl.main(), 2)


@TWICE
def test_cached_destination_follows_the_test(n):
    pipeline = dlt.pipeline("cached", destination=etl.destination(), dataset_name="data")
    pipeline.run([{"id": n}], table_name="t")

    assert pipeline.dataset()["t"].fetchall()[0][0] == n
    with etl.client() as client:
        assert client.execute_sql("SELECT id FROM t") == [(n,)]


@TWICE
def test_pool_and_connection_of_the_module_work_for_the_test(n):
    destination = dlt.destinations.duckdb(etl.in_memory)
    pipeline = dlt.pipeline("memory", destination=destination, dataset_name="data")
    etl.pool.submit(pipeline.run, [{"id": n}], table_name="t").result()

    assert etl.in_memory.sql("SELECT id FROM data.t").fetchall() == [(n,)]


@TWICE
def test_pipeline_of_the_module_starts_anew(n):
    etl.pipeline.run(etl.new_items())

    assert len(etl.pipeline.dataset()["new_items"].fetchall()) == 2


@TWICE
def test_source_of_the_module_has_no_schema_of_another_test(n, dlt_run):
    run = dlt_run(etl.shop)
    assert run.row_counts == {"items": 2, "items__lines": 2}
    etl.shop.schema_contract = etl.FROZEN
    with pytest.raises(Exception, match="columns"):
        run.next(data=[{"id": 1, f"new_{n}": 1}], table_name="items", schema_contract=etl.FROZEN)
    etl.shop.schema_contract = None


@TWICE
def test_schema_of_the_module_has_nothing_of_another_test(n):
    run = dlt.pipeline("schemas", destination="duckdb", dataset_name="data")
    run.run([{f"of_{n}": 1}], table_name="t", schema=etl.schema)

    assert [c for c in run.default_schema.tables["t"]["columns"] if c[0] != "_"] == [f"of_{n}"]


@TWICE
def test_dev_mode_is_unique(n):
    run = dlt.pipeline("dev", destination="duckdb", dataset_name="data", dev_mode=True)
    run.run([{"id": 1}], table_name="t")

    assert len(run.dataset()["t"].fetchall()) == 1


@settings(max_examples=3, suppress_health_check=list(HealthCheck), deadline=None, database=None)
@given(st.sets(st.integers(0, 9), min_size=1, max_size=3))
def test_each_example_starts_empty(dlt_run, ids):
    assert len(dlt_run([{"id": i} for i in ids], table_name="t").rows("t")) == len(ids)


def test_setting_of_the_test_stands_above_all(dlt_config, dlt_run):
    dlt_config["sources.region"] = "of this test"
    dlt_config["sources.etl.settings.token"] = "a token"

    assert dlt_run(etl.settings).rows("settings") == [
        {"region": "of this test", "page_size": 50, "token": "a token"}
    ]


@TWICE
def test_settings_at_import_hold(n, dlt_run):
    assert dlt_run(etl.settings).rows("settings") == [
        {"region": "set at import", "page_size": 50, "token": "no token"}
    ]
    dlt.config["sources.page_size"] = 1


def test_missing_secret_can_be_tested(dlt_config, dlt_run):
    dlt_config["sources.etl.secret.token"] = "there"
    assert dlt_run(etl.secret).rows("secret") == [{"token": "there"}]
    dlt_config["sources.etl.secret.token"] = None
    with pytest.raises(Exception, match="token"):
        dlt_run(etl.secret)
