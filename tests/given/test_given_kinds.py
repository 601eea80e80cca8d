"""What rows can be given as, and to what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from pyarrow import parquet

from dlthub_project.errors import EntityNotFound, ProjectError
from pytest_dlthub import DltRun

ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}]


def never() -> Any:
    """Stand for what a source does to extract."""
    raise AssertionError("the source itself was asked")


@dlt.source
def shop() -> Any:
    @dlt.resource(primary_key="id")
    def users() -> Any:
        yield never()

    @dlt.resource
    def orders() -> Any:
        yield never()

    return users, orders


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        [ROWS],
        [[ROWS[0]], [ROWS[1]]],
        pd.DataFrame(ROWS),
        [pd.DataFrame(ROWS)],
        pa.Table.from_pylist(ROWS),
        [pa.RecordBatch.from_pylist(ROWS)],
    ],
    ids=["rows", "tuple", "page", "pages", "frame", "frames", "table", "batches"],
)
def test_rows_are_given_as(dlt_run: DltRun, rows: Any) -> None:
    run = dlt_run(shop(), given={"users": rows})

    assert run.row_counts == {"users": 2}
    assert run.rows("users") == ROWS


@pytest.mark.sampled(3)
@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "parquet"])
@pytest.mark.parametrize("kind", [str, Path])
def test_rows_are_given_as_a_file_beside_the_test(
    dlt_run: DltRun, tmp_path: Path, ending: str, kind: type
) -> None:
    file = tmp_path / f"users.{ending}"
    if ending == "json":
        file.write_text(json.dumps(ROWS))
    elif ending == "jsonl":
        file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    elif ending == "csv":
        file.write_text("id,name\n1,Ada\n2,Bo\n")
    else:
        parquet.write_table(pa.Table.from_pylist(ROWS), file)

    beside = DltRun(tmp_path)
    run = beside(shop, given={"users": kind(f"users.{ending}")})

    assert run.rows("users") == ROWS


def test_lines_of_a_file_end_where_json_says_so(dlt_run: DltRun, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text('{"id": 1, "name": "Ada\u2028Lovelace"}\r\n\n{"id": 2}', encoding="utf-8")

    run = dlt_run(shop, given={"users": file})

    assert [row["name"] for row in run.rows("users")] == ["Ada\u2028Lovelace", None]


def test_nested_data_become_nested_tables(dlt_run: DltRun) -> None:
    rows = [{"id": 1, "lines": [{"n": 1}, {"n": 2}], "address": {"city": "Ulm"}}]

    run = dlt_run(shop, given={"orders": rows})

    assert run.row_counts == {"orders": 1, "orders__lines": 2}
    assert run.rows("orders") == [{"id": 1, "address__city": "Ulm"}]


def test_rows_of_the_test_are_not_changed_by_the_source(dlt_run: DltRun) -> None:
    @dlt.resource
    def users() -> Any:
        yield never()

    def upper(row: Any) -> Any:
        row["name"] = row["name"].upper()
        return row

    rows = [dict(row) for row in ROWS]
    run = dlt_run(users.add_map(upper), given={"users": rows})

    assert [row["name"] for row in run.rows("users")] == ["ADA", "BO"]
    assert rows == ROWS


def test_frame_of_the_test_is_not_changed_by_the_source(dlt_run: DltRun) -> None:
    def upper(frame: Any) -> Any:
        frame["name"] = frame["name"].str.upper()
        return frame

    users = dlt.resource(never, name="users").add_map(upper)
    frame = pd.DataFrame(ROWS)
    run = dlt_run(users, given={"users": frame})

    assert [row["name"] for row in run.rows("users")] == ["ADA", "BO"]
    assert frame["name"].tolist() == ["Ada", "Bo"]


def test_source_and_resource_objects_of_the_user_are_not_changed(dlt_run: DltRun) -> None:
    @dlt.resource
    def numbers(upto: int = 2) -> Any:
        yield from ({"n": n} for n in range(upto))

    source = numbers(3)
    assert dlt_run(source, given={"numbers": [{"n": 9}]}).rows("numbers") == [{"n": 9}]

    later = dlt_run(source, dataset_name="later_data", pipeline_name="later")

    assert [row["n"] for row in later.rows("numbers")] == [0, 1, 2]


@dlt.resource(selected=False)
def _lists() -> Any:
    yield never()


@dlt.transformer(data_from=_lists)
def details(page: Any) -> Any:
    """Whole pages, since the parent yields lists."""
    assert isinstance(page, list)
    for row in page:
        yield {**row, "detail": row["id"] * 10}


@dlt.transformer(data_from=details)
def more(row: Any) -> Any:
    yield {"id": row["id"], "more": row["detail"] + 1}


@dlt.source
def tree() -> Any:
    return _lists, details, more


class TestTransformers:
    def test_rows_given_to_the_parent_go_through_them(self, dlt_run: DltRun) -> None:
        run = dlt_run(tree, given={"_lists": [[{"id": 1}, {"id": 2}]]})

        assert run.row_counts == {"details": 2, "more": 2}
        assert run.rows("more") == [{"id": 1, "more": 11}, {"id": 2, "more": 21}]

    def test_named_themselves_they_need_no_parent(self, dlt_run: DltRun) -> None:
        run = dlt_run(tree, given={"details": [{"id": 7, "detail": 1}]})

        assert run.row_counts == {"details": 1, "more": 1}
        assert run.rows("more") == [{"id": 7, "more": 2}]

    def test_the_last_one_alone(self, dlt_run: DltRun) -> None:
        run = dlt_run(tree, given={"more": [{"id": 7, "more": 5}]})

        assert run.row_counts == {"more": 1}

    def test_outside_of_a_source(self, dlt_run: DltRun) -> None:
        run = dlt_run(details, given={"_lists": [[{"id": 3}]]})

        assert run.rows("details") == [{"id": 3, "detail": 30}]


def test_parent_that_the_source_does_not_list(dlt_run: DltRun) -> None:
    @dlt.resource
    def ids() -> Any:
        yield never()

    @dlt.transformer
    def doubled(row: Any) -> Any:
        yield {"id": row["id"] * 2}

    @dlt.source
    def piped() -> Any:
        return ids | doubled.with_name("once"), ids | doubled | doubled.with_name("twice")

    run = dlt_run(piped, given={"ids": [{"id": 1}]})

    assert run.rows("once") == [{"id": 2}]
    assert run.rows("twice") == [{"id": 4}]
    assert run.row_counts == {"once": 1, "twice": 1}


def test_parent_of_several_in_a_list_is_run_once(dlt_run: DltRun) -> None:
    seen = []

    @dlt.resource
    def ids() -> Any:
        yield never()

    @dlt.transformer(data_from=ids)
    def left(row: Any) -> Any:
        yield row

    @dlt.transformer(data_from=ids)
    def right(row: Any) -> Any:
        yield row

    ids.add_map(lambda row: seen.append(row["id"]) or row)  # type: ignore[func-returns-value]
    run = dlt_run([ids, left, right], given={"ids": [{"id": 1}]})

    assert run.row_counts == {"ids": 1, "left": 1, "right": 1}
    assert seen == [1]


def test_resource_that_is_only_read_by_others_is_loaded_when_it_is_named_alone(
    dlt_run: DltRun,
) -> None:
    @dlt.source
    def hidden() -> Any:
        return _lists

    assert dlt_run(hidden, given={"_lists": [{"id": 1}]}).rows("_lists") == [{"id": 1}]


def test_error_when_a_given_resource_is_neither_selected_nor_read_by_one_that_is(
    dlt_run: DltRun,
) -> None:
    @dlt.resource
    def others() -> Any:
        yield never()

    source = dlt.source(lambda: [*tree().resources.values(), others()], name="two")
    rows = [[{"id": 1}]]
    with pytest.raises(EntityNotFound, match=r"given: `others` is not selected. Known: details"):
        dlt_run(source().with_resources("details"), given={"_lists": rows, "others": rows})
    # a parent of one that is selected
    run = dlt_run(source().with_resources("details"), given={"_lists": rows})
    assert run.row_counts == {"details": 1}


def test_resources_in_a_class_and_objects_that_are_called(dlt_run: DltRun) -> None:
    class Client:
        @staticmethod
        @dlt.resource
        def things(since: Any = dlt.sources.incremental("id")) -> Any:
            yield never()

        def __call__(self) -> Any:
            yield never()

    @dlt.source
    def of_client() -> Any:
        return Client.things, dlt.resource(Client(), name="itself")

    run = dlt_run(of_client, given={"things": ROWS, "itself": ROWS})

    assert run.rows("things") == run.rows("itself") == ROWS
    assert run.next().row_counts == {"itself": 2}


def test_dynamic_table_names(dlt_run: DltRun) -> None:
    @dlt.resource(table_name=lambda row: f"events_{row['kind']}")
    def events() -> Any:
        yield never()

    run = dlt_run(events, given={"events": [{"kind": "a"}, {"kind": "b"}, {"kind": "a"}]})

    assert run.row_counts == {"events_a": 2, "events_b": 1}


def test_parallelized_and_async_resources(dlt_run: DltRun) -> None:
    @dlt.resource(parallelized=True)
    def parallel() -> Any:
        yield never()

    @dlt.resource
    async def asynchronous() -> Any:
        yield never()

    @dlt.source
    def both() -> Any:
        return parallel, asynchronous

    run = dlt_run(both, given={"parallel": ROWS, "asynchronous": ROWS})

    assert run.rows("parallel") == run.rows("asynchronous") == ROWS


def test_async_transformer_gets_what_is_given(dlt_run: DltRun) -> None:
    @dlt.resource
    def ids() -> Any:
        yield never()

    @dlt.transformer(data_from=ids)
    async def fetched(row: Any) -> Any:
        return {**row, "fetched": True}

    run = dlt_run(fetched, given={"ids": [{"id": 1}]})

    assert run.rows("fetched") == [{"id": 1, "fetched": True}]


def test_resources_that_are_not_functions(dlt_run: DltRun) -> None:
    resource = dlt.resource([{"id": 0}], name="fixed")

    assert dlt_run(resource, given={"fixed": ROWS}).rows("fixed") == ROWS


def test_resources_not_named_are_not_run(dlt_run: DltRun) -> None:
    @dlt.source
    def replacing() -> Any:
        @dlt.resource(write_disposition="replace")
        def states() -> Any:
            yield {"name": "open"}

        @dlt.resource
        def users() -> Any:
            yield from ROWS

        return states, users

    assert dlt_run(replacing).row_counts == {"states": 1, "users": 2}

    second = dlt_run(replacing, given={"users": [{"id": 3, "name": "Cy"}]})

    assert second.row_counts == {"users": 1}
    # an emptied `replace` resource would have truncated it
    assert second.rows("states") == [{"name": "open"}]


def test_what_is_not_given_is_not_asked_when_it_is_selected(dlt_run: DltRun) -> None:
    run = dlt_run(shop, given={"users": ROWS})

    with pytest.raises(PipelineStepFailed, match=r"no rows are given for `orders`.\nGive it rows"):
        run.next(resources=["orders"])


def test_resources_outside_of_sources_that_are_not_given_are_not_run(dlt_run: DltRun) -> None:
    alone = [dlt.resource(never, name="a"), dlt.resource(never, name="b")]

    assert dlt_run(alone, given={"b": [{"id": 1}]}).row_counts == {"b": 1}


def test_error_when_nothing_is_given(dlt_run: DltRun) -> None:
    with pytest.raises(ProjectError, match="given: it names no resource"):
        dlt_run(shop, given={})


def test_no_rows_at_all(dlt_run: DltRun) -> None:
    run = dlt_run(shop, given={"users": []})

    assert run.row_counts == {}


def test_all_of_one_name_in_a_source_yield_what_is_given(dlt_run: DltRun) -> None:
    @dlt.resource
    def users(kind: str) -> Any:
        yield never()

    @dlt.transformer
    def details(row: Any) -> Any:
        yield row

    @dlt.source
    def both() -> Any:
        return users("a"), users("b") | details

    run = dlt_run(both, given={"users": ROWS})

    assert run.row_counts == {"users": 2, "details": 2}


class TestSeveralSources:
    @pytest.fixture
    def sources(self) -> list[Any]:
        return [shop(), shop.clone(name="second")()]

    def test_named_by_source(self, dlt_run: DltRun, sources: list[Any]) -> None:
        run = dlt_run(sources, given={"second.users": ROWS})

        assert run.row_counts == {"users": 2}
        assert run.pipeline.schema_names == ["second"]

    def test_error_when_a_name_is_ambiguous(self, dlt_run: DltRun, sources: list[Any]) -> None:
        with pytest.raises(ProjectError, match=r"`users` is ambiguous.\nName one of shop.users, s"):
            dlt_run(sources, given={"users": ROWS})

    def test_error_when_nothing_is_called_so(self, dlt_run: DltRun, sources: list[Any]) -> None:
        with pytest.raises(EntityNotFound, match=r"no resource `user`. Known: second.orders, s"):
            dlt_run(sources, given={"user": ROWS})


def test_error_when_a_resource_is_not_known(dlt_run: DltRun) -> None:
    with pytest.raises(EntityNotFound, match=r"`user`. Known: orders, users. Did you mean `users`"):
        dlt_run(shop, given={"user": ROWS})


def test_names_with_dots(dlt_run: DltRun) -> None:
    @dlt.source
    def dotted() -> Any:
        return dlt.resource(never, name="eu.users"), dlt.resource(never, name="us.users")

    run = dlt_run(dotted, given={"eu.users": ROWS, "dotted.us.users": ROWS[:1]})

    assert run.row_counts == {"eu_users": 2, "us_users": 1}
    with pytest.raises(EntityNotFound, match=r"`users`. Known: eu.users, us.users"):
        dlt_run(dotted, given={"users": ROWS})


def test_a_function_that_makes_the_source_serves_as_one(dlt_run: DltRun) -> None:
    run = dlt_run(lambda: shop().with_resources("users"), given={"users": ROWS})

    assert run.row_counts == {"users": 2}


def test_rows_that_name_no_resource_are_an_error_with_how_to_name_it(dlt_run: DltRun) -> None:
    with pytest.raises(ProjectError, match=r"a list does not say which resource") as caught:
        dlt_run(shop(), given=ROWS)  # type: ignore[arg-type]
    assert 'given={"my_resource": [{...}]}' in str(caught.value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (
            {"id": 1},
            "`users` is a mapping of `id`; a list of rows or pages, .* One row is a list of one",
        ),
        ({"next": None, "items": ROWS}, "is a mapping of `next`, `items`; .* value of `items`"),
        (
            "envelope.json",
            r"envelope.json holds a mapping of `meta`, `data`; .* such as the value of `data`",
        ),
        ("scalar.json", "scalar.json holds int; a list of rows"),
        (5, "`users` is int"),
        ((row for row in ROWS), "`users` is generator"),
        ("users.xml", r"users.xml ends with none of .csv, .json, .jsonl, .parquet"),
        ("gone.json", r"`users`: there is no file .*gone.json"),
        ("broken.json", r"`users`: .*broken.json cannot be read: "),
    ],
)
def test_error_when_a_value_is_nothing_to_yield(
    tmp_path: Path, dlt_run: DltRun, value: Any, complaint: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "envelope.json").write_text('{"meta": {"page": 1}, "data": [{"id": 1}]}')
    (tmp_path / "scalar.json").write_text("5")

    with pytest.raises(ProjectError, match=complaint):
        DltRun(tmp_path)(shop, given={"users": value})


def test_error_when_a_source_needs_arguments_says_how_to_give_them(dlt_run: DltRun) -> None:
    @dlt.source
    def regional(region: str, *, kind: str, token: str = dlt.secrets.value) -> Any:
        return dlt.resource(never, name="users")

    def made(region: str) -> Any:
        return regional(region, kind="a")

    for given in ({"given": {"users": ROWS}}, {}):
        with pytest.raises(TypeError, match=r"needs `region`, `kind`.*`lambda: regional\(region="):
            dlt_run(regional, **given)
    with pytest.raises(TypeError, match=r"`made` is called .*`lambda: made\(region=\.\.\.\)`"):
        dlt_run(made, given={"users": ROWS})
    assert dlt_run(lambda: made("eu"), given={"users": ROWS}).row_counts == {"users": 2}


@pytest.mark.parametrize(
    "selected", [{"given": {"users": ROWS}}, {"resources": ["users"]}, {"limit": 1}]
)
def test_error_of_a_function_that_makes_a_source_is_told(
    dlt_run: DltRun, selected: dict[str, Any]
) -> None:
    def made() -> Any:
        raise LookupError("no region called `moon`")

    for data in (made, [made]):
        with pytest.raises(LookupError, match="no region called `moon`"):
            dlt_run(data, **selected)


def test_error_when_the_data_are_no_source(dlt_run: DltRun) -> None:
    with pytest.raises(TypeError, match="given= needs dlt sources or resources, not dict"):
        dlt_run(ROWS, table_name="users", given={"users": ROWS})
