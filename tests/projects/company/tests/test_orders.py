import pytest


def kind(run):
    return run.pipeline.destination.destination_type.removeprefix("dlt.destinations.")


def test_bigquery_is_a_postgres(dlt_project):
    run = dlt_project.run("load_orders")

    assert kind(run) == "postgres"
    assert run.rows("items") == [{"id": 1, "total": 10}, {"id": 2, "total": 5}]


def test_data_of_an_earlier_test_are_gone(dlt_project):
    run = dlt_project.run("load_orders", given={"items": [{"id": 3, "total": 1}]})

    assert run.rows("items") == [{"id": 3, "total": 1}]


def test_rows_of_a_test_too(dlt_run):
    run = dlt_run([{"id": 1}], table_name="rows", dataset_name="acme_rows")

    assert kind(run) == "postgres"


def test_files_stay_files(dlt_project):
    assert kind(dlt_project.run("load_orders", destination="lake")) == "filesystem"


@pytest.mark.dlt_load("load_orders")
def test_loaded_once_into_a_database_of_its_own(dlt_loaded):
    assert kind(dlt_loaded) == "postgres"
    assert dlt_loaded.row_counts == {"items": 2}


@pytest.mark.dlt_destination("duckdb")
def test_on_duckdb_where_a_mark_says_so(dlt_project):
    assert kind(dlt_project.run("load_orders")) == "duckdb"


def test_table_without_id(dlt_run):
    dlt_run([{"name": "Ada"}], table_name="users", dataset_name="acme_users")
