"""What checks have found is stored with the load, where the pipeline loads to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import DatasetNotLoaded
from dlthub_project import data_quality as dq
from dlthub_project.dlt_internals import pipelines
from pytest_dlthub import DltRun, assert_checks, raises_check

check = dq.checks


def of_orders(rows: list[dict[str, Any]], *checks: dq.Check, **hints: Any) -> Any:
    @dlt.resource(name="orders", **hints)
    def orders() -> Iterator[Any]:
        yield rows

    return dq.with_checks(*checks)(orders) if checks else orders


def stored(pipeline: dlt.Pipeline, *names: str, **of: str) -> list[tuple[Any, ...]]:
    relation = dq.read_check(pipeline.dataset(), **of)
    return sorted(relation.select("load_id", *names).fetchall(), key=str)


@pytest.mark.sampled(1)
def test_each_load_has_results_of_its_own(pipeline: dlt.Pipeline) -> None:
    checks = (
        check.is_unique("id"),
        check.between("total", 0, severity="warn"),
        check.is_not_null("total", only_this_load=True),
    )
    dataset = pipeline.dataset
    assert dq.enable_data_quality(dq.enable_data_quality(pipeline)) is pipeline
    first = pipeline.run(of_orders([{"id": 1, "total": -1}, {"id": 2, "total": None}], *checks))
    second = pipeline.run(of_orders([{"id": 2, "total": 4}], *checks))
    assert not dq.check_load(pipeline, None, {"orders": checks})

    one, two = first.loads_ids[0], second.loads_ids[0]
    found = stored(pipeline, "check_name", "severity", "status", "row_count", "failing_count")
    assert found == [
        (one, "id__is_unique", "error", "passed", 2, 0),
        (one, "total__between", "warn", "failed", 2, 1),
        (one, "total__is_not_null", "error", "failed", 2, 1),
        (two, "id__is_unique", "error", "failed", 3, 2),
        (two, "total__between", "warn", "failed", 3, 1),
        (two, "total__is_not_null", "error", "passed", 1, 0),
    ]
    assert [row[1] for row in stored(pipeline, "status", check="id__is_unique")] == [
        "passed",
        "failed",
    ]
    assert stored(pipeline, "status", table="customers") == []
    keys = dict(stored(pipeline, "sample_keys", table="orders", check="id__is_unique"))
    assert (keys[one], json.loads(keys[two])) == (None, [{"id": 2}, {"id": 2}])
    # without a key, the row is known by what dlt calls it
    (row_id,) = dataset().orders.where("total", "eq", -1).select("_dlt_id").fetchall()[0]
    keys = dict(stored(pipeline, "sample_keys", check="total__between"))
    assert json.loads(keys[one]) == [{"_dlt_id": row_id}]
    # what is loaded is as it was
    assert {name for name in dataset().tables if not name.startswith("_dlt")} == {"orders"}
    assert len(dataset()["_dlt_loads"].fetchall()) == 2


def test_no_key_tells_a_person_or_a_secret(
    shop: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__SHOP__API_KEY", "sesame-open-4711")
    rows = [
        {"email": "ann@x.invalid", "token": 4711, "code": "sesame-open-4711", "n": -1},
        {"email": "bob@x.invalid", "token": 4712, "code": "plain", "n": -2},
    ]
    hints = {
        "email": {"primary_key": True, "x-pii": True},
        "token": {"primary_key": True},
        "code": {"primary_key": True},
    }
    shop.run(of_orders(rows, check.case("n > 0", name="positive"), columns=hints))

    ((_, text),) = stored(shop, "sample_keys")
    found = sorted(json.loads(text), key=lambda row: str(row["code"]))
    assert [(row["token"], row["code"]) for row in found] == [("***", "***"), ("***", "plain")]
    # what is left of the key may be that of several rows
    assert all(row.keys() == {"token", "code", "_dlt_id"} for row in found)
    for secret in ("x.invalid", "4711", "4712"):
        assert secret not in text


def test_a_mark_is_one_of_what_is_nested_in_it(shop: dlt.Pipeline) -> None:
    rows = [{"id": 1, "home": {"street": "Elm"}, "mails": [{"at": "a@x.invalid"}]}]
    marks = {"home": {"x-personal": True}, "mails": {"x-personal": True}}
    shop.run(of_orders(rows, columns=marks))

    def renamed(orders: dlt.Relation) -> dlt.Relation:
        return shop.dataset()(
            "SELECT id, lower(home__street) AS way, home__street AS h FROM orders"
        )

    checks = {
        "orders": [check.is_in("home__street", ["Oak"]), check.rows(renamed)],
        "orders__mails": [check.is_in("at", ["none"])],
    }
    results = dq.CheckSuite(shop.dataset(), checks).run()
    assert [result.failing for result in results] == [1, 1, 1]
    assert "elm" not in str([result.samples for result in results]).lower()
    assert results[1].samples == [{"id": 1}]
    assert "x.invalid" not in str([result.samples for result in results])


@pytest.mark.sampled(1)
def test_a_check_that_cannot_be_asked_is_no_green_and_no_red(pipeline: dlt.Pipeline) -> None:
    shop = dq.enable_data_quality(pipeline)
    checks = (check.is_unique("id"), check.case("idd > 0", name="broken"), check.is_not_null("no"))
    info = shop.run(of_orders([{"id": 1, "mail": "a@x.invalid"}], *checks))

    found = {
        name: (status, n, error)
        for _, name, status, n, error in stored(shop, "check_name", "status", "row_count", "error")
    }
    assert found["id__is_unique"] == ("passed", 1, None)
    assert found["broken"][:2] == ("error", None)
    assert "idd" in found["broken"][2]
    assert "no column `no`" in found["no__is_not_null"][2]
    # in tests, it is an error
    with pytest.raises(Exception, match="idd"), raises_check("orders", "broken"):
        assert_checks(shop.dataset(), {"orders": [checks[1]]})

    more = {"customers": [check.is_unique("id")], "orders": [check.is_unique("id")]}
    results = dq.check_load(shop, info, more)
    assert [(one.table, one.status) for one in results] == [
        ("orders", "passed"),
        ("orders", "error"),
        ("orders", "error"),
        ("customers", "error"),
    ]
    assert "no table `customers`" in results.of("customers", "id__is_unique").error
    assert len(results.failed) == 3
    assert not results.is_ok


@pytest.mark.slow
def test_an_error_tells_no_person(shop: dlt.Pipeline) -> None:
    # the destination repeats what it cannot cast
    broken = check.case("CAST(email AS INTEGER) > 0", name="broken")
    shop.run(of_orders([{"email": "ann@x.invalid"}], broken, columns={"email": {"x-pii": True}}))
    shop.run(of_orders([{"email": "ann@x.invalid"}], broken))

    (_, error), (_, again) = stored(shop, "error")
    assert "ann@" not in error + again
    assert "may be personal" in error


@pytest.mark.slow
def test_a_load_that_fails_has_no_green_results(
    shop: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetNotLoaded, match="enable_data_quality"):
        dq.read_check(shop.dataset())
    columns = {"id": {"data_type": "bigint", "precision": 8}}
    checks = (check.row_count(max=3),)
    with pytest.raises(PipelineStepFailed):
        shop.run(of_orders([{"id": 1}, {"id": 2**40}], *checks, columns=columns))
    with pytest.raises(DatasetNotLoaded):
        dq.read_check(shop.dataset())
    pipelines.drop_pending(shop)

    monkeypatch.setenv("LOAD__RAISE_ON_FAILED_JOBS", "false")
    shop.run(of_orders([{"id": 2**40}], *checks, columns=columns))
    ((_, status, error),) = stored(shop, "status", "error")
    assert (status, error) == ("error", "jobs of this load have failed, so that rows are missing")


@pytest.mark.slow
def test_results_that_cannot_be_stored_are_logged_and_the_rows_stay(
    shop: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    shop.run([{"load_id": 1}], table_name="orders")
    # somebody else has a table of that name there
    with shop.sql_client() as client:
        client.execute_sql("CREATE SCHEMA sales_data_quality")
        client.execute_sql("CREATE VIEW sales_data_quality.checks AS SELECT 1 AS one")
    logging.getLogger("dlt").propagate = True
    info = shop.run(of_orders([{"id": 1}], check.row_count(5)))

    assert info.loads_ids
    assert "orders: row_count: 1 of 2 rows fail" in caplog.text.replace("row fails", "rows fail")
    assert "is not stored" in caplog.text
    assert dlt.current.pipeline() is shop


@pytest.mark.slow
def test_a_pipeline_of_several_schemas_has_all_its_checks(
    dlt_run: DltRun, shop: dlt.Pipeline
) -> None:
    @dlt.source(name="crm")
    def crm() -> Any:
        return dq.with_checks(check.is_unique("id"))(dlt.resource([{"id": 1}] * 2, name="people"))

    orders = of_orders([{"id": 1}], check.is_unique("id"), check.is_foreign_key("id", "people.id"))
    shop.run(dlt.resource([{"id": 0}], name="orders"))
    info = shop.run([orders, crm()])

    found = {
        (table, name): status
        for _, table, name, status in stored(shop, "table_name", "check_name", "status")
    }
    assert found == {
        ("orders", "id__is_unique"): "passed",
        ("orders", "id__is_foreign_key"): "failed",
        ("people", "id__is_unique"): "failed",
    }
    loads = {package.schema_name: package.load_id for package in info.load_packages}
    assert {(load, table) for load, table in stored(shop, "table_name")} == {
        (loads["shop"], "orders"),
        (loads["crm"], "people"),
    }
    run = dlt_run([orders, crm()])
    assert {one.table for one in run.checks} == {"orders", "people"}


def test_what_is_no_pipeline_is_refused() -> None:
    with pytest.raises(TypeError, match="str is no pipeline"):
        dq.enable_data_quality("shop")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_row_count_is_compared_with_that_of_the_load_before(dlt_run: DltRun) -> None:
    steady = check.row_count(change=0.1, name="steady")
    run = dlt_run(of_orders([{"id": n} for n in range(10)], steady, write_disposition="replace"))
    # there is nothing before the first load
    assert_checks(run)
    again = run.next(given={"orders": [{"id": n} for n in range(9)]})
    # nobody has stored what there was: that is no green
    with pytest.raises(AssertionError, match="no row count of an earlier load is stored"):
        assert_checks(again)

    pipeline = dq.enable_data_quality(again.pipeline)
    for rows, status in ((10, "unchecked"), (9, "passed"), (10, "failed"), (0, "failed")):
        again = again.next(given={"orders": [{"id": n} for n in range(rows)]})
        if status == "failed":
            with raises_check("orders", "steady"):
                assert_checks(again)
        newest = dq.read_check(pipeline.dataset()).order_by("load_id", "desc").limit(1)
        assert newest.select("row_count", "status").fetchall() == [(rows, status)]
    # of a load that is looked at once more, it is the load before that counts
    store_again = dq.check_load(pipeline, again.load_info)
    assert [result.failing for result in store_again] == [1]


@pytest.mark.slow
def test_a_resource_changes_its_checks_and_ends_them(shop: dlt.Pipeline) -> None:
    without = of_orders([{"id": 1}])
    ended = of_orders([{"id": 1}])
    ended.apply_hints(additional_table_hints={"x-checks": []})
    resources = (
        of_orders([{"id": 1}], check.is_unique("id")),
        of_orders([{"id": 1}], check.is_not_null("id")),
        without,
        ended,
    )
    counts = []
    for resource in resources:
        shop.run(resource)
        found = dq.read_check(shop.dataset()).select("check_name").fetchall()
        counts.append(sorted(name for (name,) in found))
    assert counts == [
        ["id__is_unique"],
        ["id__is_not_null", "id__is_unique"],
        ["id__is_not_null", "id__is_not_null", "id__is_unique"],
        ["id__is_not_null", "id__is_not_null", "id__is_unique"],
    ]


@pytest.mark.sampled(1)
def test_all_columns_are_there_from_the_first_load(pipeline: dlt.Pipeline) -> None:
    dq.enable_data_quality(pipeline).run(of_orders([{"id": 1}], check.is_unique("id")))

    # nothing failed, so that these are null
    assert {"error", "sample_keys"} <= {*dq.read_check(pipeline.dataset()).columns}
