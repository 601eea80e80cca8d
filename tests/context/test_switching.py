"""Activating projects and profiles: all of it, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.specs import PluggableRunContext
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import (
    ManifestError,
    ProfileNotFound,
    ProjectError,
    ProjectRunContextNotAvailable,
    current,
    ensure_project,
    switch_profile,
    switched_profile,
)
from dlthub_project.dlt_internals import contexts

WriteProject = Callable[..., Path]

MANIFEST = """
    api: {url: of base}
    profiles:
      prod: {api: {url: of prod, token: of prod}}
      broken: {sources: 5}
      without_variable: {project: {data_dir: "{env.NOT_SET}"}}
"""


def add_provider() -> None:
    vault = CustomLoaderDocProvider("vault", lambda: {"added": "by hand"}, supports_secrets=True)
    dlt.config.register_provider(vault)


def test_ensure_project_activates_and_returns_the_context(shop: Path) -> None:
    context = ensure_project(profile="tests")

    assert context.profile == "tests"
    assert current.context() is context


def test_ensure_project_enters_a_project_from_outside(
    shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    contexts.active_run_context()

    ensure_project(str(shop))

    assert current.project().root_dir == str(shop)


def test_ensure_project_sees_a_manifest_that_has_changed(write_project: WriteProject) -> None:
    root = write_project(MANIFEST)
    ensure_project()
    (root / "dlt.yml").write_text("api: {url: changed}\n")

    ensure_project()

    assert dlt.config["api.url"] == "changed"


def test_switching_the_profile_rebuilds_values_and_folders(write_project: WriteProject) -> None:
    root = write_project(MANIFEST, {".dlt/dev.secrets.toml": 'only = "in dev"\n'})
    ensure_project()
    assert dlt.secrets["only"] == "in dev"

    context = switch_profile("prod")

    assert current.context() is context
    assert context.profile == "prod"
    assert dlt.config["api.url"] == "of prod"
    assert dlt.pipeline("a").pipelines_dir == str(root / "_data/prod/pipelines")


def test_nothing_of_the_earlier_profile_stays_readable(write_project: WriteProject) -> None:
    """Switching rebuilds everything."""
    write_project(MANIFEST, {".dlt/prod.secrets.toml": 'only = "in prod"\n'})
    ensure_project(profile="prod")
    add_provider()
    assert dlt.secrets["api.token"] == "of prod"

    switch_profile("dev")

    for key in ("api.token", "only", "added"):
        assert key not in dlt.secrets


def test_a_context_switches_within_its_own_project(
    write_project: WriteProject, tmp_path: Path
) -> None:
    write_project(MANIFEST, folder="first")
    first = ensure_project()
    second = write_project(MANIFEST, folder="second")
    ensure_project(str(second))

    context = first.switch_profile("prod")

    assert context.run_dir == str(tmp_path / "first")
    assert context.profile == "prod"
    assert current.context() is context


def test_switching_outside_of_a_project_is_an_error() -> None:
    with pytest.raises(ProjectRunContextNotAvailable):
        switch_profile("dev")


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("broken", ManifestError),
        ("without_variable", ManifestError),
        ("gone", ProfileNotFound),
    ],
)
@pytest.mark.parametrize(
    "switch",
    [switch_profile, lambda name: ensure_project(profile=name),
     lambda name: current.context().switch_profile(name)],
    ids=["switch_profile", "ensure_project", "context.switch_profile"],
)  # fmt: skip
def test_a_failed_switch_leaves_the_earlier_profile_in_force(
    write_project: WriteProject,
    switch: Callable[[str], object],
    profile: str,
    error: type[ProjectError],
) -> None:
    write_project(MANIFEST, {"sources/one.py": ""})
    before = ensure_project(profile="prod")
    add_provider()

    with pytest.raises(error):
        switch(profile)

    assert current.context() is before
    assert dlt.config["api.url"] == "of prod"
    assert dlt.config["added"] == "by hand"
    assert before.project.project_dir in sys.path


def test_a_toml_file_that_cannot_be_read_leaves_the_earlier_profile_in_force(
    write_project: WriteProject,
) -> None:
    write_project(MANIFEST, {".dlt/prod.config.toml": "this is [no toml"})
    before = ensure_project()
    add_provider()

    with pytest.raises(Exception, match="toml"):
        switch_profile("prod")

    assert current.context() is before
    assert dlt.config["api.url"] == "of base"
    assert dlt.config["added"] == "by hand"
    assert before.project.project_dir in sys.path


def test_a_data_folder_that_cannot_be_made_leaves_the_earlier_profile_in_force(
    write_project: WriteProject,
) -> None:
    write_project("profiles: {prod: {project: {data_dir: a_file/data}}}\n", {"a_file": ""})
    before = ensure_project()

    with pytest.raises(ProjectError, match=r"a_file/data: Not a directory\.\nName another one"):
        switch_profile("prod")

    assert current.context() is before


def test_a_failed_look_for_a_project_leaves_the_context_outside_of_one() -> None:
    before = contexts.active_run_context()
    add_provider()

    with pytest.raises(ProjectRunContextNotAvailable):
        ensure_project()

    assert contexts.active_run_context() is before
    assert dlt.config["added"] == "by hand"


def test_a_profile_can_be_switched_for_a_while(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    before = ensure_project()
    add_provider()

    with switched_profile("prod") as context:
        assert current.context() is context
        assert dlt.config["api.url"] == "of prod"
        assert "added" not in dlt.config

    assert current.context() is before
    assert dlt.config["api.url"] == "of base"
    assert dlt.config["added"] == "by hand"
    assert "api.token" not in dlt.config


def test_the_earlier_profile_comes_back_after_an_exception(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    before = ensure_project()

    with pytest.raises(ZeroDivisionError), switched_profile("prod"):
        raise ZeroDivisionError

    assert current.context() is before


def test_the_earlier_profile_comes_back_after_other_switches(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    before = ensure_project()

    with switched_profile("prod"):
        switch_profile("tests")
        with switched_profile("access"):
            assert current.context().profile == "access"
        assert current.context().profile == "tests"

    assert current.context() is before


def test_a_switch_that_fails_in_a_profile_that_is_switched_for_a_while_leaves_that_one(
    write_project: WriteProject,
) -> None:
    write_project(MANIFEST)
    before = ensure_project()
    add_provider()

    with switched_profile("prod") as context:
        with pytest.raises(ManifestError):
            switch_profile("broken")
        with pytest.raises(ProfileNotFound), switched_profile("gone"):
            pytest.fail("entered")
        assert current.context() is context
        assert dlt.config["api.url"] == "of prod"

    assert current.context() is before
    assert dlt.config["api.url"] == "of base"
    assert dlt.config["added"] == "by hand"


def test_an_error_of_a_run_for_a_while_leaves_plain_dlt_code_on_the_earlier_profile(
    write_project: WriteProject,
) -> None:
    root = write_project(MANIFEST)
    ensure_project()

    with pytest.raises(PipelineStepFailed), switched_profile("prod"):
        dlt.pipeline("a", destination="duckdb").run(dlt.resource(broken, name="items"))
    earlier = dlt.pipeline("b", destination="duckdb")

    assert earlier.working_dir == str(root / "_data/dev/pipelines/b")
    assert os.path.isdir(root / "_data/prod/pipelines/a")
    assert str(root) in sys.path


def broken() -> Iterator[dict[str, int]]:
    """Yield a row, and then fail."""
    yield {"id": 1}
    raise ZeroDivisionError


def test_a_profile_that_is_unknown_is_not_entered(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    before = ensure_project()

    with pytest.raises(ProfileNotFound), switched_profile("gone"):
        pytest.fail("entered")

    assert current.context() is before


def test_dlts_own_switch_of_contexts_validates_first(write_project: WriteProject) -> None:
    from dlt.common.configuration.container import Container

    write_project(MANIFEST)
    before = ensure_project(profile="prod")

    with pytest.raises(ManifestError):
        Container()[PluggableRunContext].reload(runtime_kwargs={"profile": "broken"})

    assert current.context() is before
    assert dlt.config["api.url"] == "of prod"


def test_the_folder_of_a_project_leaves_the_path_with_its_context(
    write_project: WriteProject,
) -> None:
    first = write_project("", {"sources/one.py": ""}, "first")
    second = write_project("", {"sources/two.py": ""}, "second")
    ensure_project(str(first))

    before = contexts.save_run_context()
    ensure_project(str(second))
    assert str(first) not in sys.path
    contexts.restore_run_context(before)

    assert str(second) not in sys.path
    assert sys.path.count(str(first)) == 1
    assert os.path.isdir(current.context().data_dir)
