"""The source's own semantics hold for rows that are given."""

# without postponed annotations: dlt finds no incremental in them
import sys
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import dlt
import pyarrow as pa
import pytest
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.secrets import KNOWN
from pytest_dlthub import DltRun

# on Python 3.10 dlt fails with the built-in: `issubclass() arg 1 must be a class`
TEXTS: Any = typing.Tuple[str, ...] if sys.version_info < (3, 11) else tuple[str, ...]  # noqa: UP006

DAY_1 = [{"id": 1, "at": "2026-01-01", "name": "a"}, {"id": 2, "at": "2026-01-02", "name": "b"}]
DAY_2 = [
    {"id": 1, "at": "2026-01-01", "name": "older than the cursor"},
    {"id": 3, "at": "2026-01-03", "name": "c"},
]


def never() -> Any:
    raise AssertionError("the source itself was asked")


@dlt.resource
def in_signature(since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.resource
def with_other_arguments(
    token: str = dlt.secrets.value, since: Any = dlt.sources.incremental("at"), page: int = 1
) -> Any:
    yield never()


@dlt.resource
def bound(kind: str, since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.resource
def without_default(since: dlt.sources.incremental[str]) -> Any:
    yield never()


@dlt.resource(incremental=dlt.sources.incremental("at"))
def hinted() -> Any:
    yield never()


@dlt.resource
def returns_a_list(since: Any = dlt.sources.incremental("at")) -> Any:
    return [never()]


@dlt.resource(parallelized=True)
def parallel(since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.resource
async def asynchronous(since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.resource(table_name=lambda row: "dynamic")
def dynamic(since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.resource
def parent() -> Any:
    yield never()


@dlt.transformer(data_from=parent)
def transformed(row: Any, since: Any = dlt.sources.incremental("at")) -> Any:
    yield never()


@dlt.transformer
def piped(row: Any, kind: str, since: dlt.sources.incremental[str]) -> Any:
    yield never()


INCREMENTALS = {
    "in_signature": lambda: in_signature,
    "with_other_arguments": lambda: with_other_arguments,
    "bound": lambda: bound("x"),
    "bound_with_an_incremental": lambda: without_default(dlt.sources.incremental("at")),
    "bound_and_renamed": lambda: without_default(dlt.sources.incremental("at")).with_name("new"),
    "transformer_bound_and_renamed": lambda: (
        parent | piped("x", since=dlt.sources.incremental("at")).with_name("new")
    ),
    "hinted": lambda: hinted,
    "hinted_later": lambda: without_default.with_name("without_default").apply_hints(
        incremental=dlt.sources.incremental("at")
    ),
    "returns_a_list": lambda: returns_a_list,
    "parallel": lambda: parallel,
    "asynchronous": lambda: asynchronous,
    "dynamic": lambda: dynamic,
    "transformed": lambda: transformed,
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("in_source", [False, True], ids=["alone", "in_source"])
@pytest.mark.parametrize("kind", INCREMENTALS)
def test_row_older_than_the_cursor_is_dropped_on_day_2(
    dlt_run: DltRun, kind: str, in_source: bool
) -> None:
    resource = INCREMENTALS[kind]()

    @dlt.source
    def source() -> Any:
        return resource

    name, table = resource.name, "dynamic" if kind == "dynamic" else resource.name
    first = dlt_run(source if in_source else resource, given={name: DAY_1})
    assert first.row_counts == {table: 2}

    second = first.next(given={name: DAY_2})

    assert second.row_counts == {table: 1}
    assert sorted(row["id"] for row in second.rows(table)) == [1, 2, 3]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("resource", [without_default, in_signature], ids=lambda r: r.name)
@pytest.mark.parametrize("name", [None, "new"])
def test_initial_value_given_in_code_holds(
    dlt_run: DltRun, resource: Any, name: str | None
) -> None:
    bound = resource(since=dlt.sources.incremental("at", initial_value="2026-01-02"))
    if name is not None:
        bound = bound.with_name(name)

    run = dlt_run(bound, given={bound.name: DAY_1})

    assert [row["id"] for row in run.rows(bound.name)] == [2]


def test_cursor_of_a_parent_that_the_source_does_not_list(dlt_run: DltRun) -> None:
    @dlt.transformer
    def details(row: Any) -> Any:
        yield row

    @dlt.source
    def source() -> Any:
        return without_default(dlt.sources.incremental("at")) | details

    first = dlt_run(source, given={"without_default": DAY_1})
    second = first.next(given={"without_default": DAY_2})

    assert (first.row_counts, second.row_counts) == ({"details": 2}, {"details": 1})


def test_cursor_in_arrow_tables(dlt_run: DltRun) -> None:
    given = {"in_signature": pa.Table.from_pylist(DAY_1)}
    first = dlt_run(in_signature, given=given)

    second = first.next(given={"in_signature": pa.Table.from_pylist(DAY_2)})

    assert (first.row_counts, second.row_counts) == ({"in_signature": 2}, {"in_signature": 1})


def test_rows_of_the_boundary_are_loaded_once(dlt_run: DltRun) -> None:
    @dlt.resource(primary_key="id")
    def events(since: Any = dlt.sources.incremental("at")) -> Any:
        yield never()

    first = dlt_run(events, given={"events": DAY_1})
    second = first.next(given={"events": [DAY_1[1], {"id": 9, "at": "2026-01-02"}]})

    assert sorted(row["id"] for row in second.rows("events")) == [1, 2, 9]


def test_maps_filters_and_limits(dlt_run: DltRun) -> None:
    @dlt.resource
    def numbers() -> Any:
        yield never()

    resource = numbers.add_filter(lambda row: row["n"] != 2)
    resource.add_map(lambda row: {**row, "double": 2 * row["n"]})
    pages = [[{"n": 1}, {"n": 2}], [{"n": 3}], [{"n": 4}]]

    run = dlt_run(resource.add_limit(2), given={"numbers": pages})

    assert run.rows("numbers") == [{"n": 1, "double": 2}, {"n": 3, "double": 6}]


def test_limit_and_resources_of_the_run(dlt_run: DltRun) -> None:
    @dlt.source
    def two() -> Any:
        @dlt.resource
        def left() -> Any:
            yield never()

        @dlt.resource
        def right() -> Any:
            yield never()

        return left, right

    given = {"left": [{"n": 1}, {"n": 2}], "right": [{"n": 3}]}

    assert dlt_run(two, given=given, limit=1).row_counts == {"left": 1, "right": 1}
    assert dlt_run(two, given=given, resources=["right"]).row_counts == {"right": 1}


def test_merge_by_key(dlt_run: DltRun) -> None:
    @dlt.resource(primary_key="id", write_disposition="merge")
    def users() -> Any:
        yield never()

    first = dlt_run(users, given={"users": DAY_1})
    second = first.next(given={"users": [{"id": 2, "name": "new"}]})

    assert [(row["id"], row["name"]) for row in second.rows("users")] == [(1, "a"), (2, "new")]


def test_scd2_keeps_the_history(dlt_run: DltRun) -> None:
    @dlt.resource(write_disposition={"disposition": "merge", "strategy": "scd2"})
    def prices() -> Any:
        yield never()

    first = dlt_run(prices, given={"prices": [{"id": 1, "price": 5}, {"id": 2, "price": 6}]})
    second = first.next(given={"prices": [{"id": 1, "price": 7}, {"id": 2, "price": 6}]})

    rows = second.rows("prices")
    retired = [
        row["price"]
        for row in second.dataset.prices.df().to_dict("records")
        if row["_dlt_valid_to"] == row["_dlt_valid_to"] and row["_dlt_valid_to"] is not None
    ]
    assert sorted(row["price"] for row in rows) == [5, 6, 7]
    assert retired == [5]


def test_column_hints_and_nesting_depth(dlt_run: DltRun) -> None:
    @dlt.resource(max_table_nesting=0, columns={"id": {"data_type": "text"}})
    def things() -> Any:
        yield never()

    run = dlt_run(things, given={"things": [{"id": 1, "parts": [{"n": 1}]}]})

    assert run.tables == ["things"]
    assert run.rows("things")[0]["id"] == "1"
    assert run.schema.tables["things"]["columns"]["parts"]["data_type"] == "json"


def test_contract_of_the_resource(dlt_run: DltRun) -> None:
    @dlt.resource(columns={"id": {"data_type": "bigint"}}, schema_contract={"columns": "freeze"})
    def strict() -> Any:
        yield never()

    first = dlt_run(strict, given={"strict": [{"id": 1}]})

    with pytest.raises(PipelineStepFailed) as failure:
        first.next(given={"strict": [{"id": 2, "surprise": True}]})
    causes = [failure.value]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)  # type: ignore[arg-type]
    assert any(isinstance(cause, DataValidationError) for cause in causes)


def test_state_that_a_transformer_keeps(dlt_run: DltRun) -> None:
    @dlt.transformer(data_from=parent)
    def counted(row: Any) -> Any:
        state = dlt.current.resource_state()
        state["seen"] = state.get("seen", 0) + 1
        yield {**row, "seen": state["seen"]}

    first = dlt_run(counted, given={"parent": [{"id": 1}, {"id": 2}]})
    second = first.next(given={"parent": [{"id": 3}]})

    assert [row["seen"] for row in second.rows("counted")] == [1, 2, 3]


class TestSecrets:
    def test_missing_ones_have_placeholders(self, dlt_run: DltRun) -> None:
        seen: dict[str, Any] = {}

        @dlt.source
        def api(
            token: str = dlt.secrets.value,
            number: dlt.TSecretStrValue = dlt.secrets.value,
            kept: dlt.TSecretStrValue = "default",  # type: ignore[assignment]
        ) -> Any:
            seen.update(token=token, number=number, kept=kept)

            @dlt.resource
            def things() -> Any:
                yield never()

            @dlt.transformer(data_from=things)
            def details(row: Any, password: str = dlt.secrets.value) -> Any:
                seen["password"] = password
                yield row

            return things, details

        run = dlt_run(api, given={"things": [{"id": 1}]})

        assert run.row_counts == {"things": 1, "details": 1}
        assert seen == {
            "token": "not-set",
            "number": "not-set",
            "kept": "default",
            "password": "not-set",
        }

    def test_placeholders_parse_as_their_type_or_name_says(self, dlt_run: DltRun) -> None:
        class Mode(Enum):
            FAST = "fast"

        required: Any = dlt.secrets.value
        seen: dict[str, Any] = {}

        @dlt.source
        def api(  # type: ignore[no-untyped-def]  # to be untyped is the point
            base_url=required,
            webhook_url: str = required,
            api_host: str = required,
            database_url=required,
            db_host: str = required,
            mail: str = required,
            service_account_json: str = required,
            start_date: str = required,
            port=required,
            headers=required,
            account_ids=required,
            token=required,
            tags: TEXTS = required,
            names: Sequence[str] = required,
            options: Mapping[str, str] = required,
            price: Decimal = required,
            mode: Mode = required,
        ) -> Any:
            seen.update({name: value for name, value in locals().items() if name != "seen"})
            return dlt.resource(never, name="things")

        dlt_run(api, given={"things": [{"id": 1}]})

        assert {name: value for name, value in seen.items() if not name.endswith("_url")} == {
            "api_host": "not-set.invalid",
            "db_host": "not-set.invalid",
            "mail": "not-set@not-set.invalid",
            "service_account_json": "{}",
            "start_date": "1970-01-01",
            "port": 0,
            "headers": {},
            "account_ids": [],
            "token": "not-set",
            "tags": (),
            "names": [],
            "options": {},
            "price": Decimal(0),
            "mode": Mode.FAST,
        }
        assert seen["database_url"] == "dlthub_given://"
        for url in (seen["base_url"], seen["webhook_url"]):
            assert urlsplit(url)[:2] == ("https", "not-set.invalid")
        # they are no secrets: reports show them
        assert KNOWN.masked(repr(seen)) == repr(seen)

    def test_those_read_by_name_have_placeholders(self, dlt_run: DltRun, dlt_config: Any) -> None:
        seen: list[Any] = []

        @dlt.source
        def api() -> Any:
            seen.extend([dlt.secrets["api.token"], dlt.secrets["api.known"]])
            # code that asks whether there is one does without
            seen.extend(["api.token" in dlt.secrets, dlt.secrets.get("api.token")])
            seen.append("api.known" in dlt.secrets)
            return dlt.resource(never, name="things")

        dlt_config["api.known"] = "mine"
        dlt_run(api, given={"things": [{"id": 1}]})

        assert seen == ["not-set", "mine", False, None, True]
        with pytest.raises(KeyError):
            dlt.secrets["api.token"]

    def test_configured_ones_are_used(self, dlt_run: DltRun, dlt_config: Any) -> None:
        seen = []

        @dlt.source
        def api(token: str = dlt.secrets.value) -> Any:
            seen.append(token)

            @dlt.resource
            def things() -> Any:
                yield never()

            return things

        dlt_config["sources.api.token"] = "mine"
        dlt_run(api, given={"things": [{"id": 1}]})

        assert seen == ["mine"]

    def test_without_given_rows_they_are_missing(self, dlt_run: DltRun) -> None:
        @dlt.source
        def api(token: str = dlt.secrets.value) -> Any:
            return dlt.resource([1], name="numbers")

        with pytest.raises(Exception, match="token"):
            dlt_run(api)

    def test_other_values_stay_missing(self, dlt_run: DltRun) -> None:
        @dlt.source
        def api(region: str = dlt.config.value) -> Any:
            return dlt.resource([1], name="numbers")

        with pytest.raises(Exception, match="region"):
            dlt_run(api, given={"numbers": [{"n": 1}]})
