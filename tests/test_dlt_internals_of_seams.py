"""What `dlt_internals/seams.py` relies on in dlt."""

# without postponed annotations: dlt finds no incremental in them
from typing import Any

import dlt
import pytest

from dlthub_project.dlt_internals import seams

read: list[int] = []


@dlt.resource
def numbers(
    start: int = 0,
    token: str = dlt.secrets.value,
    at: Any = dlt.sources.incremental("id", initial_value=0),
) -> Any:
    for number in range(start, 5):
        read.append(number)
        yield {"id": number}


@pytest.mark.leans_on("dlt.extract.pipe:Pipe.insert_step")
def test_function_is_seen_before_maps_and_asked_for_no_more_pages_than_that() -> None:
    read.clear()
    seen: list[Any] = []
    resource = numbers(token="x").add_map(lambda row: {**row, "mapped": True})
    seams.see_pages(resource, lambda item, _: seen.append(item) or item, 2)

    assert [row["mapped"] for row in resource] == [True, True]
    assert seen == [{"id": 0}, {"id": 1}]
    assert read == [0, 1]


@pytest.mark.leans_on(
    "dlt.common.configuration.inject:get_fun_spec", "dlt.extract.items_transform:LimitItem"
)
def test_arguments_are_without_secrets_and_cursors_without_their_state() -> None:
    resource = numbers(start=3, token="x").add_limit(4)

    assert seams.arguments_of(resource) == {
        "start": 3,
        "at": {"cursor_path": "id", "initial_value": 0, "end_value": None},
        "add_limit": [4, None, False],
    }


@pytest.mark.leans_on("dlt.extract.pipe:Pipe.gen")
def test_functions_are_found_in_whatever_they_are_wrapped() -> None:
    def rows(day: str) -> Any:
        yield day

    parallel = numbers.with_name("numbers").parallelize()
    for resource, name in (
        (numbers, "numbers"),
        (numbers(token="x"), "numbers"),
        (parallel, "numbers"),
        (dlt.resource(rows("mon"), name="days"), "rows"),
    ):
        found = seams.written(resource)
        assert found is not None
        assert (found.name, found.module) == (name, __name__)
    assert seams.arguments_of(dlt.resource(rows("mon"), name="days")) == {"day": "mon"}
    assert seams.written(dlt.resource([1], name="held")) is None


@pytest.mark.leans_on("dlt.extract.pipe:Pipe.gen")
def test_data_in_code_are_held_and_generators_are_not() -> None:
    held = seams.held_data(dlt.resource([{"id": 1}], name="held"))

    assert held is not None
    assert list(held()) == list(held()) == [{"id": 1}]
    assert seams.held_data(numbers) is None
    assert seams.held_data(dlt.resource((n for n in [1]), name="read_once")) is None


@pytest.mark.leans_on("dlt.extract.items:DataItemWithMeta", "dlt.extract.hints:HintsMeta")
@pytest.mark.parametrize(
    "mark",
    [
        seams.Mark(table="clicks"),
        seams.Mark(hints={"table_name": "views", "primary_key": "id"}, is_variant=True),
    ],
)
def test_marks_are_read_as_they_are_set(mark: seams.Mark) -> None:
    assert seams.unmarked(seams.marked([{"id": 1}], mark)) == ([{"id": 1}], mark)
    assert seams.unmarked([{"id": 1}]) == ([{"id": 1}], None)
