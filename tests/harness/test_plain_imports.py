"""Pipelines that plain modules make when they are imported leave no state in the home folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from dlthub_project.dlt_internals.contexts import global_folder

MODULE = """
import dlt
pipeline = dlt.pipeline("{name}", destination="duckdb", dataset_name="data")

def main():
    pipeline.run([{{"id": 1}}], table_name="items")
    return pipeline.dataset()["items"].fetchall()
"""
ASKS = "import pytest, etl\ndef test_it(dlt_run): assert len(etl.main()) == 1\n"
ASKS_NOTHING = "import etl\ndef test_it(): assert len(etl.main()) == 1\n"


@pytest.fixture
def name(pytester: pytest.Pytester, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a pipeline that no other test has, made by module `etl` when it is imported."""
    name = f"made_at_import_{uuid.uuid4().hex}"
    pytester.makepyfile(etl=MODULE.format(name=name))
    pytester.makeini("[pytest]\npythonpath = .\n")
    monkeypatch.delenv("DLT_DATA_DIR", raising=False)
    return name


def working_folder(name: str) -> Path:
    return Path(global_folder(), "pipelines", name)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"test_it": ASKS}, id="a test file imports it"),
        pytest.param({"conftest": "import etl", "test_it": ASKS}, id="a conftest imports it"),
        pytest.param(
            {"test_a": "import etl\ndef test_it(): pass", "test_b": ASKS},
            id="a file that asks for nothing imports it first",
        ),
        pytest.param(
            {
                "conftest": "import pytest\n@pytest.fixture\ndef rows(dlt_run): import etl; "
                "return etl.main()",
                "test_it": "import etl\ndef test_it(rows): assert len(rows) == 1",
            },
            id="only a fixture of the conftest asks",
        ),
        pytest.param(
            {
                "test_it": "import unittest, pytest, etl\n"
                "@pytest.mark.usefixtures('dlt_isolated')\n"
                "class TestIt(unittest.TestCase):\n"
                "    def test_it(self): self.assertEqual(len(etl.main()), 1)\n"
            },
            id="unittest",
        ),
    ],
)
@pytest.mark.parametrize("arguments", [(), ("-n", "1", "--import-mode=importlib")], ids=str)
def test_a_suite_that_asks_for_a_sandbox_leaves_no_state_of_its_imports(
    pytester: pytest.Pytester, name: str, files: dict[str, str], arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(**files)

    result = pytester.runpytest_subprocess(*arguments)

    assert result.ret == 0, result.stdout.str()
    assert not working_folder(name).exists()
    assert not list(pytester.path.glob("*.duckdb"))


def test_a_suite_that_asks_for_nothing_is_as_without_the_plugin(
    pytester: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what root has as its global folder cannot be moved
    monkeypatch.setenv("DLT_DATA_DIR", "of-the-user")
    pytester.makepyfile(test_it=ASKS_NOTHING)

    pytester.runpytest_subprocess().assert_outcomes(passed=1)

    assert pytester.path.joinpath("of-the-user", "pipelines", name, "state.json").is_file()
    assert pytester.path.joinpath(f"{name}.duckdb").is_file()


def test_the_environment_of_tests_is_as_without_the_plugin(
    pytester: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", "of-the-user")
    pytester.makepyfile(
        test_it=f"{ASKS}\ndef test_environment():\n    import os\n"
        "    assert os.environ['DLT_DATA_DIR'] == 'of-the-user'\n"
        "    assert 'RUNTIME__DLTHUB_TELEMETRY' not in os.environ\n"
    )
    monkeypatch.delenv("RUNTIME__DLTHUB_TELEMETRY", raising=False)

    for arguments in ((), ("-n", "1")):
        pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=2)
    assert not pytester.path.joinpath("of-the-user").exists()


def test_collection_that_fails_leaves_nothing(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(test_it=f"{ASKS}\nraise RuntimeError\n")

    pytester.runpytest_subprocess().assert_outcomes(errors=1)

    assert not working_folder(name).exists()
