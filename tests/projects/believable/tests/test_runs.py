"""What a run does: what it would do in production."""

from decimal import Decimal

import dlt
import etl
import pytest

TWICE = pytest.mark.parametrize("n", range(2))


@pytest.fixture(params=["first", "second"])
def api(request, monkeypatch):
    monkeypatch.setattr(etl, "API", request.param)
    return request.param


@pytest.fixture(params=["first", "second"])
def client(request, monkeypatch):
    monkeypatch.setattr(etl.Client, "rows", lambda self: [{"id": 1, "by": request.param}])
    return request.param


@pytest.mark.dlt_load(source=etl.pages)
def test_template_of_a_patched_module(api, dlt_loaded):
    assert {row["api"] for row in dlt_loaded.rows("pages")} == {api}


@pytest.mark.dlt_load(source=etl.of_client)
def test_template_of_a_patched_class(client, dlt_loaded):
    assert [row["by"] for row in dlt_loaded.rows("of_client")] == [client]


@pytest.fixture(params=["first", "second"])
def limit(request):
    etl.LIMIT.set(request.param)
    yield request.param
    etl.LIMIT.set("none")


@pytest.mark.dlt_load(source=etl.limited)
def test_template_of_a_context_variable(limit, dlt_loaded):
    assert [row["limit"] for row in dlt_loaded.rows("limited")] == [limit]


@TWICE
@pytest.mark.dlt_load(source=etl.pages)
def test_template_of_nothing_patched(n, dlt_loaded, dlt_dataset):
    assert {row["api"] for row in dlt_loaded.rows("pages")} == {etl.API}
    dlt_loaded.next(data=[{"id": 3, "api": "of this test"}], table_name="pages")
    assert len(dlt_dataset["pages"].fetchall()) == 3


@TWICE
def test_second_run_knows_the_first(n, dlt_run):
    run = dlt_run(etl.new_items)
    assert run.row_counts == {"new_items": 2}
    assert run.next().row_counts == {}
    assert run.next(given={"new_items": [{"id": 3}]}).row_counts == {"new_items": 1}


def test_arguments_are_applied_or_refused(dlt_run):
    run = dlt_run([{"id": 1}], table_name="t")
    assert run.next(dataset_name="second").pipeline.dataset_name == "second"
    with pytest.raises(TypeError, match="datset_name"):
        run.next(datset_name="third")


def test_upsert_is_refused_where_production_lacks_it(dlt_run):
    resource = dlt.resource(
        [{"id": 1}],
        name="t",
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    with pytest.raises(Exception, match="upsert"):
        dlt_run(resource, destination="redshift")


@pytest.mark.parametrize("size", [3, 6_000])
def test_values_are_the_same_at_any_size(size, dlt_run):
    rows = [{"id": i, "price": Decimal("1.5")} for i in range(size)]
    found = dlt_run(rows, table_name="t").rows("t")

    assert len(found) == size
    assert {row["price"] for row in found} == {Decimal("1.5")}


def test_rows_are_of_now(dlt_run):
    run = dlt_run([{"id": 1}], table_name="t")
    run.next(data=[{"id": 2, "new": "x"}], table_name="t")

    assert {"id": 2, "new": "x"} in run.rows("t")


def test_function_that_makes_a_source_is_called(dlt_run):
    def make():
        return etl.orders()

    assert dlt_run(make).row_counts == {"items": 2, "items__lines": 2}


@TWICE
def test_runs_of_code_under_test_are_seen_once(n, dlt_runs):
    etl.main()

    assert [run.row_counts for run in dlt_runs] == [{"new_items": 2}]
    assert dlt_runs["main"].row_counts == {"new_items": 2}


@TWICE
def test_run_of_the_project(n, dlt_project):
    run = dlt_project.run("load_orders", given={"items": [{"id": 7 + n}]})

    assert run.rows("items") == [{"id": 7 + n}]
