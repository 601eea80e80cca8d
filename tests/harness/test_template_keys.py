"""What makes a new template of `dlt_load`, from one session to the next: tests prove the key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

MANIFEST = """
sources:
  orders: {type: shop.orders, region: "{env.SHOP_REGION}"}
destinations:
  warehouse: {type: duckdb}
pipelines:
  load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
"""

SOURCE = """
import os
from pathlib import Path
import dlt
import duckdb
from lib.prices import PRICE

AT_IMPORT = os.environ.get("SHOP_AT_IMPORT")
RATES = Path("more/rates.json").read_text()
ask = os.getenv


@dlt.source
def orders(region: str = dlt.config.value, currency: str = "EUR", token: str = "none"):
    @dlt.resource
    def items():
        path = os.path.join(os.path.dirname(__file__), "names.csv")
        rows = duckdb.sql(f"SELECT * FROM '{path}'").fetchall()
        Path("left.txt").write_text("of a run")
        texts = [file.read_text() for file in sorted(Path("texts").glob("*.txt"))]
        yield {"rows": str(rows), "texts": str(texts), "asked": ask("SHOP_ASKED"), "price": PRICE,
               "region": region, "currency": currency, "token": token,
               "at_import": str(AT_IMPORT), "at_run_time": str(os.getenv("SHOP_AT_RUN_TIME"))}

    return items
"""

TESTS = """
import pytest
from sources import shop

@pytest.fixture
def replaced(monkeypatch):
    monkeypatch.setattr(shop, "AT_IMPORT", "of the fixture")

@pytest.mark.usefixtures("replaced")
@pytest.mark.dlt_load("load_orders", depends_on="rates.csv")
def test_orders(dlt_loaded):
    print("row:", dlt_loaded.rows("items"))
"""


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache folder of `--dlt-reuse`, beside the project."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def built(run_pytest: RunTests, cache: Path) -> Callable[..., int]:
    """Run a session with `--dlt-reuse`; return how many templates it has built."""

    def run(*arguments: str) -> int:
        result = run_pytest("-p", "no:cacheprovider", "--dlt-reuse", *arguments)
        result.assert_outcomes(passed=result.parseoutcomes().get("passed", 0) or 1)
        return int(re.search(r"(\d+) templates? built", result.stdout.str())[1])  # type: ignore[index]

    return run


Change = Callable[[], object]


@pytest.mark.slow
def test_each_thing_that_a_project_is_loaded_from_makes_a_new_template(
    pytester: pytest.Pytester,
    built: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    root = pytester.path
    texts = {
        "dlt.yml": MANIFEST,
        "sources/shop.py": SOURCE,
        "lib/prices.py": "PRICE = 1",
        ".dlt/config.toml": "[runtime]\nlog_level = 'WARNING'",
        "rates.csv": "1.0",
        "more/rates.json": "{}",
        "sources/names.csv": "name",
        "texts/a.txt": "a",
        ".venv/pyvenv.cfg": "",
        ".venv/lib/module.py": "N = 1",
        "README.md": "Orders",
        "test_orders.py": TESTS,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    monkeypatch.setenv("SHOP_REGION", "EU")
    monkeypatch.setenv("UNRELATED", "1")
    beside = tmp_path / "modules"
    beside.mkdir()
    monkeypatch.syspath_prepend(beside)

    def edit(name: str, old: str, new: str) -> Change:
        def change() -> None:
            text = (root / name).read_text()
            assert old in text
            (root / name).write_text(text.replace(old, new))

        return change

    def variable(name: str, value: str) -> Change:
        return lambda: monkeypatch.setenv(name, value)

    changes: dict[str, Change] = {
        "nothing": lambda: None,
        "a test, a document, an environment and what a shell or tox sets": lambda: [
            change()
            for change in (
                edit("test_orders.py", "print(", "print('changed',"),
                edit("README.md", "Orders", "<!-- All --> Orders"),
                edit(".venv/lib/module.py", "1", "2"),
                variable("OLDPWD", "/"),
                variable("PYTHONHASHSEED", "1"),
            )
        ],
        "a fixture": edit("test_orders.py", "of the fixture", "of a fixture"),
        "a file of the source that DuckDB reads": edit("sources/names.csv", "name", "names"),
        "a file that is opened": edit("texts/a.txt", "a", "b"),
        "a file that is new": lambda: (root / "texts" / "b.txt").write_text("b"),
        "a file that is opened at import": edit("more/rates.json", "{}", "[]"),
        "a variable that is asked for by another name": variable("SHOP_ASKED", "1"),
        "the source": edit("sources/shop.py", '"price": PRICE', '"price": PRICE + 1'),
        "a helper that it imports": edit("lib/prices.py", "1", "2"),
        "a value in the manifest": edit("dlt.yml", "region:", "currency: USD, region:"),
        "a TOML file": edit(".dlt/config.toml", "WARNING", "ERROR"),
        "a file in depends_on": edit("rates.csv", "1.0", "1.1"),
        "a variable read through configuration": variable("SOURCES__ORDERS__TOKEN", "t"),
        "a variable in the manifest": variable("SHOP_REGION", "US"),
        "a variable read at run time": variable("SHOP_AT_RUN_TIME", "1"),
        "a variable read at import": variable("SHOP_AT_IMPORT", "1"),
        "a new conftest": lambda: (root / "conftest.py").write_text("FAKE = 1"),
        "an installed distribution": lambda: (beside / "prices-1.0.dist-info").mkdir(),
    }
    assert built() == 1

    found = {}
    for name, change in changes.items():
        change()
        found[name] = built()
    found["the format of rows"] = built("-o", "dlt_loader_file_format=insert_values")
    monkeypatch.setattr("pytest_dlthub.templates.inputs.version", lambda name: f"9.9 of {name}")
    found["the version of dlt"] = built()

    none = [name for name, count in found.items() if not count]
    assert none == list(changes)[:2]


PLAIN = """
import dlt
import pytest
from test_common import names

ROWS = [1]


def testing_rows():
    return [{"n": n} for n in ROWS]


class Api:
    first = 0

    def rows(self):
        yield {"first": self.first}


@pytest.mark.dlt_load(source=lambda: [*testing_rows(), *names()], table_name="rows")
def test_function(dlt_loaded):
    assert len(dlt_loaded.rows("rows")) == 2


@pytest.mark.dlt_load(source=Api().rows, table_name="rows")
def test_method(dlt_loaded):
    assert dlt_loaded.tables == ["rows"]
"""


@pytest.mark.slow
def test_a_source_in_a_test_module_counts_and_the_tests_there_do_not(
    pytester: pytest.Pytester, built: Callable[..., int]
) -> None:
    pytester.makepyfile(
        test_it=PLAIN,
        test_common="NAME = 'a'\ndef names(): return [{'name': NAME}]\ndef test_names(): names()",
    )

    def edit(name: str, old: str, new: str) -> None:
        text = (pytester.path / name).read_text()
        assert old in text
        (pytester.path / name).write_text(text.replace(old, new))

    assert built() == 2

    edit("test_it.py", 'tables == ["rows"]', "tables != [] # all")
    edit("test_common.py", "def test_names(): names()", "def test_names(): assert names()")
    of_tests = built("-k", "test_it")
    edit("test_it.py", "ROWS = [1]", "ROWS = [3]")
    of_global = built()
    edit("test_it.py", 'return [{"n": n}', 'return [{"m": n}')
    of_function_called_like_a_test = built()
    edit("test_common.py", "'a'", "'b'")
    of_other_test_module = built()

    assert of_tests == 0
    assert (of_global, of_function_called_like_a_test, of_other_test_module) == (2, 2, 2)


def test_within_a_session_each_test_has_what_its_own_settings_load(
    pytester: pytest.Pytester, run_pytest: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import os
        import dlt
        import pytest


        @dlt.source
        def shop(token: str = "none"):
            @dlt.resource
            def rows():
                os.environ["SET_BY_THE_SOURCE"] = "1"
                yield {"token": token, "region": os.environ.get("REGION", "none"),
                       "commit": os.environ.get("GITHUB_SHA", "none")}
            return rows


        @pytest.fixture
        def settings(request, monkeypatch, tmp_path, dlt_isolated):
            from dlthub_project.sandbox import Overrides

            kind, value = request.param
            if kind == "env":
                monkeypatch.setenv("REGION", value)
            elif kind == "ci" and value:
                monkeypatch.setenv("GITHUB_SHA", value)
            elif kind == "ci":
                monkeypatch.delenv("GITHUB_SHA")
            elif kind == "config":
                Overrides(dlt_isolated)["sources.token"] = value
            elif kind == "toml":
                (tmp_path / ".dlt").mkdir()
                (tmp_path / ".dlt" / "secrets.toml").write_text(f"sources.token = '{value}'")
                monkeypatch.chdir(tmp_path)


        ALL = [("none", ""), ("env", "a"), ("env", "b"), ("config", "a"), ("toml", "b"),
               ("env", "a"), ("none", ""), ("toml", "b"), ("ci", "a"), ("ci", "b"), ("ci", "")]


        @pytest.mark.dlt_load(source=shop)
        @pytest.mark.parametrize("settings", ALL, indirect=True)
        def test_it(settings, request, dlt_loaded):
            kind, value = request.node.callspec.params["settings"]
            region = value if kind == "env" else "none"
            token = value if kind in ("config", "toml") else "none"
            commit = (value or "none") if kind == "ci" else "of the session"
            expected = {"token": token, "region": region, "commit": commit}
            assert dlt_loaded.rows("rows") == [expected]
        """
    )
    monkeypatch.delenv("REGION", raising=False)
    # which CI sets anew for each session
    monkeypatch.setenv("GITHUB_SHA", "of the session")

    result = run_pytest("-p", "no:cacheprovider")

    result.assert_outcomes(passed=11)
    result.stdout.fnmatch_lines(["9 templates built (* s), 11 copies made"])


@pytest.mark.slow
def test_what_a_session_is_started_with_makes_a_new_template(
    pytester: pytest.Pytester, built: Callable[..., int]
) -> None:
    pytester.makepyfile(
        **{
            "conftest": """
                import csv
                import shared

                def pytest_addoption(parser):
                    parser.addoption("--region", default="EU")
                    parser.addoption("--limit", type=int, default=1000)

                def pytest_configure(config):
                    shared.CONFIG = config
                    csv.field_size_limit(config.getoption("--limit"))
                """,
            "shared": "CONFIG = None",
            "src/etl": """
                import csv
                import dlt
                import shared

                REGION = shared.CONFIG.getoption("--region")

                @dlt.resource
                def rows():
                    yield {"region": REGION, "limit": csv.field_size_limit()}
                """,
            "test_it": """
                import pytest
                from src.etl import rows

                @pytest.mark.dlt_load(source=rows)
                def test_it(dlt_loaded):
                    pass
                """,
        }
    )

    found = [built(), built("-v", "--tb=short"), built("--region=US"), built("--limit=2000")]
    (pytester.path / "pytest.ini").write_text("[pytest]")
    found += [built(), built()]

    assert found == [1, 0, 1, 1, 1, 0]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "marker",
    ["dlt.yml", pytest.param(".dlt/.workspace", marks=pytest.mark.slow), "rows.csv"],
)
def test_what_has_not_changed_is_kept_in_projects_workspaces_and_plain_code(
    pytester: pytest.Pytester, built: Callable[..., int], marker: str
) -> None:
    root = pytester.path
    (root / ".dlt").mkdir()
    (root / ".dlt" / "config.toml").write_text("[etl]\nregion = 'EU'")
    (root / marker).write_text("" if marker != "dlt.yml" else "project: {name: shop}")
    pytester.makepyfile(
        etl="""
        import dlt
        import os

        @dlt.resource
        def rows(region: str = dlt.config["etl.region"], token: str = dlt.secrets.value):
            with open("of_the_run.txt", "w") as file:
                file.write("a")
            yield {"region": region, "token": token, "files": os.listdir(".dlt")}
        """,
        test_it="""
        import dlt
        import pytest
        from etl import rows

        @pytest.fixture(autouse=True)
        def settings(dlt_config, monkeypatch):
            dlt_config["sources.token"] = "t"
            dlt.config["etl.other"] = 1

        @pytest.mark.dlt_load(source=rows)
        @pytest.mark.parametrize("n", range(2))
        def test_it(dlt_loaded, n, tmp_path):
            (tmp_path / "file").touch()
            assert dlt_loaded.next().row_counts == {"rows": 1, "rows__files": n_of_files()}

        def n_of_files():
            return len(__import__("os").listdir(".dlt"))
        """,
    )

    assert [built(), built()] == [1, 0]
    (root / ".dlt" / "secrets.toml").write_text("a = 1")
    assert [built(), built()] == [1, 0]
