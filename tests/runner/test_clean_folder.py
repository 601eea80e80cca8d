"""`run_from_clean_folder`: nothing of this machine counts, only what the destination has."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common import logger
from failing import come_back, go_away

from dlthub_project.runner import runner


@dlt.resource(name="items")
def items(until: int, id: Any = dlt.sources.incremental("id")) -> Iterator[Any]:
    yield [{"id": i} for i in range(1, until + 1)]


def ids(pipeline: dlt.Pipeline) -> list[int]:
    return sorted(row[0] for row in pipeline.dataset()["items"].select("id").fetchall())


def test_state_and_schema_come_from_the_destination(pipeline: dlt.Pipeline) -> None:
    pipeline.run(items(2))
    marker = Path(pipeline.working_dir, "left-behind")
    marker.touch()
    runner(pipeline, run_from_clean_folder=True).run(items(3))

    assert not marker.exists()
    assert ids(pipeline) == [1, 2, 3]
    assert pipeline.default_schema.version == 2


def test_a_folder_that_is_older_than_the_destination_does_no_harm(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    pipeline.run(items(1))
    elsewhere = dlt.pipeline(
        "numbers",
        pipelines_dir=str(tmp_path / "elsewhere"),
        destination=pipeline.destination,
        dataset_name=pipeline.dataset_name,
    )
    elsewhere.run(items(3))
    runner(pipeline, run_from_clean_folder=True).run(items(4))

    assert ids(pipeline) == [1, 2, 3, 4]


def test_pending_packages_are_dropped_with_a_warning(
    pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.run(items(1))
    pipeline.extract([{"id": 99}], table_name="items")
    of_dlt: logging.Logger = logger.LOGGER  # type: ignore[assignment]
    of_dlt.addHandler(caplog.handler)
    runner(pipeline, run_from_clean_folder=True).run(items(2))
    of_dlt.removeHandler(caplog.handler)

    assert ids(pipeline) == [1, 2]
    assert "packages that an earlier run left pending are dropped" in caplog.text


def test_what_a_pipeline_was_made_with_stays(pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    pipeline.refresh = "drop_data"
    pipeline.run(items(2))
    runner(pipeline, run_from_clean_folder=True).run([{"id": 7}], table_name="items")

    assert pipeline.refresh == "drop_data"
    assert pipeline.working_dir == str(tmp_path / "pipelines" / "numbers")
    assert ids(pipeline) == [7]


def test_a_pipeline_that_does_not_restore_by_itself_is_restored(pipeline: dlt.Pipeline) -> None:
    pipeline.run(items(2))
    pipeline.config.restore_from_destination = False
    runner(pipeline, run_from_clean_folder=True).run(items(3))

    assert ids(pipeline) == [1, 2, 3]


def test_the_folder_is_cleaned_once_and_not_between_attempts(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    database = tmp_path / "numbers.duckdb"

    class Outage:
        is_over = False

        def before_load(self, _: dlt.Pipeline) -> None:
            if not self.is_over:
                go_away(database)

        def on_retry(self, *_: Any) -> None:
            self.is_over = True
            come_back(database)

    calls = 0

    @dlt.resource(name="items")
    def once() -> Iterator[Any]:
        nonlocal calls
        calls += 1
        yield {"id": 1}

    run = runner(
        pipeline, run_from_clean_folder=True, retry_policy=no_wait, observers=[Outage()]
    ).run
    run(once())

    assert calls == 1
    assert ids(pipeline) == [1]


def test_a_new_pipeline_may_run_so_too(pipeline: dlt.Pipeline) -> None:
    runner(pipeline, run_from_clean_folder=True).run(items(1))

    assert ids(pipeline) == [1]
