"""Checks: what each finds, on several destinations, and how they come with a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
import pytest

from dlthub_project import ProjectError
from dlthub_project import data_quality as dq
from dlthub_project.data_quality.check_kinds import Scope, check_of
from pytest_dlthub import ChecksFailed, DltRun, assert_checks, raises_check

check = dq.checks
NOW = datetime.now(timezone.utc)
ORDERS = [
    {"id": 1, "code": "a", "amount": 5, "customer": 1, "at": NOW, "email": "a@x.invalid"},
    {"id": 2, "code": "b", "amount": -1, "customer": 9, "at": NOW, "email": "b@x.invalid"},
    {"id": 2, "code": None, "amount": 7, "customer": None, "at": NOW, "email": "c@x.invalid"},
]


def negative(orders: dlt.Relation) -> dlt.Relation:
    return orders.where("amount", "lt", 0)


ALL: list[tuple[dq.Check, int]] = [
    (check.is_unique("id"), 2),
    (check.is_unique("id", "code"), 0),
    (check.is_not_null("code"), 1),
    (check.is_not_null("code", "customer"), 1),
    (check.is_primary_key("id"), 2),
    (check.is_primary_key("id", "code"), 1),
    (check.is_in("code", ["a", "z"]), 1),
    (check.between("amount", 0, 6), 2),
    (check.between("amount", high=5, name="at_most_five"), 1),
    (check.matches("code", "^[a]$"), 1),
    (check.case("amount > 0 OR id = 2", name="one_of_both"), 0),
    (check.case("amount > 0", name="positive"), 1),
    (check.is_foreign_key("customer", "customers.id"), 1),
    (check.freshness("at", timedelta(hours=1)), 0),
    (check.freshness("at", timedelta(seconds=-60), name="of_tomorrow"), 1),
    (check.row_count(1, 3), 0),
    (check.row_count(max=2, name="two"), 1),
    (check.row_count(min=2, where="amount > 6", name="two_large"), 1),
    (check.is_unique("id", where="amount > 0", name="unique_sales"), 0),
    (check.rows(negative), 1),
    (check.rows(negative, where="amount > 0", name="none_of_these"), 0),
]


@pytest.fixture
def dataset(pipeline: dlt.Pipeline) -> dlt.Dataset:
    """Three orders, and one customer."""
    orders = dlt.resource(ORDERS, name="orders", columns={"email": {"x-pii": True}})  # type: ignore[typeddict-unknown-key]
    pipeline.run([orders, dlt.resource([{"id": 1}], name="customers")])
    return pipeline.dataset()


def test_each_check_finds_what_fails(dataset: dlt.Dataset) -> None:
    suite = dq.CheckSuite(dataset, {"orders": [one for one, _ in ALL]})
    results = suite.run()

    assert {one.check: one.failing for one in results} == {one.name: n for one, n in ALL}
    assert {one.check for one in results.failed} == {one.name for one, n in ALL if n}
    assert results.of("orders", "unique_sales").rows == 2
    for result in results:
        # marked as personal
        assert all("email" not in row for row in result.samples)
    [sample] = results.of("orders", "amount__between").samples[:1]
    assert sample["amount"] in (-1, 7)

    rows = suite.get_failures("orders", "id__is_unique").select("code").fetchall()
    assert sorted(map(str, rows)) == ["('b',)", "(None,)"]
    assert suite.get_successes("orders", "positive").select("id").fetchall() != []
    assert len(suite.get_successes("orders", "code__is_in").fetchall()) == 2
    prepared = dq.prepare_checks(dataset, {"orders": [one for one, _ in ALL]}).fetchall()
    functions = ("negative", "none_of_these")
    assert {(name, failing) for _, name, _, failing in prepared} == {
        (one.name, n) for one, n in ALL if one.name not in functions
    }


def test_rows_whose_keys_are_null_twice_fail_once_and_are_found(pipeline: dlt.Pipeline) -> None:
    rows = [{"id": 1, "a": None, "b": 1}, {"id": 2, "a": None, "b": 1}, {"id": 3, "a": 2, "b": 1}]
    pipeline.run(rows, table_name="orders")
    checks: list[dq.Check] = [check.is_unique("a", "b"), check.is_primary_key("a", "b")]
    suite = dq.CheckSuite(pipeline.dataset(), {"orders": checks})

    assert [one.failing for one in suite.run()] == [2, 2]
    for name in ("a_b__is_unique", "a_b__is_primary_key"):
        failed = suite.get_failures("orders", name).select("id").fetchall()
        assert sorted(failed) == [(1,), (2,)]


def test_a_row_count_has_a_bound_on_either_side_of_that_of_the_load_before() -> None:
    asked = check.row_count(change=0.25).failing(Scope("TRUE", None, earlier=9))

    assert ">= 7 AND" in asked
    assert "<= 11 THEN" in asked


def test_a_check_is_the_same_after_it_travelled() -> None:
    for one, _ in ALL[:-2]:
        assert check_of(dlt.common.json.loads(dlt.common.json.dumps(one.as_dict()))) == one


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (lambda: check.is_unique(), TypeError),
        (lambda: check.is_in("code", []), ValueError),
        (lambda: check.is_in("code", ["a", None]), ValueError),
        (lambda: check.between("amount"), ValueError),
        (lambda: check.row_count(), ValueError),
        (lambda: check.row_count(change=-0.1), ValueError),
        (lambda: check.is_foreign_key("customer", "customers"), ValueError),
        (lambda: check.freshness("at", 3), TypeError),  # type: ignore[arg-type]
        (lambda: check.is_unique("id", severity="bad"), ValueError),
        (lambda: check.is_unique("id", at_least=99), ValueError),
        (lambda: dq.with_checks(), TypeError),
        (lambda: dq.with_checks("is_unique"), TypeError),  # type: ignore[arg-type]
        (lambda: dq.with_checks(check.is_unique("id"))(print), TypeError),
        (lambda: dq.with_checks(check.rows(negative))(dlt.resource([1], name="a")), TypeError),
    ],
)
def test_error_of_a_check_that_says_nothing(
    made: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        made()


@pytest.mark.parametrize("pipeline", ["duckdb"], indirect=True)
def test_error_of_a_check_that_fits_no_table(dataset: dlt.Dataset) -> None:
    for table, one, told in (
        ("orderz", check.is_unique("id"), "Did you mean `orders`"),
        ("orders", check.is_unique("idd"), "no column `idd`.*Did you mean `id`"),
        ("orders", check.is_foreign_key("customer", "custumers.id"), "Did you mean `customers`"),
    ):
        with pytest.raises(ProjectError, match=told):
            dq.CheckSuite(dataset, {table: [one]})
    with pytest.raises(ProjectError, match="two checks are called `id__is_unique`"):
        dq.CheckSuite(dataset, {"orders": [check.is_unique("id"), check.is_unique("id")]})
    with pytest.raises(ValueError, match="is no condition in SQL"):
        dq.CheckSuite(dataset, {"orders": [check.case("amount >")]}).run()
    with pytest.raises(ValueError, match="is no condition in SQL"):
        dq.CheckSuite(dataset, {"orders": [check.case("1 = 1) OR (1 = 1")]}).run()
    suite = dq.CheckSuite(dataset, {"orders": [check.row_count(1)]})
    with pytest.raises(ProjectError, match="blames no rows"):
        suite.get_failures("orders", "row_count")
    with pytest.raises(ProjectError, match="there is no check `row_coun`"):
        suite.get_failures("orders", "row_coun")


@dlt.source
@dq.with_checks({"orders": [check.is_unique("id"), check.between("amount", 0, severity="warn")]})
def shop() -> Any:
    @dq.with_checks(check.is_not_null("name", only_this_load=True))
    @dlt.resource
    def customers() -> Iterator[dict[str, Any]]:
        yield {"id": 1, "name": "Ann"}

    return [dlt.resource(ORDERS[:2], name="orders"), customers]


def test_a_resource_brings_its_checks_into_a_test(dlt_run: DltRun) -> None:
    run = dlt_run(shop())
    assert [(one.table, one.check, one.passed) for one in run.checks] == [
        ("orders", "id__is_unique", True),
        ("orders", "amount__between", False),
        ("customers", "name__is_not_null", True),
    ]
    # what fails is a warning
    assert run.checks.is_ok
    assert_checks(run)

    again = run.next(
        given={"orders": [{"id": 2, "amount": 4}], "customers": [{"id": 2, "name": None}]}
    )
    with raises_check("orders", "id__is_unique"):
        assert_checks(again)
    with pytest.raises(ChecksFailed) as failed:
        assert_checks(again.dataset)
    assert str(failed.value).splitlines()[0] == "orders: id__is_unique: 2 of 3 rows fail"
    assert "customers: name__is_not_null: 1 of 1 row fails" in str(failed.value)


def test_a_check_of_nothing_is_red(dlt_run: DltRun) -> None:
    run = dlt_run(dlt.resource(ORDERS, name="orders"))
    with pytest.raises(AssertionError, match="no checks: no resource has any"):
        assert_checks(run)
    with pytest.raises(ChecksFailed, match="no rows, so that nothing is checked"):
        assert_checks(run, {"orders": [check.is_unique("id", where="id > 9")]})
    with pytest.raises(TypeError, match="list is no run, and no dataset"):
        assert_checks([])  # type: ignore[arg-type]
    with (
        pytest.raises(AssertionError, match="amount__between did not fail"),
        raises_check("orders", "amount__between"),
    ):
        assert_checks(run, {"orders": [check.between("amount", -9)]})
    with (
        pytest.raises(AssertionError, match="holds for 3 rows, and others fail"),
        raises_check("orders", "amount__between"),
    ):
        assert_checks(run, {"orders": [check.between("amount", -9), check.is_unique("id")]})
    with (
        pytest.raises(AssertionError, match="no such check: orders: amount"),
        raises_check("orders", "amount"),
    ):
        assert_checks(run, {"orders": [check.is_unique("id")]})


def test_some_rows_may_fail(dlt_run: DltRun) -> None:
    run = dlt_run(dlt.resource(ORDERS, name="orders"))
    assert_checks(run, {"orders": [check.is_not_null("code", at_least=0.6)]})
    with raises_check("orders", "code__is_not_null"):
        assert_checks(run, {"orders": [check.is_not_null("code", at_least=0.7)]})


def test_error_when_a_source_has_no_such_resource() -> None:
    @dlt.source
    @dq.with_checks({"oders": [check.is_unique("id")]})
    def broken() -> Any:
        return dlt.resource(ORDERS, name="orders")

    with pytest.raises(ValueError, match=r"no resource `oders`.*Did you mean `orders`"):
        broken()
    whole = dq.with_checks({"orders": [check.is_unique("id")]})(shop())
    assert set(whole.resources) == {"orders", "customers"}


def test_dlt_hub_has_the_checks() -> None:
    from dlt.hub import data_quality

    assert data_quality.checks is dq.checks
    assert data_quality.CheckSuite is dq.CheckSuite


def test_checks_of_a_resource_that_has_yielded_nothing_are_looked_at(dlt_run: DltRun) -> None:
    """The schema has no table of it, and not its checks."""

    @dq.with_checks(dq.checks.row_count(min=1), dq.checks.is_unique("id"))
    @dlt.resource(name="Orders")
    def orders(number: int = 0) -> Iterator[Any]:
        yield from ({"id": n} for n in range(number))

    @dq.with_checks(dq.checks.is_unique("id"))
    @dlt.resource
    def lines() -> Iterator[Any]:
        yield {"id": 1}

    run = dlt_run([orders(), lines()])

    found = {(result.table, result.check): result for result in run.checks}
    assert not found["orders", "row_count"].passed
    assert found["orders", "id__is_unique"].unchecked == "no rows"
    assert found["lines", "id__is_unique"].passed
    with pytest.raises(AssertionError, match="orders: row_count"):
        assert_checks(run)
    with raises_check("orders", "row_count"):
        assert_checks(run)
    assert not dq.check_load(run.pipeline, run.load_info).of("orders", "row_count").passed

    assert_checks(dlt_run([orders(3), lines()], pipeline_name="with_orders"))
