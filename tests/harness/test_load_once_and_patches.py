"""Tests share what `dlt_load` has loaded only if they would have loaded the same when they run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from pytest_dlthub.imports import Imports
from pytest_dlthub.templates.imported_code import Code

RunTests = Callable[..., pytest.RunResult]

# all that tests replace: each is a part of the one row that is loaded
SOURCE = '''
import contextlib
import locale
import os
import sys
import tempfile
import time
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import dlt
import helper
from helper import Client as Renamed, answer

API = "plain"
FACTORS = ["plain", {"in": ["plain"]}]
CONF = {"a": {"b": "plain"}}
VARIABLE = ContextVar("VARIABLE", default="plain")
NAMES = {"plain"}
client = helper.Client("plain")
settings = SimpleNamespace(url="plain")
_lazy = None


def closing(value):
    def inner():
        return value
    return inner


in_closure = closing("plain")


def with_default(value="plain", *, keyword="plain"):
    return value + keyword


@dlt.resource
def numbers():
    yield from ({"n": n} for n in range(2))


def seen():
    """Return what this module knows at the moment, as a text."""
    global _lazy
    import configparser

    _lazy = _lazy or object()
    found = [API, FACTORS, CONF, sorted(NAMES), client.url, client.get(), settings.url]
    found += [in_closure(), with_default(), answer(), helper.answer(), helper.CONSTANT]
    found += [Renamed("").get(), tempfile.gettempprefix(), configparser.DEFAULTSECT]
    found += [os.environ.get("ETL_REGION"), dlt.config.get("etl.region")]
    found += [time.tzname[0], str(1 / Decimal(3)), VARIABLE.get(), sys.stdin.__class__.__name__]
    found += [locale.setlocale(locale.LC_ALL), dlt.config.get("etl.provided")]
    with contextlib.suppress(ImportError):
        import late_plugin

        found.append(late_plugin.VALUE)
    found += [getattr(rows, "note", None), dlt.secrets.get("etl.token")]
    found += [[str(row) for row in numbers()]]
    file = Path("relative.txt")
    return repr([*found, file.read_text() if file.exists() else None])


def rows():
    yield {"seen": seen()}
'''

HELPER = """
CONSTANT = "plain"

class Base:
    def get(self):
        return "plain"

class Client(Base):
    def __init__(self, url):
        self.url = url

def answer():
    return "plain"
"""


class Shop:
    """The modules of the source, and what is known of them."""

    def __init__(self, imports: Imports) -> None:
        self.etl: Any = importlib.import_module("etl")
        self.helper: Any = importlib.import_module("helper")
        self.imports = imports
        self.code = Code(imports)
        self.code.begin()


@pytest.fixture(scope="module")
def shop_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "etl.py").write_text(SOURCE)
    (folder / "helper.py").write_text(HELPER)
    imports = Imports()
    imports.begin()
    sys.path.insert(0, str(folder))
    try:
        yield Shop(imports)
    finally:
        sys.path.remove(str(folder))
        imports.end()
        for name in ("etl", "helper"):
            sys.modules.pop(name, None)


class Fake:
    def __init__(self, value: str) -> None:
        self.url = value

    def get(self) -> str:
        return self.url


def made_class(base: type, value: str) -> type:
    class Made(base):  # type: ignore[misc]  # the base is of a test
        def get(self) -> str:
            return value

    return Made


def a_with(value: str) -> Callable[[], str]:
    return lambda: value + "a"


def b_with(value: str) -> Callable[[], str]:
    return lambda: value + "b"


def set_cell(etl: Any, value: str, stack: ExitStack) -> None:
    (cell,) = etl.in_closure.__closure__
    stack.callback(setattr, cell, "cell_contents", cell.cell_contents)
    cell.cell_contents = value


def add_step(etl: Any, value: str, stack: ExitStack) -> None:
    etl.numbers.add_map(lambda row: {**row, "value": value})
    stack.callback(etl.numbers._pipe._steps.pop)


def append(etl: Any, value: str, stack: ExitStack) -> None:
    etl.FACTORS[1]["in"].append(value)
    stack.callback(etl.FACTORS[1]["in"].remove, value)


def rebase(helper: Any, value: str, stack: ExitStack) -> None:
    stack.callback(setattr, helper.Client, "__bases__", (helper.Base,))
    helper.Client.__bases__ = (made_class(helper.Base, value),)


def constantly(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def enter(make: Callable[..., Any]) -> Callable[..., None]:
    def patch(shop: Shop, value: str, _monkeypatch: Any, stack: ExitStack) -> None:
        stack.enter_context(make(shop, value))

    return patch


# by what they change: what a fixture does, with shop, value, monkeypatch and an exit stack
Patch = Callable[[Shop, str, pytest.MonkeyPatch, ExitStack], Any]
PATCHES: dict[str, Patch] = {
    "etl.API": lambda shop, value, m, _: m.setattr(shop.etl, "API", value),
    "helper.CONSTANT": lambda shop, value, m, _: m.setattr(shop.helper, "CONSTANT", value),
    "etl.answer": lambda shop, value, m, _: m.setattr(shop.etl, "answer", constantly(value)),
    "tempfile.gettempprefix": lambda shop, value, m, _: m.setattr(
        shop.etl.tempfile, "gettempprefix", constantly(value)
    ),
    "configparser.DEFAULTSECT": lambda _, value, m, __: m.setattr(
        "configparser.DEFAULTSECT", value
    ),
    "builtins.open": enter(lambda _, value: mock.patch("builtins.open", constantly(value))),
    "helper.Client.get": lambda shop, value, m, _: m.setattr(
        shop.helper.Client, "get", constantly(value)
    ),
    "helper.Base.get": lambda shop, value, m, _: m.setattr(
        shop.helper.Base, "get", constantly(value)
    ),
    "etl.Renamed": lambda shop, value, m, _: m.setattr(
        shop.etl, "Renamed", made_class(shop.helper.Client, value)
    ),
    "etl.client": lambda shop, value, m, _: m.setattr(shop.etl, "client", Fake(value)),
    "etl.client.url": lambda shop, value, m, _: m.setattr(shop.etl.client, "url", value),
    "etl.settings.url": lambda shop, value, m, _: m.setattr(shop.etl.settings, "url", value),
    "etl.rows.note": lambda shop, value, m, _: m.setattr(
        shop.etl.rows, "note", value, raising=False
    ),
    "etl.CONF['a']['b']": lambda shop, value, m, _: m.setitem(shop.etl.CONF["a"], "b", value),
    "etl.FACTORS[1]['in'][1]": lambda shop, value, _, stack: append(shop.etl, value, stack),
    "etl.with_default.__defaults__": lambda shop, value, m, _: m.setattr(
        shop.etl.with_default, "__defaults__", (value,)
    ),
    "etl.with_default.__kwdefaults__": lambda shop, value, m, _: m.setattr(
        shop.etl.with_default, "__kwdefaults__", {"keyword": value}
    ),
    "etl.in_closure.value": lambda shop, value, _, stack: set_cell(shop.etl, value, stack),
    "etl.in_closure.__code__": lambda shop, value, m, _: m.setattr(
        shop.etl.in_closure, "__code__", (a_with if value == "a" else b_with)("").__code__
    ),
    "etl.numbers": lambda shop, value, _, stack: add_step(shop.etl, value, stack),
    "etl.client.__class__": lambda shop, value, m, _: m.setattr(
        shop.etl.client, "__class__", made_class(shop.helper.Client, value)
    ),
    "helper.Client.__mro__": lambda shop, value, _, stack: rebase(shop.helper, value, stack),
    "etl.client.new": lambda shop, value, m, _: m.setattr(
        shop.etl.client, "__dict__", {**vars(shop.etl.client), "new": value}
    ),
    "etl.CONF['a']": enter(lambda shop, value: mock.patch.dict(shop.etl.CONF, a=value)),
}
# what cannot be compared: each test has a template of its own
MOCKS: dict[str, Patch] = {
    "helper.answer": enter(lambda _, value: mock.patch("helper.answer", return_value=value)),
    "helper.Client.get": enter(
        lambda shop, value: mock.patch.object(shop.helper.Client, "get", return_value=value)
    ),
    "etl.client.get": enter(
        lambda shop, value: mock.patch.object(shop.etl.client, "get", return_value=value)
    ),
}


@contextmanager
def patched(shop: Shop, patch: Patch, value: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as stack:
        patch(shop, value, monkeypatch, stack)
        yield


@pytest.mark.parametrize("name", PATCHES)
def test_what_is_replaced_has_a_digest_of_what_is_there(shop_code: Shop, name: str) -> None:
    code, found = shop_code.code, []
    for value in ("a", "b", "a"):
        with patched(shop_code, PATCHES[name], value):
            (difference,) = code.differences()
        assert difference.name == name
        found.append(difference.digest)

    assert code.differences() == []
    assert found[0] == found[2] not in (found[1], None)


@pytest.mark.parametrize("name", MOCKS)
def test_a_mock_cannot_be_compared(shop_code: Shop, name: str) -> None:
    with patched(shop_code, MOCKS[name], "a"):
        (difference,) = shop_code.code.differences()

    assert (difference.name, difference.digest) == (name, None)
    assert shop_code.code.differences() == []


def test_what_a_build_sets_is_as_if_imported_and_what_a_test_has_replaced_is_not(
    shop_code: Shop,
) -> None:
    etl, code = shop_code.etl, shop_code.code
    with patched(shop_code, PATCHES["etl.API"], "a"):
        before = code.differences()
        etl._lazy = object()
        etl.FACTORS.append("of the build")
        code.accept(before)
        assert code.differences() == before
    assert code.differences() == []
    etl.FACTORS.append("of a test")
    assert [d.name for d in code.differences()] == ["etl.FACTORS[3]"]
    etl.FACTORS.pop()


def test_a_module_counts_as_it_was_imported_even_if_a_fixture_imports_and_patches_it(
    shop_code: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "late_library.py").write_text("LIMIT = 1")
    (tmp_path / "late.py").write_text("LIMIT = 1\ndef limit():\n    import late_library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    shop_code.imports.note_libraries()
    names = ("late", "late_library")
    modules: list[ModuleType] = [importlib.import_module(name) for name in names]

    for module in modules:
        monkeypatch.setattr(module, "LIMIT", 2)
    found = [difference.name for difference in shop_code.code.differences()]
    monkeypatch.undo()

    assert found == ["late.LIMIT", "late_library.LIMIT"]
    assert shop_code.code.differences() == []
    for name in names:
        del sys.modules[name]


# of all that is not code: the process, its files and settings
SUITE = """
import decimal
import io
import locale
import sys
import time
import types

import dlt
import pytest
import etl
from dlt.common.configuration.providers import CustomLoaderDocProvider


def zone(value, monkeypatch, folder):
    monkeypatch.setenv("TZ", value)
    time.tzset()


def plugin(value, monkeypatch, folder):
    module = types.ModuleType("late_plugin")
    module.VALUE = value
    monkeypatch.setitem(sys.modules, "late_plugin", module)


SETTINGS = {
    "zone": zone,
    "plugin": plugin,
    "decimal": lambda value, *_: setattr(decimal.getcontext(), "prec", 7),
    "variable": lambda value, *_: etl.VARIABLE.set(value),
    "locale": lambda value, *_: locale.setlocale(locale.LC_CTYPE, "C"),
    "input": lambda value, monkeypatch, _: monkeypatch.setattr("sys.stdin", io.StringIO(value)),
    "provider": lambda value, *_: dlt.config.register_provider(
        CustomLoaderDocProvider("own", lambda: {"etl": {"provided": value}})
    ),
    "none": lambda value, monkeypatch, folder: None,
    "code": lambda value, monkeypatch, folder: monkeypatch.setattr(etl, "API", value),
    "environment": lambda value, monkeypatch, folder: monkeypatch.setenv("ETL_REGION", value),
    "folder": lambda value, monkeypatch, folder: [
        monkeypatch.chdir(folder), (folder / "relative.txt").write_text(value)],
    "file": lambda value, monkeypatch, folder: etl.Path("relative.txt").write_text(value),
    "config": lambda value, monkeypatch, folder: dlt.config.__setitem__("etl.region", value),
    "secrets": lambda value, monkeypatch, folder: dlt.secrets.__setitem__("etl.token", value),
}


@pytest.fixture
def changed(request, monkeypatch, tmp_path, dlt_isolated):
    kind, value = request.param
    SETTINGS[kind](value, monkeypatch, tmp_path)
    yield
    if kind == "file":
        etl.Path("relative.txt").unlink()
    monkeypatch.undo()
    time.tzset()
    decimal.setcontext(decimal.Context())
    etl.VARIABLE.set("plain")
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")


ALL = [(kind, kind) for kind in SETTINGS] + [("code", "other"), ("none", "none")]


@pytest.mark.dlt_load(source=etl.rows)
@pytest.mark.parametrize("changed", ALL, indirect=True)
def test_it(changed, dlt_loaded, request):
    kind, value = request.node.callspec.params["changed"]
    now = etl.seen()
    assert kind in ("none", "zone", "decimal", "locale", "input") or f"{value!r}" in now
    assert [row["seen"] for row in dlt_loaded.rows("rows")] == [now]


@pytest.mark.dlt_load(source=etl.rows)
def test_mock(dlt_isolated, mocker_of_answer, dlt_loaded):
    assert [row["seen"] for row in dlt_loaded.rows("rows")] == [etl.seen()]


@pytest.fixture
def mocker_of_answer():
    from unittest import mock

    with mock.patch("helper.answer", return_value="mocked"):
        yield
"""


@pytest.mark.slow
def test_each_test_has_what_it_would_load_when_it_runs(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(etl=SOURCE, helper=HELPER)

    result = run_tests(SUITE)

    result.assert_outcomes(passed=17)
    result.stdout.fnmatch_lines(
        [
            "16 templates built (* s), 17 copies made",
            "1 of the templates serve only one test each: *: helper.answer (MagicMock)",
        ]
    )


def test_what_other_plugins_put_there_for_each_test_is_compared(run_tests: RunTests) -> None:
    result = run_tests(
        """
        import socket, sys, tempfile, threading, warnings
        from unittest.mock import MagicMock
        import dlt
        import pytest

        sys.modules["not_installed"] = MagicMock()

        @dlt.resource
        def rows():
            yield {"a": 1}

        @pytest.mark.dlt_load(source=rows)
        @pytest.mark.parametrize("n", range(3))
        def test_it(dlt_loaded, n, caplog, capsys):
            warnings.warn("told")
            with pytest.raises(RuntimeError):
                socket.socket()
        """,
        "--disable-socket",
    )

    result.assert_outcomes(passed=3, warnings=6)
    result.stdout.fnmatch_lines(["1 template built (* s), 3 copies made"])


OF_PROJECT = """
import pytest

@pytest.fixture(scope="class", params=["a", "b"])
def region(request):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("sources.shop.REGION", request.param)
        yield request.param

@pytest.mark.dlt_load(LOAD)
class TestRegions:
    @pytest.mark.parametrize("n", range(2))
    def test_region(self, region, dlt_loaded, n):
        assert dlt_loaded.rows("items") == [{"region": region}]

@pytest.mark.dlt_load(LOAD)
@pytest.mark.parametrize("n", range(2))
def test_plain(dlt_loaded, n):
    assert dlt_loaded.rows("items") == [{"region": "plain"}]
"""
OF_SHOP = """
import dlt

REGION = "plain"

@dlt.source
def orders():
    return dlt.resource([{"region": REGION}], name="items")
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["project", "workspace"])
@pytest.mark.parametrize("arguments", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_where_a_fixture_is_the_first_to_import_the_source(
    shop: Path, run_tests: RunTests, kind: str, arguments: tuple[str, ...]
) -> None:
    (shop / "sources" / "shop.py").write_text(OF_SHOP)
    load = '"load_orders"'
    if kind == "workspace":
        (shop / "dlt.yml").unlink()
        (shop / ".dlt").mkdir()
        (shop / ".dlt" / ".workspace").touch()
        load = "source=lambda: __import__('sources.shop').shop.orders(), pipeline_name='shop'"

    result = run_tests(OF_PROJECT.replace("LOAD", load), *arguments)

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["3 templates built (* s), 6 copies made"])


@pytest.mark.slow
def test_python_ends_well_after_code_was_compared(pytester: pytest.Pytester) -> None:
    """DuckDB crashes at exit if somebody still has what is in its module."""
    pytest.importorskip("sqlalchemy")
    pytester.makepyfile(
        """
        import dlt, pytest
        from dlt.sources.sql_database import sql_table

        @dlt.source
        def shop(credentials: str = dlt.secrets.value):
            return sql_table(credentials, table="orders", defer_table_reflect=True)

        @pytest.mark.dlt_load(source=shop, given={"orders": [{"id": 1}]})
        def test_it(dlt_loaded):
            assert dlt_loaded.row_counts == {"orders": 1}
        """
    )

    # a process of its own: a fork has imported other modules in another order
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == pytest.ExitCode.OK


@pytest.mark.slow
def test_decorators_of_a_test_hold_while_its_data_are_loaded(
    pytester: pytest.Pytester, run_pytest: Callable[..., pytest.RunResult]
) -> None:
    pytester.makeini("[pytest]\ndlt_isolation = on\npythonpath = .\n")
    pytester.makepyfile(
        etl="""
        import dlt, os
        API = 1

        class Client:
            def get(self): return API

        @dlt.resource
        def rows(): yield {"api": API, "got": Client().get(), "page": os.environ.get("PAGE")}
        """,
        test_it="""
        import os, unittest
        from unittest import mock
        import etl, pytest

        pytestmark = pytest.mark.dlt_load(source=etl.rows)
        def row(loaded): return tuple(loaded.rows("rows")[0].get(k) for k in ("api", "got", "page"))

        def test_plain(dlt_loaded): assert row(dlt_loaded) == (1, 1, None)

        @mock.patch("etl.API", 2)
        def test_constant(dlt_loaded): assert row(dlt_loaded) == (2, 2, None) and etl.API == 2

        @mock.patch.dict(os.environ, {"PAGE": "8"})
        @mock.patch.object(etl, "API", 3)
        def test_both(dlt_loaded): assert row(dlt_loaded) == (3, 3, "8")

        @mock.patch("etl.Client.get", return_value=5)
        def test_mock(got, dlt_loaded): assert row(dlt_loaded) == (1, 5, None) and not got.called

        @mock.patch("etl.API", 4)
        class TestClass:
            def test_it(self, dlt_loaded): assert row(dlt_loaded) == (4, 4, None)

        @mock.patch("etl.Client.get", side_effect=RuntimeError("refused"))
        def test_that_cannot_load(got, dlt_loaded): pass

        def test_plain_again(dlt_loaded): assert row(dlt_loaded) == (1, 1, None)
        """,
    )

    run_pytest("-p", "no:cacheprovider").assert_outcomes(passed=6, errors=1)
