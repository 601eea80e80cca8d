"""The section `project`: defaults, folders, settings that use each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project.errors import ManifestError
from dlthub_project.manifest import Manifest, default_profile, read_document

WriteProject = Callable[..., Path]
OpenManifest = Callable[..., Manifest]
MistakesOf = Callable[..., list[str]]


def test_the_defaults_lie_below_the_folder_of_the_manifest(
    open_manifest: OpenManifest, tmp_path: Path
) -> None:
    """The keys of `project` are all optional."""
    settings = open_manifest("", "tests").settings

    assert settings.project_dir == str(tmp_path / "shop")
    assert settings.data_dir == str(tmp_path / "shop/_data/tests")
    assert settings.local_dir == str(tmp_path / "shop/_data/tests/local")
    assert settings.current_profile == "tests"
    assert settings.default_profile == "dev"


def test_settings_may_use_each_other(open_manifest: OpenManifest, tmp_path: Path) -> None:
    settings = open_manifest(
        """
        project:
          name: "{default_profile}-mart"
          project_dir: src
          data_dir: "{project_dir}/data/{name}/{current_profile}"
          local_dir: "{data_dir}-files"
          default_profile: prod
        """
    ).settings

    assert settings.name == "prod-mart"
    assert settings.project_dir == str(tmp_path / "shop/src")
    assert settings.data_dir == str(tmp_path / "shop/src/data/prod-mart/dev")
    assert settings.local_dir == str(tmp_path / "shop/src/data/prod-mart/dev-files")


def test_relative_folders_lie_below_the_project_folder(
    open_manifest: OpenManifest, tmp_path: Path
) -> None:
    settings = open_manifest("project: {project_dir: ../mart, data_dir: x/../data}\n").settings

    assert settings.project_dir == str(tmp_path / "mart")
    assert settings.data_dir == str(tmp_path / "mart/data")


def test_a_tilde_is_the_home_folder(open_manifest: OpenManifest, home: Path) -> None:
    settings = open_manifest("project: {data_dir: ~/shop-data}\n").settings

    assert settings.data_dir == str(home / "shop-data")


def test_settings_take_environment_variables(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRICT", "False")
    settings = open_manifest(
        'project: {name: "{env.TEAM:core}", allow_undefined_entities: "{env.STRICT}"}\n'
    ).settings

    assert settings.name == "core"
    assert settings.allow_undefined_entities is False


def test_settings_without_content_have_their_defaults(open_manifest: OpenManifest) -> None:
    settings = open_manifest("project: {name: , data_dir: , allow_undefined_entities: }\n").settings

    assert settings.name == "shop"
    assert settings.data_dir.endswith("/shop/_data/dev")
    assert settings.allow_undefined_entities is True


def test_a_profile_may_change_settings(open_manifest: OpenManifest, tmp_path: Path) -> None:
    text = "project: {data_dir: a}\nprofiles: {prod: {project: {data_dir: b}}}\n"

    assert open_manifest(text, "prod").settings.data_dir == str(tmp_path / "shop/b")
    assert open_manifest(text, "dev").settings.data_dir == str(tmp_path / "shop/a")


def test_given_folders_win_over_the_declared_ones(
    write_project: WriteProject, tmp_path: Path
) -> None:
    root = write_project('project: {data_dir: a, local_dir: "{data_dir}/x"}\na: "{local_dir}"\n')
    folders = {"data_dir": "/sandbox/{name}", "local_dir": str(tmp_path / "files")}

    manifest = Manifest(read_document(root / "dlt.yml"), "dev", folders)

    assert manifest.settings.data_dir == "/sandbox/{name}"
    assert manifest.fill(manifest.merged["a"], ("a",)) == str(tmp_path / "files")


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        (
            'data_dir: "{local_dir}/a", local_dir: "{name}", name: "{data_dir}"',
            ("1:11: project.data_dir: settings refer to each other: "
            "data_dir -> local_dir -> name -> data_dir"),
        ),
        (
            'name: "{project.name}"',
            "1:11: project.name: settings refer to each other: name -> name",
        ),
        (
            'project_dir: "{data_dir}"',
            ("1:11: project.project_dir: settings refer to each other: "
            "project_dir -> data_dir -> project_dir"),
        ),
        (
            'project_dir: "{data_dir}", data_dir: "relative"',
            ("1:11: project.project_dir: settings refer to each other: "
            "project_dir -> data_dir -> project_dir"),
        ),
    ],
)  # fmt: skip
def test_settings_that_refer_to_each_other_are_an_error_that_prints_the_circle(
    mistakes_of: MistakesOf, section: str, mistake: str
) -> None:
    assert mistakes_of(f"project: {{{section}}}\n") == [mistake]


def test_an_absolute_folder_may_hold_the_project_folder(open_manifest: OpenManifest) -> None:
    settings = open_manifest(
        'project: {project_dir: "{data_dir}/code", data_dir: /data}\n'
    ).settings

    assert settings.project_dir == "/data/code"


def test_all_settings_that_are_wrong_are_reported_together(
    mistakes_of: MistakesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        project:
          name: "{env.NOT_SET}"
          data_dir: "{name}/data"
          default_profile: "{env.NOR_THIS}"
          allow_undefined_entities: maybe
        sources: 5
    """
    not_set = (
        "the environment variable {0} is not set; set it, or give a default: {{env.{0}:default}}"
    )

    assert mistakes_of(text) == [
        f"3:3: project.name: {not_set.format('NOT_SET')}",
        f"5:3: project.default_profile: {not_set.format('NOR_THIS')}",
        "6:3: project.allow_undefined_entities: must be true or false",
        "7:1: sources: must be a mapping",
    ]


def test_a_switch_whose_variable_is_not_set_is_an_error(mistakes_of: MistakesOf) -> None:
    (found,) = mistakes_of('project: {allow_undefined_entities: "{env.NOT_SET}"}\n')

    assert found.startswith(
        "1:11: project.allow_undefined_entities: the environment variable NOT_SET is not set"
    )


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("", "dev"),
        ("project: {default_profile: prod}\n", "prod"),
        ('project: {default_profile: "{env.STAGE:prod}"}\n', "prod"),
        ("project: {default_profile: 5}\n", "dev"),
        ("project: []\n", "dev"),
    ],
)
def test_the_default_profile_is_read_before_a_profile_is_chosen(
    write_project: WriteProject, text: str, profile: str
) -> None:
    assert default_profile(read_document(write_project(text) / "dlt.yml")) == profile


def test_a_default_profile_whose_variable_is_not_set_is_an_error(
    write_project: WriteProject,
) -> None:
    root = write_project('project: {default_profile: "{env.NOT_SET}"}\n')

    with pytest.raises(ManifestError, match=r"dlt\.yml:1:11: project\.default_profile: .*NOT_SET"):
        default_profile(read_document(root / "dlt.yml"))


def test_changing_a_section_does_not_change_the_manifest(open_manifest: OpenManifest) -> None:
    manifest = open_manifest("sources: {a: {type: x, tags: [1]}}\n")

    manifest.section("sources")["a"]["tags"].append(2)
    entry = manifest.entry("sources", "a")
    assert entry is not None
    entry["tags"].append(2)

    assert manifest.section("sources")["a"]["tags"] == [1]
    assert manifest.entry("sources", "a") == {"type": "x", "tags": [1]}


def test_an_entry_is_empty_without_content_and_none_where_it_is_not_declared(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest("destinations: {duckdb: }\nsources:\n")

    assert manifest.entry("destinations", "duckdb") == {}
    assert manifest.entry("destinations", "other") is None
    assert manifest.entry("sources", "a") is None
    assert list(manifest.names("destinations")) == ["duckdb"]
    assert list(manifest.names("pipelines")) == []


def test_a_setting_that_is_too_long_is_an_error(mistakes_of: MistakesOf) -> None:
    name, data_dir = "{default_profile}" * 20, "{name}/" * 30
    text = f'project: {{default_profile: aaaaaaaaaa, name: "{name}", data_dir: "{data_dir}"}}\n'
    (found,) = mistakes_of(text)

    assert found.endswith(": project.data_dir: is longer than 4,096 characters")
