"""A suite that does everything wrong leaves nothing behind, in whatever order it runs."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot
from processes import with_forks

RunTests = Callable[..., pytest.RunResult]

MESSY = """
import logging
import os
import subprocess
import sys
import unittest

import dlt
import pytest

PIPELINE = dlt.pipeline("made_at_import", destination="warehouse", dataset_name="data")
DESTINATION = dlt.destinations.duckdb()
TWO = [{"id": 1}, {"id": 2}]


@dlt.resource
def users(since=dlt.sources.incremental("id")):
    yield from TWO


@pytest.mark.parametrize("n", range(2))
def test_pipeline_made_at_import(n):
    PIPELINE.run(users())
    assert len(PIPELINE.dataset().table("users").fetchall()) == 2


@pytest.mark.parametrize("n", range(2))
def test_destination_made_at_import(n):
    pipeline = dlt.pipeline("same", destination=DESTINATION, dataset_name="data")
    pipeline.run(TWO, table_name="rows")
    assert len(pipeline.dataset().table("rows").fetchall()) == 2


@pytest.mark.parametrize("n", range(2))
def test_cursor_of_another_tests_pipeline_is_unknown(n):
    assert len(list(users())) == 2
    dlt.pipeline("left_active", destination="duckdb").run(users())


@pytest.mark.parametrize("n", range(2))
def test_environment_and_working_directory(n, tmp_path):
    assert "LEAKED" not in os.environ
    assert os.path.exists("dlt.yml")
    os.environ["LEAKED"] = "yes"
    os.environ["DESTINATION__WAREHOUSE__CREDENTIALS"] = "postgresql://u:p@db.invalid/prod"
    os.chdir(tmp_path)


@pytest.mark.parametrize("n", range(2))
def test_provider_added_by_hand(n):
    from dlt.common.configuration.providers import CustomLoaderDocProvider

    assert dlt.config.get("by_hand") is None
    dlt.config.register_provider(CustomLoaderDocProvider("mine", lambda: {"by_hand": 1}))
    assert dlt.config["by_hand"] == 1


@pytest.mark.parametrize("n", range(2))
def test_registries(n):
    from dlt.common.destination.reference import DestinationReference
    from dlt.extract.reference import SourceReference

    assert "mine.source" not in SourceReference.SOURCES
    assert "mine.destination" not in DestinationReference.DESTINATIONS
    SourceReference.SOURCES["mine.source"] = None
    DestinationReference.DESTINATIONS["mine.destination"] = None


@pytest.mark.parametrize("n", range(2))
def test_dlts_warnings_are_seen(n, caplog):
    from dlt.common import logger

    dlt.pipeline("logs", destination="duckdb")
    logger.warning("something happened")
    assert "something happened" in caplog.text
    logging.getLogger("shop").propagate = False


@pytest.mark.xdist_group("subprocesses")
@pytest.mark.parametrize("n", range(2))
def test_subprocess(n):
    code = (
        "import dlt;"
        "dlt.pipeline('sub', destination='warehouse', dataset_name='d')"
        ".run([{'id': 1}], table_name='t')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_profile(dlt_project):
    with dlt_project.profile("ci") as context:
        assert context.profile == "ci"
        dlt_project.run("load_orders")
    assert dlt_project.config.current_profile == "tests"


class TestOfUnittest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.of_class = dlt.pipeline("of_class", destination="warehouse", dataset_name="data")
        cls.of_class.run(users())

    def setUp(self):
        self.assertNotIn("LEAKED", os.environ)
        os.environ["LEAKED"] = "yes"
        PIPELINE.run(users())

    def test_pipelines_of_the_module_and_the_class(self):
        self.assertEqual(len(PIPELINE.dataset().table("users").fetchall()), 2)
        self.assertEqual(len(self.of_class.dataset().table("users").fetchall()), 2)

    def test_the_same_once_more(self):
        self.test_pipelines_of_the_module_and_the_class()
        os.chdir(os.sep)


def test_that_fails_leaves_its_data_in_the_sandbox_only():
    dlt.pipeline("fails", destination="warehouse").run(TWO, table_name="rows")
    pytest.xfail("on purpose")
"""

PASSED = 19


@pytest.fixture
def messy(shop: Path, pytester: pytest.Pytester, home: Path) -> tuple[Path, ...]:
    """The suite in a project, and the folders that it might write to."""
    pytester.makepyfile(test_messy=with_forks(MESSY))
    return shop, home, Path("/var/dlt")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        pytest.param(("-n", "2", "--dist", "load"), marks=pytest.mark.slow),
        pytest.param(("-n", "2", "--dist", "loadscope"), marks=pytest.mark.slow),
        pytest.param(("-n", "2", "--dist", "loadfile"), marks=pytest.mark.slow),
        pytest.param(("-n", "2", "--dist", "loadgroup"), marks=pytest.mark.slow),
        pytest.param(("-n", "2", "--dist", "worksteal"), marks=pytest.mark.slow),
        # every test in each of two workers, at the same time
        pytest.param(("-n", "2", "--dist", "each"), marks=pytest.mark.slow),
    ],
    ids=["alone", "load", "loadscope", "loadfile", "loadgroup", "worksteal", "each"],
)
def test_nothing_is_left_and_outcomes_are_the_same(
    messy: tuple[Path, ...], run_pytest: RunTests, arguments: tuple[str, ...]
) -> None:
    before = snapshot(*messy)

    result = run_pytest("-p", "no:cacheprovider", *arguments)

    times = 2 if "each" in arguments else 1
    result.assert_outcomes(passed=times * PASSED, xfailed=times)
    assert snapshot(*messy) == before


@pytest.mark.parametrize(
    ("reorder", "arguments"),
    [
        pytest.param("items.reverse()", (), marks=pytest.mark.slow),
        ("random.Random(1).shuffle(items)", ()),
        pytest.param("random.Random(2).shuffle(items)", ("-n", "2"), marks=pytest.mark.slow),
    ],
    ids=["reversed", "shuffled", "shuffled-on-two-workers"],
)
@pytest.mark.slow
def test_order_does_not_matter(
    messy: tuple[Path, ...],
    pytester: pytest.Pytester,
    run_pytest: RunTests,
    reorder: str,
    arguments: tuple[str, ...],
) -> None:
    pytester.makeconftest(
        f"""
        import random

        def pytest_collection_modifyitems(items):
            {reorder}
        """
    )
    before = snapshot(*messy)

    result = run_pytest("-p", "no:cacheprovider", *arguments)

    result.assert_outcomes(passed=PASSED, xfailed=1)
    assert snapshot(*messy) == before


@pytest.mark.slow
def test_the_process_is_as_before(messy: tuple[Path, ...], pytester: pytest.Pytester) -> None:
    script = pytester.path.parent / f"{pytester.path.name}-run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, sys
            import pytest

            for name in [name for name in os.environ if name.startswith(("PYTEST_C", "PYTEST_X"))]:
                del os.environ[name]
            arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
            before = dict(os.environ), os.getcwd(), list(sys.path)
            code = pytest.main([*arguments, {str(messy[0])!r}])
            after = dict(os.environ), os.getcwd(), list(sys.path)
            print("code", int(code), "same", before == after)
            """
        )
    )

    result = pytester.runpython(script)

    result.stdout.fnmatch_lines(["code 0 same True"])
    assert "LEAKED" not in os.environ
