"""Who is told what of a run, and that nobody who is told can break it."""

from __future__ import annotations

import logging
from typing import Any

import dlt
import pytest
from dlt.common import logger
from dlt.common.pipeline import ExtractInfo, LoadInfo, NormalizeInfo
from dlt.common.runtime.collector import LogCollector
from dlt.pipeline.exceptions import PipelineStepFailed
from failing import Failing

from dlthub_project.runner import runner

STEPS = [
    f"{when}_{step}" for step in ("extract", "normalize", "load") for when in ("before", "after")
]


class Told:
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("on_", "before_", "after_")):
            return lambda pipeline, *arguments: self.calls.append((name, arguments))
        raise AttributeError(name)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for called, arguments in self.calls if called == name]


def test_a_run_is_told_from_its_beginning_to_its_end(pipeline: dlt.Pipeline) -> None:
    told = Told()
    info = runner(pipeline, observers=[told]).run([{"id": 1}], table_name="items")

    assert told.names == ["on_before", *STEPS, "on_schema_change", "on_after"]
    assert told.arguments("on_after") == [(info, None)]
    infos = [
        told.arguments(f"after_{step}")[0][0].step_info for step in ("extract", "normalize", "load")
    ]
    assert [type(one) for one in infos] == [ExtractInfo, NormalizeInfo, LoadInfo]


def test_attempts_are_told_and_the_run_begins_and_ends_once(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    told = Told()
    run = runner(
        pipeline, retry_policy=no_wait, retry_pipeline_steps=["extract"], observers=[told]
    ).run
    run(Failing(1).resource())

    extract = ["before_extract", "after_extract"]
    assert told.names == [
        "on_before",
        *extract,
        "on_retry",
        *STEPS,
        "on_schema_change",
        "on_after",
    ]
    ((attempt, error),) = told.arguments("on_retry")
    assert (attempt, error.step) == (1, "extract")
    failed, ended = (step for (step,) in told.arguments("after_extract"))
    assert "the shop is closed" in failed.step_exception
    assert ended.step_exception is None


def test_a_run_that_fails_ends_with_its_error(pipeline: dlt.Pipeline) -> None:
    told = Told()
    with pytest.raises(PipelineStepFailed) as caught:
        runner(pipeline, observers=[told]).run(Failing(1).resource())

    assert told.arguments("on_after") == [(None, caught.value)]


def test_changes_of_the_schema_are_told_when_there_are_any(pipeline: dlt.Pipeline) -> None:
    told = Told()
    run = runner(pipeline, observers=[told]).run
    run([{"id": 1}], table_name="items")
    run([{"id": 2}], table_name="items")
    run([{"id": 3, "note": "new"}], table_name="items")

    first, second = (changes for _, _, changes in told.arguments("on_schema_change"))
    assert first == {"items": ["id", "_dlt_load_id", "_dlt_id"]}
    assert second == {"items": ["note"]}


def test_an_observer_may_have_one_method_only(pipeline: dlt.Pipeline) -> None:
    seen: list[str] = []

    class Observer:
        def before_load(self, pipeline: dlt.Pipeline) -> None:
            seen.append(pipeline.pipeline_name)

    runner(pipeline, observers=[Observer()]).run([{"id": 1}], table_name="items")

    assert seen == ["numbers"]


def test_an_object_that_observes_nothing_is_refused(pipeline: dlt.Pipeline) -> None:
    with pytest.raises(TypeError, match="object has none of on_before, on_after, on_retry"):
        runner(pipeline, observers=[object()])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("method", ["on_before", *STEPS, "on_schema_change", "on_after"])
def test_an_observer_that_raises_is_logged_and_breaks_nothing(
    pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("nobody is watching")

    bad, good = type("Bad", (), {method: staticmethod(fails)})(), Told()
    of_dlt: logging.Logger = logger.LOGGER  # type: ignore[assignment]
    of_dlt.addHandler(caplog.handler)
    info = runner(pipeline, observers=[bad, good]).run([{"id": 1}], table_name="items")
    of_dlt.removeHandler(caplog.handler)

    assert info.load_packages[0].state == "loaded"
    assert f"{method} of observer Bad failed; pipeline numbers goes on" in caplog.text
    assert "nobody is watching" in caplog.text
    assert method in good.names


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["on_before", "before_extract", "after_normalize", "on_after"])
def test_ctrl_c_in_an_observer_ends_the_run(pipeline: dlt.Pipeline, method: str) -> None:
    def interrupts(*_: Any) -> None:
        raise KeyboardInterrupt

    observer = type("Observer", (), {method: staticmethod(interrupts)})()

    with pytest.raises(KeyboardInterrupt):
        runner(pipeline, observers=[observer]).run([{"id": 1}], table_name="items")


class Progress(LogCollector):
    """A progress collector that observes, too."""

    def __init__(self) -> None:
        super().__init__(
            log_period=1000, logger=logging.getLogger("progress"), dump_system_stats=False
        )
        self.seen: list[str] = []

    def on_before(self, pipeline: dlt.Pipeline) -> None:
        self.seen.append("on_before")

    def before_load(self, pipeline: dlt.Pipeline) -> None:
        self.seen.append("before_load")

    def on_start_trace(self, *_: Any) -> None:
        self.seen.append("trace")


@pytest.mark.parametrize("is_given_too", [False, True])
def test_the_progress_collector_of_a_pipeline_may_be_an_observer(
    pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture, is_given_too: bool
) -> None:
    progress = pipeline.collector = Progress()
    caplog.set_level(logging.INFO, logger="progress")
    runner(pipeline, observers=[progress] if is_given_too else []).run(
        [{"id": 1}], table_name="items"
    )

    assert progress.seen == ["on_before", "trace", "before_load"]
    assert "Load numbers" in caplog.text
    assert pipeline.collector is progress


class Documented:
    """Has the methods as dltHub's documentation shows them."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def before_load(self, pipeline: dlt.Pipeline, trace: Any) -> None:
        self.told.append((trace.pipeline_name, [step.step for step in trace.steps]))

    def after_load(self, pipeline: dlt.Pipeline, trace: Any) -> None:
        self.told.append([step.step for step in trace.steps][-1])

    def on_schema_change(
        self, pipeline: dlt.Pipeline, trace: Any, schema_name: str, changes: Any
    ) -> None:
        self.told.append((trace.pipeline_name, schema_name, changes))


class Short(Documented):
    """Has ours, with as few parameters as it needs."""

    def before_load(self, pipeline: dlt.Pipeline) -> None:  # type: ignore[override]
        self.told.append("before")

    def after_load(self, _: dlt.Pipeline, step: Any) -> None:  # type: ignore[override]
        self.told.append(type(step.step_info).__name__)

    def on_schema_change(self, pipeline: dlt.Pipeline, changes: Any) -> None:  # type: ignore[override]
        self.told.append(changes)


def test_methods_are_called_as_dlthub_documents_them_and_as_short_as_they_are(
    pipeline: dlt.Pipeline,
) -> None:
    documented, short = Documented(), Short()
    runner(pipeline, observers=[documented, short]).run([{"id": 1}], table_name="items")

    changes = {"items": ["id", "_dlt_load_id", "_dlt_id"]}
    assert documented.told == [
        ("numbers", ["extract", "normalize"]),
        "load",
        ("numbers", "numbers", changes),
    ]
    assert short.told == ["before", "LoadInfo", changes]


def test_methods_that_take_names_are_told_by_name(pipeline: dlt.Pipeline) -> None:
    told: list[Any] = []

    class All:
        def on_schema_change(self, pipeline: dlt.Pipeline, **named: Any) -> None:
            told.append(sorted(named))

    class Some:
        def on_schema_change(
            self, pipeline: dlt.Pipeline, trace: Any, *, schema_name: str, changes: Any
        ) -> None:
            told.append((schema_name, list(changes)))

    runner(pipeline, observers=[All(), Some()]).run([{"id": 1}], table_name="items")

    assert told == [["changes", "schema_name", "trace"], ("numbers", ["items"])]


def test_error_when_an_observer_is_given_that_cannot_be_called(pipeline: dlt.Pipeline) -> None:
    class OtherArguments:
        def on_schema_change(self, pipeline: dlt.Pipeline, trace: Any) -> None: ...

    class NoArguments:
        def before_load(self) -> None: ...

    with pytest.raises(TypeError) as caught:
        runner(pipeline, observers=[OtherArguments()])
    assert str(caught.value).endswith(
        "of OtherArguments cannot be called with what it is told: (pipeline, trace, schema_name, "
        "changes) or (pipeline, changes) or (pipeline)"
    )
    with pytest.raises(TypeError, match=r"before_load\(\) .* \(pipeline, trace\) or \(pipeline\)"):
        runner(pipeline, observers=[NoArguments()])
