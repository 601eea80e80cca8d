"""Many plugins at once beside this one: the same outcomes alone, in any order and with workers."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from folders import snapshot
from sessions import run_session_apart

from pytest_dlthub.destination_settings import settings_of

SUITE = Path(__file__).parents[1] / "projects" / "neighbours"
MEASURED = ("--cov=sources", "--cov-branch", "--cov-fail-under=100", "--cov-report=")
# what is quick; slow sessions have all
QUICK = "requests_mock or reach or timeout_in or inline or unittest or anyio or sources"
OUTCOMES = {
    "test_http": 5,
    "test_time": 9,
    "test_async": 6,
    "test_others": 3,
    "sources.shop": 2,
}

RunSuite = Callable[..., Counter[str]]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite, in a folder of its own, and with the plugins on."""
    folder = pytester.path / "neighbours"
    shutil.copytree(SUITE, folder, ignore=shutil.ignore_patterns("__py*"))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider")
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(pytester.path / "hypothesis"))
    monkeypatch.setenv("COVERAGE_FILE", str(pytester.path / ".coverage"))
    # that of the session around
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_suite(suite: Path, pytester: pytest.Pytester, home: Path) -> RunSuite:
    """Run it, and return how many tests of each file have passed, or failed as expected.

    Anything else, and whatever it writes to its folder, the home or the global folder, is an error.
    """

    def run(*arguments: str) -> Counter[str]:
        before = snapshot(suite, home, Path("/var/dlt"))
        report = pytester.path / "report.xml"
        result = run_session_apart(pytester, "-q", f"--junitxml={report}", *arguments)
        assert result.ret == pytest.ExitCode.OK
        assert snapshot(suite, home, Path("/var/dlt")) == before
        outcomes = result.parseoutcomes()
        assert outcomes.keys() <= {"passed", "xfailed", "rerun", "deselected", "subtests"}
        cases = {
            (case.attrib["classname"], case.attrib["name"])
            for case in ET.parse(report).iter("testcase")
        }
        files = (name.removeprefix("tests.").partition(".Test")[0] for name, _ in cases)
        return Counter(files)

    return run


@pytest.mark.slow
def test_quick_ones_pass_in_random_order_and_what_is_covered_is_whole(
    run_suite: RunSuite,
) -> None:
    found = run_suite("-k", QUICK, *MEASURED)

    assert found.keys() == OUTCOMES.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [("-p", "no:randomly"), ("-p", "randomly", *MEASURED), ("-n", "2", *MEASURED)],
    ids=["in order", "shuffled", "workers"],
)
def test_outcomes_are_the_same(run_suite: RunSuite, arguments: tuple[str, ...]) -> None:
    assert run_suite(*arguments) == OUTCOMES


@pytest.mark.slow
def test_a_test_is_collected_and_run_by_its_id_again_and_again_in_one_process(
    suite: Path, pytester: pytest.Pytester
) -> None:
    script = pytester.path / "ide.py"
    script.write_text(
        textwrap.dedent(
            """
            import pytest

            names = "tests/test_http.py::test_load_once", "sources/shop.py::sources.shop.cents"
            for _ in range(2):
                codes = [pytest.main(["--collect-only", "-q", *names]), pytest.main([*names])]
                print("codes", *map(int, codes))
            """
        )
    )

    result = pytester.run(sys.executable, script)

    result.stdout.fnmatch_lines(["*2 tests collected*", "*2 passed*", "codes 0 0"] * 2)
    assert "WORKSPACE__PROFILE" not in os.environ


@pytest.mark.parametrize("driver", ["psycopg2", None])
def test_address_of_testcontainers_is_one_of_dlts_own_destination(driver: str | None) -> None:
    with mock.patch("docker.from_env"):
        from testcontainers.community.postgres import PostgresContainer

        container = PostgresContainer("postgres:16", dbname="shop")
    # as one that has started
    container._container = mock.Mock()
    container.get_container_host_ip = lambda: "127.0.0.1"
    container.get_exposed_port = lambda port: 5433

    assert settings_of("warehouse", container.get_connection_url(driver=driver)) == {
        "destination_type": "postgres",
        "credentials": "postgresql://test:test@127.0.0.1:5433/shop",
    }
