"""What code holds without showing it as an attribute counts where `dlt_load` compares tests."""

from __future__ import annotations

import calendar
import csv
import decimal
import gettext
import importlib
import io
import locale
import logging
import mimetypes
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
import warnings
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pendulum
import pytest
import yaml

from pytest_dlthub.imports import Imports, Opened
from pytest_dlthub.report import TemplateUses, causes_of_builds
from pytest_dlthub.templates import process_state
from pytest_dlthub.templates.imported_code import Code
from pytest_dlthub.templates.python_files import is_only_of_tests
from pytest_dlthub.templates.read_files import Build

# by name: what a module has, and what tests do to it with one of two values
STATES = {
    "VARIABLE": ("contextvars.ContextVar('v', default='x')", "VARIABLE.set(value)"),
    "LOCAL": ("threading.local()", "LOCAL.region = value"),
    "PROXY": ("types.MappingProxyType(HIDDEN)", "HIDDEN['a'] = value"),
    "ARRAY": ("array.array('b', [0])", "ARRAY[0] = ord(value)"),
    "BYTES": ("bytearray(b'x')", "BYTES[0] = ord(value)"),
    "VIEW": ("memoryview(bytearray(b'x'))", "VIEW[0] = ord(value)"),
    "STRUCT": ("ctypes.c_int(0)", "STRUCT.value = ord(value)"),
    "IN_MEMORY": ("io.BytesIO(b'x')", "IN_MEMORY.write(value.encode())"),
    "TEXT": ("io.StringIO('x')", "TEXT.write(value)"),
    "POSITION": ("io.BytesIO(b'xyz')", "POSITION.seek(ord(value) % 3)"),
    "DECIMALS": ("decimal.Context()", "DECIMALS.prec = ord(value)"),
    "DIGESTS": ("hashlib.sha256()", "DIGESTS.update(value.encode())"),
    "SQLITE": (
        "sqlite3.connect(':memory:')",
        "SQLITE.execute(f'CREATE TABLE t{value} AS SELECT {value!r} AS c')",
    ),
    "DUCKDB": (
        "duckdb.connect()",
        "DUCKDB.execute(f'CREATE TABLE t{value} AS SELECT {value!r} AS c')",
    ),
    "OF_DUCKDB": (
        "duckdb.connect()",
        "OF_DUCKDB.execute(f'CREATE VIEW t{value} AS SELECT {value!r}')",
    ),
    "ROWS_OF_DUCKDB": (
        "duckdb.connect()",
        "ROWS_OF_DUCKDB.execute(f'CREATE OR REPLACE TABLE t AS SELECT {value!r} AS c')",
    ),
    "NUMBERS": ("numpy.zeros(2)", "NUMBERS[0] = ord(value)"),
    "OBJECTS": ("numpy.array([['x']], dtype=object)", "OBJECTS[0][0] = value"),
    "FRAME": ("pandas.DataFrame({'c': ['x', 'y']})", "FRAME.loc[0, 'c'] = value"),
    "SERIES": ("pandas.Series([1, 2])", "SERIES[0] = ord(value)"),
    "POLARS": ("polars.DataFrame({'c': ['x', 'y']})", "POLARS[0, 'c'] = value"),
    "LOGGER": ("logging.getLogger('hidden')", "LOGGER.setLevel(ord(value))"),
    "WEAK": ("weakref.WeakValueDictionary()", "WEAK['a'] = HIDDEN_CLASSES[value]"),
    "DEQUE": ("collections.deque(['x'])", "DEQUE.append(value)"),
    "DEFAULT": ("collections.defaultdict(list)", "DEFAULT['a'].append(value)"),
    "COUNTER": ("collections.Counter()", "COUNTER[value] += 1"),
    "CHAIN": ("collections.ChainMap({}, HIDDEN)", "CHAIN['a'] = value"),
    "SPACE": ("types.SimpleNamespace()", "SPACE.a = value"),
    "PARTIAL": ("functools.partial(dict, a={})", "PARTIAL.keywords['a']['b'] = value"),
    "BOUND": ("[].append", "BOUND(value)"),
    "OF_CLASS": ("Slotted()", "OF_CLASS.hidden = value"),
    "WORDS": ("Words()", "WORDS.note = value"),
    "NAME": ("Name('x')", "NAME.note = value"),
    "ROWS": ("Rows('x')", "ROWS.note = value"),
    "cached": (
        "functools.lru_cache(maxsize=2)(lambda key: HIDDEN.get('of'))",
        "fill(cached, value)",
    ),
    "kept": ("functools.cache(lambda key: {})", "kept('a')['b'] = value"),
    "SESSION": ("requests.Session()", "SESSION.auth = (value, value)"),
    "PARAMETERS": ("requests.Session()", "PARAMETERS.params = {'page': value}"),
    "SIGNED": ("requests.Session()", "SIGNED.auth = requests.auth.HTTPBasicAuth(value, '')"),
    "HEADERS": ("requests.Session()", "HEADERS.headers['x'] = value"),
    "QUEUE": ("queue.Queue()", "QUEUE.put(value)"),
    "RENAMED": ("{'a': HIDDEN}", "RENAMED[value * 2] = RENAMED.popitem()[1]"),
    "MOVED": ("dict.fromkeys('abc')", "MOVED[value] = MOVED.pop(value)"),
    "ORDERED": ("collections.OrderedDict.fromkeys('abc')", "ORDERED.move_to_end(value)"),
    "PLUGINS": ("None", "sys.modules['late_plugin'] = made(value)"),
    "replaced": ("None", "sys.modules['colorsys'] = made(value)"),
    "blocked": ("None", "sys.modules['wave'] = None if value == 'a' else made(value)"),
}
# what takes from these changes them: they count for a build that does
USED = {
    "IDS": ("itertools.count(1)", "IDS.__next__()"),
    "ITERATOR": ("iter([1, 2, 3])", "ITERATOR.__next__()"),
    "ENUMERATED": ("enumerate([1, 2, 3])", "ENUMERATED.__next__()"),
    "GENERATOR": ("(n for n in range(3))", "GENERATOR.__next__()"),
    "RANDOM": ("random.Random(1)", "RANDOM.random()"),
    "OF_NUMPY": ("numpy.random.default_rng(1)", "OF_NUMPY.random()"),
    "READER": ("open(__file__)", "READER.read(1)"),
}
# a suite has these, and they never differ
ORDINARY = {
    **{f"lock_{kind}": f"threading.{kind}()" for kind in ("Lock", "RLock", "Event", "Condition")},
    "session": "requests.Session()",
    "pattern": "re.compile('a')",
    "pool": "concurrent.futures.ThreadPoolExecutor(1)",
    "engine": "sqlalchemy.create_engine('sqlite://')",
    "model": "pydantic.create_model('Model', a=(int, 1))",
    "an_object": "model(a=1)",
    "adapter": "pydantic.TypeAdapter(dict[str, int])",
    "resource": "dlt.resource([{'a': 1}], name='r')",
    "source": "dlt.source(lambda: dlt.resource([1], name='r'), name='s')",
    "destination": "dlt.destinations.duckdb()",
    "schema": "dlt.Schema('s')",
    "zone": "zoneinfo.ZoneInfo('UTC')",
    "ssl_context": "ssl.create_default_context()",
    "sentinel": "object()",
    "out": "sys.stdout",
    "path": "Path('a')",
    "getter": "operator.itemgetter('a')",
    "parsed": "json.JSONDecoder()",
    "version": "uuid.UUID(int=1)",
    "plan": "polars.col('a')",
    "arrow": "pyarrow.table({'a': [1]})",
    "system": "random.SystemRandom()",
    "socket_": "socket.socket",
    "waiting": "queue.SimpleQueue()",
    "cache": "functools.cache(len)",
}
MODULES = (
    "array, collections, concurrent.futures, contextvars, ctypes, decimal, functools, hashlib, io, "
    "itertools, json, logging, operator, queue, random, re, socket, sqlite3, ssl, sys, threading, "
    "types, uuid, weakref, zoneinfo, dlt, duckdb, numpy, pandas, polars, pyarrow, pydantic, "
    "requests, sqlalchemy"
)
HEAD = f"""
import {MODULES}
from pathlib import Path

HIDDEN = {{"a": "x"}}

class Slotted:
    __slots__ = ("hidden",)

class Words(list): pass
class Name(str): pass
class Rows(dict):
    def __init__(self, a): super().__init__(a=a)

class Held(list): pass
HIDDEN_CLASSES = {{"a": Held("a"), "b": Held("b")}}

def made(value):
    module = types.ModuleType("made")
    module.VALUE = value
    return module

def fill(cached, value):
    HIDDEN["of"] = value
    cached(value)
    del HIDDEN["of"]
"""


class Bank:
    """The modules of all those, one for each."""

    def __init__(self, folder: Path) -> None:
        imports = Imports()
        imports.begin()
        self.modules: dict[str, Any] = {}
        for name, made in {**STATES, **USED}.items():
            (folder / f"bank_{name}.py").write_text(f"{HEAD}\n{name} = {made[0]}\n")
            self.modules[name] = importlib.import_module(f"bank_{name}")
        lines = "\n".join(f"{name} = {made}" for name, made in ORDINARY.items())
        (folder / "bank_ordinary.py").write_text(f"{HEAD}\n{lines}\n")
        self.ordinary = importlib.import_module("bank_ordinary")
        self.code = Code(imports)
        self.code.begin()
        self.imports = imports


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    folder = tmp_path_factory.mktemp("bank")
    sys.path.insert(0, str(folder))
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            # dlt asks for it when it first looks anything up
            monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
            bank = Bank(folder)
        yield bank
        bank.imports.end()
        bank.modules["READER"].READER.close()
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.startswith("bank_")]:
            del sys.modules[name]


def test_what_a_suite_has_anyway_differs_in_no_test(bank: Bank) -> None:
    assert bank.code.at_start == []
    assert bank.code.differences() == []


@pytest.mark.parametrize("name", STATES)
def test_state_that_changes_in_place_is_seen(
    bank: Bank, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("late_plugin", "colorsys", "wave"):
        monkeypatch.setitem(sys.modules, module, sys)
        monkeypatch.delitem(sys.modules, module)
    found = []
    for value in ("a", "b"):
        exec(STATES[name][1], vars(bank.modules[name]), {"value": value})
        found.append({d.name: d.digest for d in bank.code.differences()})
    monkeypatch.undo()

    assert found[0]
    assert found[0] != found[1]
    assert None not in [digest for one in found for digest in one.values()]
    bank.code.accept([])
    assert bank.code.differences() == []


def test_state_that_cannot_be_read_differs_each_time_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import duckdb\nconnection = duckdb.connect()\nrelation = connection.sql('SELECT 1')"
    (tmp_path / "bank_unknown.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    imports = Imports()
    imports.begin()
    importlib.import_module("bank_unknown")
    of_unknown = Code(imports)
    of_unknown.begin()

    for _ in range(2):
        found = of_unknown.differences()
        assert [(d.name, d.digest) for d in found] == [("bank_unknown.relation", None)]
        of_unknown.accept(found)
    imports.end()
    del sys.modules["bank_unknown"]


@pytest.mark.parametrize("name", USED)
def test_what_is_used_up_tells_how_far_it_is(bank: Bank, name: str) -> None:
    tokens = bank.code.used_up[f"bank_{name}.{name}"]
    before = tokens()
    assert tokens() == before

    exec(USED[name][1], vars(bank.modules[name]))

    assert tokens() != before
    assert bank.code.differences() == []


def change_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()


SETTINGS: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "decimal.getcontext()": lambda _: decimal.getcontext().__setattr__("prec", 5),
    "locale": lambda _: locale.setlocale(locale.LC_CTYPE, "C"),
    "time zone": change_zone,
    "the clock": lambda m: m.setattr(time, "time", lambda: 0.0),
    "level of logging": lambda m: m.setattr(logging.root, "level", 7),
    "warnings.filters": lambda _: warnings.simplefilter("error", FutureWarning),
    "sys.path": lambda m: m.syspath_prepend("/tmp/of_a_test"),
    "sys.argv": lambda m: m.setattr(sys, "argv", ["other"]),
    "sys.stdin": lambda m: m.setattr(sys, "stdin", io.StringIO("a")),
    "sys.getrecursionlimit()": lambda _: sys.setrecursionlimit(1234),
    "socket.getdefaulttimeout()": lambda _: socket.setdefaulttimeout(3),
    "numpy.geterr()": lambda _: numpy.seterr(all="ignore"),
    "numpy.get_printoptions()": lambda _: numpy.set_printoptions(precision=3),
    "pandas.options": lambda _: pandas.set_option("display.width", 7),
    "names in builtins": lambda m: m.setattr("builtins.shop", "of a test", raising=False),
    "csv.register_dialect()": lambda _: csv.register_dialect("of_a_test", delimiter=";"),
    "csv.field_size_limit()": lambda _: csv.field_size_limit(7),
    "calendar.setfirstweekday()": lambda _: calendar.setfirstweekday(6),
    "gettext.textdomain()": lambda _: gettext.textdomain("of_a_test"),
    "sqlite3.register_converter()": lambda _: sqlite3.register_converter("OF_A_TEST", bytes),
    "sqlite3.register_adapter()": lambda _: sqlite3.register_adapter(OfATest, str),
    "mimetypes.add_type()": lambda _: mimetypes.add_type("of/a-test", ".of_a_test"),
    "zoneinfo.reset_tzpath()": lambda _: zoneinfo.reset_tzpath(["/of_a_test"]),
    "yaml.add_constructor()": lambda _: yaml.add_constructor("!t", str, yaml.SafeLoader),
    "pendulum's locale and week": lambda _: pendulum.set_locale("de"),
}
if hasattr(sys, "set_int_max_str_digits"):
    SETTINGS["sys.set_int_max_str_digits()"] = lambda _: sys.set_int_max_str_digits(700)
if sys.platform == "linux":
    SETTINGS["os.umask()"] = lambda _: os.umask(0o077)

    SETTINGS["resource.setrlimit()"] = lambda _: limit_files(-1)


def limit_files(more: int) -> None:
    import resource

    lower, upper = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower + more, upper))


class OfATest:
    """A type that a test registers."""


@pytest.fixture
def settings_put_back() -> Iterator[None]:
    limit, timeout, errors = sys.getrecursionlimit(), socket.getdefaulttimeout(), numpy.geterr()
    context, printed, place = decimal.getcontext(), numpy.get_printoptions(), locale.LC_CTYPE
    chosen, width = locale.setlocale(place), pandas.get_option("display.width")
    field, day, domain = csv.field_size_limit(), calendar.firstweekday(), gettext.textdomain()
    paths, language, umask = zoneinfo.TZPATH, pendulum.get_locale(), os.umask(0o022)
    os.umask(umask)
    digits = getattr(sys, "get_int_max_str_digits", int)()
    decimal.setcontext(context.copy())
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        kept = {**yaml.SafeLoader.yaml_constructors}
        patched.setattr(yaml.SafeLoader, "yaml_constructors", kept)
        yield
        mimetypes.types_map.pop(".of_a_test", None)
        sqlite3.converters.pop("OF_A_TEST", None)
        sqlite3.adapters.pop((OfATest, sqlite3.PrepareProtocol), None)
    if "of_a_test" in csv.list_dialects():
        csv.unregister_dialect("of_a_test")
    csv.field_size_limit(field)
    calendar.setfirstweekday(day)
    gettext.textdomain(domain)
    zoneinfo.reset_tzpath(paths)
    pendulum.set_locale(language)
    os.umask(umask)
    if digits:
        sys.set_int_max_str_digits(digits)
    time.tzset()
    decimal.setcontext(context)
    locale.setlocale(place, chosen)
    sys.setrecursionlimit(limit)
    socket.setdefaulttimeout(timeout)
    numpy.seterr(**errors)
    numpy.set_printoptions(**printed)
    pandas.set_option("display.width", width)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_process_is_seen(
    name: str, settings_put_back: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = process_state.settings()
    assert process_state.settings() == before

    with monkeypatch.context() as patched:
        SETTINGS[name](patched)
        after = process_state.settings()

    assert [key for key in after if after[key] != before[key]] == [name]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no temporary files in memory")
def test_temporary_files_in_memory_count_though_they_are_among_devices(tmp_path: Path) -> None:
    build = Build(tmp_path, ())
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm") as file:
        with build.recorded(Opened(), [], []):
            assert Path(file.name).read_text() == ""
        assert list(build.conditions.changed(lambda name: "")) == []

        Path(file.name).write_text("other content")
        assert list(build.conditions.changed(lambda name: "")) == [file.name]


def test_what_is_asked_of_files_counts_as_far_as_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("there", "sized", "touched", "target", "other"):
        Path(name).write_text("a")
    Path("link").symlink_to("target")
    Path("copied from").symlink_to("target")
    build = Build(tmp_path, ())

    stat, able = os.stat, set(os.supports_follow_symlinks)
    with build.recorded(Opened(), [], []):
        assert os.path.exists("there")
        assert not Path("missing").is_file()
        assert os.path.getsize("sized") == 1
        assert Path("touched").stat().st_mtime
        assert os.readlink("link") == "target"
        assert os.access("other", os.R_OK)
        # it asks whether `os.stat` can tell of the link itself
        shutil.copy2("copied from", "copied to", follow_symlinks=False)
    assert os.stat is stat
    assert os.supports_follow_symlinks == able

    def changed() -> list[str]:
        found = build.conditions.changed(lambda name: "")
        return [os.path.relpath(path, tmp_path) for path in found]

    assert changed() == []
    Path("there").write_text("other content")
    assert changed() == []
    for change, name in (
        (lambda: Path("there").unlink(), "there"),
        (lambda: Path("missing").touch(), "missing"),
        (lambda: Path("sized").write_text("more"), "sized"),
        (lambda: os.utime("touched", (1, 1)), "touched"),
        (lambda: Path("link").unlink() or Path("link").symlink_to("other"), "link"),
        (lambda: Path("other").chmod(0o600), "other"),
    ):
        before = changed()
        change()
        assert {*changed()} - {*before} == {name}


OF_TESTS = """
import pytest
COUNTER, NAMED, DEFAULT, NESTED, FOUND, IN_FIXTURE = 0, 0, 0, 0, 0, 0

def helper():
    return NAMED

def test_it(a=DEFAULT):
    global COUNTER
    COUNTER += 1
    helper(lambda: NESTED)

class TestClass:
    @pytest.mark.slow
    def test_method(self):
        assert COUNTER

@pytest.fixture
def fixture():
    return IN_FIXTURE
"""


@pytest.mark.parametrize(
    ("name", "is_unread"),
    [
        ("COUNTER", True),
        *(
            (name, False)
            for name in ("NAMED", "DEFAULT", "NESTED", "FOUND", "IN_FIXTURE", "elsewhere")
        ),
    ],
)
def test_a_name_that_only_bodies_of_tests_have_is_read_by_no_load(
    tmp_path: Path, name: str, is_unread: bool
) -> None:
    (tmp_path / "test_shop.py").write_text(OF_TESTS)
    (tmp_path / "etl.py").write_text("import test_shop\nprint(test_shop.FOUND)\nelsewhere = 1")

    file, others = str(tmp_path / "test_shop.py"), [str(tmp_path / "etl.py")]

    assert is_only_of_tests(name, file, others) == is_unread


@pytest.mark.parametrize(
    "code", ["globals()", "getattr(x, y)", "eval(x)", "test_it", "x['COUNTER']"]
)
def test_where_a_module_reads_names_that_it_does_not_say_all_are_read(
    tmp_path: Path, code: str
) -> None:
    (tmp_path / "test_shop.py").write_text(f"{OF_TESTS}\ndef other(x, y):\n    return {code}")

    assert not is_only_of_tests("COUNTER", str(tmp_path / "test_shop.py"), [])


def test_the_summary_names_what_differs_between_loads_of_the_same() -> None:
    uses = TemplateUses()
    for n in range(3):
        parts = {"etl.API": str(n), "$REGION": str(n % 2), "the working folder": "same"}
        uses.builds.append(("rows", "of rows", parts))
    uses.builds.append(("other", "of other", {"etl.API": "9"}))

    assert [*causes_of_builds(uses)] == [
        "3 templates of rows: etl.API differs in each, $REGION has 2 values"
    ]


def test_a_load_is_shared_where_nothing_that_it_uses_differs(
    pytester: pytest.Pytester, run_tests: Callable[..., pytest.RunResult]
) -> None:
    pytester.makepyfile(
        etl="""
        import dlt, os, random

        @dlt.resource
        def rows():
            yield {"a": 1, "there": os.path.exists("flag")}

        @dlt.resource
        def chance():
            yield {"a": random.random()}
        """
    )
    result = run_tests(
        """
        import os, random
        import etl, pytest

        COUNTER, CHANGED = 0, 0

        def changed(): return CHANGED

        @pytest.mark.dlt_load(source=etl.rows)
        @pytest.mark.parametrize("n", range(4))
        def test_file(dlt_loaded, n):
            global COUNTER
            COUNTER += 1
            random.random()
            assert dlt_loaded.rows("rows")[0]["there"] == os.path.exists("flag")
            if n == 1: open("flag", "w").close()
            if n == 2: os.unlink("flag")

        @pytest.fixture
        def seeded(request):
            random.seed(request.param)

        @pytest.mark.dlt_load(source=etl.chance)
        @pytest.mark.parametrize("seeded", [1, 2, 1], indirect=True)
        def test_seed(seeded, dlt_loaded):
            assert dlt_loaded.rows("chance") == [{"a": random.random()}]

        @pytest.mark.dlt_load(source=etl.rows, table_name="t")
        @pytest.mark.parametrize("n", range(2))
        def test_named(dlt_loaded, n):
            global CHANGED
            CHANGED += 1
        """
    )

    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(
        [
            "6 templates built (* s), 9 copies made",
            "2 templates of rows: */flag differs in each",
            "2 templates of chance: random differs in each",
            "2 templates of rows: *.CHANGED differs in each",
        ]
    )
