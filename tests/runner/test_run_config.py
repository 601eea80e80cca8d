"""`run_config` of dlt.yml, for `run_pipeline`, the command line and tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.exceptions import ConfigValueCannotBeCoercedException
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import EntityNotFound, ManifestError, ProjectError, current
from dlthub_project.runner.declared_runs import RunConfig, run_config
from dlthub_project.sandbox import Sandbox, isolated

WriteProject = Callable[..., Path]

MANIFEST = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
    pipelines:
      load_orders:
        source: orders
        destination: warehouse
        run_config:
          RUN_CONFIG
      audit: {destination: warehouse, dataset_name: audit_data}
"""

# fails in the attempts that FAILURES counts
SOURCE = """
    import os
    import dlt

    @dlt.resource
    def orders():
        yield {"id": 1}
        left = int(os.environ.get("FAILURES", 0))
        os.environ["CALLS"] = str(int(os.environ.get("CALLS", 0)) + 1)
        if left:
            os.environ["FAILURES"] = str(left - 1)
            raise ConnectionError("the shop is closed")
"""

RETRIES = "{retry_policy: {type: fixed, max_attempts: 3, min: 0}, retry_pipeline_steps: [extract]}"


@pytest.fixture
def project(write_project: WriteProject, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a project with a `run_config`, on one line."""
    for name in ("FAILURES", "CALLS"):
        monkeypatch.setenv(name, "0")

    def write(config: str) -> Path:
        return write_project(MANIFEST.replace("RUN_CONFIG", config), {"sources/shop.py": SOURCE})

    return write


def counts(pipeline: str = "load_orders") -> dict[str, int]:
    live = current.entities().get_pipeline(pipeline)
    return dict(live.dataset().row_counts().fetchall())


def test_a_declared_pipeline_is_retried_as_it_says_with_its_source_made_again(
    project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(RETRIES)
    monkeypatch.setenv("FAILURES", "2")
    current.runner().run_pipeline("load_orders")

    assert os.environ["CALLS"] == "3"
    assert counts() == {"orders": 1}


def test_given_data_are_retried_too(
    project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(RETRIES)
    monkeypatch.setenv("FAILURES", "2")
    manager = current.runner()
    source = manager.entities.get_source("orders")
    manager.run_pipeline("load_orders", data=source(), limit=5)

    assert counts() == {"orders": 1}


def test_traces_are_stored_by_a_pipeline_beside_it(project: Callable[[str], Path]) -> None:
    project("{store_trace_info: true}")
    current.runner().run_pipeline("load_orders")

    dataset = current.entities().get_dataset("_trace_load_orders_dataset", "warehouse")
    assert dataset["load_orders_trace"].select("attempt").fetchall() == [(1,)]


def test_traces_are_stored_by_the_pipeline_that_is_named(project: Callable[[str], Path]) -> None:
    project("{store_trace_info: audit}")
    current.runner().run_pipeline("load_orders")

    assert counts("audit")["load_orders_trace"] == 1


@pytest.mark.parametrize(
    ("named", "message"),
    [("audti", "There is no pipeline `audti`"), ("load_orders", "names the pipeline itself")],
)
def test_a_trace_pipeline_that_there_is_not_is_said_before_anything_is_loaded(
    project: Callable[[str], Path], named: str, message: str
) -> None:
    project(f"{{store_trace_info: {named}}}")

    with pytest.raises(ProjectError, match=message):
        current.runner().run_pipeline("load_orders")
    assert os.environ["CALLS"] == "0"


def test_a_clean_folder_is_declared(project: Callable[[str], Path]) -> None:
    root = project("{run_from_clean_folder: true}")
    manager = current.runner()
    manager.run_pipeline("load_orders")
    marker = root / "_data" / "dev" / "pipelines" / "load_orders" / "left-behind"
    marker.touch()
    manager.run_pipeline("load_orders")

    assert not marker.exists()
    assert (root / "_data" / "dev" / "local" / "warehouse.duckdb").is_file()
    assert counts() == {"orders": 2}


def test_observers_may_be_given_to_a_run(project: Callable[[str], Path]) -> None:
    project("{}")
    seen: list[Any] = []

    class Observer:
        def on_schema_change(self, pipeline: Any, changes: Any) -> None:
            seen.append((pipeline.pipeline_name, sorted(changes)))

    current.runner().run_pipeline("load_orders", observers=[Observer()])

    assert seen == [("load_orders", ["orders"])]


def test_every_value_may_stand_in_the_environment(
    project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(
        '{retry_policy: {type: backoff, max_attempts: "{env.MOST:4}", max: 9}, '
        'store_trace_info: "{env.STORE:false}"}'
    )
    current.context()
    assert run_config("load_orders") == RunConfig(
        retry_policy={"type": "backoff", "max_attempts": 4, "max": 9.0}
    )
    prefix = "PIPELINES__LOAD_ORDERS__RUN_CONFIG__"
    monkeypatch.setenv("STORE", "audit")
    monkeypatch.setenv(f"{prefix}RETRY_POLICY__TYPE", "fixed")
    monkeypatch.setenv(f"{prefix}RETRY_PIPELINE_STEPS", '["load"]')
    monkeypatch.setenv(f"{prefix}RUN_FROM_CLEAN_FOLDER", "true")

    assert run_config("load_orders") == RunConfig(
        store_trace_info="audit",
        run_from_clean_folder=True,
        retry_policy={"type": "fixed", "max_attempts": 4, "max": 9.0},
        retry_pipeline_steps=["load"],
    )
    assert run_config("audit") == RunConfig()


def test_another_profile_may_turn_retries_off(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = "{pipelines: {load_orders: {run_config: {retry_policy: {type: none}}}}}"
    manifest = MANIFEST.replace("RUN_CONFIG", RETRIES) + f"\n    profiles: {{tests: {off}}}\n"
    write_project(manifest, {"sources/shop.py": SOURCE})
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    monkeypatch.setenv("FAILURES", "1")

    with pytest.raises(PipelineStepFailed):
        current.runner().run_pipeline("load_orders")


@pytest.mark.parametrize(
    ("value", "error"),
    [("{env.NOT_SET}", ManifestError), ("{env.NO_NUMBER}", ConfigValueCannotBeCoercedException)],
)
def test_a_variable_that_is_not_set_or_no_number_is_an_error_when_the_pipeline_runs(
    project: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    error: type[Exception],
) -> None:
    monkeypatch.setenv("NO_NUMBER", "many")
    project(f'{{retry_policy: {{type: fixed, max_attempts: "{value}"}}}}')
    manager = current.runner()

    assert manager.entities.list_pipelines() == ["load_orders", "audit"]
    with pytest.raises(error):
        manager.run_pipeline("load_orders")
    assert os.environ["CALLS"] == "0"


def test_in_a_sandbox_nothing_is_waited_for(
    project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = project("{retry_policy: {type: fixed, min: 3600}, retry_pipeline_steps: [extract]}")
    monkeypatch.setenv("FAILURES", "2")
    monkeypatch.setattr(
        time, "sleep", lambda seconds: pytest.fail(f"slept {seconds} s") if seconds > 1 else None
    )
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(root), os.getcwd())):
        current.runner().run_pipeline("load_orders")

        assert counts() == {"orders": 1}
        assert os.environ["CALLS"] == "3"


def test_in_a_sandbox_what_stores_traces_is_no_run_of_the_test(
    project: Callable[[str], Path], tmp_path: Path
) -> None:
    from dlthub_project.sandbox import observe_runs

    root = project("{store_trace_info: true}")
    seen: list[str] = []
    with (
        isolated(Sandbox(str(tmp_path / "sandbox"), str(root), os.getcwd())),
        observe_runs(lambda pipeline, info: seen.append(pipeline.pipeline_name)),
    ):
        current.runner().run_pipeline("load_orders")
        dataset = current.entities().get_dataset("_trace_load_orders_dataset", "warehouse")

        assert dataset["load_orders_trace"].select("attempt").fetchall() == [(1,)]
    assert seen == ["load_orders"]


def test_in_a_sandbox_time_passes_as_if_it_were_waited(
    project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tenacity

    from dlthub_project.runner import runner

    root = project("{}")
    monkeypatch.setenv("FAILURES", "99")
    policy = tenacity.Retrying(stop=tenacity.stop_after_delay(100), wait=tenacity.wait_fixed(40))
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(root), os.getcwd())):
        pipeline = current.entities().get_pipeline("load_orders")
        run = runner(pipeline, retry_policy=policy, retry_pipeline_steps=["extract"]).run
        with pytest.raises(PipelineStepFailed):
            run(current.entities().get_source("orders")())
        # at 0, 40, 80 and 120 seconds
        assert os.environ["CALLS"] == "4"


def test_an_unknown_pipeline_is_an_error_as_before(project: Callable[[str], Path]) -> None:
    project(RETRIES)

    with pytest.raises(EntityNotFound):
        current.runner().run_pipeline("load_order")
