"""Custom destination functions send nothing: what they would be given is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlt
import pytest

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated, sent_to

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


@dlt.destination
def webhook(items: Any, table: Any) -> None:
    calls.append(items)


@dlt.destination(batch_size=2, name="crm")
def crm(items: Any, table: Any, api_key: str = dlt.secrets.value) -> None:
    calls.append((items, api_key))


@dlt.destination(batch_size=0, loader_file_format="parquet")
def by_file(path: str, table: Any) -> None:
    calls.append(path)


def load(destination: Any, data: Any, **arguments: Any) -> dlt.Pipeline:
    pipeline = dlt.pipeline("sends", destination=destination)
    pipeline.run(data, **arguments)
    return pipeline


@pytest.mark.parametrize("destination", [webhook, webhook()], ids=["function", "instance"])
def test_function_is_not_called_and_its_items_are_recorded(
    make_sandbox: MakeSandbox, destination: Any
) -> None:
    with isolated(make_sandbox()):
        pipeline = load(destination, [{"id": 1}, {"id": 2}], table_name="rows")

        assert sent_to(pipeline.destination) == {"rows": [{"id": 1}, {"id": 2}]}
        assert pipeline.destination.destination_name == "webhook"

    assert calls == []


def test_secret_that_nobody_has_set_is_not_needed(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        pipeline = load(crm, [{"id": n} for n in range(5)], table_name="contacts")

        assert sent_to(pipeline.destination)["contacts"] == [{"id": n} for n in range(5)]
        assert pipeline.destination.destination_name == "crm"

    assert calls == []


def test_items_are_recorded_by_table(make_sandbox: MakeSandbox) -> None:
    @dlt.source
    def shop() -> Any:
        return (
            dlt.resource([{"id": 1}], name="orders"),
            dlt.resource([{"name": "Ada"}, {"name": "Bob"}], name="customers"),
        )

    with isolated(make_sandbox()):
        pipeline = load(webhook, shop())

        assert sent_to(pipeline.destination) == {
            "orders": [{"id": 1}],
            "customers": [{"name": "Ada"}, {"name": "Bob"}],
        }


def test_second_run_is_added_and_the_next_sandbox_starts_empty(make_sandbox: MakeSandbox) -> None:
    destination = webhook()

    with isolated(make_sandbox("first")):
        load(destination, [{"id": 1}], table_name="rows")
        pipeline = load(destination, [{"id": 2}], table_name="rows")
        assert sent_to(pipeline.destination) == {"rows": [{"id": 1}, {"id": 2}]}
    with isolated(make_sandbox("second")):
        pipeline = load(destination, [{"id": 3}], table_name="rows")
        assert sent_to(pipeline.destination) == {"rows": [{"id": 3}]}

    assert calls == []


def test_function_of_files_is_given_none(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        pipeline = load(by_file, [{"id": 1}], table_name="rows")

        (file,) = sent_to(pipeline.destination)["rows"]
        assert str(file).endswith(".parquet")

    assert calls == []


def test_other_destinations_have_nothing_recorded(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        assert sent_to(load("duckdb", [{"id": 1}], table_name="rows").destination) == {}


def test_allowed_function_is_called(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox(allowed=("webhook",))):
        pipeline = load(webhook, [{"id": 1}], table_name="rows")
        assert sent_to(pipeline.destination) == {}

    assert calls == [[{"id": 1}]]


CRM = """
    import dlt

    @dlt.destination
    def crm(items, table, api_key: str = dlt.secrets.value):
        raise RuntimeError("sent")
"""


def test_declared_function_records_too(
    make_sandbox: MakeSandbox, write_project: WriteProject
) -> None:
    project = write_project(
        "destinations: {sales: {type: destinations.shop.crm}}", {"destinations/shop.py": CRM}
    )

    with isolated(make_sandbox(project=project)):
        destination = dlt.hub.current.project.entities().get_destination("sales")
        pipeline = load(destination, [{"id": 1}], table_name="rows")

        assert pipeline.destination.destination_name == "sales"
        assert sent_to(pipeline.destination) == {"rows": [{"id": 1}]}


def test_recorded_destination_is_not_blocked_when_it_is_read(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()):
        pipeline = load(webhook, [{"id": 1}], table_name="rows")
        try:
            pipeline.dataset().table("rows").fetchall()
        except RemoteDestinationBlocked:
            pytest.fail("it sends nothing")
        except Exception as error:
            # dlt's own answer: there is nothing to read from
            assert "webhook" in str(error) or "destination" in str(error)  # noqa: PT017
