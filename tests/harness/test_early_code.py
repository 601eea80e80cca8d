"""What plain suites make before their sandboxes leaves no file in the home or the global folder."""

from __future__ import annotations

import inspect
import os
import re
import uuid
from pathlib import Path

import pytest
from sessions import run_session_apart

from dlthub_project.dlt_internals.contexts import global_folder
from pytest_dlthub import fixtures, plain_suites

MODULE = """
import dlt
pipeline = dlt.pipeline("{name}", destination="duckdb", dataset_name="data")

def main():
    pipeline.run([{{"id": 1}}], table_name="items")
    return pipeline.dataset()["items"].fetchall()
"""
TEST_OF_ROWS = "import etl\ndef test_it(rows): assert rows == [1]\n"
ROWS = """
import pytest
@pytest.fixture
def rows({asks}):
    import etl
    return [row[0] for row in etl.main()]
"""


@pytest.fixture
def name(pytester: pytest.Pytester, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a pipeline that no other test has, made by module `etl` when it is imported."""
    name = f"made_early_{uuid.uuid4().hex}"
    pytester.makepyfile(etl=MODULE.format(name=name))
    pytester.makeini("[pytest]\npythonpath = .\n")
    monkeypatch.delenv("DLT_DATA_DIR", raising=False)
    # as on users' machines
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return name


def files_of(name: str, home: Path) -> list[Path]:
    """Return what is in the home folder, and what the pipeline has in dlt's global folder."""
    return [*home.rglob("*"), *Path(global_folder(), "pipelines", name).rglob("*")]


WAYS_TO_ASK = {
    "a module of pytest_plugins": {
        "conftest.py": "import etl\npytest_plugins = [\n    'support.rows',\n]\n",
        "support/rows.py": ROWS.format(asks="dlt_run"),
        "test_it.py": TEST_OF_ROWS,
    },
    "a module that a conftest imports": {
        "conftest.py": "import etl\nfrom support.fixtures import (\n    rows,\n)\n",
        "support/__init__.py": "",
        "support/fixtures.py": "from .rows import rows\n",
        "support/rows.py": ROWS.format(asks="dlt_config"),
        "test_it.py": TEST_OF_ROWS,
    },
    "a conftest above": {
        "conftest.py": ROWS.format(asks="dlt_isolated"),
        "tests/deep/test_it.py": TEST_OF_ROWS,
    },
    "a base class of unittest": {
        "support/base.py": "import pytest, unittest, etl\n"
        "@pytest.mark.usefixtures('dlt_isolated')\n"
        "class Base(unittest.TestCase):\n"
        "    def rows(self): return [row[0] for row in etl.main()]\n",
        "test_it.py": "from support import base\nclass TestIt(base.Base):\n"
        "    def test_it(self): self.assertEqual(self.rows(), [1])\n",
    },
    "the ini file": {
        "pytest.ini": "[pytest]\npythonpath = .\nusefixtures = dlt_isolated\n",
        "conftest.py": ROWS.format(asks=""),
        "test_it.py": TEST_OF_ROWS,
    },
    "a mark": {
        "test_it.py": "import dlt, pytest, etl\n"
        "@dlt.resource\ndef items(): yield {'id': 1}\n"
        "@pytest.mark.dlt_load(source=items)\n"
        "def test_it(): assert [row[0] for row in etl.main()] == [1]\n"
    },
    "a fixture that is asked for by name": {
        "conftest.py": ROWS.format(asks="request").replace(
            "    import etl", "    request.getfixturevalue('dlt_isolated')\n    import etl"
        ),
        "test_it.py": TEST_OF_ROWS,
    },
}
MADE_BY_FIXTURES = {
    scope: {
        "conftest.py": "import dlt, pytest\n"
        f"@pytest.fixture(scope='{scope}')\n"
        "def pipeline(): return dlt.pipeline('{name}', destination='duckdb', dataset_name='d')\n",
        "test_it.py": "def test_it(pipeline, dlt_isolated):\n"
        "    pipeline.run([{{'id': 1}}], table_name='items')\n"
        "    assert len(pipeline.dataset()['items'].fetchall()) == 1\n"
        "def test_again(pipeline, dlt_isolated): test_it(pipeline, dlt_isolated)\n",
    }
    for scope in ("session", "function")
}


def test_every_fixture_that_has_a_sandbox_is_known() -> None:
    def with_sandbox(name: str) -> bool:
        asked = set(inspect.signature(inspect.unwrap(vars(fixtures)[name])).parameters)
        return "dlt_isolated" in {name, *asked} or "dlt_loaded" in asked

    names = [name for name in vars(fixtures) if re.fullmatch(r"dlt_\w+", name)]

    assert {name for name in names if with_sandbox(name)} == plain_suites.FIXTURES


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "way",
    [w if n < 3 else pytest.param(w, marks=pytest.mark.slow) for n, w in enumerate(WAYS_TO_ASK)],
)
def test_imports_of_a_suite_leave_nothing_however_it_asks(
    pytester: pytest.Pytester, name: str, home: Path, way: str
) -> None:
    write(pytester.path, WAYS_TO_ASK[way])

    run_session_apart(pytester).assert_outcomes(passed=1)

    assert files_of(name, home) == []


def test_imports_of_a_suite_leave_nothing_where_a_plugin_that_an_option_names_asks(
    pytester: pytest.Pytester, name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    # the plugin itself is imported before this one
    plugin = ROWS.format(asks="dlt_runs")
    write(pytester.path, {"of_the_suite.py": plugin, "test_it.py": TEST_OF_ROWS})

    run_session_apart(pytester, "-p", "of_the_suite").assert_outcomes(passed=1)

    assert files_of(name, home) == []


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("scope", MADE_BY_FIXTURES)
@pytest.mark.parametrize(
    "arguments", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)], ids=str
)
def test_fixtures_before_the_sandbox_of_a_test_leave_nothing(
    pytester: pytest.Pytester, name: str, home: Path, scope: str, arguments: tuple[str, ...]
) -> None:
    files = MADE_BY_FIXTURES[scope]
    write(pytester.path, {path: text.format(name=name) for path, text in files.items()})

    run_session_apart(pytester, *arguments).assert_outcomes(passed=2)

    assert files_of(name, home) == []
    assert not list(pytester.path.glob("*.duckdb"))


@pytest.mark.slow
def test_a_pipeline_that_runs_before_the_sandbox_leaves_no_id_in_the_global_folder(
    pytester: pytest.Pytester, name: str, home: Path
) -> None:
    pytester.makepyfile(
        test_it=f"""
        import dlt, etl, pytest
        etl.main()
        AT_IMPORT = dlt.current.run_context().global_dir

        @pytest.fixture(scope="module")
        def loaded():
            etl.main()
            return dlt.current.run_context().global_dir

        def test_it(loaded, dlt_isolated):
            assert AT_IMPORT == loaded != {global_folder()!r}

        def test_that_asks_for_nothing():
            assert dlt.current.run_context().global_dir == {global_folder()!r}
        """
    )

    run_session_apart(pytester).assert_outcomes(passed=2)

    assert files_of(name, home) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the global folder of root is not the test's own")
def test_settings_in_the_global_folder_are_read_before_the_sandbox(
    pytester: pytest.Pytester, name: str, home: Path
) -> None:
    write(home, {".dlt/config.toml": "of_the_user = 1\n"})
    pytester.makepyfile(
        test_it="""
        import dlt
        AT_IMPORT = dlt.config["of_the_user"]
        def test_it(dlt_isolated): assert AT_IMPORT == 1
        """
    )

    run_session_apart(pytester).assert_outcomes(passed=1)


ASKS_NOTHING = {
    "its own fixture has the name of one of ours": {
        "conftest.py": "import pytest\n@pytest.fixture\ndef dlt_config(): return {}\n",
        "test_it.py": "import etl\ndef test_it(dlt_config): assert len(etl.main()) == 1\n",
    },
    "its own fixture is given the name of one of ours": {
        "test_it.py": "import etl, pytest\n"
        "@pytest.fixture(name='dlt_run')\ndef _run(): return etl.main\n"
        "def test_it(dlt_run): assert len(dlt_run()) == 1\n",
    },
    "variables and helpers have such names": {
        "test_it.py": "import etl\n"
        "def helper(dlt_dataset): return dlt_dataset\n"
        "def test_it():\n"
        "    'It is like dlt_run.'\n"
        "    dlt_dataset = etl.main()\n"
        "    assert len(helper(dlt_dataset)) == 1\n",
    },
    "only a folder that is not collected asks": {
        ".cache/test_other.py": "def test_it(dlt_run): pass\n",
        "env/pyvenv.cfg": "",
        "env/lib/test_other.py": "def test_it(dlt_run): pass\n",
        "test_it.py": "import etl\ndef test_it(): assert len(etl.main()) == 1\n",
    },
}


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("suite", ASKS_NOTHING)
def test_a_suite_that_only_has_our_names_in_it_is_as_without_the_plugin(
    pytester: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    # the global folder of root cannot be moved
    monkeypatch.setenv("DLT_DATA_DIR", "of-the-user")
    write(pytester.path, ASKS_NOTHING[suite])

    run_session_apart(pytester).assert_outcomes(passed=1)

    assert pytester.path.joinpath("of-the-user", "pipelines", name, "state.json").is_file()
    assert pytester.path.joinpath(f"{name}.duckdb").is_file()


def test_a_suite_that_asks_for_nothing_finds_the_environment_as_without_the_plugin(
    pytester: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", "of-the-user")
    monkeypatch.delenv("RUNTIME__DLTHUB_TELEMETRY", raising=False)
    code = """
        import os, sys
        AT_START = dict(os.environ), list(sys.meta_path)
        import dlt
        AFTERWARDS = dict(os.environ), list(sys.meta_path)

        def test_it():
            changed = dict(AT_START[0].items() ^ AFTERWARDS[0].items())
            assert set(changed) <= {"PYTEST_CURRENT_TEST"}
            assert "EarlyCode" not in str(AFTERWARDS[1])
            assert os.environ["DLT_DATA_DIR"] == "of-the-user"
    """
    pytester.makepyfile(test_it=code)

    run_session_apart(pytester).assert_outcomes(passed=1)


def test_what_a_fixture_sets_before_the_sandbox_stays_as_it_is(
    pytester: pytest.Pytester, name: str, home: Path
) -> None:
    pytester.makepyfile(
        test_it="""
        import os, pytest

        @pytest.fixture(scope="module")
        def data_dir():
            os.environ["DLT_DATA_DIR"] = "of-the-fixture"

        def test_it(data_dir, dlt_isolated): pass

        def test_afterwards(): assert os.environ["DLT_DATA_DIR"] == "of-the-fixture"
        """
    )

    run_session_apart(pytester).assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_fixture_that_fails_before_the_sandbox_leaves_the_environment_as_it_was(
    pytester: pytest.Pytester, name: str, home: Path
) -> None:
    pytester.makepyfile(
        test_it="""
        import os, pytest

        @pytest.fixture
        def fails(): import etl; raise RuntimeError

        def test_it(fails, dlt_isolated): pass

        def test_afterwards(): assert "DLT_DATA_DIR" not in os.environ
        """
    )

    run_session_apart(pytester).assert_outcomes(passed=1, errors=1)

    assert files_of(name, home) == []
