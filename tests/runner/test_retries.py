"""What is retried, how often, and what comes of it: no row lost, none loaded twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
import tenacity
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationTransientException,
)
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed
from failing import Failing, FailingDestination, come_back, go_away, out_of_reach

from dlthub_project import ProjectError, RemoteDestinationBlocked, SourceUsedUp
from dlthub_project.errors import causes
from dlthub_project.runner import runner
from dlthub_project.runner.attempts import joined
from dlthub_project.runner.retry import is_terminal

ALL_STEPS = ["sync", "extract", "normalize", "load"]


def counts(pipeline: dlt.Pipeline) -> dict[str, int]:
    return dict(pipeline.dataset().row_counts().fetchall())


class Outage:
    """Takes a DuckDB file away before a step, and brings it back before the next attempt."""

    def __init__(self, database: Path, before: str, attempts: int = 1) -> None:
        self.database, self.attempts, self.retries = database, attempts, 0
        setattr(self, before, self.begin)

    def begin(self, pipeline: dlt.Pipeline) -> None:
        if self.retries == 0:
            go_away(self.database)

    def on_retry(self, pipeline: dlt.Pipeline, attempt: int, error: BaseException) -> None:
        self.retries += 1
        if self.retries == self.attempts:
            come_back(self.database)


class Retries:
    """Counts the attempts after the first."""

    number = 0

    def on_retry(self, pipeline: dlt.Pipeline, attempt: int, error: BaseException) -> None:
        self.number += 1


def test_nothing_is_retried_by_default(pipeline: dlt.Pipeline) -> None:
    source = Failing(1)

    with pytest.raises(PipelineStepFailed, match="the shop is closed"):
        runner(pipeline, retry_pipeline_steps=ALL_STEPS).run(source.resource())
    assert source.calls == 1


def test_a_load_that_failed_is_resumed_and_nothing_is_extracted_twice(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    source = Failing()
    outage = Outage(tmp_path / "numbers.duckdb", "before_load", attempts=2)
    info = runner(pipeline, retry_policy=no_wait, observers=[outage]).run(source.resource())

    assert (source.calls, outage.retries) == (1, 2)
    assert counts(pipeline) == {"items": 2, "items__tags": 1}
    assert len(info.loads_ids) == 1
    assert info.load_packages[0].state == "loaded"
    assert not pipeline.has_pending_data


def test_a_load_is_resumed_where_dlt_keeps_no_traces(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any], monkeypatch: Any
) -> None:
    pipeline.config.enable_runtime_trace = False
    database = tmp_path / "numbers.duckdb"

    @dlt.resource
    def items() -> Iterator[Any]:
        yield {"id": 1}
        go_away(database)

    class Back:
        def on_retry(self, *_: Any) -> None:
            come_back(database)

    info = runner(pipeline, retry_policy=no_wait, observers=[Back()]).run(items())

    assert info.loads_ids == []
    assert counts(pipeline) == {"items": 1}


def test_a_destination_that_is_out_of_reach_fails_in_sync_and_is_retried(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    outage = Outage(tmp_path / "numbers.duckdb", "on_before")
    source = Failing()
    runner(pipeline, retry_policy=no_wait, observers=[outage]).run(source.resource())

    assert outage.retries == 1
    assert source.calls == 1
    assert counts(pipeline)["items"] == 2


def test_the_last_error_is_that_of_dlt(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    retried: list[int] = []

    class Observer:
        def on_retry(self, pipeline: dlt.Pipeline, attempt: int, error: BaseException) -> None:
            retried.append(attempt)

    run = runner(pipeline, retry_policy=no_wait, observers=[Observer()]).run
    with out_of_reach(tmp_path / "numbers.duckdb"), pytest.raises(PipelineStepFailed) as caught:
        run([{"id": 1}], table_name="items")

    assert type(caught.value) is PipelineStepFailed
    assert caught.value.step == "sync"
    assert retried == [1, 2]


def test_extract_is_not_retried_unless_it_is_asked_for(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    source = Failing(1)

    with pytest.raises(PipelineStepFailed):
        runner(pipeline, retry_policy=no_wait).run(source.resource())
    assert source.calls == 1


def test_normalize_is_not_retried_unless_it_is_asked_for(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    class Broken(Retries):
        def before_normalize(self, pipeline: dlt.Pipeline) -> None:
            for file in Path(pipeline.working_dir, "normalize").rglob("items.*"):
                file.write_text("no rows")

    broken = Broken()
    run = runner(pipeline, retry_policy=no_wait, observers=[broken]).run
    with pytest.raises(PipelineStepFailed) as caught:
        run([{"id": 1}], table_name="items")
    assert (caught.value.step, broken.number) == ("normalize", 0)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["resource", "source", "list", "function"])
def test_extract_is_retried_from_the_beginning_where_it_is_asked_for(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any], kind: str
) -> None:
    failing = Failing(1, 2)

    @dlt.source
    def shop() -> Any:
        return failing.resource()

    data = {
        "resource": lambda: failing.resource(),
        "source": lambda: shop(),
        "list": lambda: [failing.resource(), dlt.resource([{"id": 1}], name="others")],
        "function": lambda: shop,
    }[kind]()
    run = runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=["extract"])
    info = run.run(data)

    assert failing.calls == 3
    expected = {"items": 2, "items__tags": 1} | ({"others": 1} if kind == "list" else {})
    assert counts(pipeline) == expected
    assert len(info.loads_ids) == 1


def test_a_retried_extract_starts_from_the_cursor_before_it(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    calls = 0

    @dlt.resource(name="items")
    def items(id: Any = dlt.sources.incremental("id", initial_value=0)) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        assert id.last_value == 0
        yield [{"id": 1}]
        if calls == 1:
            raise ConnectionError("gone")
        yield [{"id": 2}]

    runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=["extract"]).run(items())

    assert counts(pipeline) == {"items": 2}


def a_generator() -> Iterator[Any]:
    yield {"id": 1}
    raise ConnectionError("gone")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (lambda: a_generator(), "the generator that is to be loaded"),
        (lambda: dlt.resource(a_generator(), name="items"), "the generator of resource `items`"),
        (
            lambda: dlt.resource(map(dict, iter([1, 2])), name="items"),
            "the map of resource `items`",
        ),
    ],
)
def test_what_can_be_read_only_once_is_an_error_that_says_so_at_the_second_attempt(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any], data: Callable[[], Any], told: str
) -> None:
    run = runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=["extract"]).run

    with pytest.raises(SourceUsedUp) as caught:
        run(data(), table_name="items")
    assert told in str(caught.value)
    assert "Give the function that makes it" in str(caught.value)
    assert isinstance(caught.value.__cause__, PipelineStepFailed)


def test_a_generator_that_does_not_fail_runs_where_extract_may_be_retried(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    run = runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=["extract"]).run
    run(({"id": i} for i in range(3)), table_name="items")

    assert counts(pipeline) == {"items": 3}


def test_extract_and_load_may_both_fail_in_one_run(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any]
) -> None:
    source = Failing(1)
    database = tmp_path / "numbers.duckdb"

    class Observer:
        def before_load(self, pipeline: dlt.Pipeline) -> None:
            if not database.with_suffix(".away").exists() and source.calls == 2:
                source.calls = 20
                go_away(database)

        def on_retry(self, pipeline: dlt.Pipeline, attempt: int, error: BaseException) -> None:
            if attempt == 2:
                come_back(database)

    steps = ["extract", "load"]
    runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=steps, observers=[Observer()]).run(
        source.resource()
    )

    assert source.calls == 20
    assert counts(pipeline) == {"items": 2, "items__tags": 1}


def test_what_an_earlier_attempt_has_loaded_is_in_the_load_info_too(pipeline: dlt.Pipeline) -> None:
    first = pipeline.run([{"id": 1}], table_name="items")
    second = pipeline.run([{"id": 2}], table_name="items")
    both = joined(first, second)

    assert both.loads_ids == [*first.loads_ids, *second.loads_ids]
    assert [package.load_id for package in both.load_packages] == both.loads_ids
    assert set(both.metrics) == set(both.loads_ids)
    assert joined(second, second) is second
    assert joined(None, second) is second


def test_a_package_that_an_earlier_attempt_has_loaded_is_in_what_the_run_returns(
    tmp_path: Path, no_wait: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    given: list[str] = []

    @dlt.destination(batch_size=0, name="shop_api")
    def shop_api(path: str, table: Any) -> None:
        given.append(table["name"])
        if given.count("second") == 1:
            raise DestinationTransientException("the shop is closed")

    sources = [
        dlt.source(lambda name=name: dlt.resource([{"id": 1}], name=name), name=name)()
        for name in ("first", "second")
    ]
    pipeline = dlt.pipeline("numbers", pipelines_dir=str(tmp_path), destination=shop_api)
    info = runner(pipeline, retry_policy=no_wait).run(sources)

    assert given == ["first", "second", "second"]
    assert [package.schema_name for package in info.load_packages] == ["first", "second"]


@pytest.mark.parametrize("step", ["sync", "load"])
def test_the_steps_that_are_retried_are_those_asked_for(
    pipeline: dlt.Pipeline, tmp_path: Path, no_wait: dict[str, Any], step: str
) -> None:
    steps = [other for other in ALL_STEPS if other != step]
    outage = Outage(tmp_path / "numbers.duckdb", "on_before" if step == "sync" else "before_load")
    run = runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=steps, observers=[outage]).run

    with pytest.raises(PipelineStepFailed) as caught:
        run([{"id": 1}], table_name="items")
    assert (caught.value.step, outage.retries) == (step, 0)


def test_a_policy_of_tenacity_keeps_what_it_has_of_its_own(pipeline: dlt.Pipeline) -> None:
    source = Failing(1, 2, 3, 4)
    told: list[int] = []
    waits: list[float] = []
    policy = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_fixed(7),
        sleep=waits.append,
        before_sleep=lambda state: told.append(state.attempt_number),
    )
    run = runner(pipeline, retry_policy=policy, retry_pipeline_steps=["extract"]).run

    with pytest.raises(PipelineStepFailed):
        run(source.resource())
    assert source.calls == 4
    assert told == [1, 2, 3]
    assert waits == [7, 7, 7]


def test_the_condition_of_a_policy_of_tenacity_holds_beside_that_of_the_runner(
    pipeline: dlt.Pipeline,
) -> None:
    source = Failing(1)
    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OSError), wait=tenacity.wait_none()
    )

    with pytest.raises(PipelineStepFailed):
        runner(pipeline, retry_policy=policy, retry_pipeline_steps=["extract"]).run(
            source.resource()
        )
    assert source.calls == 1


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ({"type": "fixed", "max_attempts": 4, "min": 3}, [3, 3, 3]),
        ({"type": "backoff", "max_attempts": 5, "multiplier": 1, "min": 2, "max": 5}, [2, 2, 4, 5]),
        ({"type": "backoff"}, [2, 4, 8, 10]),
        # as `max_attempts:` without a value in a dlt.yml
        ({"type": "fixed", "max_attempts": None, "min": 3}, [3, 3, 3, 3]),
        ({"type": "none", "max_attempts": 4}, []),
    ],
)
def test_a_policy_says_how_often_and_how_long_is_waited(
    pipeline: dlt.Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    policy: dict[str, Any],
    waits: list[int],
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", slept.append)
    source = Failing(*range(1, 10))

    with pytest.raises(PipelineStepFailed):
        runner(pipeline, retry_policy=policy, retry_pipeline_steps=["extract"]).run(
            source.resource()
        )
    assert [seconds for seconds in slept if seconds >= 1] == waits
    assert source.calls == len(waits) + 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"retry_policy": {"type": "backof"}}, ValueError, "`backof`.*Did you mean `backoff`"),
        ({"retry_policy": {}}, ValueError, "Known: backoff, fixed, none"),
        (
            {"retry_policy": {"type": "fixed", "tries": 3}},
            ValueError,
            "has no `tries`.*max_attempts",
        ),
        ({"retry_policy": {"type": "fixed", "max_attempts": 0}}, ValueError, "from 1 up, not 0"),
        ({"retry_policy": {"type": "fixed", "min": "long"}}, ValueError, "min is a number"),
        ({"retry_policy": 3}, TypeError, "a mapping or a tenacity.Retrying, not int"),
        ({"retry_policy": tenacity.AsyncRetrying()}, TypeError, "not AsyncRetrying"),
        ({"retry_pipeline_steps": ["laod"]}, ValueError, "no step `laod`.*Did you mean `load`"),
        ({"retry_pipeline_steps": "load"}, TypeError, "a list of steps"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_before_anything_runs(
    pipeline: dlt.Pipeline, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        runner(pipeline, **arguments)


def test_a_breach_of_a_contract_is_not_retried(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    calls = 0

    @dlt.resource(schema_contract={"columns": "freeze"})
    def items(extra: bool) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        yield {"id": 1, "note": "new"} if extra else {"id": 1}

    retries = Retries()
    run = runner(
        pipeline, retry_policy=no_wait, retry_pipeline_steps=ALL_STEPS, observers=[retries]
    ).run
    run(items(False))
    with pytest.raises(PipelineStepFailed) as caught:
        run(items(True))

    assert any(isinstance(e, DataValidationError) for e in causes(caught.value, "none"))
    assert (calls, retries.number) == (2, 0)


def test_missing_configuration_is_not_retried(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    calls = 0

    @dlt.resource
    def items() -> Iterator[Any]:
        nonlocal calls
        calls += 1
        yield {"token": dlt.secrets["sources.nowhere.token"]}

    with pytest.raises(PipelineStepFailed, match="token"):
        runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=ALL_STEPS).run(items())
    assert calls == 1


def test_a_job_that_failed_for_good_is_not_retried(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any]
) -> None:
    failing = FailingDestination(9, lambda: DestinationTerminalException("never"))
    made = dlt.pipeline("to_api", pipelines_dir=pipeline.pipelines_dir, destination=failing.make())

    with pytest.raises(PipelineStepFailed, match="never"):
        runner(made, retry_policy=no_wait).run([{"id": 1}], table_name="items")
    assert failing.calls == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RemoteDestinationBlocked, SystemExit])
def test_what_ends_a_process_is_not_retried(
    pipeline: dlt.Pipeline, no_wait: dict[str, Any], stop: type[BaseException]
) -> None:
    calls = 0
    arguments = ("far", "allow it") if stop is RemoteDestinationBlocked else ()

    @dlt.resource
    def items() -> Iterator[Any]:
        nonlocal calls
        calls += 1
        raise stop(*arguments)
        yield

    with pytest.raises((stop, PipelineStepFailed)):
        runner(pipeline, retry_policy=no_wait, retry_pipeline_steps=ALL_STEPS).run(items())
    assert calls == 1


def raised_from(error: BaseException, *causes: BaseException) -> BaseException:
    """Return `error` with a cause, which has a cause, and so on."""
    if causes:
        error.__cause__ = raised_from(causes[0], *causes[1:])
    return error


def with_context(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "terminal"),
    [
        (ValueError("x"), False),
        (raised_from(ValueError("x"), DestinationTerminalException("y")), True),
        (raised_from(ValueError("x"), OSError("y"), DestinationTerminalException("z")), True),
        (
            raised_from(DestinationTransientException("x"), DestinationTerminalException("y")),
            False,
        ),
        (with_context(ValueError("x"), DestinationTerminalException("y")), False),
        (with_context(ValueError("x"), KeyboardInterrupt()), True),
        (ProjectError("x"), True),
        (KeyboardInterrupt(), True),
    ],
    ids=str,
)
def test_the_outermost_classification_decides(error: BaseException, terminal: bool) -> None:
    assert is_terminal(error) is terminal


def test_errors_that_cause_each_other_in_a_circle_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first

    assert not is_terminal(first)
