"""Sources and resources that change in place: who has loaded the changed one has another load."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema import Schema

from pytest_dlthub.imports import Imports
from pytest_dlthub.templates.digests import digest
from pytest_dlthub.templates.imported_code import Code

RunTests = Callable[..., pytest.RunResult]

SOURCE = """
import functools

import dlt
from dlt.common.schema import Schema

SCHEMA = Schema("shop")


@dlt.source
def shop():
    @dlt.resource(primary_key="id")
    def orders(first=1):
        yield {"id": first, "lines": [{"n": 1}]}

    @dlt.resource
    def customers(limit=dlt.config.value):
        yield {"id": 1}

    @dlt.transformer(data_from=orders)
    def prices(order):
        yield {"price": 1}

    return orders, customers, prices


def closing(source):
    def inner():
        return source
    return inner


class Base:
    source = shop()


class Holder(Base):
    def __init__(self):
        self.mine = shop()


def with_default(source=shop(), *, table={"x": shop()}):
    return source, table["x"]


@functools.lru_cache
def cached():
    return shop()


SOURCE = shop()
in_closure = closing(shop())
holder = Holder()
TABLE = {"x": [(shop(),)]}
partial = functools.partial(with_default, shop())
method = Holder().mine.with_resources
alone = shop().orders
# behind a source, whose functions know all that is in the module
LATER = {"a": [1]}


def arguments(rows=[1]):
    return rows
"""

HOLDERS: dict[str, Callable[[Any], Any]] = {
    "global": lambda etl: etl.SOURCE,
    "closure": lambda etl: etl.in_closure(),
    "class": lambda etl: etl.Holder.source,
    "object": lambda etl: etl.holder.mine,
    "default": lambda etl: etl.with_default()[0],
    "keyword": lambda etl: etl.with_default()[1],
    "table": lambda etl: etl.TABLE["x"][0][0],
    "partial": lambda etl: etl.partial.args[0],
    "method": lambda etl: etl.method.__self__,
    "cache": lambda etl: etl.cached(),
}


def set_naming(source: Any) -> None:
    source.schema._normalizers_config["names"] = "direct"
    source.schema.update_normalizers()


def cursor() -> Any:
    return dlt.sources.incremental("id", initial_value=2)


# what code does to a source of a module
CHANGES: dict[str, Callable[[Any], Any]] = {
    "max_table_nesting": lambda s: setattr(s, "max_table_nesting", 0),
    "root_key": lambda s: setattr(s, "root_key", True),
    "schema_contract": lambda s: setattr(s, "schema_contract", {"columns": "freeze"}),
    "contract of schema": lambda s: s.schema.set_schema_contract({"tables": "freeze"}),
    "table": lambda s: s.schema.update_table(dlt.resource([], name="x").compute_table_schema()),
    "column": lambda s: s.schema.tables["_dlt_loads"]["columns"]["status"].update(precision=8),
    "detection": lambda s: s.schema.add_type_detection("timestamp"),
    "default hints": lambda s: s.schema.merge_hints({"not_null": ["re:^id$"]}),
    "preferred types": lambda s: s.schema.settings.update(preferred_types={"id": "text"}),
    "naming": set_naming,
    "another schema": lambda s: setattr(s, "schema", Schema("other")),
    "columns": lambda s: s.orders.apply_hints(columns={"id": {"data_type": "text"}}),
    "write_disposition": lambda s: setattr(s.orders, "write_disposition", "replace"),
    "strategy": lambda s: s.orders.apply_hints(
        write_disposition={"disposition": "merge", "strategy": "upsert"}
    ),
    "table_name": lambda s: setattr(s.orders, "table_name", "renamed"),
    "nesting of resource": lambda s: setattr(s.orders, "max_table_nesting", 0),
    "nested hints": lambda s: s.orders.apply_hints(
        nested_hints={"lines": {"columns": {"n": {"data_type": "text", "name": "n"}}}}
    ),
    "hints of a variant": lambda s: s.orders.apply_hints(
        table_name="other", write_disposition="replace", create_table_variant=True
    ),
    "file_format": lambda s: s.orders.apply_hints(file_format="parquet"),
    "contract of resource": lambda s: s.orders.apply_hints(schema_contract="freeze"),
    "selected": lambda s: setattr(s.resources["orders"], "selected", False),
    "map": lambda s: s.orders.add_map(lambda row: {**row, "added": 1}),
    "filter": lambda s: s.orders.add_filter(lambda row: row["id"] > 1),
    "yield map": lambda s: s.orders.add_yield_map(lambda row: iter([row, row])),
    "map of transformer": lambda s: s.prices.add_map(lambda row: {**row, "added": 1}),
    "limit": lambda s: s.orders.add_limit(0),
    "incremental": lambda s: s.orders.apply_hints(incremental=cursor()),
    "bound": lambda s: s.orders.bind(first=7),
    "function": lambda s: s.orders._pipe.replace_gen([{"id": 9}]),
    "added": lambda s: s.resources.add(dlt.resource([{"z": 1}], name="added")),
}


@pytest.fixture(scope="module")
def code_and_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Code, Any]]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "etl_of_sources.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    imports = Imports()
    imports.begin()
    code = Code(imports)
    code.begin()
    module = importlib.import_module("etl_of_sources")
    code.differences()
    try:
        yield code, module
    finally:
        imports.end()
        sys.path.remove(str(folder))
        sys.modules.pop("etl_of_sources")


@pytest.fixture
def code(code_and_module: tuple[Code, Any]) -> Code:
    return code_and_module[0]


@pytest.fixture
def etl(code_and_module: tuple[Code, Any]) -> Any:
    """The module above; its source is as a test finds it that is the first one to use it."""
    code, module = code_and_module
    module.SOURCE = module.shop()
    module.cached()
    code.accept(())
    assert code.differences() == []
    return module


def in_module(name: str, etl: Any) -> str:
    return name.removeprefix(f"{etl.__name__}.")


# of one kind with others
_FURTHER = (
    *("root_key", "contract of schema", "detection", "default hints", "preferred types"),
    *("strategy", "table_name", "file_format", "contract of resource", "filter", "yield map"),
)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=pytest.mark.slow if name in _FURTHER else ())
        for name, change in CHANGES.items()
    ],
)
def test_what_changes_in_a_source_is_seen(
    code: Code, etl: Any, change: Callable[[Any], Any]
) -> None:
    before = digest(etl.SOURCE)

    change(etl.SOURCE)

    found = code.differences()
    assert "SOURCE" in [in_module(difference.name, etl) for difference in found]
    assert all(difference.digest is not None for difference in found)
    # given to `dlt_load` as an argument
    assert digest(etl.SOURCE) != before
    code.accept(())
    assert code.differences() == []


@pytest.mark.parametrize("get", HOLDERS.values(), ids=HOLDERS)
def test_it_is_seen_wherever_code_keeps_the_source(
    code: Code, etl: Any, get: Callable[[Any], Any]
) -> None:
    for change in (CHANGES["max_table_nesting"], CHANGES["map"]):
        change(get(etl))

        (found,) = code.differences()
        assert "SOURCE" not in found.name or get is HOLDERS["global"]
        code.accept(())


def test_a_change_that_is_taken_back_is_none(code: Code, etl: Any) -> None:
    etl.SOURCE.max_table_nesting = 0
    assert code.differences() != []

    etl.SOURCE.max_table_nesting = None

    assert code.differences() == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda etl: etl.LATER["a"].append(2), "LATER['a'][1]"),
        (lambda etl: etl.arguments().append(2), "arguments.__defaults__[0][1]"),
        (lambda etl: etl.alone.add_limit(1), "alone"),
        (lambda etl: etl.SCHEMA.set_schema_contract("freeze"), "SCHEMA"),
        (lambda etl: setattr(etl.SCHEMA.naming, "max_length", 5), "SCHEMA"),
    ],
    ids=["container behind a source", "default", "resource", "schema", "length of names"],
)
def test_what_is_beside_a_source_is_seen(
    code: Code, etl: Any, change: Callable[[Any], Any], name: str
) -> None:
    change(etl)

    assert name in [in_module(difference.name, etl) for difference in code.differences()]


def test_a_source_of_an_installed_package_is_seen(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "installed_shop.py").write_text(SOURCE)
    (tmp_path / "uses_shop.py").write_text("import installed_shop")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.syspath_prepend(tmp_path)
    module: Any = importlib.import_module("uses_shop").installed_shop
    code.differences()
    code.accept(())

    for change in (CHANGES["max_table_nesting"], CHANGES["columns"], CHANGES["limit"]):
        change(module.SOURCE)
        assert [d.name for d in code.differences()] == ["installed_shop.SOURCE"]
        code.accept(())

    for name in ("installed_shop", "uses_shop"):
        del sys.modules[name]


SUITE = """
import dlt
import etl
import pytest


@pytest.fixture(scope="module", autouse=True)
def of_module():
    pipeline = dlt.pipeline("wide", destination="duckdb", dataset_name="data")
    pipeline.run(etl.SOURCE.with_resources("orders"), write_disposition="replace")


@pytest.fixture
def changed(request):
    etl.SOURCE.max_table_nesting = request.param
    yield
    etl.SOURCE.max_table_nesting = None


def load():
    return etl.SOURCE.with_resources("orders")


def check(run, nesting):
    assert ("orders__lines" in run.row_counts) is (nesting is None)
    assert run.schema.tables["orders"]["write_disposition"] == "append"


@pytest.mark.dlt_load(source=load)
@pytest.mark.parametrize("changed,nesting", [(n, n) for n in (None, 0, None)], indirect=["changed"])
def test_function(changed, nesting, dlt_loaded):
    check(dlt_loaded, nesting)


@pytest.mark.dlt_load(source=etl.alone, pipeline_name="p", write_disposition="replace")
def test_arguments_of_a_run():
    pass


@pytest.mark.dlt_load(source=etl.alone, pipeline_name="p")
def test_without_them(dlt_loaded):
    check(dlt_loaded, None)
"""


def test_tests_share_what_sources_that_are_alike_have_loaded(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    source = SOURCE.replace("limit=dlt.config.value", "limit=1")
    pytester.makepyfile(etl=source)

    result = run_tests(SUITE)

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["4 templates built (* s), 5 copies made"])
