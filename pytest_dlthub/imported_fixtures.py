"""Fixtures that existing suites import into their conftest, with the names of the closed plugin.

All of them use the sandbox of the test (`dlt_isolated`), which already does most of their work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.imports import is_library
from pytest_dlthub.report import FAILED

if TYPE_CHECKING:
    from dlt.common.configuration.specs.pluggable_run_context import RunContextBase
    from dlt.common.storages import FileStorage

    from dlthub_project import Project, ProjectRunContext
    from dlthub_project.sandbox import Sandbox

_NO_LOAD = "no_load"
_PREFIX = "tests-"


@pytest.fixture(autouse=True)
def auto_preserve_environ(dlt_isolated: Sandbox) -> None:
    """Restore the environment after each test."""


@pytest.fixture(autouse=True)
def auto_preserve_run_context(dlt_isolated: Sandbox) -> None:
    """Restore dlt's run context, with its profile and providers, after each test."""


@pytest.fixture(autouse=True)
def auto_preserve_sources_registry(dlt_isolated: Sandbox) -> None:
    """Restore dlt's registry of sources after each test."""


@pytest.fixture
def drop_pipeline(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> Iterator[None]:
    """Drop the data of the active pipeline after a test, unless it is marked `no_load`.

    A failed test keeps its data, as ini `dlt_keep` says; the pipeline is deactivated anyway.
    """
    yield
    if request.node.get_closest_marker(_NO_LOAD) is not None:
        return
    from pytest_dlthub import utils

    keep = request.config.getini("dlt_keep")
    is_kept = keep == "all" or (keep == "failed" and request.node.stash.get(FAILED, False))
    if not is_kept:
        utils.drop_active_pipeline_data()


@pytest.fixture(autouse=True)
def auto_drop_pipeline(drop_pipeline: None) -> None:
    """Drop the data of the active pipeline after each test that is not marked `no_load`."""


@pytest.fixture(autouse=True)
def autouse_test_storage(dlt_isolated: Sandbox) -> FileStorage:
    """Give each test an empty local folder for the files of destinations, and return it."""
    from dlt.common.storages import FileStorage

    from pytest_dlthub import utils

    return FileStorage(utils.get_local_dir(), makedirs=True)


@pytest.fixture(autouse=True)
def auto_unload_modules(dlt_isolated: Sandbox) -> Iterator[None]:
    """Remove the modules that a test has imported, except those of libraries.

    The next test imports them again, and their code runs again.
    """
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        # Python cannot import C modules twice, and other modules may hold their classes
        if getattr(sys.modules[name], "__file__", None) and not is_library(name):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def auto_cwd_to_local_dir(
    autouse_test_storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make the local folder of each test its working directory."""
    monkeypatch.chdir(autouse_test_storage.storage_path)


@pytest.fixture(autouse=True)
def auto_test_access_profile(
    request: pytest.FixtureRequest, dlt_isolated: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Prefix `access_profile()` of the packaged project: `tests-access` for `access`.

    The package then runs on that profile; its `dlt.yml` must declare it.
    """
    from dlthub_project.packaging import prefixed_access_profile

    with ExitStack() as stack:
        stack.enter_context(prefixed_access_profile(_PREFIX))
        own = _own_access_profile(request)
        if own is not None:
            module, access_profile = own
            monkeypatch.setattr(module, "access_profile", lambda: f"{_PREFIX}{access_profile()}")
        yield


@pytest.fixture
def dpt_run_context(dlt_isolated: Sandbox) -> RunContextBase:
    """dlt's run context in this test: that of the project, of the workspace, or of plain dlt."""
    from pytest_dlthub import utils

    return utils.get_test_run_context()


@pytest.fixture
def dpt_project_context(dlt_isolated: Sandbox) -> ProjectRunContext:
    """The run context of the project in this test, on its test profile."""
    from pytest_dlthub import utils

    return utils.get_test_project_context()


@pytest.fixture
def dpt_project_config(dpt_project_context: ProjectRunContext) -> Project:
    """The project in this test: its folders, its profile and its manifest."""
    return dpt_project_context.project


def _own_access_profile(request: pytest.FixtureRequest) -> tuple[Any, Any] | None:
    """Return the project's module, and its `access_profile` if that is not one of ours."""
    from pytest_dlthub.activation import SESSION

    if not request.config.stash[SESSION].is_project:
        return None
    from pytest_dlthub import utils

    module = utils.get_test_project_context().module
    access_profile = getattr(module, "access_profile", None)
    is_ours = getattr(access_profile, "__module__", "") == "dlthub_project.packaging"
    return None if access_profile is None or is_ours else (module, access_profile)
