"""What the plugin does for every test here, without a conftest."""

from pathlib import Path

import pytest

from pytest_dlthub import DltProject


def test_tests_run_on_a_profile_of_their_own(dlt_project: DltProject) -> None:
    assert dlt_project.config.name == "nyc_flights"
    assert dlt_project.config.current_profile == "tests"


def test_each_run_has_a_folder_of_its_own_outside_the_project(dlt_project: DltProject) -> None:
    run = dlt_project.run("load_reference", resources=["airlines"])

    assert run.tables == ["airlines"]  # and nothing that another test has loaded
    project = Path(dlt_project.config.project_dir)
    assert project == Path(__file__).parent.parent
    assert not Path(dlt_project.config.data_dir).is_relative_to(project)
    assert not Path(run.pipeline.working_dir).is_relative_to(project)
    assert not (project / "_data" / "tests").exists()


@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_all_of_a_profile_can_be_built(dlt_project: DltProject, profile: str) -> None:
    dlt_project.check(profile)


def test_production_writes_to_the_file_that_the_environment_names(
    dlt_project: DltProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NYC_WAREHOUSE", "/data/warehouse.duckdb")
    with dlt_project.profile("prod") as context:
        assert context.project.destinations == {
            "warehouse": {"type": "duckdb", "credentials": "/data/warehouse.duckdb"}
        }
