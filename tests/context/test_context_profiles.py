"""Which profiles a project has, and which of them is active."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project import ManifestError, ProfileNotFound, current, ensure_project

WriteProject = Callable[..., Path]

PROFILES = """
    project: {default_profile: from_manifest}
    profiles: {from_manifest: , from_pin: , from_environment: , asked_for: }
"""
PIN = {".dlt/profile-name": "from_pin\n"}


def test_without_any_choice_the_profile_is_dev(write_project: WriteProject) -> None:
    write_project("")

    assert current.context().profile == "dev"


def test_the_default_profile_of_the_manifest_is_active(write_project: WriteProject) -> None:
    write_project(PROFILES)

    assert current.context().profile == "from_manifest"
    assert current.context().default_profile == "from_manifest"


def test_the_pin_wins_over_the_default_profile(write_project: WriteProject) -> None:
    write_project(PROFILES, PIN)

    assert current.context().profile == "from_pin"


def test_an_empty_pin_pins_nothing(write_project: WriteProject) -> None:
    write_project(PROFILES, {".dlt/profile-name": "\n"})

    assert current.context().profile == "from_manifest"


def test_a_pin_that_is_no_text_pins_nothing(write_project: WriteProject) -> None:
    root = write_project(PROFILES, PIN)
    (root / ".dlt" / "profile-name").write_bytes(b"\xff\xfe")

    assert current.context().profile == "from_manifest"


def test_the_environment_wins_over_the_pin(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(PROFILES, PIN)
    monkeypatch.setenv("WORKSPACE__PROFILE", "from_environment")

    assert current.context().profile == "from_environment"


def test_what_is_asked_for_wins_over_the_environment(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(PROFILES, PIN)
    monkeypatch.setenv("WORKSPACE__PROFILE", "from_environment")

    assert ensure_project(profile="asked_for").profile == "asked_for"


@pytest.mark.parametrize("name", ["dev", "tests", "access"])
def test_implicit_profiles_need_no_declaration(write_project: WriteProject, name: str) -> None:
    write_project("")

    context = ensure_project(profile=name)

    assert context.profile == name
    assert context.project.data_dir.endswith(f"/_data/{name}")


@pytest.mark.parametrize("kind", ["config", "secrets"])
def test_a_profile_with_only_a_toml_file_exists(write_project: WriteProject, kind: str) -> None:
    write_project("", {f".dlt/staging.{kind}.toml": "a = 1\n", ".dlt/config.toml": ""})

    context = ensure_project(profile="staging")

    assert context.available_profiles() == ["dev", "tests", "access", "staging"]


def test_the_profiles_are_the_implicit_the_declared_and_those_with_files(
    write_project: WriteProject,
) -> None:
    files = {
        ".dlt/staging.config.toml": "",
        ".dlt/staging.secrets.toml": "",
        ".dlt/.config.toml": "",
        ".dlt/secrets.toml": "",
        ".dlt/other.toml": "",
    }
    write_project("profiles: {prod: {}, dev: {}}\n", files)

    context = current.context()

    assert context.available_profiles() == ["dev", "tests", "access", "prod", "staging"]
    assert context.project.profiles == ["dev", "tests", "access", "prod", "staging"]


def test_configured_are_the_profiles_that_say_something_and_the_active_one(
    write_project: WriteProject,
) -> None:
    write_project("profiles: {prod: {}}\n", {".dlt/staging.config.toml": ""})

    assert current.context().configured_profiles() == ["prod", "staging", "dev"]


def test_an_unknown_profile_is_an_error_with_the_nearest_spelling(
    write_project: WriteProject,
) -> None:
    root = write_project("profiles: {prod: {}}\n")

    with pytest.raises(ProfileNotFound) as caught:
        ensure_project(profile="prdo")

    assert str(caught.value) == (
        f"There is no profile `prdo` in {root / 'dlt.yml'} (it was asked for). "
        "Known: access, dev, prod, tests. Did you mean `prod`?\n"
        f"Declare it below `profiles:`, or add {root / '.dlt' / 'prdo'}.config.toml."
    )


def test_an_unknown_profile_of_the_environment_says_so(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project("")
    monkeypatch.setenv("WORKSPACE__PROFILE", "gone")

    with pytest.raises(ProfileNotFound, match=r"`gone` in .*dlt\.yml \(WORKSPACE__PROFILE names"):
        current.context()


def test_an_unknown_profile_of_the_pin_names_the_file(write_project: WriteProject) -> None:
    root = write_project("", {".dlt/profile-name": "gone"})

    with pytest.raises(ProfileNotFound) as caught:
        current.context()

    assert f"({root / '.dlt' / 'profile-name'} pins it)" in caught.value.reason


def test_an_unknown_default_profile_names_the_manifest(write_project: WriteProject) -> None:
    root = write_project("project: {default_profile: gone}\n")

    with pytest.raises(ProfileNotFound) as caught:
        current.context()

    assert f"(it is the default profile of {root / 'dlt.yml'})" in caught.value.reason


def test_only_the_files_of_the_active_profile_are_opened(write_project: WriteProject) -> None:
    files = {
        ".dlt/prod.secrets.toml": "this is = no [toml",
        ".dlt/tests.secrets.toml": 'token = "of tests"',
    }
    write_project("", files)
    import dlt

    ensure_project(profile="tests")

    assert dlt.secrets["token"] == "of tests"


PRINT_OPENED_FILES = """
    import os, sys

    opened = []
    sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))

    import dlt
    from dlthub_project import current, ensure_project

    ensure_project(profile="tests")
    dlt.secrets["token"]
    current.project().explain("token")
    dlt.pipeline("load", destination="duckdb").run([1], table_name="t")
    here = os.getcwd() + os.sep
    names = {os.path.relpath(os.path.abspath(path), here) for path in opened}
    print(*sorted(n for n in names if n.endswith(".toml") or n == "dlt.yml"))
"""


def test_of_all_files_only_those_of_the_active_profile_are_opened(
    write_project: WriteProject, run_python: Callable[..., str]
) -> None:
    profiles = ("tests", "dev", "access", "prod", "base")
    files = {f".dlt/{p}.{kind}.toml": "" for p in profiles for kind in ("config", "secrets")}
    files |= {".dlt/config.toml": "", ".dlt/secrets.toml": "", ".dlt/profile-name": "prod"}
    files[".dlt/tests.secrets.toml"] = 'token = "of tests"'
    # the files of a profile that is extended are not those of the active one
    root = write_project("profiles: {prod: {}, base: {}, tests: {extends: base}}\n", files)

    opened = run_python(PRINT_OPENED_FILES, root).split()

    assert opened == [
        ".dlt/config.toml",
        ".dlt/secrets.toml",
        ".dlt/tests.config.toml",
        ".dlt/tests.secrets.toml",
        "dlt.yml",
    ]


@pytest.mark.parametrize("kind", ["config", "secrets"])
def test_a_file_of_another_profile_that_cannot_be_opened_does_not_matter(
    write_project: WriteProject, kind: str
) -> None:
    root = write_project("profiles: {prod: {}}\n")
    (root / ".dlt" / f"prod.{kind}.toml").mkdir(parents=True)
    (root / ".dlt" / f"dev.{kind}.toml").symlink_to(root / "gone.toml")

    assert ensure_project(profile="tests").profile == "tests"


def test_each_choice_of_a_profile_wins_over_all_later_ones(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(PROFILES, PIN)
    monkeypatch.setenv("WORKSPACE__PROFILE", "from_environment")

    assert ensure_project(profile="asked_for").profile == "asked_for"
    assert ensure_project().profile == "from_environment"
    monkeypatch.delenv("WORKSPACE__PROFILE")
    assert ensure_project().profile == "from_pin"
    (root / ".dlt/profile-name").unlink()
    assert ensure_project().profile == "from_manifest"
    (root / "dlt.yml").write_text("")
    assert ensure_project().profile == "dev"


def test_an_empty_variable_chooses_no_profile(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(PROFILES, PIN)
    monkeypatch.setenv("WORKSPACE__PROFILE", "")

    assert current.context().profile == "from_pin"


def test_a_manifest_that_is_wrong_in_another_profile_can_be_used(
    write_project: WriteProject,
) -> None:
    write_project("profiles: {prod: {pipelines: {a: {souce: x}}}}\n")

    assert ensure_project(profile="tests").profile == "tests"
    with pytest.raises(ManifestError, match=r"profiles\.prod\.pipelines\.a\.souce: unknown key"):
        ensure_project(profile="prod")


def test_the_folders_of_two_profiles_are_apart(write_project: WriteProject, tmp_path: Path) -> None:
    write_project("profiles: {prod: {}}\n")

    dev, prod = ensure_project(profile="dev"), ensure_project(profile="prod")

    folders = {dev.data_dir, dev.local_dir, prod.data_dir, prod.local_dir}
    data = tmp_path / "shop" / "_data"
    assert folders == {str(data / f) for f in ("dev", "dev/local", "prod", "prod/local")}
