"""Pipelines of modules are reset for each sandbox, files stay inside, and all runs are seen."""

from __future__ import annotations

import functools
import importlib.util
import pickle
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dlt
import pytest

from dlthub_project.sandbox import is_unobserved, isolated, observe_runs, unobserved_here
from dlthub_project.sandbox.run_observers import tell_observers

if TYPE_CHECKING:
    from conftest import MakeSandbox

MODULE = """
import dlt

warehouse = dlt.destinations.duckdb(destination_name="warehouse")
pipeline = dlt.pipeline("made_at_import", destination=warehouse, dataset_name="data")
named = dlt.pipeline("named_at_import", destination="bigquery", dataset_name="data")
open_ended = dlt.pipeline("without_destination", dataset_name="data")
dataset = dlt.dataset("bigquery", "data")


@dlt.destination
def warehouse_api(items, table):
    pass


# dlt has no name of a dataset for these
nameless = {"function": dlt.pipeline("p", destination=warehouse_api), "nothing": dlt.pipeline("q")}


@dlt.resource
def orders(last=dlt.sources.incremental("id")):
    yield [{"id": id} for id in range(1, 4)]


def main():
    named.run(orders())
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's module on the path, which nobody has imported yet."""
    path = tmp_path / "user_pipelines.py"
    path.write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("user_pipelines", None)


def imported(path: Path, way: str) -> ModuleType:
    """Import as Python does it, or as pytest in `--import-mode=importlib`."""
    if way == "import":
        return __import__(path.stem)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def ids(dataset: dlt.Dataset) -> list[int]:
    return sorted(row[0] for row in dataset.table("orders").select("id").fetchall())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", ["import", "importlib mode of pytest"])
@pytest.mark.parametrize("attribute", ["pipeline", "named"])
def test_pipeline_of_a_module_knows_nothing_of_the_sandbox_before(
    make_sandbox: MakeSandbox, user_module: Path, way: str, attribute: str
) -> None:
    # as the harness: a sandbox of the session around those of the tests
    with isolated(make_sandbox("session")):
        module = imported(user_module, way)
        pipeline = getattr(module, attribute)

        for name in ("first", "second"):
            with isolated(make_sandbox(name)) as sandbox:
                pipeline.run(module.orders())
                # with the cursor of the sandbox before, nothing would be new
                assert pipeline.last_trace.last_normalize_info.row_counts["orders"] == 3
                assert ids(pipeline.dataset()) == [1, 2, 3]
                assert Path(pipeline.working_dir).is_relative_to(sandbox.folder)
                # in one sandbox it goes on
                pipeline.run(module.orders())
                assert ids(pipeline.dataset()) == [1, 2, 3]

        assert not list(Path(make_sandbox("session").local_dir).glob("*.duckdb"))


@pytest.mark.parametrize("target", ["function", "nothing"])
def test_pipeline_of_a_module_without_a_dataset_starts_anew(
    make_sandbox: MakeSandbox, user_module: Path, target: str
) -> None:
    with isolated(make_sandbox("session")):
        module = imported(user_module, "import")
        pipeline = module.nameless[target]
        where = {"destination": "duckdb"} if target == "nothing" else {}
        for name in ("first", "second"):
            with isolated(make_sandbox(name)):
                pipeline.run(module.orders(), **where)
                assert pipeline.last_trace.last_normalize_info.row_counts["orders"] == 3


def test_pipeline_made_before_any_sandbox_is_brought_into_one(
    make_sandbox: MakeSandbox, user_module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "outside"))
    module = imported(user_module, "import")
    before = sorted(tmp_path.rglob("*"))

    with isolated(make_sandbox()) as sandbox:
        module.pipeline.run(module.orders())
        assert Path(module.pipeline.working_dir).is_relative_to(sandbox.folder)
        assert ids(module.pipeline.dataset()) == [1, 2, 3]

    outside = [p for p in tmp_path.rglob("*") if not p.is_relative_to(sandbox.folder)]
    assert [p for p in sorted(outside) if "__pycache__" not in p.parts] == [
        p for p in before if "__pycache__" not in p.parts
    ]


def test_destination_given_to_a_run_is_forgotten_with_the_sandbox(
    make_sandbox: MakeSandbox, user_module: Path
) -> None:
    with isolated(make_sandbox("session")):
        module = imported(user_module, "import")
        for name in ("first", "second"):
            with isolated(make_sandbox(name)) as sandbox:
                module.open_ended.run(module.orders(), destination="warehouse")
                assert ids(module.open_ended.dataset()) == [1, 2, 3]
                assert Path(sandbox.local_dir, "warehouse-test.duckdb").is_file()


def test_dataset_of_a_module_is_that_of_the_sandbox(
    make_sandbox: MakeSandbox, user_module: Path
) -> None:
    with isolated(make_sandbox("session")):
        module = imported(user_module, "import")
        with isolated(make_sandbox("first")):
            module.main()
            assert ids(module.dataset) == [1, 2, 3]


TOLD_BY_A_NEW_PIPELINE = {
    "last_trace": None,
    "has_data": False,
    "has_pending_data": False,
    "first_run": True,
    "default_schema_name": None,
    "schema_names": [],
    "dataset_name": "data",
    "state": lambda state: state["_state_version"] == 0,
    "schemas": lambda schemas: list(schemas) == [],
    "working_dir": lambda folder: "second" in Path(folder).parts,
    "pipelines_dir": lambda folder: "second" in Path(folder).parts,
    "destination": lambda it: "second" in Path(it.config_params["credentials"]).parts,
    "list_completed_load_packages": lambda call: call() == [],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", TOLD_BY_A_NEW_PIPELINE)
def test_pipeline_of_a_module_tells_nothing_of_the_sandbox_before(
    make_sandbox: MakeSandbox, user_module: Path, name: str
) -> None:
    expected: Any = TOLD_BY_A_NEW_PIPELINE[name]

    with isolated(make_sandbox("session")):
        pipeline = imported(user_module, "import").named
        with isolated(make_sandbox("first")):
            pipeline.run([{"id": 1}], table_name="orders", dataset_name="other")
            pipeline.extract([{"id": 2}], table_name="orders")
            told = getattr(pipeline, name)
            assert not (expected(told) if callable(expected) else told == expected)
        with isolated(make_sandbox("second")):
            told = getattr(pipeline, name)
            assert expected(told) if callable(expected) else told == expected


def test_default_schema_of_the_sandbox_before_is_gone(
    make_sandbox: MakeSandbox, user_module: Path
) -> None:
    with isolated(make_sandbox("session")):
        pipeline = imported(user_module, "import").pipeline
        with isolated(make_sandbox("first")):
            pipeline.run([{"id": 1}], table_name="orders")
            assert "orders" in pipeline.default_schema.tables
        with isolated(make_sandbox("second")), pytest.raises(FileNotFoundError):
            assert pipeline.default_schema


def test_pickled_pipeline_still_tells_what_it_was(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("first")):
        pipeline = dlt.pipeline("pickled", destination="duckdb", dataset_name="data")
        pickled = pickle.dumps(pipeline)
    with isolated(make_sandbox("second")):
        assert pickle.loads(pickled).dataset_name == "data"


@functools.lru_cache(maxsize=1)
def kept_pipeline() -> dlt.Pipeline:
    return dlt.pipeline("kept", destination="bigquery", dataset_name="data")


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    yield
    kept_pipeline.cache_clear()


@pytest.mark.usefixtures("nothing_kept")
def test_pipeline_that_code_keeps_starts_anew_in_the_next_sandbox(
    make_sandbox: MakeSandbox,
) -> None:
    with isolated(make_sandbox("session")):
        for name in ("first", "second", "third"):
            with isolated(make_sandbox(name)) as sandbox:
                assert kept_pipeline().first_run
                kept_pipeline().run([{"id": 1}], table_name="orders")
                assert ids(kept_pipeline().dataset()) == [1]
                assert Path(kept_pipeline().working_dir).is_relative_to(sandbox.folder)
            # as the harness does
            shutil.rmtree(sandbox.folder)


@pytest.mark.usefixtures("nothing_kept")
def test_pipeline_of_a_fixture_stays_as_long_as_its_sandbox(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("outer")) as outer:
        kept_pipeline().run([{"id": 1}], table_name="orders")
        for name in ("first", "second"):
            with isolated(make_sandbox(name)):
                assert ids(kept_pipeline().dataset()) == [1]
        with isolated(outer, goes_on=True):
            pass
        with isolated(make_sandbox("third")):
            assert not kept_pipeline().first_run
    with isolated(make_sandbox("after")):
        assert kept_pipeline().first_run


def test_pipeline_of_a_fixture_stays_where_it_was_made(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox("session")) as outer:
        pipeline = dlt.pipeline("of_a_fixture", destination="bigquery", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="orders")

        with isolated(make_sandbox("test")):
            assert ids(pipeline.dataset()) == [1]
            assert Path(pipeline.working_dir).is_relative_to(outer.folder)


def test_folders_given_in_code_are_moved_inside(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    given = {name: str(tmp_path / name) for name in ("pipelines_dir", "export_schema_path")}

    with isolated(make_sandbox()) as sandbox:
        pipeline = dlt.pipeline("exports", destination="duckdb", dataset_name="data", **given)
        pipeline.run([{"id": 1}], table_name="orders")
        assert list(Path(sandbox.folder).rglob("exports.schema.yaml"))
        assert Path(pipeline.working_dir).is_relative_to(sandbox.folder)

    assert [path.name for path in tmp_path.iterdir()] == ["sandbox"]


def test_folders_below_a_local_root_are_kept(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    given = {name: str(mine / name) for name in ("pipelines_dir", "export_schema_path")}

    with isolated(make_sandbox(local_roots=(str(mine),))):
        pipeline = dlt.pipeline("exports", destination="duckdb", dataset_name="data", **given)
        pipeline.run([{"id": 1}], table_name="orders")

    assert (mine / "export_schema_path" / "exports.schema.yaml").is_file()
    assert (mine / "pipelines_dir" / "exports" / "state.json").is_file()


Seen = list[tuple[str, int | None]]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The runs of this test: name of the pipeline, and how many packages it loaded."""
    runs: Seen = []

    def observe(pipeline: dlt.Pipeline, info: Any) -> None:
        runs.append((pipeline.pipeline_name, len(info.loads_ids) if info else None))

    with observe_runs(observe):
        yield runs


def test_runs_of_users_functions_are_seen_once_each(
    make_sandbox: MakeSandbox, user_module: Path, seen: Seen
) -> None:
    with isolated(make_sandbox()):
        imported(user_module, "import").main()
        dlt.pipeline("mine", destination="duckdb").run([{"id": 1}], table_name="rows")

    assert seen == [("named_at_import", 1), ("mine", 1)]


def test_what_one_thread_keeps_to_itself_others_still_tell() -> None:
    told: list[Any] = []
    with observe_runs(lambda pipeline, info: told.append(pipeline)):
        with unobserved_here():
            assert is_unobserved()
            tell_observers("mine", None)  # type: ignore[arg-type]  # any object is handed on
            other = threading.Thread(target=tell_observers, args=("of another thread", None))
            other.start()
            other.join()
        tell_observers("after it", None)  # type: ignore[arg-type]  # the same

    assert told == ["of another thread", "after it"]


def test_run_step_by_step_is_seen_once(make_sandbox: MakeSandbox, seen: Seen) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("by_hand", destination="duckdb")
        pipeline.extract([{"id": 1}], table_name="rows")
        pipeline.normalize()
        assert seen == []
        pipeline.load()

    assert seen == [("by_hand", 1)]


def test_run_without_anything_new_is_seen(make_sandbox: MakeSandbox, seen: Seen) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("nothing", destination="duckdb")
        pipeline.run([{"id": 1}], table_name="rows")
        pipeline.run([], table_name="rows")

    assert [name for name, _ in seen] == ["nothing", "nothing"]


def test_failed_run_is_not_seen(make_sandbox: MakeSandbox, seen: Seen) -> None:
    @dlt.resource
    def broken() -> Iterator[Any]:
        raise RuntimeError("mine")
        yield

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("fails", destination="duckdb")
        with pytest.raises(Exception, match="mine"):
            pipeline.run(broken())
        pipeline.run([{"id": 1}], table_name="rows")

    assert seen == [("fails", 1)]


def test_runs_outside_of_a_sandbox_are_not_seen(
    make_sandbox: MakeSandbox, seen: Seen, tmp_path: Path
) -> None:
    with isolated(make_sandbox()):
        dlt.pipeline("inside", destination="duckdb").run([{"id": 1}], table_name="rows")
    outside = dlt.pipeline("outside", destination="duckdb", pipelines_dir=str(tmp_path / "mine"))
    outside.run([{"id": 1}], table_name="rows")

    assert seen == [("inside", 1)]
