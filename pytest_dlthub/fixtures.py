"""The fixtures: each hands out an object from another room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.report import FAILED

if TYPE_CHECKING:
    from dlthub_project.sandbox import Sandbox
    from pytest_dlthub.project import DltProject, DltRun


@pytest.fixture(autouse=True)
def _dlt_sandbox(request: pytest.FixtureRequest) -> None:
    if request.config.stash[SESSION].project is not None:
        request.getfixturevalue("dlt_isolated")


@pytest.fixture
def dlt_isolated(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run the test in a sandbox of its own, and leave nothing behind.

    dlt's data, pipeline and global folders are new ones, no pipeline is active, and destinations
    that are declared or named are DuckDB files in the sandbox. Environment, working directory and
    dlt's run context are restored afterwards. In a project every test has this fixture by itself;
    plain dlt code asks for it: `@pytest.mark.usefixtures("dlt_isolated")`.
    """
    from dlthub_project.sandbox import Sandbox, isolated

    session = request.config.stash[SESSION]
    project = str(session.project) if session.project else None
    folder = session.new_test_folder(request.node.name)
    with isolated(Sandbox(str(folder), project, str(session.working_dir))) as sandbox:
        yield sandbox
    keep = request.config.getini("dlt_keep")
    if keep != "all" and (keep == "none" or not request.node.stash.get(FAILED, False)):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dlt_project(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltProject:
    """The dltHub Project under test, on its test profile and in this test's sandbox.

    `dlt_project.run("my_pipeline")` runs a pipeline of `dlt.yml` into a temporary DuckDB and
    returns a `PipelineRun` with `row_counts`, `rows(table)`, `dataset` and more.
    """
    from pytest_dlthub.project import DltProject

    if request.config.stash[SESSION].project is None:
        raise pytest.UsageError(
            "dlt_project: there is no dlt.yml at or above the tests, rootdir or the working "
            "directory; name its folder with --dlt-project or the ini option dlt_project. "
            "Plain dlt code is tested with the fixture dlt_run."
        )
    return DltProject()


@pytest.fixture
def dlt_run(dlt_isolated: Sandbox) -> DltRun:
    """Run any dlt source, resource or rows into a temporary DuckDB: `dlt_run(my_source())`.

    Takes the arguments of `dlt.pipeline` and `dlt.Pipeline.run`, and returns a `PipelineRun`.
    Two calls in one test continue on the same state, as two runs of a pipeline do.
    """
    from pytest_dlthub.project import DltRun

    return DltRun()
