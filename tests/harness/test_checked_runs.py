"""`dlt_checks`: every run of a test is checked, and a check that fails is never green."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

CODE = """
import dlt
from dlthub_project import data_quality as dq

BAD = [{"id": 1, "total": -3}, {"id": 1, "total": 4}]


@dq.with_checks(dq.checks.is_unique("id"), dq.checks.between("total", 0, severity="warn"))
@dlt.resource
def orders(rows=({"id": 1, "total": 5},)):
    yield list(rows)


def made_pipeline(name):
    # plain code has its pipelines in the home folder
    return dlt.pipeline(name, "pipelines", destination="duckdb", dataset_name="data")


def load(rows=BAD, name="etl"):
    try:
        made_pipeline(name).run(orders(rows))
    except BaseException:
        "production goes on"
"""

EACH_WAY = """
import threading
import unittest

import dlt
import pytest
from shop_code import BAD, load, made_pipeline, orders
from pytest_dlthub import assert_checks

def test_good(dlt_run):
    dlt_run(orders)

def test_good_of_a_function_without_a_dataset(dlt_run):
    @dlt.destination
    def warehouse_api(items, table):
        pass
    dlt_run([{"id": 1}], table_name="others", destination=warehouse_api)

def test_by_dlt_run(dlt_run):
    dlt_run(orders(BAD))

def test_by_given(dlt_run):
    dlt_run(orders, given={"orders": BAD})

def test_by_next(dlt_run):
    dlt_run(orders).next(given={"orders": BAD})

def test_by_the_runner(dlt_run):
    dlt_run(orders(BAD), runner=True)

def test_of_code_that_handles_errors():
    load()

def test_in_a_thread():
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()

def test_in_steps(tmp_path):
    pipeline = made_pipeline("in_steps")
    pipeline.extract(orders(BAD))
    pipeline.normalize()
    pipeline.load()

def test_skipped_after_it():
    load()
    pytest.skip("by the test")

def test_that_fails_by_itself():
    load()
    assert "its own" == "failure"

def test_whose_second_schema_fails(dlt_run):
    @dlt.source(name="first")
    def first():
        return dlt.resource([{"id": 1}], name="others")
    @dlt.source(name="second")
    def second():
        return orders(BAD)
    dlt_run([first(), second()])

def test_that_asserts_it_beside(dlt_run):
    with pytest.raises(AssertionError):
        assert_checks(dlt_run(orders(BAD)))

class TestOfUnittest(unittest.TestCase):
    def test_it(self):
        load()

    def test_skipped(self):
        load()
        self.skipTest("by the test")

@pytest.mark.xfail(raises=ValueError)
def test_expected_to_fail_otherwise():
    load()
    raise ValueError

@pytest.fixture
def loaded_at_the_end():
    yield
    load()

def test_with_a_run_in_its_teardown(loaded_at_the_end):
    "passes, and its teardown is an error"
"""
RED_WAYS = EACH_WAY.count("def test_") - 3


@pytest.fixture
def shop_code(pytester: pytest.Pytester) -> Path:
    """Code with a resource that brings checks, beside the tests."""
    pytester.makepyfile(shop_code=CODE)
    pytester.makeini("[pytest]\ndlt_checks = on\npythonpath = .")
    return pytester.path


def test_a_failed_check_is_red_and_tells_the_rows(shop_code: Path, run_tests: RunTests) -> None:
    few = ("test_good", "in_a_thread", "by_itself")
    result = run_tests(EACH_WAY, "-k", " or ".join(few))

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_in_a_thread _*",
            "checks after a run of pipeline etl (dlt_checks = on)",
            "orders: id__is_unique: 2 of 2 rows fail",
            "*'id': 1*",
            'if the test expects this, write: with raises_check("orders", "id__is_unique"):',
        ]
    )
    # beside the failure of the test's own
    result.stdout.fnmatch_lines(["*'its own' == 'failure'*", "*dlt checks*", "*id__is_unique: *"])
    result.stdout.fnmatch_lines(
        ["*::test_in_a_thread: pipeline etl: orders: total__between: 1 of 2 row fails"]
    )
    result.stdout.no_fnmatch_line("*::test_good*between*")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2", "-o", "dlt_isolation=true")])
def test_a_failed_check_is_red_however_the_run_was_made(
    shop_code: Path, run_tests: RunTests, options: tuple[str, ...]
) -> None:
    result = run_tests(EACH_WAY, *options)

    result.assert_outcomes(passed=3, failed=RED_WAYS, errors=1)


@pytest.mark.slow
def test_off_checks_nothing(shop_code: Path, run_tests: RunTests) -> None:
    result = run_tests(EACH_WAY, "--dlt-checks=off", "-k", "in_a_thread")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*id__is_unique*")


@pytest.mark.parametrize(
    ("chosen", "outcomes"),
    [
        (
            "after_the_run or fail_so or another_check",
            {"passed": 1, "xfailed": 1, "failed": 1},
        ),
        pytest.param("", {"passed": 4, "xfailed": 2, "failed": 4}, marks=pytest.mark.slow),
    ],
)
def test_a_test_may_expect_a_check_to_fail_and_no_other(
    shop_code: Path, run_tests: RunTests, chosen: str, outcomes: dict[str, int]
) -> None:
    result = run_tests(
        """
        import pytest
        from shop_code import BAD, load, orders
        from pytest_dlthub import assert_checks, raises_check

        def test_after_the_run(dlt_run):
            run = dlt_run(orders(BAD))
            with raises_check("orders", "id__is_unique"):
                assert_checks(run)

        def test_around_the_run(dlt_run):
            with raises_check("orders", "is_unique"):
                dlt_run(orders(BAD))

        def test_of_a_dataset(dlt_run):
            run = dlt_run(orders(BAD))
            with raises_check("orders", "is_unique"):
                assert_checks(run.dataset)

        @pytest.fixture
        def run(dlt_run):
            return dlt_run(orders(BAD))

        def test_of_a_fixture(run):
            with raises_check("orders", "is_unique"):
                assert_checks(run)

        @pytest.mark.xfail(reason="the source yields twice")
        def test_expected_to_fail(dlt_run):
            dlt_run(orders(BAD))

        @pytest.mark.xfail(raises=AssertionError, strict=True)
        def test_expected_to_fail_so(dlt_run):
            dlt_run(orders(BAD))

        def test_red_of_another_run(dlt_run):
            load(name="other")
            run = dlt_run(orders(BAD), dataset_name="else")
            with raises_check("orders", "is_unique"):
                assert_checks(run)

        def test_red_of_the_run_before(dlt_run):
            run = dlt_run(orders(BAD))
            with raises_check("orders", "is_unique"):
                run.next()

        def test_red_what_holds(dlt_run):
            with raises_check("orders", "is_unique"):
                dlt_run(orders)

        def test_red_of_another_check(dlt_run):
            with raises_check("orders", "total__between"):
                dlt_run(orders, given={"orders": [{"id": 1, "total": 1}]})
        """,
        "-k",
        chosen,
    )

    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*raises_check: orders: total__between did not fail*"])


@pytest.mark.parametrize(
    ("chosen", "outcomes"),
    [
        ("free or first or TestClass or TestOther", {"passed": 2, "failed": 4}),
        pytest.param("", {"passed": 3, "failed": 10}, marks=pytest.mark.slow),
    ],
)
def test_what_fixtures_of_wider_scope_have_run_is_red_in_each_test_that_has_them(
    shop: Path, shop_code: Path, run_tests: RunTests, chosen: str, outcomes: dict[str, int]
) -> None:
    result = run_tests(
        """
        import pytest
        from shop_code import BAD, load, orders
        from pytest_dlthub import raises_check

        @pytest.fixture(scope="module")
        def loaded():
            load()

        @pytest.fixture(scope="class")
        def more(loaded):
            return loaded

        @pytest.fixture(scope="class")
        def asks(request):
            return request.getfixturevalue("loaded")

        @pytest.fixture(scope="module", params=[False, True])
        def some(request):
            if request.param:
                load(name="some")

        def test_free():
            "passes"

        def test_red_first(loaded):
            "red"

        def test_red_second(loaded):
            "red"

        class TestClass:
            def test_red(self, more):
                "red"

        class TestOther:
            def test_red(self, asks):
                "red"

            def test_red_too(self, asks):
                "red"

        def test_red_that_asks(request):
            request.getfixturevalue("loaded")

        @pytest.mark.usefixtures("loaded")
        def test_red_by_mark():
            "red"

        def test_some(some):
            "red once"

        class TestSetUp:
            @classmethod
            def setup_class(cls):
                load(name="of_class")

            def test_red(self):
                "red"

            def test_red_too(self):
                "red"

        def test_free_again():
            "passes"
        """,
        "-k",
        chosen,
    )

    result.assert_outcomes(**outcomes)


@pytest.mark.parametrize(
    ("chosen", "outcomes"),
    [
        pytest.param("test_red or good", {"passed": 1, "failed": 2}, marks=pytest.mark.slow),
        pytest.param("", {"passed": 1, "failed": 3}, marks=pytest.mark.slow),
    ],
)
def test_data_that_are_loaded_once_are_checked_for_each_test(
    shop_code: Path, run_tests: RunTests, chosen: str, outcomes: dict[str, int]
) -> None:
    result = run_tests(
        """
        import pytest
        from shop_code import BAD, orders
        from pytest_dlthub import assert_checks, raises_check

        once = pytest.mark.dlt_load(source=orders, given={"orders": BAD})

        @once
        def test_red():
            "red"

        @once
        def test_red_too(dlt_loaded):
            assert dlt_loaded.row_counts == {"orders": 2}

        @once
        def test_expected_once(dlt_loaded):
            with raises_check("orders", "is_unique"):
                assert_checks(dlt_loaded)
            assert dlt_loaded.next(given={"orders": [{"id": 3}]}).row_counts == {"orders": 1}

        @pytest.mark.dlt_load(source=orders)
        def test_good(dlt_dataset):
            assert len(dlt_dataset.orders.fetchall()) == 1
        """,
        "-k",
        chosen,
    )

    # the next run of `test_expected_once` finds the same two orders
    result.assert_outcomes(**outcomes)


@pytest.mark.slow
def test_what_is_red_stays_red_when_it_is_run_again(
    shop_code: Path, pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    result = run_tests(
        """
        import pytest
        from shop_code import BAD, load, orders

        @pytest.fixture(scope="module")
        def loaded():
            load()

        def test_of_a_fixture(loaded):
            "red, each time"

        def test_of_a_run(dlt_run):
            dlt_run(orders(BAD))
        """,
        "-p",
        "rerunfailures",
        "--reruns=1",
    )

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*2 failed, 2 rerun*"])


@pytest.mark.slow
def test_runs_at_import_and_those_of_no_test_are_red(
    shop: Path, shop_code: Path, pytester: pytest.Pytester, run_pytest: RunTests
) -> None:
    pytester.makepyfile(
        test_imports="from shop_code import load\nload()\ndef test_it(): pass",
        test_free="def test_it(): pass",
    )
    result = run_pytest("-p", "no:cacheprovider", "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*orders: id__is_unique: 2 of 2 rows fail*"])

    (pytester.path / "test_imports.py").unlink()
    pytester.makeconftest("from shop_code import load\nload()")
    result = run_pytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*= dlt checks =*", "orders: id__is_unique: 2 of 2 rows fail"])


def test_a_check_that_cannot_be_looked_at_is_red_and_secrets_are_masked(
    shop_code: Path, pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    result = run_tests(
        """
        import dlt
        from dlthub_project import data_quality as dq

        def run(dlt_run, *checks, rows=({"id": 1, "note": "s3cr3t-t0ken-of-a-test"},)):
            return dlt_run(dq.with_checks(*checks)(dlt.resource(list(rows), name="orders")))

        def test_of_what_is_wrong(dlt_run):
            unknown = dq.checks.is_not_null("notes")
            broken = dq.checks.case("id >", name="broken")
            run(dlt_run, dq.checks.is_unique("id"), unknown, broken, dq.checks.row_count(min=2))

        def test_of_no_rows(dlt_run):
            run(dlt_run, dq.checks.is_unique("id", where="id > 5"))

        def test_of_a_resource_that_yields_nothing(dlt_run):
            run(dlt_run, dq.checks.row_count(min=1, name="some"), rows=())

        def test_with_a_secret(dlt_run, dlt_config):
            dlt_config["sources.shop.api_key"] = dlt.TSecretStrValue("s3cr3t-t0ken-of-a-test")
            run(dlt_run, dq.checks.is_in("note", ["a"]))
            assert dlt.secrets["sources.shop.api_key"]
        """
    )

    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "orders: notes__is_not_null cannot be checked: *no column `notes`*mean `note`*",
            "orders: broken cannot be checked: *is no condition in SQL*",
            "orders: row_count: 1 of 1 row fails",
            "orders: some*",
            "orders: note__is_in: 1 of 1 row fails",
        ]
    )
    assert "s3cr3t" not in result.stdout.str()


OF_HISTORY = """
from dlthub_project import data_quality as dq
from pytest_dlthub import assert_checks, raises_check
from shop_code import BAD, orders

def test_unique(dlt_run):
    with raises_check("orders", "is_unique"):
        assert_checks(dlt_run(orders, given={"orders": [{"id": 1, "total": 1}] * 2}))

def test_all(dlt_run):
    run = dlt_run(orders)
    assert_checks(run)
    assert_checks(run, {"orders": [dq.checks.row_count(1)]})
"""


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_checks_that_no_test_has_ever_failed_are_listed(
    shop_code: Path,
    pytester: pytest.Pytester,
    run_pytest: RunTests,
    monkeypatch: pytest.MonkeyPatch,
    workers: tuple[str, ...],
) -> None:
    pytester.makepyfile(test_it=OF_HISTORY)
    # those of other tests in this process
    module = importlib.import_module("dlthub_project.data_quality.attachments")
    monkeypatch.setattr(module, "_declared", {})

    def listed(*arguments: str) -> list[str]:
        lines = run_pytest("--collect-only", "--dlt-checks", "-q", *arguments).outlines
        return [line for line in lines if line.startswith(("orders: ", "no test", "pytest's"))]

    never = "no test has run it"
    unknown = "pytest's cache has no test that has run a check"
    both = [f"orders: id__is_unique: {never}", f"orders: total__between: {never}"]
    assert listed() == [*both, unknown]

    run_pytest("--dlt-checks=off", *workers).assert_outcomes(passed=2)
    green = "it has passed in"
    between = "orders: total__between: "
    assert listed() == [f"orders: row_count: {green} 1 test", f"{between}{green} 2 tests"]
    assert listed("test_it.py::test_unique") == [f"{between}{green} 2 tests"]
    off = "pytest's cache is off (-p no:cacheprovider): earlier results are unknown"
    assert listed("-p", "no:cacheprovider") == [off, *both, unknown]

    # a changed check is another one
    code = (shop_code / "shop_code.py").read_text()
    (shop_code / "shop_code.py").write_text(
        code.replace('is_unique("id")', 'is_unique("id", where="id > 0")')
    )
    assert f"orders: id__is_unique: {never}" in listed()
