"""What a test finds when it starts: environment, dlt's settings and logger as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]


def test_environment_comes_back_down_to_what_libraries_in_c_read(run_tests_apart: RunTests) -> None:
    result = run_tests_apart(
        """
        import ctypes
        import os
        import pytest

        os.environ["REMOVED"] = "before"
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_char_p

        @pytest.mark.parametrize("n", range(2))
        @pytest.mark.usefixtures("dlt_isolated")
        def test_changes_it(n):
            assert libc.getenv(b"ADDED") is None
            assert libc.getenv(b"REMOVED") == b"before"
            os.environ["ADDED"] = "x"
            del os.environ["REMOVED"]
            assert libc.getenv(b"ADDED") == b"x"

        def test_that_asks_for_nothing_sees_no_trace():
            assert libc.getenv(b"ADDED") is libc.getenv(b"DLTHUB_PROJECT_SANDBOX") is None
            assert libc.getenv(b"REMOVED") == b"before"
        """
    )

    result.assert_outcomes(passed=3)


def test_what_fixtures_of_wider_scope_set_stays_for_their_tests(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import os
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            os.environ["OF_MODULE"] = "kept"
            yield
            assert os.environ.pop("OF_MODULE") == "kept"

        @pytest.fixture(scope="class")
        def of_class():
            os.environ["OF_CLASS"] = "kept"

        class TestBoth:
            def test_asks_late(self, dlt_run, of_class):
                assert os.environ["OF_MODULE"] == os.environ["OF_CLASS"] == "kept"
                os.environ["OF_MODULE"] = os.environ["OF_CLASS"] = "changed"

            def test_after_it(self, dlt_run):
                assert os.environ["OF_MODULE"] == os.environ["OF_CLASS"] == "kept"
        """
    )

    result.assert_outcomes(passed=2)


def test_a_failing_request_is_made_as_often_as_in_production_unless_a_test_chooses(
    run_tests: RunTests,
) -> None:
    result = run_tests(
        """
        import os
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        import dlt
        import pytest

        class Down(BaseHTTPRequestHandler):
            def do_GET(self):
                self.server.requests += 1
                self.send_response(500)
                self.end_headers()

            def log_message(self, *args):
                pass

        @pytest.fixture
        def server():
            with HTTPServer(("127.0.0.1", 0), Down) as server:
                server.requests = 0
                threading.Thread(target=server.serve_forever).start()
                yield server
                server.shutdown()

        def load(server, dlt_run):
            from dlt.sources.helpers import requests

            @dlt.resource
            def rows():
                response = requests.get(f"http://127.0.0.1:{server.server_port}")
                response.raise_for_status()

            with pytest.raises(Exception, match="500"):
                dlt_run(rows())
            return server.requests

        @pytest.mark.parametrize("n", range(2))
        def test_as_in_production(server, dlt_run, n):
            assert load(server, dlt_run) == 5

        def test_three_times(server, dlt_run, dlt_config):
            dlt_config["runtime.request_max_attempts"] = 3
            assert load(server, dlt_run) == 3

        def test_by_the_environment(server, dlt_run, monkeypatch):
            monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
            assert load(server, dlt_run) == 2

        @pytest.mark.parametrize("n", range(2))
        def test_as_in_production_again(server, dlt_run, n):
            assert load(server, dlt_run) == 5
        """,
        "--durations=5",
    )

    result.assert_outcomes(passed=6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", pytest.param("project", marks=pytest.mark.slow)])
def test_telemetry_is_off_whatever_the_settings_say(
    request: pytest.FixtureRequest, pytester: pytest.Pytester, run_tests_apart: RunTests, kind: str
) -> None:
    if kind == "project":
        request.getfixturevalue("shop")
    settings = pytester.mkdir(".dlt")
    (settings / "config.toml").write_text("[runtime]\ndlthub_telemetry = true\n")

    result = run_tests_apart(
        f"""
        import dlt

        def is_on():
            return dlt.current.run_context().runtime_config.dlthub_telemetry

        # plain code may do as it likes while it is imported
        at_import = is_on() if {kind == "project"} else False

        def test_it(dlt_run):
            dlt_run([{{"id": 1}}], table_name="rows")
            assert at_import is is_on() is False
            from dlt.common.runtime import anon_tracker
            assert anon_tracker._ANON_TRACKER_ENDPOINT is None
        """
    )

    result.assert_outcomes(passed=1)


def test_modules_stay_imported(shop: Path, run_tests: RunTests) -> None:
    result = run_tests(
        """
        import sys
        import pytest

        seen = []

        @pytest.mark.parametrize("n", range(2))
        def test_it(n, dlt_project):
            dlt_project.run("load_orders")
            seen.append(sys.modules["sources.shop"])
            assert seen[0] is seen[-1]
        """
    )

    result.assert_outcomes(passed=2)


def test_pipeline_of_a_module_may_be_the_first_that_plain_code_uses(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import dlt

        PIPELINE = dlt.pipeline("of_module", destination="bigquery", dataset_name="data")

        def test_run(dlt_runs):
            PIPELINE.run([{"id": 1}], table_name="rows")
            assert dlt_runs.last.rows("rows") == [{"id": 1}]
            assert [step.step for step in dlt_runs.last.trace.steps][-1] == "run"
        """
    )

    result.assert_outcomes(passed=1)


def test_a_source_knows_nothing_of_the_destination_of_the_test_before(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import dlt
        import pytest

        @dlt.source
        def shop():
            return dlt.resource([{"id": 1, "lines": [{"n": 1}]}], name="orders")

        @dlt.destination
        def flat(items, table):
            pass

        @pytest.mark.parametrize("n", range(2))
        def test_it(dlt_run, n):
            # no nested tables, as for every function that is a destination
            source = shop()
            assert dlt_run(source).row_counts == {"orders": 1, "orders__lines": 1}
            dlt.pipeline("to_flat", destination=flat).run(shop())
        """
    )

    result.assert_outcomes(passed=2)
