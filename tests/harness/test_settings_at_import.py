"""What a module sets while it is imported holds in every test; what a test sets is undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunTests = Callable[..., pytest.RunResult]

ETL = """
import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import dlt
from dlt.common.configuration.providers import CustomLoaderDocProvider

dlt.config["schema.naming"] = "direct"
dlt.secrets["api.token"] = "module"
dlt.config["nested.part"] = {"one": "module", "other": "module"}
with dlt.config.values({"temporary": "module"}):
    assert dlt.config["temporary"] == "module"
own = CustomLoaderDocProvider("own", lambda: {"of_provider": "module"})
dlt.config.register_provider(own)
os.environ["SET"] = "module"
os.environ.setdefault("DEFAULT", "module")
os.environ.update(UPDATED="module")
del os.environ["REMOVED"]
os.putenv("PUT", "module")


def in_thread():
    os.environ["THREAD"] = dlt.config["of_thread"] = "module"


# as settings that are fetched while others are read
thread = Thread(target=in_thread)
thread.start()
thread.join()
pool = ThreadPoolExecutor(1)
pool.submit(os.environ.__setitem__, "POOL", "module").result()


def change():
    dlt.config["schema.naming"] = "snake_case"
    dlt.secrets["api.token"] = dlt.config["new"] = "test"
    dlt.config["nested.part"] = {"one": "test"}
    own.set_value("of_provider", "test", None)
    dlt.config.register_provider(CustomLoaderDocProvider("other", lambda: {}))
    os.environ["SET"] = os.environ["REMOVED"] = os.environ["NEW"] = "test"
    os.environ["THREAD"] = dlt.config["of_thread"] = "test"
    pool.submit(os.environ.__setitem__, "POOL", "test").result()
    del os.environ["UPDATED"]
    os.putenv("PUT", "test")


def seen():
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    names = ("SET", "DEFAULT", "UPDATED", "REMOVED", "NEW", "THREAD", "POOL")
    keys = ("schema.naming", "api.token", "nested.part", "of_provider", "new", "temporary")
    keys = (*keys, "of_thread")
    return {
        **{name: os.environ.get(name) for name in names},
        **{key: dlt.secrets.get(key) or dlt.config.get(key) for key in keys},
        "PUT": libc.getenv(b"PUT"),
        "C": libc.getenv(b"SET"),
        "other": "other" in [p.name for p in dlt.config.config_providers],
    }


def load():
    pipeline = dlt.pipeline("etl", destination="duckdb", dataset_name="data")
    pipeline.run([{"Id": 1}], table_name="Rows")
    return sorted(t for t in pipeline.default_schema.tables if not t.startswith("_dlt"))


PRODUCTION = {
    "SET": "module", "DEFAULT": "module", "UPDATED": "module", "REMOVED": None, "NEW": None,
    "schema.naming": "direct", "api.token": "module",
    "nested.part": {"one": "module", "other": "module"}, "of_provider": "module", "new": None,
    "temporary": None, "THREAD": "module", "POOL": "module", "of_thread": "module",
    "PUT": b"module", "C": b"module", "other": False,
}
"""

TESTS = """
import pytest

@pytest.fixture(autouse=True)
def of_test(monkeypatch):
    # gone with the test, whoever has set it meanwhile
    monkeypatch.setenv("DEFAULT", "test")

def check(monkeypatch):
    import etl
    monkeypatch.delenv("DEFAULT", raising=False)
    assert {**etl.seen(), "DEFAULT": "module"} == etl.PRODUCTION
    assert etl.load() == ["Rows"]
    etl.change()
    assert etl.seen()["SET"] == etl.seen()["of_provider"] == etl.seen()["api.token"] == "test"

class TestAll:
    @pytest.mark.parametrize("n", range(2))
    def test_it(self, n, monkeypatch, dlt_isolated, wide):
        check(monkeypatch)

def test_of_another_class(monkeypatch, dlt_isolated):
    import os
    monkeypatch.undo()
    first = "SET" not in os.environ
    import etl
    assert etl.seen() == etl.PRODUCTION
    check(monkeypatch)

def test_runs(monkeypatch, dlt_run):
    check(monkeypatch)
    assert dlt_run([{"Id": 1}], table_name="T").row_counts == {"t": 1}

def test_that_asks_for_nothing(monkeypatch):
    monkeypatch.undo()
    import etl
    assert etl.seen() == etl.PRODUCTION
"""

WIDE = """
import threading, pytest

@pytest.fixture{scope}
def wide():
    {imports}
"""
IN_THREAD = "t = threading.Thread(target=__import__, args=('etl',)); t.start(); t.join()"

FIRST_IMPORTS = {
    "conftest": ("import etl\n", "pass"),
    "body": ("", "pass"),
    "thread": ("", IN_THREAD),
    "class": ("(scope='class')", "import etl"),
    "module": ("(scope='module')", "import etl"),
    "session": ("(scope='session')", "import etl"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "first"),
    [
        *(("plain", first) for first in ("conftest", "body", "thread", "session")),
        *(("project", first) for first in ("conftest", "class")),
        ("workspace", "module"),
    ],
)
def test_settings_of_a_module_hold_in_every_test_and_those_of_a_test_in_none(
    request: pytest.FixtureRequest,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    run_tests: RunTests,
    kind: str,
    first: str,
) -> None:
    if kind == "project":
        request.getfixturevalue("shop")
    elif kind == "workspace":
        pytester.mkdir(".dlt").joinpath(".workspace").touch()
    monkeypatch.setenv("REMOVED", "before")
    monkeypatch.setenv("PUT", "before")
    text, imports = FIRST_IMPORTS[first]
    at_import, scope = ("", text) if text.startswith("(") else (text, "")
    pytester.makepyfile(etl=ETL)
    pytester.makeini("[pytest]\npythonpath = .\n")
    pytester.makeconftest(at_import + WIDE.format(scope=scope, imports=imports))

    run_tests(TESTS).assert_outcomes(passed=5)


def test_settings_hold_as_long_as_the_process_has_the_module(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makepyfile(
        etl="""
        import os, dlt
        os.environ["SET"] = dlt.config["set"] = os.environ.get("WANTED", "none")
        """
    )
    pytester.makeini("[pytest]\npythonpath = .\n")
    result = run_tests(
        """
        import importlib.util, os, sys
        from unittest import mock
        import dlt, pytest

        pytestmark = pytest.mark.usefixtures("dlt_isolated")

        def settings():
            return os.environ.get("SET"), dlt.config.get("set")

        def test_executes_it_for_itself():
            spec = importlib.util.spec_from_file_location("etl", "etl.py")
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
            assert settings() == ("none", "none")

        def test_that_does_not_import_it():
            assert settings() == (None, None)

        def test_imports_it_within_patches():
            with mock.patch.dict(os.environ, WANTED="first"):
                import etl
            assert settings() == ((None if "SET" not in os.environ else "first"), "first")

        def test_has_a_module_of_its_own(monkeypatch):
            assert settings() == ("first", "first")
            monkeypatch.setenv("WANTED", "mine")
            monkeypatch.delitem(sys.modules, "etl")
            import etl
            assert settings() == ("mine", "mine")

        def test_after_it():
            assert settings() == ("first", "first")

        def test_reloads_it(monkeypatch):
            monkeypatch.setenv("WANTED", "reloaded")
            importlib.reload(sys.modules["etl"])

        def test_after_the_reload():
            assert settings() == ("first", "first")
        """
    )

    result.assert_outcomes(passed=7)


def test_where_a_module_says_that_a_destination_is_tests_do_not_reach_it(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makepyfile(
        early="""
        import os
        os.environ["DESTINATION__EARLY__DESTINATION_TYPE"] = "postgres"
        os.environ["DESTINATION__EARLY__CREDENTIALS"] = "postgresql://u:p@prod.invalid/prod"
        """,
        etl="""
        import os
        with open(os.path.join(os.path.dirname(__file__), ".env")) as file:
            os.environ.update(line.split("=") for line in file.read().split())
        import dlt
        dlt.secrets["destination.postgres.credentials"] = "postgresql://u:p@prod.invalid/prod"
        os.environ["DESTINATION__BOTH__CREDENTIALS"] = "postgresql://u:p@prod.invalid/prod"
        """,
    )
    pytester.path.joinpath(".env").write_text(
        """
        DESTINATION__FILE__DESTINATION_TYPE=postgres
        DESTINATION__FILE__CREDENTIALS=postgresql://u:p@prod.invalid/prod
        """
    )
    pytester.makeconftest(
        """
        import os
        tests = "postgresql://u:p@127.0.0.1:1/tests?connect_timeout=1"
        for name in ("BOTH", "TESTS"):
            os.environ[f"DESTINATION__{name}__DESTINATION_TYPE"] = "postgres"
            os.environ[f"DESTINATION__{name}__CREDENTIALS"] = tests
        """
    )
    pytester.makeini(
        "[pytest]\npythonpath = .\ndlt_allow_remote = postgres early file both tests mine\n"
    )
    result = run_tests(
        """
        import dlt, early, pytest
        from conftest import tests
        from dlt.pipeline.exceptions import PipelineStepFailed
        from dlthub_project.errors import RemoteDestinationBlocked

        def load(name):
            dlt.pipeline("p", destination=name).run([{"id": 1}], table_name="rows")

        @pytest.mark.parametrize("name", ["postgres", "early", "file", "both"] * 2)
        def test_blocked(name, dlt_isolated):
            import etl
            with pytest.raises(RemoteDestinationBlocked, match="prod.invalid"):
                load(name)

        @pytest.mark.parametrize("name", ["tests", "mine"])
        def test_reached(name, dlt_isolated, monkeypatch):
            import etl
            monkeypatch.setenv("DESTINATION__MINE__DESTINATION_TYPE", "postgres")
            monkeypatch.setenv("DESTINATION__MINE__CREDENTIALS", tests)
            with pytest.raises(PipelineStepFailed, match="127.0.0.1"):
                load(name)
        """
    )

    result.assert_outcomes(passed=10)


def test_what_fixtures_of_wider_scope_set_holds_as_long_as_they_do(
    pytester: pytest.Pytester, run_pytest: Callable[..., pytest.RunResult]
) -> None:
    """As `os.environ` does, and dlt itself: no test runs on a default without anybody knowing."""
    pytester.makeini("[pytest]\ndlt_isolation = on\n")
    pytester.makeconftest(
        """
        import dlt, pytest
        from dlt.common.configuration.providers import CustomLoaderDocProvider

        @pytest.fixture(scope="session", autouse=True)
        def of_session():
            dlt.config["pages"] = 3
            dlt.secrets["shop.token"] = "of the session"
            dlt.config.register_provider(CustomLoaderDocProvider("mine", lambda: {"mine": 1}))
        """
    )
    pytester.makepyfile(
        test_one="""
        import dlt, pytest

        @pytest.fixture(scope="module", autouse=True)
        def of_module(): dlt.config["limit"] = dlt.config["pages"] + 1

        @pytest.fixture(scope="class", params=[1, 2])
        def of_class(request): dlt.config["number"] = request.param; return request.param

        @pytest.mark.parametrize("n", range(2))
        def test_it(n):
            assert (dlt.config["pages"], dlt.config["limit"], dlt.config["mine"]) == (3, 4, 1)
            assert dlt.secrets["shop.token"] == "of the session"
            assert dlt.config.get("number") is None
            dlt.config["pages"] = 9

        class TestIt:
            def test_parameter(self, of_class): assert dlt.config["number"] == of_class
        """,
        test_two="""
        import dlt

        def test_the_module_before_has_ended():
            assert (dlt.config["pages"], dlt.config.get("limit")) == (3, None)
            assert dlt.config.get("number") is None
        """,
    )

    run_pytest("-p", "no:cacheprovider").assert_outcomes(passed=5)


def test_what_a_module_sets_when_a_test_reloads_it_is_the_tests(
    pytester: pytest.Pytester, run_pytest: RunTests
) -> None:
    pytester.makeini("[pytest]\ndlt_isolation = on\npythonpath = .\n")
    pytester.makepyfile(
        shop="""
        import os
        import dlt

        mode = os.environ.get("MODE", "of production")
        dlt.config["mode"] = mode
        os.environ["SHOP_MODE"] = mode
        """,
        test_it="""
        import importlib
        import os
        import dlt, shop

        def modes(): return shop.mode, dlt.config["mode"], os.environ["SHOP_MODE"]

        def test_first(): assert modes() == ("of production",) * 3

        def test_reloads(monkeypatch):
            monkeypatch.setenv("MODE", "of the test")
            importlib.reload(shop)
            assert modes() == ("of the test",) * 3

        def test_after_it():
            assert modes()[1:] == ("of production",) * 2
        """,
    )

    run_pytest("-p", "no:cacheprovider").assert_outcomes(passed=3)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["plain", "isolated", "project", "workspace"])
def test_what_is_set_before_the_plugin_begins_holds_and_what_is_set_then_too(
    request: pytest.FixtureRequest,
    pytester: pytest.Pytester,
    run_tests_apart: RunTests,
    kind: str,
) -> None:
    """By a plugin with `-p`, or one whose package is imported before ours; in a new process."""
    if kind == "project":
        request.getfixturevalue("shop")
    elif kind == "workspace":
        pytester.mkdir(".dlt").joinpath(".workspace").touch()
    pytester.makeini(f"[pytest]\npythonpath = .\ndlt_isolation = {kind == 'isolated'}\n")
    pytester.makeconftest("import dlt\ndlt.secrets['of.conftest'] = 'set'")
    pytester.makepyfile(
        early_plugin="""
        import os, dlt
        from dlt.common.configuration.providers import CustomLoaderDocProvider

        dlt.config["of.plugin"] = {"deep": "set"}
        dlt.secrets["destination.warehouse.credentials"] = "postgresql://u:p@prod.invalid/prod"
        dlt.config.register_provider(CustomLoaderDocProvider("own", lambda: {"own": "set"}))
        """,
    )

    result = run_tests_apart(
        """
        import dlt, pytest

        @pytest.mark.parametrize("n", range(2))
        def test_it(n, dlt_run):
            assert dlt.config["of.plugin.deep"] == dlt.config["own"] == "set"
            assert dlt.secrets["of.conftest"] == "set"
            dlt.config["of.plugin.deep"] = dlt.secrets["of.conftest"] = "of the test"
            run = dlt_run([{"id": n}], table_name="rows", destination="postgres")
            assert run.rows("rows") == [{"id": n}]
        """,
        *("-p", "early_plugin"),
    )

    result.assert_outcomes(passed=2)
