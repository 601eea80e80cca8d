import os
import sys
from pathlib import Path
from unittest.mock import Mock

import dlt
import pytest
from dlt.common.schema import Schema
from dlthub.project import (
    Catalog,
    EntityFactory,
    PipelineManager,
    PlusLogCollector,
    Project,
    ProjectRunContext,
)
from dlthub.project.run_context import ensure_project

from pytest_dlthub.utils import (
    IsInstanceMockMatch,
    assert_load_info,
    assert_records_as_set,
    clean_test_storage,
    delete_test_storage,
    drop_active_pipeline_data,
    get_local_dir,
    get_test_project_context,
    get_test_run_context,
    load_table_counts,
    load_tables_to_dicts,
)


def test_contexts_are_of_the_project_on_its_test_profile(
    dpt_run_context, dpt_project_context, dpt_project_config
):
    assert isinstance(dpt_project_context, ProjectRunContext)
    assert isinstance(dpt_project_config, Project)
    assert dpt_project_config.current_profile == dpt_project_context.profile == "tests"
    assert dpt_run_context is get_test_run_context() is get_test_project_context()
    assert ensure_project().run_dir == dpt_project_context.run_dir
    assert "load_orders" in dpt_project_config.pipelines


def test_pipeline_of_the_project(dpt_project_context):
    info = PipelineManager(dpt_project_context).run_pipeline("load_orders")

    assert_load_info(info)
    pipeline = EntityFactory(dpt_project_context).get_pipeline("load_orders")
    assert load_table_counts(pipeline, "items") == {"items": 2}
    assert load_table_counts(pipeline) == {"items": 2, "items__lines": 4}
    rows = load_tables_to_dicts(pipeline, "items", exclude_system_cols=True, sortkey="id")
    assert rows == {"items": [{"id": 1}, {"id": 2}]}
    assert "_dlt_id" in load_tables_to_dicts(pipeline, "items")["items"][0]
    assert_records_as_set(rows["items"], [{"id": 2}, {"id": 1}, {"id": 2}])
    with pytest.raises(AssertionError, match=r"missing: .*3"):
        assert_records_as_set(rows["items"], [{"id": 2}, {"id": 1}, {"id": 3}])
    with pytest.raises(AssertionError, match=r"not expected: .*2"):
        assert_records_as_set(rows["items"], [{"id": 1}])
    with pytest.raises(ValueError, match="items"):
        load_table_counts(pipeline, "item")
    assert list(Catalog(dpt_project_context)) == ["shop_data"]


class Watch(PlusLogCollector):
    def __init__(self):
        super().__init__()
        self.heard = []

    def on_before(self, pipeline):
        self.heard.append("before")

    def before_load(self, pipeline, trace):
        self.heard.append("load")
        raise LookupError("of an observer, which breaks no run")

    def on_schema_change(self, pipeline, trace, schema_name, changes):
        self.heard.append((schema_name, sorted(changes)))

    def on_after(self, pipeline, load_info, error):
        self.heard.append((len(load_info.loads_ids), error))


def test_plus_log_collector_hears_of_a_run_and_its_data_are_dropped_by_hand():
    watch = Watch()
    pipeline = dlt.pipeline("etl", destination="duckdb", dataset_name="data", progress=watch)
    runner = dlt.hub.runner(pipeline)
    info = runner.run([{"id": 1}], table_name="rows")

    assert watch.heard == ["before", "load", ("etl", ["rows"]), (1, None)]
    with pytest.raises(AssertionError, match="load packages: 1 != 2"):
        assert_load_info(info, 2)
    with pytest.raises(AssertionError, match="load packages: 0 != 1"):
        assert_load_info(None)
    assert_load_info(None, expected_load_packages=0)
    drop_active_pipeline_data()
    assert not pipeline.is_active
    with pipeline.sql_client() as client:
        assert not client.has_dataset()
    drop_active_pipeline_data()


has_data = {}


def load(name):
    pipeline = dlt.pipeline(name, destination="duckdb", dataset_name="data")
    pipeline.run([{"id": 1}], table_name="rows")

    def deactivate():
        with pipeline.sql_client() as client:
            has_data[name] = client.has_dataset()

    # what is done to it when the test has ended
    pipeline.deactivate = deactivate


@pytest.mark.no_load
def test_marked_no_load():
    load("kept")


def test_not_marked():
    load("dropped")


def test_active_pipeline_was_dropped_unless_marked():
    assert has_data == {"dropped": False}


def test_storage_is_empty_and_the_working_folder(autouse_test_storage, monkeypatch):
    folder = Path(get_local_dir())
    assert Path.cwd().samefile(folder)
    assert [*folder.iterdir()] == [] == autouse_test_storage.list_folder_files("")
    Path("mine.txt").touch()
    assert autouse_test_storage.has_file("mine.txt")
    assert clean_test_storage().list_folder_files("") == []
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("pytest_dlthub.utils.get_local_dir", lambda: os.path.dirname(__file__))
        with pytest.raises(pytest.UsageError, match="not in the test's sandbox"):
            delete_test_storage()
    os.chdir(os.path.dirname(folder))
    delete_test_storage()
    assert not folder.exists()


def test_leaves_much(monkeypatch):
    import sources.shop

    os.environ["MINE"] = "1"
    get_test_project_context().switch_profile("access")
    sources.shop.counted.append(1)


def test_nothing_is_left_of_it():
    assert "MINE" not in os.environ
    assert get_test_project_context().profile == "tests"
    assert "sources.shop" not in sys.modules

    import sources.shop

    assert sources.shop.counted == []


def test_package_is_used_with_a_profile_for_tests():
    module = get_test_project_context().module

    assert module.access_profile() == "tests-access"
    assert module.context().profile == "tests-access"
    PipelineManager(module.context()).run_pipeline("load_orders")
    assert module.catalog().shop_data["items"].select("id").fetchall() == [(1,)]


def test_matches_instances():
    mock = Mock()
    mock(Schema("shop"))
    mock.assert_called_with(IsInstanceMockMatch(Schema))
    assert IsInstanceMockMatch(str) != 1
