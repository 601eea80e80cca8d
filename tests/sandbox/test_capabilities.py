"""A sandbox resolves a configuration once, where dlt does so ten times for capabilities."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.destination import Destination

from dlthub_project.dlt_internals import destinations
from dlthub_project.sandbox import isolated, speed

if TYPE_CHECKING:
    from conftest import MakeSandbox

ROWS = [{"id": 1, "Name": "first"}]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(speed.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("DESTINATION__DUCKDB__CREATE_INDEXES", "true")
    monkeypatch.setenv("DESTINATION__REPLACE_STRATEGY", "insert-from-staging")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__LAYOUT", "{table_name}/{load_id}.{ext}")


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The destinations whose configuration was resolved for their capabilities."""
    found: list[str] = []
    original = Destination.configuration

    def configuration(
        self: Any, initial_config: Any, accept_partial: bool = False, **arguments: Any
    ) -> Any:
        if accept_partial:
            found.append(self.destination_name)
        return original(self, initial_config, accept_partial, **arguments)

    monkeypatch.setattr(Destination, "configuration", configuration)
    return found


def as_dlt_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "capabilities_take_configuration", lambda _destination: True)


def pipeline(destination: Any = "duckdb") -> dlt.Pipeline:
    return dlt.pipeline("small", destination=destination, dataset_name="data")


def values_in_trace(pipeline: dlt.Pipeline) -> set[tuple[str, ...]]:
    assert pipeline.last_trace is not None
    return {
        (value.key, str(value.value), ".".join(value.sections), value.provider_name)
        for value in pipeline.last_trace.resolved_config_values
        # a path in the sandbox
        if value.key != "pipelines_dir"
    }


def test_a_run_resolves_it_once(make_sandbox: MakeSandbox, resolved: list[str]) -> None:
    with isolated(make_sandbox()):
        loading = pipeline()
        loading.run(ROWS, table_name="rows")
        # for its capabilities, and for the file that is held open
        assert resolved == ["duckdb", "duckdb"]

        # the trace of a later run has it too
        loading.run(ROWS, table_name="rows")
        assert resolved == ["duckdb", "duckdb", "duckdb"]


@pytest.mark.parametrize("naming", [None, "sql_cs_v1"])
@pytest.mark.parametrize("name", ["duckdb", "filesystem", "postgres"])
def test_the_capabilities_are_those_that_dlt_tells(
    make_sandbox: MakeSandbox, resolved: list[str], name: str, naming: str | None
) -> None:
    convention = dlt.Schema("s", normalizers={"names": naming}).naming if naming else None
    assert convention is None or convention.is_case_sensitive

    def told() -> dict[str, Any]:
        found = getattr(dlt.destinations, name)().capabilities(naming=convention)
        # a new one each time
        return {k: (v.func, v.args) if isinstance(v, partial) else v for k, v in found.items()}

    by_dlt = told()
    resolved.clear()
    with isolated(make_sandbox()):
        assert [told(), told()] == [by_dlt, by_dlt]

    # that of a filesystem makes a difference to them
    assert resolved == [name] * (2 if name == "filesystem" else 1)


@pytest.mark.parametrize("step", ["run", "extract"])
def test_the_trace_has_the_same_values(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def traced(folder: str) -> set[tuple[str, ...]]:
        with isolated(make_sandbox(folder)):
            running = pipeline()
            getattr(running, step)(ROWS, table_name="rows")
            return values_in_trace(running)

    ours = traced("ours")
    as_dlt_does(monkeypatch)

    assert traced("dlt") == ours
    key = ("create_indexes", "true", "destination.duckdb", "Environment Variables")
    assert key in ours


def test_a_trace_has_nothing_that_was_looked_up_in_another_sandbox(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with isolated(make_sandbox("first")):
        monkeypatch.setenv("DESTINATION__DUCKDB__CREATE_INDEXES", "false")
        pipeline().extract(ROWS, table_name="rows")
        pipeline()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREATE_INDEXES", "true")
    with isolated(make_sandbox("second")):
        extracting = pipeline()
        extracting.extract(ROWS, table_name="rows")

        values = {value for key, value, *_ in values_in_trace(extracting) if "create" in key}
        assert values == {"true"}
