"""`dlt_load`: a pipeline runs once, and each test has its own copy of what it loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

# counts its runs in a file beside the tests
COUNTING = """
import os
from pathlib import Path

import dlt
import duckdb
import pytest

RUNS = Path(__file__).with_name("runs.txt")


@dlt.resource(primary_key="id", write_disposition="merge")
def users(since=dlt.sources.incremental("id")):
    with RUNS.open("a") as file:
        file.write("run ")
    yield [{"id": 1, "emails": [{"to": "a"}]}, {"id": 2}]
"""


@pytest.fixture
def builds(pytester: pytest.Pytester) -> Callable[[], int]:
    """Return how often the source was run."""
    runs = pytester.path / "runs.txt"
    return lambda: len(runs.read_text().split()) if runs.exists() else 0


def test_each_test_has_a_copy_of_its_own_that_it_may_write_to(
    run_tests: RunTests, builds: Callable[[], int]
) -> None:
    result = run_tests(
        COUNTING
        + """
pytestmark = pytest.mark.dlt_load(source=users)


@pytest.mark.parametrize("n", range(3))
def test_copy(dlt_dataset, dlt_loaded, n):
    assert dlt_loaded.row_counts == {"users": 2, "users__emails": 1}
    assert len(dlt_dataset.users.fetchall()) == 2
    dlt_loaded.pipeline.run([{"id": 3}], table_name="users", write_disposition="append")
    dlt_loaded.pipeline.run([{"x": 1}], table_name="others")
    # seen through the connection that was open before
    assert len(dlt_dataset.users.fetchall()) == 3
    assert dlt_loaded.rows("others") == [{"x": 1}]
    assert dlt_loaded.tables == ["users", "users__emails", "others"]
""",
        "-v",
    )

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["1 template built (* s), 3 copies made"])
    assert builds() == 1


def test_state_load_info_and_trace_are_part_of_it(
    run_tests: RunTests, builds: Callable[[], int]
) -> None:
    result = run_tests(
        COUNTING
        + """
@pytest.mark.dlt_load(source=users)
def test_state(dlt_loaded):
    pipeline = dlt_loaded.pipeline
    of_users = pipeline.state["sources"]["users"]["resources"]["users"]
    assert of_users["incremental"]["id"]["last_value"] == 2
    assert not pipeline.first_run
    assert pipeline.default_schema.tables["users"]["columns"]["id"]["data_type"] == "bigint"
    assert dlt_loaded.schema.name == pipeline.default_schema.name
    assert dlt_loaded.schema_changes.keys() == {"users", "users__emails"}
    assert dlt_loaded.load_info.loads_ids == pipeline.list_completed_load_packages()
    package = pipeline.get_load_package_info(*dlt_loaded.load_info.loads_ids)
    assert {job.job_file_info.table_name for job in package.jobs["completed_jobs"]} >= {"users"}
    assert dlt_loaded.trace.last_normalize_info.row_counts["users"] == 2
    # a row as old as the cursor is not loaded again
    pipeline.run(users())
    assert len(dlt_loaded.rows("users")) == 2
"""
    )

    result.assert_outcomes(passed=1)
    assert builds() == 2


PENDING = """
from dlt.pipeline.exceptions import PipelineStepFailed


@dlt.resource
def half_done():
    yield {"id": 1}
    pipeline = dlt.current.pipeline()
    with RUNS.open("a") as file:
        file.write("run ")


def left_pending():
    # a second pipeline whose package was extracted, and no more
    pipeline = dlt.pipeline("later", destination="duckdb", dataset_name="later_data")
    pipeline.extract([{"id": 7}], table_name="waiting")
    return users()


@pytest.mark.dlt_load(source=left_pending)
@pytest.mark.parametrize("n", range(2))
def test_pending(dlt_loaded, n):
    pipeline = dlt.pipeline("later", destination="duckdb", dataset_name="later_data")
    assert pipeline.has_pending_data
    pipeline.normalize()
    pipeline.load()
    assert pipeline.dataset().waiting.fetchall()[0][0] == 7
"""


def test_pending_packages_are_part_of_it(run_tests: RunTests, builds: Callable[[], int]) -> None:
    result = run_tests(COUNTING + PENDING)

    result.assert_outcomes(passed=2)
    assert builds() == 1


def digests_below(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "used" and path.parent.name != "locks"
    }


@pytest.mark.parametrize("folder", [pytest.param("plain", marks=pytest.mark.slow), "mit Umlaut ä"])
@pytest.mark.slow
def test_a_copy_writes_nowhere_else(
    shop: Path, run_tests: RunTests, pytester: pytest.Pytester, folder: str
) -> None:
    cache = pytester.path / folder
    pytester.makeconftest(f"import os; os.environ['XDG_CACHE_HOME'] = {str(cache)!r}")
    code = """
        import pytest

        pytestmark = pytest.mark.dlt_load("load_orders")


        def test_template(dlt_loaded):
            assert len(dlt_loaded.rows("items")) == 3


        @pytest.mark.parametrize("n", range(2))
        def test_runs_on_its_copy(dlt_project, dlt_loaded, n):
            run = dlt_project.run("load_orders", data=[{"id": 9}], table_name="items")
            assert len(run.rows("items")) == 4
            assert "template" not in str(run.pipeline.working_dir)
            assert run.pipeline.working_dir == dlt_loaded.pipeline.working_dir
            run.pipeline.drop()
        """
    run_tests(code, "--dlt-reuse", "-k", "template").assert_outcomes(passed=1, deselected=2)
    before = digests_below(cache)
    assert any(name.endswith(".duckdb") for name in before)

    result = run_tests(code, "--dlt-reuse", "-v")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["0 templates built, 3 copies made"])
    assert digests_below(cache) == before


def test_what_a_test_had_loaded_does_not_stay_in_memory_until_the_session_ends(
    run_tests: RunTests,
) -> None:
    result = run_tests(
        COUNTING
        + """
import gc
import weakref

infos, runs = [], []


def left_of(references):
    gc.collect()
    return [one for one in references if one() is not None]


@pytest.mark.dlt_load(source=users)
@pytest.mark.parametrize("n", range(3))
def test_copy(dlt_loaded, n):
    infos.append(weakref.ref(dlt_loaded.load_info.pipeline))
    runs.append(weakref.ref(dlt_loaded))


def test_nothing_is_left():
    assert len(infos) == len(runs) == 3
    assert not left_of(runs)
    assert not left_of(infos)
""",
    )

    result.assert_outcomes(passed=4)


@pytest.mark.slow
def test_workers_share_what_one_of_them_has_built(
    run_tests_apart: RunTests, builds: Callable[[], int], kept_data: Callable[[], list[Path]]
) -> None:
    result = run_tests_apart(
        COUNTING
        + """
@pytest.mark.dlt_load(source=users)
@pytest.mark.parametrize("n", range(12))
def test_copy(dlt_dataset, n):
    assert len(dlt_dataset.users.fetchall()) == 2
""",
        "-n",
        "2",
    )

    result.assert_outcomes(passed=12)
    result.stdout.fnmatch_lines(["1 template built (* s), 12 copies made"])
    assert builds() == 1
    assert kept_data() == []


@pytest.mark.slow
def test_several_marks_are_loaded_into_one_sandbox(shop: Path, run_tests: RunTests) -> None:
    result = run_tests(
        """
        import pytest

        pytestmark = pytest.mark.dlt_load("load_orders")


        def customers():
            yield {"name": "Ada"}


        @pytest.mark.dlt_load(
            source=customers,
            destination="warehouse",
            dataset_name="crm",
            table_name="people",
            pipeline_name="load_people",
        )
        class TestBoth:
            def test_keys(self, dlt_loaded):
                assert list(dlt_loaded) == ["load_orders", "load_people"]
                assert dlt_loaded["load_people"].rows("people") == [{"name": "Ada"}]
                assert len(dlt_loaded["load_orders"].rows("items")) == 3
                paths = {run.database_path for run in dlt_loaded.values()}
                assert len(paths) == 1

            def test_one_dataset_of_several(self, dlt_dataset):
                pass

            @pytest.mark.dlt_load("load_orders", limit=0)
            def test_nearest_mark_of_a_pipeline_holds(self, dlt_loaded):
                assert dlt_loaded["load_orders"].row_counts == {}
        """
    )

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*several marks dlt_load; use dlt_loaded*load_orders*.dataset*"])


def test_the_mark_alone_is_enough(shop: Path, run_tests: RunTests) -> None:
    result = run_tests(
        """
        import unittest

        import pytest


        @pytest.mark.dlt_load("load_orders")
        def test_catalog(dlt_project):
            assert len(dlt_project.dataset("shop_data").items.fetchall()) == 3


        @pytest.mark.dlt_load("load_orders")
        class Catalog(unittest.TestCase):
            def test_catalog(self):
                import dlt

                dataset = dlt.hub.current.project.catalog().dataset("shop_data")
                assert len(dataset.items.fetchall()) == 3
        """
    )

    result.assert_outcomes(passed=2)


CONNECTIONS = """
@pytest.mark.dlt_load(source=users)
class TestConnections:
    def open_files(self):
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                 if os.path.exists(f"/proc/self/fd/{fd}")]
        # the template may be open, to read the copies through it
        return [link for link in links if link.endswith(".duckdb") and "templates" not in link]

    def test_nothing_is_open_before_the_first_query(self, dlt_dataset, dlt_loaded):
        dlt_loaded.row_counts, dlt_loaded.schema, dlt_loaded.load_info
        assert self.open_files() == []
        dlt_dataset.users.fetchall()
        # whoever has the connection may write
        dlt_dataset.sql_client.native_connection.execute("SELECT 1")
        assert len(self.open_files()) == 1

    def test_asking_for_the_path_closes(self, dlt_dataset, dlt_loaded):
        dlt_dataset.users.fetchall()
        with duckdb.connect(str(dlt_loaded.database_path), read_only=True) as connection:
            assert connection.execute("from users_dataset.users").fetchall()
        # and it opens again
        assert len(dlt_dataset.users.fetchall()) == 2

    def test_nothing_is_open_after_the_test(self):
        assert self.open_files() == []

    def test_with_block(self, dlt_dataset):
        with dlt_dataset as opened:
            assert len(opened.users.fetchall()) == 2
        assert self.open_files() == []
        assert len(dlt_dataset.users.fetchall()) == 2

    def test_fails_with_a_connection_open(self, dlt_dataset):
        dlt_dataset.sql_client.native_connection.execute("SELECT 1")
        assert False, "on purpose"
"""


def test_a_connection_is_open_only_while_it_may_be(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        """
        import os


        def pytest_exception_interact():
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                     if os.path.exists(f"/proc/self/fd/{fd}")]
            copies = [link for link in links if "templates" not in link]
            print("open at failure:", [link for link in copies if link.endswith(".duckdb")])
        """
    )

    result = run_tests(COUNTING + CONNECTIONS, "-s")

    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*open at failure: []"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ("()", "*0 pipelines and None. Mark the test with the name of a pipeline*"),
        ("('a', source=users)", "*1 pipelines and *. Mark the test*"),
        ("(source=users, colour=1)", "*neither dlt.pipeline nor its run() takes `colour`*"),
        ("(source=users, depends_on='gone.csv')", "*depends_on: there is no *gone.csv*"),
        ("(source=(n for n in range(3)))", "*an argument cannot be compared *`source=lambda: *"),
    ],
)
def test_error_when_a_mark_cannot_be_understood(
    run_tests: RunTests, mark: str, complaint: str
) -> None:
    result = run_tests(
        COUNTING
        + f"""
@pytest.mark.dlt_load{mark}
def test_it(dlt_loaded):
    pass
"""
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([complaint])


def test_error_when_there_is_no_mark(run_tests: RunTests) -> None:
    result = run_tests("def test_it(dlt_loaded): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*dlt_loaded: test_it does not say what to load. Mark the test*"])


def test_error_when_a_fixture_has_loaded_before(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@pytest.fixture
def loaded_early(dlt_isolated):
    dlt.pipeline("users", destination="duckdb").run([{"id": 1}], table_name="rows")


@pytest.mark.dlt_load(source=users)
def test_it(loaded_early, dlt_loaded):
    pass
"""
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*exists already, since a fixture has run a pipeline before*"])


def test_a_failing_build_is_told_once(run_tests: RunTests, builds: Callable[[], int]) -> None:
    result = run_tests(
        COUNTING
        + """
@dlt.resource
def broken():
    with RUNS.open("a") as file:
        file.write("run ")
    raise ValueError("the source is broken")
    yield


@pytest.mark.dlt_load(source=broken)
@pytest.mark.parametrize("n", range(3))
def test_it(dlt_dataset, n):
    pass
"""
    )

    result.assert_outcomes(errors=3)
    assert builds() == 1
    told = [line for line in result.outlines if line.startswith("E ")]
    assert sum("the source is broken" in line for line in told) >= 1
    short = [line for line in result.outlines if line.startswith("dlt_load(broken): the build")]
    assert len(short) == 2
    assert all("the build failed in test_it.py::test_it[0]: " in line for line in short)


def test_a_build_is_no_run_of_the_test(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@pytest.mark.dlt_load(source=users)
def test_it(dlt_runs, dlt_loaded):
    assert list(dlt_runs) == []
    assert os.environ.get("LEAKED") is None
"""
    )

    result.assert_outcomes(passed=1)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_on_each_local_destination(run_tests: RunTests, kind: str) -> None:
    result = run_tests(
        COUNTING
        + f"""
@pytest.mark.dlt_destination({kind!r})
@pytest.mark.dlt_load(
    source=users, destination="warehouse", dataset_name="data", write_disposition="append"
)
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, dlt_dataset, n):
    assert dlt_loaded.pipeline.destination.destination_type.endswith({kind!r})
    assert sorted(row["id"] for row in dlt_loaded.rows("users")) == [1, 2]
    dlt_loaded.pipeline.run([{{"id": 3}}], table_name="users", write_disposition="append")
    assert len(dlt_dataset.users.fetchall()) == 3
"""
    )

    result.assert_outcomes(passed=2)


@pytest.mark.usefixtures("shop")
def test_data_are_not_loaded_once_while_another_profile_is_active(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import pytest

        pytestmark = pytest.mark.dlt_load("load_orders")

        @pytest.fixture
        def on_ci(dlt_project):
            with dlt_project.profile("ci"):
                yield

        def test_before(on_ci, dlt_loaded):
            pass

        def test_after(dlt_loaded, on_ci):
            assert dlt_loaded.row_counts["items"] == 3
        """,
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*UsageError: dlt_load: * on profile `tests`, and `ci` is active*--dlt-profile ci."]
    )


def test_a_test_may_write_to_load_packages_that_are_completed(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@pytest.mark.dlt_load(source=users)
@pytest.mark.parametrize("n", range(3))
def test_it(dlt_loaded, n):
    package = Path(dlt_loaded.pipeline.get_load_package_info(
        *dlt_loaded.load_info.loads_ids).package_path)
    schema, jobs = package / "schema.json", [*package.glob("completed_jobs/users.*")]
    assert jobs
    assert schema.read_text() != "broken"
    schema.write_text("broken")
    for job in jobs:
        job.unlink()
    dlt_loaded.pipeline.drop()
"""
    )

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["1 template built (* s), 3 copies made"])
