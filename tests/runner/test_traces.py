"""The trace of each attempt: where it is kept, and that no secret is in it."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common import logger
from dlt.pipeline.exceptions import PipelineStepFailed
from failing import Failing, FailingDestination, come_back, go_away, out_of_reach

from dlthub_project.runner import runner
from dlthub_project.runner.traces import TraceStore


def stored_by(pipeline: dlt.Pipeline) -> dlt.Dataset:
    """Return the dataset of the traces of `pipeline`."""
    name = f"_trace_{pipeline.pipeline_name}"
    return dlt.dataset(pipeline.destination, f"{name}_dataset")


def rows(pipeline: dlt.Pipeline, *columns: str, table: str = "numbers_trace") -> list[Any]:
    return list(stored_by(pipeline)[table].select(*columns).fetchall())


def files(pipeline: dlt.Pipeline) -> list[Path]:
    return sorted(Path(pipeline.working_dir, "traces").glob("*"))


@pytest.fixture
def warnings_of(
    pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> Iterator[pytest.LogCaptureFixture]:
    """What dlt's logger is told, which passes nothing on."""
    of_dlt: logging.Logger = logger.LOGGER  # type: ignore[assignment]
    of_dlt.addHandler(caplog.handler)
    yield caplog
    of_dlt.removeHandler(caplog.handler)


def test_no_trace_is_stored_unless_it_is_asked_for(pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    runner(pipeline).run([{"id": 1}], table_name="items")

    assert [path.name for path in (tmp_path / "pipelines").iterdir()] == ["numbers"]
    assert not files(pipeline)


@pytest.mark.slow
def test_the_trace_of_each_attempt_is_a_row_of_its_own(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    run = runner(pipeline, True, retry_policy=no_wait, retry_pipeline_steps=["extract"]).run
    run(Failing(1, 2).resource())

    traces = stored_by(pipeline)
    assert sorted(rows(pipeline, "attempt", "pipeline_name")) == [
        (1, "numbers"),
        (2, "numbers"),
        (3, "numbers"),
    ]
    assert len(set(rows(pipeline, "transaction_id"))) == 3
    steps = traces(
        "select attempt, step, step_exception is null from numbers_trace "
        "join numbers_trace__steps on _dlt_parent_id = numbers_trace._dlt_id order by 1, 2"
    ).fetchall()
    assert steps == [
        (1, "extract", False),
        (1, "run", False),
        (2, "extract", False),
        (2, "run", False),
        (3, "extract", True),
        (3, "load", True),
        (3, "normalize", True),
    ]
    assert not files(pipeline)


def test_the_main_run_is_as_without_traces(pipeline: dlt.Pipeline) -> None:
    info = runner(pipeline, store_trace_info=True).run([{"id": 1}], table_name="items")

    assert info.pipeline.pipeline_name == "numbers"
    assert dlt.current.pipeline() is pipeline
    assert pipeline.last_trace.last_load_info.loads_ids == info.loads_ids
    assert pipeline.dataset().tables == ["items", *pipeline.dataset().tables[1:]]
    assert "numbers_trace" not in pipeline.dataset().tables
    assert pipeline.schema_names == ["numbers"]


def test_a_trace_tells_what_a_resumed_attempt_did_alone(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    database = tmp_path / "numbers.duckdb"

    class Outage:
        attempts = 0

        def before_load(self, _: dlt.Pipeline) -> None:
            if not self.attempts:
                go_away(database)

        def on_retry(self, _: dlt.Pipeline, attempt: int, error: BaseException) -> None:
            self.attempts = attempt
            come_back(database)

    run = runner(pipeline, True, retry_policy=no_wait, observers=[Outage()]).run
    run([{"id": 1}], table_name="items")
    (of_first,) = files(pipeline)
    transaction = json.loads(of_first.read_text())["transaction_id"]

    # the destination was away when the first was to be stored
    assert of_first.name == f"{transaction}_attempt_1_trace.json"
    assert rows(pipeline, "transaction_id", "attempt") == [(transaction, 2)]
    assert rows(pipeline, "step", table="numbers_trace__steps") == [("load",)]


def test_a_trace_that_cannot_be_stored_is_kept_in_a_file_with_a_warning(
    pipeline: dlt.Pipeline, tmp_path: Path, warnings_of: pytest.LogCaptureFixture
) -> None:
    with out_of_reach(tmp_path / "numbers.duckdb"), pytest.raises(PipelineStepFailed):
        runner(pipeline, store_trace_info=True).run([{"id": 1}], table_name="items")

    (kept,) = files(pipeline)
    trace = json.loads(kept.read_text())
    assert (trace["pipeline_name"], trace["attempt"]) == ("numbers", 1)
    assert [step["step"] for step in trace["steps"]] == ["run"]
    assert "failed" in trace["steps"][0]["step_exception"]
    assert f"The trace of attempt 1 of pipeline numbers is in {kept}" in warnings_of.text


def test_files_of_traces_outlive_the_next_run_and_a_clean_folder(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    with out_of_reach(tmp_path / "numbers.duckdb"), pytest.raises(PipelineStepFailed):
        runner(pipeline, store_trace_info=True).run([{"id": 1}], table_name="items")
    kept = files(pipeline)
    runner(pipeline).run([{"id": 1}], table_name="items")
    assert files(pipeline) == kept
    runner(pipeline, run_from_clean_folder=True).run([{"id": 1}], table_name="items")

    assert files(pipeline) == kept


def test_a_trace_that_failed_to_be_stored_is_not_in_the_table_later(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    run = runner(pipeline, store_trace_info=True).run
    with out_of_reach(tmp_path / "numbers.duckdb"), pytest.raises(PipelineStepFailed):
        run([{"id": 1}], table_name="items")
    run([{"id": 2}], table_name="items")

    assert len(files(pipeline)) == len(rows(pipeline, "attempt")) == 1


@pytest.mark.slow
def test_a_failing_trace_pipeline_does_not_touch_the_run(
    pipeline: dlt.Pipeline, warnings_of: pytest.LogCaptureFixture
) -> None:
    failing = FailingDestination(9, lambda: ValueError("no traces here"))
    traces = dlt.pipeline(
        "traces", pipelines_dir=pipeline.pipelines_dir, destination=failing.make()
    )
    info = runner(pipeline, store_trace_info=traces).run([{"id": 1}], table_name="items")

    assert info.load_packages[0].state == "loaded"
    assert dlt.current.pipeline() is pipeline
    assert len(files(pipeline)) == 1
    assert "no traces here" in warnings_of.text


@pytest.mark.slow
def test_a_trace_that_can_be_kept_nowhere_is_lost_with_a_warning(
    pipeline: dlt.Pipeline, tmp_path: Path, warnings_of: pytest.LogCaptureFixture
) -> None:
    Path(pipeline.working_dir, "traces").write_text("no folder")
    failing = FailingDestination(9, lambda: ValueError("no traces here"))
    traces = dlt.pipeline(
        "traces", pipelines_dir=pipeline.pipelines_dir, destination=failing.make()
    )
    runner(pipeline, store_trace_info=traces).run([{"id": 1}], table_name="items")

    assert "is lost" in warnings_of.text
    assert "could not be written" in warnings_of.text


@pytest.mark.slow
def test_a_pipeline_that_is_given_or_named_stores_the_traces(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    other = dlt.pipeline(
        "audit",
        pipelines_dir=pipeline.pipelines_dir,
        destination=dlt.destinations.duckdb(str(tmp_path / "audit.duckdb")),
        dataset_name="audit_data",
    )
    runner(pipeline, store_trace_info=other).run([{"id": 1}], table_name="items")
    assert other.dataset()["numbers_trace"].select("attempt").fetchall() == [(1,)]

    runner(pipeline, store_trace_info="watch").run([{"id": 2}], table_name="items")
    watched = dlt.dataset(pipeline.destination, "watch_dataset")
    assert watched["numbers_trace"].select("attempt").fetchall() == [(1,)]


@pytest.mark.slow
def test_traces_go_to_the_same_database_where_it_is_named_after_the_pipeline(
    tmp_path: Path,
) -> None:
    made = dlt.pipeline("by_name", destination="duckdb", pipelines_dir=str(tmp_path / "folders"))
    for number in (1, 2):
        runner(made, store_trace_info=True).run([{"id": number}], table_name="items")

    assert [path.name for path in tmp_path.glob("*.duckdb")] == ["by_name.duckdb"]
    assert made.dataset().row_counts().fetchall() == [("items", 2)]
    assert len(rows(made, "attempt", table="by_name_trace")) == 2


def test_a_destination_function_is_not_sent_the_traces(pipeline: dlt.Pipeline) -> None:
    function = FailingDestination(0, lambda: ValueError())
    made = dlt.pipeline("to_api", pipelines_dir=pipeline.pipelines_dir, destination=function.make())
    runner(made, store_trace_info=True).run([{"id": 1}], table_name="items")

    assert function.rows == ["items"]
    assert len(files(made)) == 1


def test_nothing_is_stored_where_dlt_keeps_no_traces(pipeline: dlt.Pipeline) -> None:
    pipeline.config.enable_runtime_trace = False
    runner(pipeline, store_trace_info=True).run([{"id": 1}], table_name="items")

    assert not files(pipeline)
    assert pipeline.dataset().row_counts().fetchall() == [("items", 1)]


def all_text(dataset: dlt.Dataset) -> str:
    """Return every value of every table."""
    return "\n".join(
        str(dataset[table].fetchall()) for table in [*dataset.tables] if "_dlt_version" not in table
    )


SECRETS = {
    "in_environment": "env-4711-value",
    "looked_up": "looked-4712-up",
    "in_mapping": "mapped-4713-token",
    "of_url": "url-4714-password",
    "short": "xq7",
    "by_name_alone": "alone-4715-value",
}


@pytest.mark.parametrize("as_file", [False, True])
def test_no_secret_is_in_a_trace(
    pipeline: dlt.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_file: bool
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRETS["in_environment"])
    monkeypatch.setenv("SOURCES__PIN", SECRETS["short"])
    monkeypatch.setenv("SOURCES__CODE_WORD", SECRETS["looked_up"])
    auth = {"type": "bearer", "token": SECRETS["in_mapping"], "path": "/v1"}
    monkeypatch.setenv("SOURCES__ITEMS__CLIENT", json.dumps(auth))

    @dlt.resource
    def items(
        client: dict[str, Any] = dlt.config.value,
        code_word: str = dlt.secrets.value,
        pin: str = dlt.secrets.value,
    ) -> Iterator[Any]:
        yield {"id": 1}
        raise ConnectionError(
            f"{SECRETS['in_environment']} {code_word} {client} pin {pin} or {client['token']} "
            f"at postgresql://ada:{SECRETS['of_url']}@db.invalid/shop "
            f"password='{SECRETS['by_name_alone']}' Authorization: Bearer {client['token']} "
            "of the xq7th order"
        )

    away = dlt.destinations.duckdb(str(tmp_path))
    other = dlt.pipeline("other", pipelines_dir=pipeline.pipelines_dir, destination=away)
    run = runner(pipeline, store_trace_info=other if as_file else True).run
    with pytest.raises(PipelineStepFailed, match=r"\*\*\*"):
        run(items())
    text = files(pipeline)[0].read_text() if as_file else all_text(stored_by(pipeline))

    assert "ConnectionError" in text
    assert "db.invalid/shop" in text
    assert "/v1" in text
    assert "of the xq7th order" in text
    leaked = {name for name, value in SECRETS.items() if value in text.replace("xq7th", "")}
    assert leaked == set()


def test_the_reason_in_the_warning_has_no_secret(
    pipeline: dlt.Pipeline,
    warnings_of: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "env-4711-value")

    def fails() -> dlt.Pipeline:
        raise ValueError("wrong key env-4711-value")

    runner(pipeline, store_trace_info=fails).run([{"id": 1}], table_name="items")

    assert "wrong key ***" in warnings_of.text
    assert "env-4711-value" not in warnings_of.text


def test_a_trace_store_has_nothing_to_store_before_a_run(pipeline: dlt.Pipeline) -> None:
    from datetime import datetime, timezone

    TraceStore(pipeline).store(1, datetime.now(timezone.utc))

    assert not files(pipeline)
    assert stat.S_ISDIR(Path(pipeline.working_dir).stat().st_mode)


@pytest.mark.slow
def test_the_trace_of_a_pending_package_that_is_finished_first_is_stored_too(
    pipeline: dlt.Pipeline,
) -> None:
    pipeline.extract([{"id": 1}], table_name="items")
    pipeline.normalize()
    runner(pipeline, True).run([{"id": 2}], table_name="items")

    steps = rows(pipeline, "step", "_dlt_parent_id", table="numbers_trace__steps")
    by_trace: dict[str, list[str]] = {}
    for step, trace in steps:
        by_trace.setdefault(trace, []).append(step)
    assert sorted(map(sorted, by_trace.values())) == [["extract", "load", "normalize"], ["load"]]
