"""`dlt_project.transformation` in sessions of pytest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunTests = Callable[..., pytest.RunResult]

MANIFEST = """
destinations:
  warehouse: {type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}
datasets:
  shop: {destination: [warehouse]}
  reports: {destination: [warehouse]}
pipelines:
  load_orders: {destination: warehouse, dataset_name: shop}
caches:
  orders_cache:
    inputs: [{dataset: shop, tables: {orders: orders, cities: cities}}]
    outputs: [{dataset: reports, tables: {totals: totals}, write_disposition: replace}]
transformations:
  report: {engine: sql, cache: orders_cache}
"""
QUERY = (
    "SELECT name, sum(price)::bigint AS price FROM orders JOIN cities USING (city) GROUP BY name"
)


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester) -> None:
    """A project with a transformation of two tables."""
    (pytester.path / "dlt.yml").write_text(MANIFEST)
    folder = pytester.path / "transformations" / "report"
    folder.mkdir(parents=True)
    (folder / "totals.sql").write_text(QUERY)


def test_each_test_has_inputs_outputs_and_a_cache_of_its_own(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    result = run_tests(
        """
        import pytest

        ORDERS = [{"city": "r", "price": 1}, {"city": "r", "price": 2}]
        CITIES = [{"city": "r", "name": "Rome"}]
        ROME = {"name": "Rome", "price": 3}

        @pytest.fixture(scope="session")
        def loaded(dlt_project_factory):
            with dlt_project_factory() as project:
                report = project.transformation("report")
                yield report.run(given={"orders": ORDERS, "cities": CITIES})

        def test_in_its_own_sandbox(dlt_project):
            run = dlt_project.transformation("report").run(
                given={"orders": ORDERS, "cities": CITIES}
            )
            assert run.rows("totals") == [ROME]

        def test_of_a_session(loaded, dlt_project):
            with pytest.raises(Exception, match="does not exist"):
                dlt_project.dataset("reports").row_counts()
            assert loaded.rows("totals") == [ROME]

        def test_of_a_session_goes_on_in_another_test(loaded):
            second = loaded.next(given={"orders": [{"city": "r", "price": 7}]})
            assert second.rows("totals") == loaded.rows("totals") == [{"name": "Rome", "price": 10}]

        @pytest.mark.dlt_load("load_orders", data=ORDERS, table_name="orders")
        def test_on_a_copy_of_what_is_loaded_once(dlt_loaded, dlt_project):
            run = dlt_project.transformation("report").run(given={"cities": CITIES})
            assert run.rows("totals") == [ROME]

        @pytest.mark.dlt_destination("filesystem")
        def test_on_files(dlt_project):
            run = dlt_project.transformation("report").run(
                given={"orders": ORDERS, "cities": CITIES}
            )
            assert run.dataset.table("totals").select("price").fetchall() == [(3,)]
            assert run.next(given={"orders": ORDERS}).rows("totals") == [{**ROME, "price": 6}]
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=5)
    assert not (pytester.path / "_data").exists()


@pytest.mark.slow
def test_outputs_that_pass_an_input_through_are_read_and_counted(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    outputs = "{dataset: reports, tables: {totals: totals, cities: places}}"
    text = MANIFEST.replace("[{dataset: reports, tables: {totals: totals}, ", f"[{outputs}, ")
    manifest = text.replace(f"[{outputs}, write_disposition: replace}}]", f"[{outputs}]")
    assert outputs in manifest
    (pytester.path / "dlt.yml").write_text(manifest)
    result = run_tests(
        """
        ORDERS = [{"city": "r", "price": 1}]

        def test_passed(dlt_project):
            given = {"orders": ORDERS, "cities": [{"city": "r", "name": "Rome"}]}
            run = dlt_project.transformation("report").run(given=given)
            assert run.row_counts == {"totals": 1, "places": 1}
            assert run.rows("places") == given["cities"]
            assert run.next(given={"cities": [{"city": "o", "name": "Oslo"}]}).row_counts == {
                "places": 1
            }
        """
    )

    result.assert_outcomes(passed=1)
