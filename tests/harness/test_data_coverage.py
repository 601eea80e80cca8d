"""What `--dlt-cov` says of a session, and each case in which a test would not notice a break.

A case is a source of its own and a test; all of them run in one session.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

RunTests = Callable[..., pytest.RunResult]

HEAD = """
    from unittest.mock import ANY
    import unittest
    import duckdb
    from duckdb import connect
    import dlt
    import pytest
    from pytest_dlthub import (
        assert_idempotent, assert_rows, assert_unique, raises_contract_violation, table_rows,
    )
    import cases
"""

SOURCES = """
import dlt


def rows():
    yield [{"id": 1, "name": "tea", "note": None, "tags": [{"tag": "hot"}]}]
    yield [{"id": 2, "name": "rice"}]


def broken():
    yield {"id": 1}
    raise RuntimeError("broken")


def nothing():
    yield from ()
"""

_HINTS = 'columns={"note": {"data_type": "text"}}'


class Case:
    """A source, what its test does with it, and what is to be said of it."""

    def __init__(
        self,
        test: str,
        covered: str = "",
        not_covered: str = "",
        unknown: str = "",
        function: str = "rows",
        hints: str = _HINTS,
        marks: str = "",
        fixtures: str = "dlt_run",
        own: str = "",
    ) -> None:
        self.test, self.marks, self.fixtures, self.own = test, marks, fixtures, own
        self.said = {"covered": covered, "missing": not_covered, "unknown": unknown}
        self.function, self.hints = function, hints

    def source(self, name: str) -> str:
        return self.own or (
            f"@dlt.source\ndef {name}():\n"
            f"    return dlt.resource({self.function}, name='orders', {self.hints})\n\n\n"
        )

    def code(self, name: str) -> str:
        body = textwrap.indent(textwrap.dedent(self.test).strip(), "    ")
        head = f"source = cases.{name}"
        return f"{self.marks}\ndef test_{name}({self.fixtures}):\n    {head}\n{body}\n\n\n"


MERGED = 'primary_key="id", write_disposition="merge"'
APPENDED = 'write_disposition="append"'
READ = "reads orders.id"
LOADED = "resources orders / tables orders / columns orders.id"
RUN = "run = dlt_run(source())\n"

CASES = {
    # runs
    "loaded": Case(
        RUN + "assert run.row_counts['orders'] == 2",
        "sources / pipelines / resources orders / tables orders / tables orders__tags"
        " / columns orders.name / columns orders__tags.tag",
        # a column that was null in every row
        "columns orders.note / reads orders.id / reads orders__tags.tag"
        " / dispositions orders: append",
    ),
    "failed_run": Case(
        "with pytest.raises(Exception):\n    dlt_run(source())",
        not_covered="sources / resources orders",
        function="broken",
    ),
    "nothing_yielded": Case(
        RUN + "assert run.row_counts == {}",
        "sources",
        "resources orders (it ran and yielded nothing)",
        function="nothing",
    ),
    "given_rows": Case(
        "run = dlt_run(source(), given={'orders': [{'id': 1}]})\n"
        "assert run.rows('orders') == [{'id': 1}]",
        "tables orders / columns orders.id / reads orders.id",
        "resources orders (its rows were given: its own code never ran)",
        hints="",
    ),
    "given_to_a_cursor": Case(
        "dlt_run(source(), given={'orders': [{'id': 1}]})",
        not_covered="resources orders (its rows were given: its own code never ran)"
        " / cursors orders.id",
        own="@dlt.source\ndef given_to_a_cursor():\n"
        "    @dlt.resource\n    def orders(at=dlt.sources.incremental('id')):\n"
        "        yield {'id': 1}\n    return orders\n\n\n",
    ),
    "items_alone": Case(
        "assert len(dlt_items(source())['orders']) == 2",
        "resources orders",
        "sources",
        fixtures="dlt_items",
    ),
    "feeding": Case(
        RUN,
        "resources ids / resources details",
        "resources others (it ran and yielded nothing)",
        own="@dlt.source\ndef feeding():\n"
        "    @dlt.resource(selected=False)\n    def ids():\n        yield [{'id': 1}]\n"
        "    @dlt.transformer(data_from=ids)\n    def details(item):\n        yield item\n"
        "    @dlt.resource\n    def others():\n        yield {'id': 1}\n"
        "    return ids, details, others.add_filter(lambda row: False)\n\n\n",
    ),
    # outcomes
    "skipped": Case(RUN + "pytest.skip('later')", not_covered=f"sources / {LOADED}"),
    "expected_to_fail": Case(
        RUN + "assert run.rows('orders') == []",
        not_covered=f"sources / {LOADED}",
        marks="@pytest.mark.xfail(strict=False)",
    ),
    "passing_though_expected_to_fail": Case(
        RUN + "run.rows('orders', 'id')",
        not_covered=f"sources / {LOADED} / {READ}",
        marks="@pytest.mark.xfail(strict=False)",
    ),
    # not what it looks like
    "named_like_it": Case(
        "dlt_run([{'id': 1}], table_name='orders', pipeline_name='named_like_it')",
        not_covered="sources",
    ),
    # reads
    "named": Case(
        RUN + "run.dataset.table('orders').select('id').fetchall()", READ, "reads orders.name"
    ),
    "fetched": Case(
        RUN + "run.dataset.table('orders').fetchall()",
        not_covered="reads orders__tags.tag",
        # what is null everywhere cannot be looked at
        unknown=f"{READ} / reads orders.name",
    ),
    "filtered": Case(
        RUN + "run.dataset.table('orders').where('id', 'eq', 1).fetchall()",
        READ,
        unknown="reads orders.name",
    ),
    "counted": Case(
        RUN + "run.dataset('select count(*) from orders').fetchall()\nlen(run.dataset.tables)",
        not_covered=READ,
    ),
    "frame": Case(RUN + "run.dataset.table('orders').df()", unknown=READ),
    "frame_of_columns": Case(
        RUN + "run.dataset.table('orders')[['id']].df()", READ, "reads orders.name"
    ),
    "arrow_in_chunks": Case(
        RUN + "list(run.dataset.table('orders').select('id').iter_arrow(1))", READ
    ),
    "ibis_of_columns": Case(
        RUN + "table = run.dataset.table('orders').to_ibis()\nrun.dataset(table.select('id')).df()",
        READ,
        "reads orders.name",
    ),
    "ibis": Case(RUN + "run.dataset(run.dataset.table('orders').to_ibis()).df()", unknown=READ),
    "ibis_by_itself": Case(RUN + "run.dataset.ibis()", unknown=READ),
    "sql": Case(
        RUN + "run.sql('select o.id from orders o join orders__tags t '\n"
        "    'on t._dlt_parent_id = o._dlt_id')",
        READ,
        "reads orders.name / reads orders__tags.tag",
    ),
    "sql_of_all": Case(
        RUN + "run.sql('select * from (select * from orders where id = 1)')",
        READ,
        unknown="reads orders.name",
    ),
    "sql_of_a_client": Case(
        RUN + "with run.pipeline.sql_client() as client:\n"
        "    client.execute_sql('with it as (select * from orders) select max(id) from it')",
        READ,
        "reads orders.name",
    ),
    "sql_that_fails": Case(
        RUN + "with pytest.raises(Exception):\n    run.sql('select id, 1 + name from orders')",
        not_covered=READ,
    ),
    "rows_compared": Case(
        RUN + "assert run.rows('orders', columns=['id']) == [{'id': 1}, {'id': 2}]\n"
        "assert run.rows('orders__tags') == [{'tag': 'hot'}]",
        f"{READ} / reads orders__tags.tag",
    ),
    "rows_like_any": Case(
        RUN + "assert run.rows('orders') == [{'id': n, 'name': ANY, 'note': ANY} for n in (1, 2)]",
        READ,
        unknown="reads orders.name",
    ),
    "rows_counted": Case(
        RUN + "assert len(run.rows('orders')) == 2\nassert run.rows('orders') != []",
        not_covered="reads orders__tags.tag",
        unknown=READ,
    ),
    "rows_nested": Case(
        RUN + "found = run.rows('orders', nested=True, where={'id': 1})\n"
        "tea = {'id': 1, 'name': 'tea', 'note': None, 'tags': [{'tag': 'hot'}]}\n"
        "assert found == [tea]",
        f"{READ} / reads orders.name / reads orders__tags.tag",
    ),
    "rows_of_a_relation": Case(
        RUN + "assert table_rows(run.dataset.table('orders__tags')) == [{'tag': 'hot'}]",
        "reads orders__tags.tag",
        READ,
    ),
    "rows_of_none": Case(
        RUN + "assert run.rows('orders', where={'id': 7}) == []",
        "tables orders / reads orders.id",
        "reads orders__tags.tag",
    ),
    "subset": Case(
        RUN + "assert_rows(run.dataset.table('orders'), [{'id': 1}], subset=True)",
        READ,
        unknown="reads orders.name",
    ),
    "unique": Case(
        RUN + "assert_unique(run.dataset.table('orders'), 'id')", READ, "reads orders.name"
    ),
    "unique_before_it_looked": Case(
        RUN + "with pytest.raises(AssertionError):\n"
        "    assert_unique(run.dataset.table('orders'), 'id', 'nmae')\n"
        "dlt_run(source())\n"
        "with pytest.raises(AssertionError):\n    assert_unique(run.dataset.table('orders'), 'id')",
        not_covered=READ,
    ),
    "compared_with_itself": Case(
        RUN + "assert_idempotent(run)",
        "keys orders: id",
        READ,
        hints=MERGED,
    ),
    "own_connection": Case(
        RUN + "path = run.database_path\nduckdb.connect(str(path), read_only=True).close()",
        unknown=f"{READ} / reads orders.name / reads orders__tags.tag",
    ),
    "own_connection_that_attaches": Case(
        "path = tmp_path / 'own.duckdb'\n"
        "dlt_run(source(), destination=dlt.destinations.duckdb(str(path)))\n"
        "with connect() as own:\n    own.execute(f\"ATTACH '{path}' AS data\")",
        unknown=READ,
        fixtures="dlt_run, tmp_path",
    ),
    "own_connection_to_its_own": Case(
        "dlt_run(source())\nwith connect() as own:\n    own.execute('select 1 as attachment')",
        not_covered=READ,
    ),
    "own_connection_of_a_client": Case(
        RUN + "with run.pipeline.sql_client() as client:\n"
        "    client.native_connection.execute('select 1')",
        unknown=READ,
    ),
    "in_files": Case(
        "dlt_run(source(), destination='filesystem')",
        "columns orders.id",
        unknown=READ,
    ),
    # two sources, one table
    "first_of_two": Case(
        "pipeline = dlt.pipeline('two', destination='duckdb', dataset_name='data')\n"
        "dlt_run(source(), pipeline=pipeline)\n"
        "run = dlt_run(cases.second_of_two(), pipeline=pipeline)\n"
        "run.sql('select id, price from orders')",
        READ,
        "reads orders.name",
    ),
    "second_of_two": Case(
        "pass",
        "reads orders.price",
        "reads orders.unit",
        own="@dlt.source\ndef second_of_two():\n"
        "    return dlt.resource([{'price': 1, 'unit': 'g'}], name='orders')\n\n\n",
    ),
    "renamed": Case(
        RUN + "run.rows('my_orders', 'created_at')",
        "columns my_orders.created_at / reads my_orders.created_at",
        "columns my_orders.deleted_at / reads my_orders.deleted_at",
        own="@dlt.source\ndef renamed():\n"
        "    return dlt.resource([{'createdAt': 1}], name='MyOrders',"
        " columns={'deletedAt': {'data_type': 'bigint'}})\n\n\n",
    ),
    # second runs
    "appended": Case(RUN + "run.next()", "dispositions orders: append", hints=APPENDED),
    "appended_nothing": Case(
        "dlt_run(source(), given={'orders': [{'id': 1}]}).next(given={'orders': []})",
        not_covered="dispositions orders: append",
        hints=APPENDED,
    ),
    "begun_anew": Case(
        RUN + "dlt_run(source(), refresh='drop_sources')",
        not_covered="dispositions orders: append",
        hints=APPENDED,
    ),
    "merged_others": Case(
        "dlt_run(source(), given={'orders': [{'id': 1}]}).next(given={'orders': [{'id': 2}]})",
        "dispositions orders: merge",
        "keys orders: id",
        hints=MERGED,
    ),
    "merged_frames": Case(
        "import pyarrow as pa\n"
        "def frame(*ids):\n"
        "    return {'orders': pa.table({'id': ids, 'name': pa.nulls(2, pa.string())})}\n"
        "dlt_run(source(), given=frame(1, 2)).next(given=frame(2, 3))",
        "keys orders: id / columns orders.id",
        "columns orders.name",
        hints=MERGED,
    ),
    "cursor_once": Case(
        RUN,
        "resources orders",
        "cursors orders.id",
        hints="incremental=dlt.sources.incremental('id')",
        own="@dlt.source\ndef cursor_once():\n"
        "    return dlt.resource(rows, name='orders').apply_hints("
        "incremental=dlt.sources.incremental('id'))\n\n\n",
    ),
    "cursor_twice": Case(
        RUN + "assert run.next().row_counts == {}",
        "cursors orders.id",
        "dispositions orders: append",
        own="@dlt.source\ndef cursor_twice():\n"
        "    return dlt.resource(rows, name='orders').apply_hints("
        "incremental=dlt.sources.incremental('id'))\n\n\n",
    ),
    # what dlt has not registered
    "called": Case(
        "assert cases.called.name",
        not_covered="sources",
        own="called = dlt.source(lambda: dlt.resource(rows, name='orders'), name='called')()\n\n\n",
    ),
    "called_and_run": Case(
        "dlt_run(cases.called_and_run)",
        "sources / resources orders",
        own="called_and_run = dlt.source(lambda: dlt.resource(rows, name='orders'),"
        " name='called_and_run')()\n\n\n",
    ),
    "made_by_a_function": Case(
        "assert callable(cases.made_by_a_function)",
        not_covered="sources",
        own="def made():\n    @dlt.source\n    def made_by_a_function():\n"
        "        return dlt.resource(rows, name='orders')\n    return made_by_a_function\n\n\n"
        "made_by_a_function = made()\n\n\n",
    ),
    "held_rows": Case(
        "assert cases.held_rows.name",
        not_covered="sources",
        own="held_rows = dlt.resource([{'id': 1}], name='held_rows')\n\n\n",
    ),
    "held_rows_and_run": Case(
        "dlt_run(cases.held_rows_and_run)",
        "sources / resources held_rows_and_run",
        own="held_rows_and_run = dlt.resource([{'id': 1}], name='held_rows_and_run')\n\n\n",
    ),
    # contracts
    "frozen": Case(
        RUN + "with raises_contract_violation(table='orders'):\n"
        "    run.next(given={'orders': [{'id': 3, 'new': 1}]})",
        "contracts orders: columns=freeze",
        "contracts orders: data_type=freeze",
        hints="schema_contract={'columns': 'freeze', 'data_type': 'freeze'}",
    ),
    "discarding": Case(
        RUN + "run.next(given={'orders': [{'id': 3, 'new': 1}]})",
        "contracts orders: columns=discard_value",
        hints="schema_contract={'columns': 'discard_value'}",
    ),
    # fixtures and loads
    "of_a_fixture": Case(
        "assert fixture_run == 2",
        "resources orders / tables orders / columns orders.id",
        fixtures="dlt_run, fixture_run",
    ),
    "of_a_fixture_of_none": Case(
        "pytest.skip('later')",
        not_covered="sources / resources orders / tables orders",
        fixtures="unused_run",
    ),
    "loaded_once": Case(
        "assert dlt_dataset.table('orders').select('id').fetchall()",
        f"sources / {LOADED} / {READ}",
        "dispositions orders: append / reads orders.name",
        marks="@pytest.mark.dlt_load(source=cases.loaded_once)",
        fixtures="dlt_dataset",
        hints=APPENDED,
    ),
    "loaded_once_for_none": Case(
        "pytest.skip('later')",
        not_covered=f"sources / {LOADED}",
        marks="@pytest.mark.dlt_load(source=cases.loaded_once_for_none)",
        fixtures="dlt_loaded",
    ),
    "loaded_once_and_again": Case(
        "dlt_loaded.next()",
        "dispositions orders: merge / keys orders: id",
        marks="@pytest.mark.dlt_load(source=cases.loaded_once_and_again)",
        fixtures="dlt_loaded",
        hints=MERGED,
    ),
}

FURTHER = """
@dlt.source
def of_this_file():
    return dlt.resource([{"id": 1}], name="orders")


def test_of_a_source_of_the_tests(dlt_run):
    dlt_run(of_this_file())


@pytest.fixture(scope="module")
def fixture_run():
    pipeline = dlt.pipeline("of_fixture", destination="duckdb", dataset_name="data")
    pipeline.run(cases.of_a_fixture())
    return len(pipeline.dataset().table("orders").select("id").fetchall())


# the first test that has the fixture covers nothing
def test_before_it(fixture_run):
    pytest.skip("later")


@pytest.fixture(scope="module")
def unused_run():
    dlt.pipeline("of_none", destination="duckdb", dataset_name="data").run(
        cases.of_a_fixture_of_none()
    )
"""


def said_of(report: dict[str, Any], source: str, state: str) -> set[str]:
    """Return what a report says of a source, each with its dimension, as cases have it."""
    found = set()
    for dimension, figures in report["dimensions"].items():
        for item in figures[state]:
            name = item if isinstance(item, str) else item["name"]
            reason = "" if isinstance(item, str) or not item["reason"] else f" ({item['reason']})"
            owner, _, rest = name.partition(".")
            if name == source or owner == source:
                found.add(f"{dimension} {rest}{reason}".strip())
            elif dimension == "pipelines":
                found.add("pipelines")
    return found


# one of each kind; all of them take as long as a hundred other tests
OFTEN = (
    "called",
    "given_rows",
    "held_rows_and_run",
    "fetched",
    "unique_before_it_looked",
    "merged_others",
    "loaded_once",
)


@pytest.mark.parametrize(
    "names",
    [pytest.param([*CASES], marks=pytest.mark.slow, id="all"), pytest.param(OFTEN, id="often")],
)
def test_each_case_is_said_as_it_is(
    pytester: pytest.Pytester, run_pytest: RunTests, names: list[str]
) -> None:
    chosen = {name: CASES[name] for name in names}
    pytester.makeini("[pytest]\ndlt_isolation = on\n")
    # the fixtures of tests that are left out need theirs
    sources = "".join(case.source(name) for name, case in CASES.items())
    tests = "".join(case.code(name) for name, case in chosen.items())
    pytester.makepyfile(
        cases=f"{SOURCES}\n\n{sources}",
        test_cases=f"{textwrap.dedent(HEAD)}\n{FURTHER}\n\n{tests}",
    )

    result = run_pytest(
        "--dlt-cov", "--dlt-cov-report=json:it.json", "-q", "-p", "no:cacheprovider"
    )

    report = json.loads((pytester.path / "it.json").read_text())
    wrong = [
        f"{name}: {state}: {one}"
        for name, case in chosen.items()
        for state, told in case.said.items()
        for one in filter(None, told.split(" / "))
        if one not in said_of(report, name, state)
    ]
    assert "\n".join(wrong) == ""
    assert result.parseoutcomes().get("failed", 0) == 0
    assert "of_this_file" not in json.dumps(report)
