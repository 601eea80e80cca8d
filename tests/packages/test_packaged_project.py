"""A packaged project, used from elsewhere: its profile, its folders, and the caller's project."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import dlt
import pytest

from dlthub_project import (
    ManifestError,
    PackagedProject,
    ProfileNotFound,
    ProjectError,
    ProjectRunContextNotAvailable,
    current,
    ensure_project,
    kept_context,
)
from dlthub_project.packaging import prefixed_access_profile
from dlthub_project.sandbox import Sandbox, isolated

Install = Callable[..., Path]
WriteProject = Callable[..., Path]


def test_two_lines_make_the_accessors_of_a_package(install: Install) -> None:
    root = install("rates_mart")
    rates_mart = importlib.import_module("rates_mart")

    rates_mart.runner().run_pipeline("load_rates")
    dataset = rates_mart.catalog().dataset("rates")
    dataset.save([{"currency": "SEK"}], table_name="mine")

    assert rates_mart.access_profile() == rates_mart.context().profile == "access"
    assert rates_mart.config().data_dir == str(root / "_data" / "access")
    assert rates_mart.entities().list_pipelines() == ["load_rates"]
    assert dict(dataset.row_counts().fetchall()) == {"daily": 1, "mine": 1}
    assert list(Path.cwd().iterdir()) == [root.parent]


def test_access_profile_is_prefixed_for_tests_and_never_another_profile(
    install: Install, tmp_path: Path
) -> None:
    declared = "profiles: {access: {}, tests: {}, tests-access: {}}"
    with_profile = PackagedProject(str(install("rates_mart", declared) / "__init__.py"))
    without = PackagedProject(str(install("other_mart", "profiles: {tests: {}}") / "__init__.py"))

    with isolated(Sandbox(str(tmp_path / "sandbox"), None, str(Path.cwd()))):
        assert with_profile.context().profile == "tests"
        with prefixed_access_profile("tests-"):
            assert with_profile.access_profile() == with_profile.config().current_profile
            assert with_profile.access_profile() == "tests-access"
            with pytest.raises(ProfileNotFound, match="tests-access"):
                without.catalog()
        assert with_profile.access_profile() == "access"


def test_what_profile_access_declares_holds_for_who_uses_the_package(install: Install) -> None:
    manifest = """
        destinations: {warehouse: {type: duckdb}}
        profiles:
          prod: {destinations: {warehouse: {credentials: prod.duckdb}}}
          access: {extends: prod}
    """
    mart = PackagedProject(str(install("rates_mart", manifest) / "__init__.py"))

    assert mart.config().destinations["warehouse"]["credentials"] == "prod.duckdb"


def test_profile_and_pin_of_the_callers_project_are_not_those_of_the_package(
    mart: PackagedProject, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project("profiles: {staging: {}}\n", {".dlt/profile-name": "staging"})
    monkeypatch.setenv("WORKSPACE__PROFILE", "staging")

    assert mart.context().profile == "access"
    assert ensure_project().profile == "staging"


def test_in_its_own_folder_a_package_has_the_profile_that_is_active_there(
    mart: PackagedProject, monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    monkeypatch.chdir(site / "rates_mart" / "sources")

    assert mart.context().profile == current.context().profile == "dev"


def test_in_its_own_folder_a_package_has_the_profile_of_environment_or_pin(
    mart: PackagedProject, monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(site / "rates_mart"))
    monkeypatch.setenv("WORKSPACE__PROFILE", "prod")

    assert mart.context().profile == "prod"


def test_a_package_that_is_reached_by_a_link_is_the_same(
    mart: PackagedProject, site: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(site)
    ensure_project(str(link / "rates_mart"), "dev")

    assert mart.context().profile == "dev"


def test_a_profile_that_the_package_was_switched_to_stays(mart: PackagedProject) -> None:
    mart.context().switch_profile("prod")

    assert mart.config().current_profile == mart.runner().entities.project.current_profile == "prod"


def test_a_broken_manifest_where_the_caller_is_does_not_matter(
    mart: PackagedProject, write_project: WriteProject
) -> None:
    write_project("pipelines: 3\n")

    assert mart.config().name == "rates_mart"
    with pytest.raises(ManifestError):
        ensure_project()


def test_a_package_without_its_manifest_says_where_it_was_looked_for(
    mart: PackagedProject, site: Path
) -> None:
    (site / "rates_mart" / "dlt.yml").unlink()

    message = f"there is no dlt.yml in {site / 'rates_mart'}"
    with pytest.raises(ProjectRunContextNotAvailable, match=message):
        mart.catalog()


def test_the_callers_project_comes_back_with_its_code_and_folders(
    mart: PackagedProject, shop: Path, site: Path
) -> None:
    before = current.context()

    with kept_context():
        mart.runner().run_pipeline("load_rates")
        rows = mart.catalog().dataset("rates").table("daily").select("currency").fetchall()
        assert current.config().name == "rates_mart"

    assert rows == [("CHF",)]
    assert current.context() is before
    assert str(site / "rates_mart") not in sys.path
    assert list(current.entities().get_source("orders")().resources) == ["items", "customers"]
    assert dlt.pipeline("mine").pipelines_dir == str(shop / "_data" / "dev" / "pipelines")


def test_the_context_comes_back_after_an_error_too(mart: PackagedProject, shop: Path) -> None:
    with pytest.raises(ManifestError), kept_context():
        ensure_broken_project_after(mart)

    assert current.config().name == "shop"


def ensure_broken_project_after(mart: PackagedProject) -> None:
    Path(mart.config().root_dir, "dlt.yml").write_text("pipelines: 3\n")
    ensure_project(mart.config().root_dir)


def test_dlt_without_a_project_comes_back(mart: PackagedProject) -> None:
    with kept_context():
        mart.context()

    with pytest.raises(ProjectRunContextNotAvailable):
        current.config()


def test_what_a_package_gave_is_refused_while_another_project_is_active(
    mart: PackagedProject, shop: Path
) -> None:
    catalog, runner = mart.catalog(), mart.runner()
    ensure_project()

    with pytest.raises(ProjectError, match="rates_mart"):
        catalog.dataset("rates")
    with pytest.raises(ProjectError, match="rates_mart"):
        runner.run_pipeline("load_rates")
    assert list(mart.catalog()) == ["rates"]


def test_two_packages_do_not_mix_their_modules(install: Install) -> None:
    code = 'import dlt\n\n\n@dlt.resource\ndef rates():\n    yield {{"of": "{}"}}\n'
    packages = {
        name: PackagedProject(
            str(install(name, files={"sources/ecb.py": code.format(name)}) / "__init__.py")
        )
        for name in ("rates_mart", "other_mart", "acme.nested_mart")
    }

    for name in (*packages, *packages):
        source = packages[name].entities().get_source("rates")
        assert list(source()) == [{"of": name}]


def test_values_come_from_the_package_and_the_environment_but_not_from_the_callers_folder(
    mart: PackagedProject, write_project: WriteProject, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project("", {".dlt/config.toml": '[sources.rates]\ncurrency = "USD"\n'})
    settings = site / "rates_mart" / ".dlt"
    settings.mkdir()
    (settings / "access.config.toml").write_text('[sources.rates]\ncurrency = "SEK"\n')

    def currency() -> str:
        return str(next(iter(mart.entities().get_source("rates")()))["currency"])

    assert currency() == "SEK"
    monkeypatch.setenv("SOURCES__RATES__CURRENCY", "NOK")
    assert currency() == "NOK"


@pytest.mark.parametrize(
    ("is_project_tested", "profile", "expected"),
    [
        (True, "prod", "prod"),
        (True, "ci", "tests"),
        (False, "prod", "tests"),
    ],
    ids=["the-package-has-it", "the-package-has-it-not", "it-is-the-shells"],
)
def test_in_a_sandbox_a_package_has_the_profile_of_the_tests(
    mart: PackagedProject,
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_project_tested: bool,
    profile: str,
    expected: str,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", profile)
    project = str(shop) if is_project_tested else None

    with isolated(Sandbox(str(tmp_path / "sandbox"), project, str(shop))):
        assert mart.context().profile == expected
        assert Path(mart.config().data_dir).is_relative_to(tmp_path / "sandbox")
        mart.runner().run_pipeline("load_rates")

    assert not list(tmp_path.rglob("_data"))


def test_accessors_are_shown_as_those_of_their_package(mart: PackagedProject, site: Path) -> None:
    assert repr(mart) == f"<PackagedProject {site / 'rates_mart'}>"
