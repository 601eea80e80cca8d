"""What the report of a failed test tells."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "workers",
    [pytest.param([], id="alone"), pytest.param(["-n2"], id="xdist", marks=pytest.mark.slow)],
)
@pytest.mark.usefixtures("shop")
def test_a_failed_test_tells_what_its_destinations_were(
    run_tests: RunTests, workers: list[str]
) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @pytest.fixture(scope="session")
        def loaded(dlt_project_factory):
            with dlt_project_factory() as project:
                yield project.run("load_orders")

        def test_fails(dlt_project):
            dlt_project.run("load_orders")
            dlt.pipeline("b", destination="redshift", staging="lake")
            assert 0

        def test_reads(loaded):
            loaded.rows("items")
            assert 0

        def test_passes(dlt_project):
            dlt_project.run("load_orders")

        def test_fails_without_dlt():
            assert 0
        """,
        *workers,
    )

    result.assert_outcomes(passed=1, failed=3)
    printed = [line for line in result.outlines if "->" in line or " dropped" in line]
    assert len(printed) == 4
    warehouse = "warehouse (postgres) -> DuckDB */{}/data/local/warehouse-test.duckdb"
    result.stdout.fnmatch_lines(
        [
            "*- dlt -*",
            warehouse.format("*-test_fails"),
            "redshift -> DuckDB */redshift-test.duckdb",
            "staging lake dropped",
            "the data of this test are kept in *-test_fails",
        ]
    )
    result.stdout.fnmatch_lines(["*- dlt -*", warehouse.format("*-dlt_project_factory")])
    assert "db.invalid" not in str(result.stdout)
    # of the test alone, and from workers too
    ran = [line for line in result.outlines if line.startswith("pipeline load_orders: items 3, ")]
    assert len(ran) == 2
    assert "2 pipelines run, 10 rows loaded" in result.outlines


def test_a_merge_that_tests_cannot_do_is_one_clear_error(run_tests: RunTests, shop: Path) -> None:
    result = run_tests(
        """
        import pytest

        @pytest.mark.dlt_destination("filesystem")
        def test_merges(dlt_project):
            dlt_project.run("load_orders")
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   *MergeStrategyNotSupported: Resource `items` merges its rows.*`warehouse`*",
            "E   *Say in the fixture dlt_destinations *",
        ]
    )


PLAIN = """
    import dlt
    import pytest

    @dlt.resource
    def users(api_key: str = dlt.secrets.value):
        yield {"id": 1}

    @dlt.resource
    def broken():
        yield {"id": 1}["name"]

    def load():
        dlt.pipeline("users", destination="snowflake").run(broken())

    @dlt.resource
    def asks():
        yield dlt.sources.helpers.requests.get("http://127.0.0.1:9").json()
"""


@pytest.mark.parametrize(
    ("options", "has_dlts"), [((), False), (("--full-trace",), True)], ids=["short", "full"]
)
def test_a_traceback_is_of_the_users_code_alone_unless_all_of_it_is_asked_for(
    run_tests: RunTests, options: tuple[str, ...], has_dlts: bool
) -> None:
    result = run_tests(
        f"""{PLAIN}
    def test_lacks_a_secret(dlt_run):
        dlt_run(users())

    def test_is_broken(dlt_runs):
        load()

    def test_reaches_nobody(dlt_run):
        import dlt.sources.helpers.requests
        dlt_run(asks())

    @pytest.mark.dlt_load
    def test_names_nothing(dlt_loaded):
        pass

    def test_asks_for_no_sandbox():
        dlt.current.resource_state()
        """,
        *options,
    )

    result.assert_outcomes(failed=4, errors=1)
    printed = str(result.stdout)
    places = [line for line in result.outlines if ".py:" in line]
    of_dlt = [line for line in places if "/dlt/" in line or "pytest_dlthub/" in line]
    # without our fixtures the report is as without the plugin
    assert any("/dlt/" in line for line in of_dlt)
    assert (len(of_dlt) > 5) is has_dlts
    # the resource, called by dlt, called by the user
    assert 'yield {"id": 1}["name"]' in printed
    assert ".run(broken())" in printed
    assert "UsageError: dlt_load: 0 pipelines and None" in printed
    # with CI=true, pytest's summary has whole messages
    failures = printed.partition("short test summary info")[0]
    assert ("Missing 1 field(s)" in failures) is has_dlts
    result.stdout.re_match_lines(
        [
            r".*sources\..*api_key \(a secret\) is missing\.",
            r".*For this test: dlt_config\[.*; for all tests: \.dlt/secrets\.toml; .*given=",
        ]
    )


@pytest.mark.usefixtures("shop")
def test_a_debugger_has_the_whole_traceback(pytester: pytest.Pytester, run_tests: RunTests) -> None:
    pytester.makeconftest(
        """
        import traceback

        def pytest_exception_interact(call):
            files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(call.excinfo.tb)]
            print("\\nFRAMES OF OURS", sum("pytest_dlthub" in file for file in files))
        """
    )

    result = run_tests(
        """
        def test_fails(dlt_project):
            dlt_project.run("load_ordrs")
        """,
        "-s",
    )

    result.stdout.fnmatch_lines(["*FRAMES OF OURS ?", "*There is no pipeline `load_ordrs`*"])


@pytest.mark.parametrize(
    "workers",
    [pytest.param([], id="alone"), pytest.param(["-n2"], id="xdist", marks=pytest.mark.slow)],
)
def test_a_failed_test_tells_no_secrets(
    run_tests: RunTests,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    workers: list[str],
) -> None:
    monkeypatch.setenv("SOURCES__PASSWORD", "of-the-environment")
    (pytester.path / ".dlt").mkdir()
    (pytester.path / ".dlt" / "secrets.toml").write_text(
        """
        [sources]
        plain = "of-the-toml"
        [sources.database.credentials]
        host = "db.invalid"
        password = "of-the-database"
        """
    )
    result = run_tests(
        """
        import dlt

        SETTING = "-".join(("of", "the", "test"))

        @dlt.resource
        def leaky(
            plain: str = dlt.secrets.value,
            password: str = dlt.secrets.value,
            token: str = dlt.secrets.value,
        ):
            found = dlt.secrets["sources.database.credentials.password"]
            print("printed", plain, password, token, found)
            raise ValueError(f"db.invalid: {plain} {password} {token} {found}")
            yield

        def test_leaks(dlt_run, dlt_config):
            dlt_config["sources.token"] = SETTING
            dlt_run(leaky())
        """,
        "--showlocals",
        "--junitxml=report.xml",
        "-ojunit_logging=all",
        *workers,
    )

    result.assert_outcomes(failed=1)
    written = (pytester.path / "report.xml").read_text()
    for text in (str(result.stdout), written):
        assert "printed *** *** *** ***" in text
        assert "ValueError: db.invalid: *** *** *** ***" in text
        assert [
            secret
            for secret in ("toml", "environment", "test", "database")
            if f"of-the-{secret}" in text
        ] == []


def test_an_error_whose_causes_go_round_in_a_circle_is_reported(run_tests: RunTests) -> None:
    result = run_tests(
        """
        def test_circle(dlt_run):
            one, other = ValueError("one"), KeyError("other")
            one.__cause__, other.__cause__ = other, one
            raise one
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: one"])


@pytest.mark.parametrize("start", ["run", pytest.param("spawn", marks=pytest.mark.slow)])
def test_what_is_blocked_in_a_subprocess_is_told(run_tests_apart: RunTests, start: str) -> None:
    result = run_tests_apart(
        f"""
        import multiprocessing, subprocess, sys
        import pytest

        CODE = (
            "import dlt; dlt.pipeline('p', destination=dlt.destinations.postgres("
            "'postgresql://u:a-password@db.invalid/prod')).run([1], table_name='t')"
        )

        def work():
            exec(CODE)

        @pytest.mark.usefixtures("dlt_isolated")
        def test_it():
            if {start!r} == "run":
                subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True)
            process = multiprocessing.get_context("spawn").Process(target=work)
            process.start()
            process.join()
            assert process.exitcode == 0
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["blocked in a subprocess: Destination `postgres` (postgres) is remote*", "To allow it: *"]
    )
    # the summary has the message of the error, which has the command as the test gives it
    section = result.stdout.str().partition("- dlt -")[2].partition("short test summary")[0]
    assert "a-password" not in section


@pytest.mark.slow
def test_what_is_blocked_in_a_subprocess_of_a_fixture_or_an_example_is_told(
    pytester: pytest.Pytester, run_tests_apart: RunTests
) -> None:
    pytester.makeini("[pytest]\ndlt_isolation = true\n")
    result = run_tests_apart(
        """
        import subprocess, sys
        import pytest
        from hypothesis import given, settings, strategies

        def load(name):
            code = (
                "import dlt; dlt.pipeline('p', destination=dlt.destinations.postgres("
                f"'postgresql://u:a-password@db.invalid/prod', destination_name={name!r}))"
                ".run([1], table_name='t')"
            )
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

        @pytest.fixture(scope="module")
        def of_module():
            load("module")

        @pytest.fixture(scope="class")
        def of_class():
            with pytest.raises(subprocess.CalledProcessError):
                load("class")

        @pytest.fixture
        def of_test():
            yield
            load("teardown")

        def test_teardown(of_test):
            pass

        def test_module(of_module):
            pass

        class TestClass:
            def test_it(self, of_class):
                assert False

        @settings(max_examples=1, deadline=None, database=None)
        @given(strategies.just("example"))
        def test_example(name):
            load(name)
        """
    )

    result.assert_outcomes(passed=1, failed=2, errors=2)
    for name in ("teardown", "module", "class", "example"):
        result.stdout.fnmatch_lines([f"blocked in a subprocess: Destination `{name}` *"])


def test_a_path_that_dlt_cannot_store_is_named(
    run_pytest: RunTests, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as an umlaut looks in a session with LC_ALL=C
    folder = pytester.path / os.fsdecode(b"mit \xfcmlaut")
    folder.mkdir()
    (folder / "test_it.py").write_text(
        "def test_it(dlt_run):\n    dlt_run([{'id': 1}], table_name='rows')\n"
    )
    monkeypatch.chdir(folder)

    result = run_pytest("-p", "no:cacheprovider", "--rootdir=.")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["dlt stores the path '*mit ?udcfcmlaut', *Set PYTHONUTF8=1, or*"])
