"""`dlt_project`, `dlt_run`, `dlt_isolated` and what a run gives back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]
KeptData = Callable[[], list[Path]]


def test_pipeline_of_the_project_runs_into_a_temporary_database(
    shop: Path, run_tests: RunTests, kept_data: KeptData
) -> None:
    result = run_tests(
        """
        import dlt

        def test_rows(dlt_project):
            run = dlt_project.run("load_orders")

            assert run.row_counts == {"items": 3, "items__lines": 2}
            assert sorted(run.tables) == ["items", "items__lines"]
            assert run.rows("items") == [{"id": 1}, {"id": 2}, {"id": 3}]
            assert sorted(row["n"] for row in run.rows("items__lines")) == [1, 2]
            assert run.pipeline.destination.destination_name == "warehouse"
            assert run.load_info.has_failed_jobs is False
            assert [s.step for s in run.trace.steps] == ["extract", "normalize", "load", "run"]
            assert run.schema.tables["items"]["columns"]["id"]["primary_key"] is True
            assert run.dataset.row_counts().fetchall()
            assert repr(run) == "<PipelineRun load_orders: {'items': 3, 'items__lines': 2}>"

        def test_rows_of_another_test_are_not_there(dlt_project):
            import dlthub_project
            import pytest

            error = dlthub_project.DatasetNotLoaded
            with pytest.raises(error, match="dlt_project.run..load_orders"):
                dlt_project.dataset("shop_data").tables
            assert dlt_project.run("load_orders", data=[{"id": 7}], table_name="items").rows(
                "items"
            ) == [{"id": 7}]

        def test_second_run_goes_on_with_the_first(dlt_project):
            dlt_project.run("load_orders")
            again = dlt_project.run("load_orders", resources=["items"], limit=1)
            assert len(again.rows("items")) == 3

        def test_everything_of_the_project_is_at_hand(dlt_project):
            assert dlt_project.config.name == dlt_project.context.name == "shop"
            assert dlt_project.entities.list_sources() == ["orders"]
            assert list(dlt_project.catalog) == ["shop_data"]
            assert dlt_project.source("orders")().name == "orders"
            assert dlt_project.pipeline("load_orders").dataset_name == "shop_data"
            dlt_project.run("load_orders")
            assert dlt_project.dataset("shop_data")["items"].fetchall()
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=4)
    assert not (shop / "_data").exists()
    assert kept_data() == []


def test_plain_rows_and_sources_run_without_a_project(
    pytester: pytest.Pytester, run_tests: RunTests, home: Path
) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @dlt.resource(primary_key="id", write_disposition="merge")
        def users(cursor=dlt.sources.incremental("id")):
            yield [{"id": 1}, {"id": 2}]

        def test_rows(dlt_run):
            run = dlt_run(users())
            assert run.row_counts == {"users": 2}
            assert dlt_run(users()).row_counts == {}

        def test_arguments_go_to_the_pipeline_and_to_the_run(dlt_run):
            run = dlt_run(
                [{"id": 1}],
                pipeline_name="mine",
                destination="bigquery",
                dataset_name="data",
                table_name="rows",
                write_disposition="replace",
            )
            assert run.pipeline.pipeline_name == "mine"
            assert run.pipeline.dataset_name == "data"
            assert run.rows("rows") == [{"id": 1}]

        def test_unknown_argument(dlt_run):
            with pytest.raises(TypeError, match="did you mean `table_name`"):
                dlt_run([{"id": 1}], tabel_name="rows")
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=3)
    left = {path.name for path in pytester.path.iterdir()} - {"stdout", "stderr", "__pycache__"}
    assert left == {"test_it.py", "runpytest-0", "runpytest-0-dlt"}
    assert not list((pytester.path / "runpytest-0-dlt").iterdir())
    assert not list(home.iterdir())


def test_a_test_that_expects_a_run_fails_when_there_was_none(run_tests: RunTests) -> None:
    result = run_tests("def test_it(dlt_runs): assert dlt_runs.last.row_counts == {}")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *AssertionError: no pipeline was run in this test; dlt_runs does not see*"]
    )


@pytest.mark.parametrize(
    ("keep", "kept"), [("failed", {"fails"}), ("all", {"fails", "passes"}), ("none", set())]
)
@pytest.mark.slow
def test_data_are_kept_as_the_ini_option_says(
    shop: Path, run_tests: RunTests, kept_data: KeptData, keep: str, kept: set[str]
) -> None:
    (shop / "pytest.ini").write_text(f"[pytest]\ndlt_keep = {keep}\n")

    result = run_tests(
        """
        import pytest

        def test_passes(dlt_project):
            dlt_project.run("load_orders")

        @pytest.mark.dlt_load("load_orders")
        def test_fails(dlt_loaded):
            assert False
        """
    )

    result.assert_outcomes(passed=1, failed=1)
    told = [line for line in result.outlines if line.startswith("open the data: ")]
    assert len(told) == (0 if keep == "none" else 1)
    assert {path.name.rpartition("_")[2] for path in kept_data()} == kept
    assert all((path / "data/local/warehouse-test.duckdb").is_file() for path in kept_data())


def test_user_fixtures_of_wider_scope_write_to_the_sandbox_of_the_session(
    shop: Path, run_tests: RunTests
) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @pytest.fixture(scope="session")
        def loaded():
            project = dlt.hub.current.project
            project.runner().run_pipeline("load_orders")
            return project.catalog().dataset("shop_data").table("items").fetchall()

        def test_reads(loaded):
            assert len(loaded) == 3

        def test_starts_without_data(loaded, dlt_project):
            assert dlt_project.config.data_dir.endswith("-test_starts_without_data/data")
        """
    )

    result.assert_outcomes(passed=2)
    assert not (shop / "_data").exists()


def test_unittest_classes_are_isolated_too(shop: Path, run_tests: RunTests) -> None:
    result = run_tests(
        """
        import unittest
        import dlt

        class TestShop(unittest.TestCase):
            def test_rows(self):
                project = dlt.hub.current.project
                project.runner().run_pipeline("load_orders")
                self.assertEqual(project.config().current_profile, "tests")
        """
    )

    result.assert_outcomes(passed=1)
    assert not (shop / "_data").exists()


def test_error_of_the_users_own_source_is_shown(shop: Path, run_tests: RunTests) -> None:
    (shop / "sources" / "shop.py").write_text("raise RuntimeError('mine, at import')\n")

    result = run_tests(
        """
        def test_rows(dlt_project):
            dlt_project.run("load_orders")
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*sources/shop.py:1: RuntimeError*", "*mine, at import*"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "option",
    ["--help", "--version", "--collect-only", "--fixtures", "--fixtures-per-test", "--markers"],
)
def test_a_broken_manifest_does_not_keep_pytest_from_telling(
    shop: Path, run_tests: RunTests, option: str
) -> None:
    (shop / "dlt.yml").write_text("project: [no, mapping\n")

    result = run_tests("def test_it(dlt_project): pass", option)

    assert result.ret == 0


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_broken_manifest_ends_the_session_with_its_own_error(
    shop: Path, run_tests: RunTests, workers: str
) -> None:
    (shop / "dlt.yml").write_text("pipelines:\n  load: {sorce: x}\n")

    result = run_tests("def test_it(): pass", "-n", workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*dlt.yml:2:10: pipelines.load.sorce: unknown key.*`source`?*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_fixtures_are_documented(run_tests: RunTests) -> None:
    result = run_tests("def test_it(): pass", "--fixtures", "-v")

    result.stdout.fnmatch_lines_random(
        ["dlt_isolated*", "dlt_project*", "dlt_run*", "*returns a `PipelineRun`*"]
    )


@pytest.mark.parametrize("option", ["--tb=auto", "--tb=long", "--tb=short", "--full-trace"])
def test_a_blocked_destination_ends_in_the_users_code_and_shows_no_password(
    pytester: pytest.Pytester, run_tests: RunTests, option: str
) -> None:
    (pytester.path / "address.txt").write_text("postgresql://loader:hidden_word@db.invalid/shop")
    code = """
        from pathlib import Path
        import dlt

        def main():
            target = dlt.destinations.postgres(Path("address.txt").read_text())
            dlt.pipeline("x", destination=target).run([{"id": 1}], table_name="rows")

        def test_main(dlt_runs):
            main()
    """

    result = run_tests(code, option)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*Destination `postgres` (postgres) is remote*", "*dlt_allow_remote = postgres*"]
    )
    assert "hidden_word" not in result.stdout.str() + result.stderr.str()
    assert "site-packages/dlt/" not in result.stdout.str()


def test_every_profile_is_checked_without_secrets_and_without_a_connection(
    shop: Path, run_tests: RunTests
) -> None:
    with (shop / "dlt.yml").open("a") as manifest:
        manifest.write(
            """  broken:
    sources: {orders: {type: shop.order}}
    destinations: {warehouse: {type: postgrs}}
  secretive:
    destinations:
      warehouse: {type: "{env.KIND_OF_WAREHOUSE:postgres}", credentials: "{env.THE_PASSWORD}"}
    pipelines: {load_orders: {dataset_name: "{env.THE_DATASET}"}}
"""
        )
    result = run_tests(
        """
        import os
        import pytest
        from dlthub_project import ProfileNotFound, ProjectError

        @pytest.mark.parametrize("profile", ["dev", "prod", "secretive"])
        def test_good(dlt_project, profile):
            dlt_project.check(profile)
            assert dlt_project.config.current_profile == "tests"
            assert "THE_PASSWORD" not in os.environ

        def test_bad(dlt_project):
            with pytest.raises(ProjectError) as caught:
                dlt_project.check("broken")
            message = str(caught.value)
            assert "Profile broken cannot be built" in message
            assert "source orders: " in message
            assert "module `sources.shop` has no `order`" in message
            assert "sources of pipeline load_orders: " in message

        def test_unknown(dlt_project):
            with pytest.raises(ProfileNotFound, match="Did you mean `prod`"):
                dlt_project.check("prd")
        """
    )

    result.assert_outcomes(passed=5)


def test_a_run_tells_what_it_changed_and_where_its_database_is(
    shop: Path, run_tests: RunTests
) -> None:
    result = run_tests(
        """
        import duckdb

        def test_changes(dlt_project):
            first = dlt_project.run("load_orders")
            new = [{"id": 1, "note": "x"}]
            second = dlt_project.run("load_orders", data=new, table_name="items")
            third = dlt_project.run("load_orders", data=new, table_name="items")

            assert first.schema_changes["items"] == ["id", "_dlt_load_id", "_dlt_id"]
            assert "items__lines" in first.schema_changes
            assert second.schema_changes == {"items": ["note"]}
            assert third.schema_changes == {}

        def test_database(dlt_run):
            one = [{"id": 1}]
            run = dlt_run(one, table_name="rows", table_format="delta", destination="athena")
            with duckdb.connect(str(run.database_path), read_only=True) as mine:
                assert mine.sql("SELECT id FROM dlt_run_dataset.rows").fetchall() == [(1,)]
            files = dlt_run(one, destination="filesystem", pipeline_name="f", table_name="t")
            assert files.database_path is None
        """
    )

    result.assert_outcomes(passed=2)
