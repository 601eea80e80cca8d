"""What tests say about destinations, and what their users see: whole sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]


def test_a_test_runs_once_on_each_type_of_its_mark(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @pytest.mark.dlt_destination("duckdb", "filesystem")
        def test_on_both(dlt_run):
            run = dlt_run([{"id": 1}], destination="warehouse", table_name="rows")
            assert run.rows("rows") == [{"id": 1}]
            print("type:", run.pipeline.destination.destination_type)

        @pytest.mark.dlt_destination("duckdb", "filesystem")
        class TestOfAClass:
            @pytest.mark.parametrize("n", [1, 2])
            def test_with_parameters(self, dlt_run, n):
                assert dlt_run([{"n": n}], table_name="rows").rows("rows") == [{"n": n}]

        @pytest.mark.dlt_destination("filesystem")
        @pytest.mark.usefixtures("dlt_isolated")
        def test_plain_code():
            pipeline = dlt.pipeline("plain", destination="bigquery")
            assert pipeline.destination.destination_type == "dlt.destinations.filesystem"
        """,
        "-v",
        "-s",
        "--strict-markers",
    )

    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(
        [
            "*test_on_both[[]duckdb] type: dlt.destinations.duckdb*",
            "*test_on_both[[]filesystem] type: dlt.destinations.filesystem*",
        ]
    )


def test_a_blocked_destination_is_a_failure_that_names_the_remedy(
    shop: Path, run_tests: RunTests
) -> None:
    manifest = (shop / "dlt.yml").read_text()
    own = '  tests: {destinations: {warehouse: {credentials: "postgresql://u:hush@db.invalid/t"}}}'
    (shop / "dlt.yml").write_text(f"{manifest}{own}\n")

    result = run_tests(
        """
        import dlt
        import pytest

        def test_declared(dlt_project):
            dlt_project.run("load_orders")

        def test_in_code(dlt_run):
            destination = dlt.destinations.postgres("postgresql://u:hush@db.invalid/prod")
            dlt_run([{"id": 1}], destination=destination)

        def test_expected(dlt_run):
            from pytest_dlthub import RemoteDestinationBlocked
            with pytest.raises(RemoteDestinationBlocked):
                dlt_run([{"id": 1}], destination=dlt.destinations.filesystem("s3://prod"))

        def test_the_session_goes_on(dlt_run):
            dlt_run([{"id": 1}], table_name="rows")
        """,
        "--tb=short",
    )

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*RemoteDestinationBlocked: Destination `warehouse` (postgres) is remote*test profile*",
            '*dlt_allow_remote = warehouse*@pytest.mark.dlt_allow_remote("warehouse")*',
            "*RemoteDestinationBlocked: Destination `postgres` (postgres)*given in code*",
        ]
    )


@pytest.mark.postgres
def test_what_mark_ini_or_fixture_say_is_reached_when_it_is_allowed(
    pytester: pytest.Pytester, run_tests: RunTests, postgres_url: str
) -> None:
    pytester.makeini("[pytest]\ndlt_allow_remote = by_ini by_fixture\n")
    pytester.makeconftest(
        f"""
        import pytest

        URL = {postgres_url!r}

        @pytest.fixture(scope="session")
        def dlt_destinations():
            return {{
                "by_fixture": URL,
                "by_ini": URL,
                "by_mark": URL,
                "files": "filesystem",
                "not_allowed": {{"type": "postgres", "credentials": URL}},
            }}
        """
    )

    result = run_tests(
        """
        import uuid
        import dlt
        import pytest
        from conftest import URL
        from pytest_dlthub import RemoteDestinationBlocked

        NAME = f"harness_{uuid.uuid4().hex[:12]}"

        def postgres(name):
            return dlt.destinations.postgres(URL, destination_name=name)

        def load(dlt_run, destination):
            run = dlt_run([{"id": 1}], destination=destination, dataset_name=NAME, table_name="r")
            assert run.rows("r") == [{"id": 1}]
            return run.pipeline.destination.destination_type

        def test_ini(dlt_run):
            assert load(dlt_run, postgres("by_ini")) == "dlt.destinations.postgres"

        @pytest.mark.dlt_allow_remote("by_mark", "other")
        def test_mark(dlt_run):
            assert load(dlt_run, postgres("by_mark")) == "dlt.destinations.postgres"

        def test_mark_of_another_test_does_not_count(dlt_run):
            with pytest.raises(RemoteDestinationBlocked):
                load(dlt_run, postgres("by_mark"))

        def test_fixture(dlt_run):
            assert load(dlt_run, "by_fixture") == "dlt.destinations.postgres"
            assert load(dlt_run, "files") == "dlt.destinations.filesystem"
            assert load(dlt_run, "unnamed") == "dlt.destinations.duckdb"

        def test_fixture_alone_does_not_allow(dlt_run):
            with pytest.raises(RemoteDestinationBlocked, match="fixture dlt_destinations"):
                load(dlt_run, "not_allowed")

        def test_nothing_is_left():
            import psycopg2
            cursor = psycopg2.connect(URL).cursor()
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE %s", (f"{NAME}%",))
            assert cursor.fetchall() == []
        """
    )

    result.assert_outcomes(passed=6)


def test_settings_of_a_test_are_above_all_and_of_this_test_alone(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__TOKEN", "environment")
    result = run_tests(
        """
        import dlt

        @dlt.source(name="github", section="github")
        def github(token: str = dlt.secrets.value):
            return dlt.resource([{"token": token}], name="tokens")

        def test_set(dlt_config, dlt_run):
            assert dlt_run(github(), pipeline_name="before").rows("tokens")[0]["token"] == (
                "environment"
            )
            dlt_config["sources.github.token"] = "of this test"
            assert dlt_run(github(), pipeline_name="after").rows("tokens")[-1]["token"] == (
                "of this test"
            )

        def test_undone(dlt_config, dlt_run):
            assert dict(dlt_config) == {}
            assert dlt_run(github()).rows("tokens") == [{"token": "environment"}]
        """
    )

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]], ids="-".join)
@pytest.mark.slow
def test_data_of_a_session_fixture_are_read_by_tests_in_any_order(
    shop: Path, run_tests: RunTests, order: list[str]
) -> None:
    result = run_tests(
        """
        import pytest

        @pytest.fixture(scope="session")
        def project(dlt_project_factory):
            with dlt_project_factory() as project:
                yield project

        @pytest.fixture(scope="session")
        def loaded(project):
            return project.run("load_orders")

        def test_a(loaded, dlt_project):
            assert loaded.rows("items") == [{"id": 1}, {"id": 2}, {"id": 3}]
            # this test's own has other rows
            own = dlt_project.run("load_orders", data=[{"id": 7}], table_name="items")
            assert own.rows("items") == [{"id": 7}]
            assert len(loaded.rows("items")) == 3

        def test_b(project, loaded):
            assert len(project.dataset("shop_data").table("items").fetchall()) == 3
            assert len(loaded.pipeline.dataset().table("items").fetchall()) == 3
            assert len(loaded.rows("items")) == 3
        """,
        *[f"test_it.py::test_{name}" for name in order],
    )

    result.assert_outcomes(passed=2)
    assert not (shop / "_data").exists()


def test_plain_code_is_isolated_by_the_ini_option_and_its_warnings_are_caught(
    pytester: pytest.Pytester, run_tests: RunTests, home: Path
) -> None:
    pytester.makeini("[pytest]\ndlt_isolation = on\n")

    result = run_tests(
        """
        import logging
        import os
        import dlt

        at_import = dlt.pipeline("at_import", destination="duckdb", dataset_name="data")

        def test_loads():
            at_import.run([{"id": 1}], table_name="rows")
            assert type(dlt.current.run_context()).__module__.startswith("dlthub_project.sandbox")

        def test_nothing_is_left_of_it():
            at_import.run([{"id": 2}], table_name="rows")
            assert at_import.dataset().table("rows").select("id").fetchall() == [(2,)]

        def test_warnings_of_dlt(caplog):
            dlt.destinations.duckdb(no_such_argument=1)
            assert "no_such_argument is not a valid field" in caplog.text
            assert {record.name for record in caplog.records} == {"dlt"}
        """
    )

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["dlt: secrets all · sandbox *"])
    assert not list(home.iterdir())
    assert not list(pytester.path.glob("*.duckdb"))


def test_markers_are_registered_and_a_wrong_value_of_the_fixture_is_explained(
    pytester: pytest.Pytester, run_pytest: RunTests, run_tests: RunTests
) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def dlt_destinations():
            return {"warehouse": 7}
        """
    )

    listed = run_pytest("--markers")
    result = run_tests("def test_it(dlt_run): pass", "--strict-markers")

    listed.stdout.fnmatch_lines(
        ["@pytest.mark.dlt_allow_remote(*names):*", "@pytest.mark.dlt_destination(*types):*"]
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*dlt_destinations[[]'warehouse']: a URL, a type or a mapping*int*"]
    )
