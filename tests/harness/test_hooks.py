"""The hooks of users' plugins: when they are asked, and what becomes of their errors."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from _pytest.config import PytestPluginManager

from pytest_dlthub import hooks, secrets_in_texts

PROJECTS = Path(__file__).parents[1] / "projects"

RunTests = Callable[..., pytest.RunResult]

CHECKED = """
    def pytest_dlt_run_finished(item, run):
        counts = run.row_counts
        assert sum(counts.values()) < 3, f"{item.name} loaded {counts}"
"""


def test_a_check_after_every_run_fails_the_test_whatever_its_code_does_with_errors(
    shop: Path, pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeconftest(CHECKED)

    result = run_tests(
        """
        import threading
        import unittest
        import dlt
        import pytest

        def load(rows):
            try:
                pipeline = dlt.pipeline("etl", destination="bigquery", dataset_name="data")
                pipeline.run(rows, table_name="rows")
            except BaseException:
                "production goes on"

        ROWS = [{"id": n} for n in range(5)]

        def test_few():
            load(ROWS[:2])

        def test_many_in_a_thread(dlt_runs):
            thread = threading.Thread(target=load, args=[ROWS])
            thread.start()
            thread.join()
            assert dlt_runs.last.row_counts == {"rows": 5}

        def test_skipped_after_it():
            load(ROWS)
            pytest.skip("by the test")

        def test_that_fails_by_itself():
            load(ROWS)
            assert "its own" == "failure"

        @pytest.fixture(scope="module")
        def loaded():
            load(ROWS)

        def test_of_a_fixture(loaded):
            "an error of the setup"

        class TestOfUnittest(unittest.TestCase):
            def test_skipped(self):
                load(ROWS)
                self.skipTest("by the test")

        @pytest.mark.xfail
        def test_expected_to_fail():
            load(ROWS)
            assert "its own" == "failure"
        """
    )

    result.assert_outcomes(passed=1, failed=5, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*pytest_dlt_run_finished of plugin `conftest.py` failed: AssertionError: test_of_a*",
            "*conftest.py:3: in pytest_dlt_run_finished*",
        ]
    )
    # beside the failure of the test's own
    result.stdout.fnmatch_lines(["*'its own' == 'failure'*", "*dlt hooks*", "*test_that_fails*"])
    result.stdout.fnmatch_lines(["FAILED *::test_skipped_after_it - HookFailed: *"])


@pytest.mark.parametrize("arguments", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_data_that_are_loaded_once_are_checked_and_by_the_hooks_of_each_test_that_shares_them(
    pytester: pytest.Pytester, run_pytest: RunTests, arguments: tuple[str, ...]
) -> None:
    test = """
        import pytest

        @pytest.mark.dlt_load(source=lambda: [{"id": n} for n in range(5)], table_name="rows")
        def test_it(dlt_loaded, dlt_runs):
            assert dlt_loaded.row_counts == {"rows": 5}
            assert len(dlt_runs) == 0
    """
    for folder in ("free", "checked"):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / f"test_{folder}.py").write_text(textwrap.dedent(test))
    (pytester.path / "checked" / "conftest.py").write_text(textwrap.dedent(CHECKED))

    result = run_pytest("-p", "no:cacheprovider", *arguments)

    # the second test does not have what was loaded without its check
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pytest_dlt_run_finished*checked*conftest.py` failed: Assert*"])


def test_runs_of_the_hook_are_not_told_and_later_hooks_see_their_data(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeconftest(
        """
        import duckdb
        import pytest

        def pytest_dlt_run_finished(item, run):
            if item.name == "test_that_the_hook_skips":
                pytest.skip("no server to check it")
            # nothing holds it open
            duckdb.connect(str(run.database_path)).close()
            again = run.pipeline.run([{"id": 2}], table_name="rows")
            assert run.rows("rows") == [{"id": 1}, {"id": 2}]
        """
    )
    result = run_tests(
        """
        def test_it(dlt_run, dlt_runs):
            dlt_run([{"id": 1}], table_name="rows")
            assert len(dlt_runs) == 1

        def test_that_the_hook_skips(dlt_run):
            dlt_run([{"id": 1}], table_name="rows")
        """
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*pytest_dlt_run_finished of a plugin skipped: no server*"])


REPLACED = """
    import os

    def pytest_dlt_replace_destination(name, declared_type):
        print("asked:", name, declared_type)
        if name == "broken":
            raise LookupError("no container")
        if name == "number":
            return {"type": "postgres", "credentials": object()}
        if name == "fixture":
            return "filesystem"
        if declared_type == "bigquery" or name == "l":
            return "filesystem"
        if name == "real":
            return "postgresql://loader:hush-hush@db.invalid/prod"
        if name == "outside":
            return {"type": "duckdb", "credentials": os.environ["OUTSIDE"]}
"""


def test_what_a_plugin_has_stand_for_destinations_is_guarded_and_told_to_subprocesses(
    pytester: pytest.Pytester,
    run_tests: RunTests,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "prod.duckdb"
    monkeypatch.setenv("OUTSIDE", str(outside))
    monkeypatch.setenv("DESTINATION__LAKE__DESTINATION_TYPE", "bigquery")
    pytester.makeini("[pytest]\ndlt_isolation = on\n")
    pytester.makeconftest(REPLACED)

    result = run_tests(
        """
        import subprocess
        import sys
        import dlt
        import pytest
        from pytest_dlthub import RemoteDestinationBlocked

        def kind(destination):
            made = dlt.pipeline("etl", destination=destination).destination
            return made.destination_type.removeprefix("dlt.destinations.")

        def test_by_name_by_type_and_as_a_class(capsys):
            assert kind("lake") == kind("bigquery") == "filesystem"
            assert kind(dlt.destinations.bigquery(destination_name="wh")) == "filesystem"
            assert kind("snowflake") == kind("duckdb") == "duckdb"
            assert kind("lake") == "filesystem"
            asked = capsys.readouterr().out.splitlines()
            assert asked.count("asked: lake bigquery") == 1

        @pytest.fixture(scope="session")
        def dlt_destinations():
            return {"fixture": "duckdb"}

        def test_the_fixture_goes_first():
            assert kind("fixture") == "duckdb"

        @pytest.mark.dlt_destination("duckdb")
        def test_so_does_the_mark_of_a_test():
            assert kind("lake") == "duckdb"

        def test_what_is_remote_is_blocked(dlt_run):
            with pytest.raises(RemoteDestinationBlocked, match="hook pytest_dlt_replace") as caught:
                dlt_run([{"id": 1}], destination="real")
            assert "hush" not in str(caught.value)

        def test_a_file_elsewhere_is_one_in_the_sandbox(dlt_run, dlt_isolated):
            run = dlt_run([{"id": 1}], destination="outside", table_name="rows")
            assert dlt_isolated.is_local_path(str(run.database_path))

        @pytest.mark.parametrize("name", ["broken", "number"])
        def test_an_error_is_the_plugins(dlt_run, name):
            try:
                dlt_run([{"id": 1}], destination=name)
            except Exception:
                "no code of production may take it for a destination that is down"

        CODE = "import dlt; [print(dlt.pipeline('etl', destination=n).destination) for n in 'lw']"

        def test_a_subprocess_has_what_the_test_was_told_and_is_refused_what_it_was_not():
            kind("l")
            done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
            assert "filesystem" in done.stdout
            assert "destination `w` (w) here is up to a plugin" in done.stderr
        """
    )

    result.assert_outcomes(passed=6, failed=2)
    assert not outside.exists()


MASKED = """
    import re

    IBAN = re.compile(r"[A-Z]{2}\\d{2}[A-Z0-9]{11,30}")

    def pytest_dlt_mask(text):
        print("asked for", len(text))
        return IBAN.findall(text)
"""


def test_a_plugin_hides_what_only_it_knows_in_all_that_is_told(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeconftest(MASKED)
    iban = "DE89370400440532013000"

    result = run_tests(
        f"""
        import warnings

        def test_it(record_property):
            account = "{iban[:10]}" + "{iban[10:]}"
            print("printed", account)
            warnings.warn("warned of " + account)
            record_property("account", account)
            assert account == "passed or failed"
        """,
        *("--showlocals", "-s", "--junitxml=report.xml", "--debug=trace.log", "-rA"),
    )

    result.assert_outcomes(failed=1)
    written = (pytester.path / "report.xml").read_text() + (pytester.path / "trace.log").read_text()
    assert iban not in result.stdout.str() + result.stderr.str() + written
    result.stdout.fnmatch_lines(["*asked for 22", "[*][*][*]"])


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("raise KeyError(text)", ()),
        pytest.param("raise KeyError(text)", ("-n", "1"), marks=pytest.mark.slow),
        pytest.param("return text", (), marks=pytest.mark.slow),
        pytest.param("return [7]", (), marks=pytest.mark.slow),
    ],
    ids=["raises", "raises in a worker", "text", "number"],
)
def test_a_text_that_a_plugin_cannot_mask_is_not_shown_and_the_session_fails(
    pytester: pytest.Pytester, run_tests: RunTests, body: str, arguments: tuple[str, ...]
) -> None:
    pytester.makeconftest(
        f"def pytest_dlt_mask(text):\n    if 'account' in text:\n        {body}\n"
    )

    result = run_tests(
        """
        def test_it():
            print("the account is DE89370400440532013000")
        """,
        "-rP",
        *arguments,
    )

    assert result.ret == 1
    result.assert_outcomes(passed=1)
    assert "DE893" not in result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(["[*][*][*] (pytest_dlt_mask of plugin `conftest.py` failed: *"])


def test_a_wrapper_of_the_mask_is_refused_and_what_an_error_says_is_withheld_too() -> None:
    class Wrapping:
        @pytest.hookimpl(wrapper=True)
        def pytest_dlt_mask(self, text: str) -> Iterator[None]:
            return (yield)

    class Telling:
        def pytest_dlt_mask(self, text: str) -> None:
            raise ValueError(f"cannot read {text}")

    plugins = PytestPluginManager()
    plugins.add_hookspecs(hooks)
    plugins.register(Wrapping(), "acme")
    secrets_in_texts.begin(plugins)
    try:
        assert "`acme` failed: this hook takes no wrappers" in secrets_in_texts.hidden(
            "the account"
        )
        plugins.unregister(name="acme")
        plugins.register(Telling(), "other")
        told = secrets_in_texts.hidden("the account\n")
        assert told.startswith("*** (pytest_dlt_mask of plugin `other` failed: ValueError;")
        assert "account" not in told
        # the summary says so, and a stroke of the progress is no text
        assert [secrets_in_texts.hidden(text) for text in (told, ".")] == [told, "."]
    finally:
        secrets_in_texts.end()


def test_data_that_are_loaded_once_are_loaded_anew_where_a_plugin_says_something_else(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    (pytester.path / "rates.csv").write_text("EUR,1\n")
    pytester.makeconftest(
        """
        from pathlib import Path

        KIND, RATE = [], []

        def pytest_dlt_template_inputs(load):
            assert load.name == "rates" and load.arguments["table_name"] == "rates"
            if RATE == ["cannot tell"]:
                return (n for n in "123")
            return [Path(__file__).with_name("rates.csv"), RATE]

        def pytest_dlt_replace_destination(name, declared_type):
            return KIND[-1] if KIND else None
        """
    )

    result = run_tests(
        """
        import sys
        import pytest

        pytestmark = pytest.mark.dlt_load(
            source=lambda: [{"id": 1}],
            pipeline_name="rates", table_name="rates", destination="warehouse",
        )

        @pytest.fixture(autouse=True)
        def set_up(request, monkeypatch):
            path = str(request.path.with_name("conftest.py"))
            plugin = request.config.pluginmanager.get_plugin(path)
            rate, kind = getattr(request, "param", ([], []))
            monkeypatch.setattr(plugin, "RATE", rate)
            monkeypatch.setattr(plugin, "KIND", kind)
            return kind or ["duckdb"]

        @pytest.mark.parametrize(
            "set_up",
            [([], []), ([], []), ([2], []), ([2], ["filesystem"]), (["cannot tell"], [])],
            indirect=True,
        )
        def test_it(set_up, dlt_loaded):
            assert dlt_loaded.rows("rates") == [{"id": 1}]
            assert dlt_loaded.pipeline.destination.destination_type.endswith(set_up[-1])
        """
    )

    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*pytest_dlt_template_inputs of plugin `conftest.py` failed: *cannot be compared*",
            "3 templates built*, 4 copies made",
        ]
    )


@pytest.mark.postgres
@pytest.mark.slow
def test_a_plugin_of_a_company_has_all_tests_on_a_real_database_and_checks_each_run(
    pytester: pytest.Pytester,
    run_pytest: RunTests,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_POSTGRES", postgres_url)
    shutil.copytree(PROJECTS / "company", pytester.path, dirs_exist_ok=True)

    result = run_pytest("-p", "no:cacheprovider", "--strict-markers")

    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(
        ["*pytest_dlt_run_finished of plugin `acme_dlt` failed: *users: every table of ours has*"]
    )
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'acme_%'")
        assert cursor.fetchall() == []


@pytest.mark.slow
def test_data_of_an_earlier_session_are_not_taken_where_a_plugin_has_changed(
    pytester: pytest.Pytester, run_pytest: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    # not among the files of the project
    plugin = pytester.mkdir("company") / "acme_checks.py"
    monkeypatch.syspath_prepend(str(plugin.parent))
    project = pytester.mkdir("project")
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "test_it.py").write_text(
        textwrap.dedent(
            """
            import pytest

            @pytest.mark.dlt_load(source=lambda: [{"id": n} for n in range(5)], table_name="rows")
            def test_it(dlt_loaded):
                assert dlt_loaded.row_counts == {"rows": 5}
            """
        )
    )
    monkeypatch.chdir(project)
    arguments = ("-p", "acme_checks", "-p", "no:cacheprovider", "--dlt-reuse")

    plugin.write_text("def pytest_dlt_run_finished(run):\n    assert run.row_counts\n")
    first, second = run_pytest(*arguments), run_pytest(*arguments)
    plugin.write_text("def pytest_dlt_run_finished(run):\n    assert not run.row_counts\n")
    third = run_pytest(*arguments)

    first.assert_outcomes(passed=1)
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines(["0 templates built, 1 copy made"])
    third.assert_outcomes(errors=1)
