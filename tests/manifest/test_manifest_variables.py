"""Variables: `{env.X}` and the project's settings are filled in, all other braces stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dlthub_project.errors import ManifestError
from dlthub_project.manifest import Manifest

OpenManifest = Callable[..., Manifest]


def filled(manifest: Manifest, name: str = "a") -> object:
    return manifest.fill(manifest.merged[name], (name,))


@pytest.mark.parametrize(
    "text",
    [
        "{table_name}/{load_id}.{file_id}.{ext}",
        "repos/{resources.repos.name}/issues",
        "{name}",
        "{id}",
        "{}",
        "{{ data_dir }}",
        "{{ var('x') }}",
        "{% if x %}",
        "{{other}}",
        "{env.}",
        "{env.1X}",
        "{environment}",
        "{project.other}",
        "{allow_undefined_entities}",
        "{env.X",
        "data_dir}",
    ],
)
def test_braces_that_are_not_ours_stay_as_they_are(open_manifest: OpenManifest, text: str) -> None:
    """`{name}` is ours only inside `project`, `{project.name}` everywhere."""
    manifest = open_manifest(f'a: "{text}"\n')

    assert filled(manifest) == text


def test_settings_are_filled_in_everywhere(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        'a: "{project_dir}|{data_dir}|{local_dir}|{tmp_dir}|{current_profile}|{default_profile}"\n',
        "tests",
    )
    settings = manifest.settings

    assert filled(manifest) == (
        f"{settings.project_dir}|{settings.data_dir}|{settings.local_dir}|{settings.data_dir}/tmp"
        "|tests|dev"
    )


def test_a_setting_can_be_named_with_its_section(open_manifest: OpenManifest) -> None:
    manifest = open_manifest('a: "{project.name}/{project.current_profile}"\n')

    assert filled(manifest) == "shop/dev"


def test_variables_are_filled_in_below_lists_and_mappings(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t1")
    manifest = open_manifest('a: [1, {b: "{env.TOKEN}", c: [null, "x-{env.TOKEN}"]}, true]\n')

    assert filled(manifest) == [1, {"b": "t1", "c": [None, "x-t1"]}, True]


def test_a_doubled_brace_writes_one_of_ours_literally(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "filled")
    manifest = open_manifest('a: "{{data_dir}} {{env.X}} {{project.name}} {env.X}"\n')

    assert filled(manifest) == "{data_dir} {env.X} {project.name} filled"


def test_what_is_filled_in_is_not_read_again(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "{data_dir} {env.X}")

    assert filled(open_manifest('a: "{env.X}"\n')) == "{data_dir} {env.X}"


@pytest.mark.parametrize(
    ("text", "value"),
    [("{env.X:5}", "5"), ("{env.X:}", ""), ("{env.X:https://a.invalid:80/}", "https://a.invalid:80/")],
)  # fmt: skip
def test_a_default_stands_in_for_a_variable_that_is_not_set(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch, text: str, value: str
) -> None:
    monkeypatch.delenv("X", raising=False)

    assert filled(open_manifest(f'a: "{text}"\n')) == value


def test_a_variable_that_is_set_wins_over_its_default(
    open_manifest: OpenManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "")

    assert filled(open_manifest('a: "{env.X:5}"\n')) == ""


def test_a_variable_that_is_not_set_matters_only_to_those_who_use_it(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest('a: "{env.NOT_SET}"\nb: "{current_profile}"\n')

    assert filled(manifest, "b") == "dev"
    with pytest.raises(ManifestError, match="NOT_SET is not set"):
        filled(manifest)


def test_all_variables_of_an_entry_that_are_not_set_are_reported_with_their_places(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest(
        """
        sources:
          github:
            type: github.source
            token: "{env.NOT_SET}"
            client: {headers: ["x", "{env.NOR_THIS}"]}
        """
    )
    with pytest.raises(ManifestError) as caught:
        manifest.fill(manifest.section("sources")["github"], ("sources", "github"))

    first, second = caught.value.problems
    assert first.location.endswith("dlt.yml:5:5")
    assert first.path == "sources.github.token"
    assert first.message == (
        "the environment variable NOT_SET is not set; set it, or give a default: "
        "{env.NOT_SET:default}"
    )
    assert second.location.endswith("dlt.yml:6:29")
    assert second.path == "sources.github.client.headers.1"


def test_a_variable_that_is_not_set_stays_as_written_where_only_known_ones_are_filled(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest('a: ["{env.NOT_SET}", "{current_profile}"]\n')

    assert manifest.fill_known(manifest.merged["a"]) == ["{env.NOT_SET}", "dev"]


def test_numbers_and_switches_are_not_touched(open_manifest: OpenManifest) -> None:
    assert filled(open_manifest("a: {b: 5, c: 1.5, d: true, e: null}\n")) == {
        "b": 5,
        "c": 1.5,
        "d": True,
        "e": None,
    }


def test_a_variable_of_a_profile_is_filled_in_after_the_merge(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        """
        project: {data_dir: /base}
        a: {path: "{data_dir}/x", other: "{data_dir}"}
        profiles:
          prod: {project: {data_dir: /prod}, a: {path: "{data_dir}/{current_profile}"}}
        """,
        "prod",
    )
    assert filled(manifest) == {"path": "/prod/prod", "other": "/prod"}


def test_a_misspelt_setting_in_a_path_is_an_error_with_the_nearest_name(
    mistakes_of: Callable[..., list[str]],
) -> None:
    """Otherwise a folder of that name, with its braces, is made, and every profile uses it."""
    mistakes = mistakes_of(
        'project: {data_dir: "{dta_dir}/x", local_dir: "{project.data_dri}/l"}\n'
        "destinations:\n"
        '  lake: {type: filesystem, bucket_url: "{data_dr}/lake", layout: "{table_name}/{ext}"}\n'
        '  shop: {type: duckdb, credentials: {database: "{project.folder}/{shop}.duckdb"}}\n'
        'profiles: {prod: {destinations: {wh: {credentials: "{curent_profile}.duckdb"}}}}\n',
        "prod",
    )

    assert [mistake.partition(" Known")[0] for mistake in mistakes] == [
        "1:11: project.data_dir: there is no variable {dta_dir}.",
        "1:36: project.local_dir: there is no variable {project.data_dri}.",
        "3:28: destinations.lake.bucket_url: there is no variable {data_dr}.",
        "4:38: destinations.shop.credentials.database: there is no variable {project.folder}.",
        "5:39: profiles.prod.destinations.wh.credentials: there is no variable {curent_profile}.",
    ]
    assert mistakes[0].endswith(" Did you mean `data_dir`?")
    assert mistakes[2].endswith(" Did you mean `data_dir`?")
    assert mistakes[4].endswith(" Did you mean `current_profile`?")


def test_braces_in_paths_that_resemble_no_setting_stay(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        'project: {data_dir: "{{data_dir}}/x"}\n'
        'destinations: {lake: {type: filesystem, bucket_url: "s3://{bucket}/{{data_dir}}"}}\n'
    )

    assert manifest.settings.data_dir.endswith("/{data_dir}/x")
    entry = manifest.fill(manifest.entry("destinations", "lake"), ("destinations", "lake"))
    assert entry["bucket_url"] == "s3://{bucket}/{data_dir}"
