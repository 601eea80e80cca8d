"""`Project.explain`: every layer that has a value, with file and line, and the winner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.providers import CustomLoaderDocProvider

from dlthub_project import ProjectError, current, ensure_project
from dlthub_project.context.layers import read_toml_files
from dlthub_project.errors import ValueNotSet
from dlthub_project.sandbox import Overrides, Sandbox, isolated

WriteProject = Callable[..., Path]

MANIFEST = """\
sources:
  github: {type: gh.source, per_page: 50, url: "https://me:hunter2@x.invalid/?token=hunter2&a=1"}
destinations:
  warehouse:
    type: duckdb
    credentials: "{env.WAREHOUSE_OF_TEST}"
pipelines:
  load: {source: github, destination: warehouse}
profiles:
  prod:
    extends: shared
    sources: {github: {per_page: 70}}
    destinations: {warehouse: {type: postgres}}
  shared:
    sources: {github: {per_page: 60, kind: of shared}}
"""
FILES = {
    ".dlt/config.toml": "[sources.github]\nper_page = 80\n",
    ".dlt/prod.config.toml": "# a comment\n\nsources.github.per_page = 90\n",
    ".dlt/secrets.toml": '[destination.warehouse]\ncredentials = "postgresql://a:hunter2@b/c"\n',
    ".dlt/dev.secrets.toml": 'sources.github.per_page = "of another profile"\n',
}


def explained(path: str, profile: str = "prod") -> str:
    return str(ensure_project(profile=profile).project.explain(path))


def test_every_layer_that_has_a_value_is_told_with_its_place_and_the_winner(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__PER_PAGE", "100")
    write_project(MANIFEST, FILES)

    assert explained("sources.github.per_page") == (
        """\
sources.github.per_page
  -> environment                   SOURCES__GITHUB__PER_PAGE                100
     .dlt/prod.config.toml:3       sources.github.per_page                  90
     .dlt/config.toml:2            sources.github.per_page                  80
     profile prod dlt.yml:12:24    profiles.prod.sources.github.per_page    70
     profile shared dlt.yml:15:24  profiles.shared.sources.github.per_page  60
     dlt.yml:2:29                  sources.github.per_page                  50"""
    )


def test_the_winner_is_a_layer_of_its_own(write_project: WriteProject) -> None:
    write_project(MANIFEST)

    explanation = ensure_project(profile="shared").project.explain("sources.github.per_page")

    assert explanation.winner == explanation.layers[0]
    assert explanation.winner is not None
    assert explanation.winner.source == "profile shared"
    assert explanation.winner.key == "profiles.shared.sources.github.per_page"
    assert explanation.winner.location == "dlt.yml:15:24"
    assert explanation.winner.value == "60" == str(dlt.config["sources.github.per_page"])
    with pytest.raises(AttributeError):
        explanation.path = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ours", "dlts"),
    [
        ("destinations.warehouse.credentials", "destination.warehouse.credentials"),
        ("destinations.warehouse.type", "destination.warehouse.destination_type"),
        ("pipelines.load.destination", "pipelines.load.destination_type"),
        ("destinations.warehouse", "destination.warehouse"),
    ],
)
def test_a_path_may_be_spelled_as_the_manifest_or_as_dlt_has_it(
    write_project: WriteProject, ours: str, dlts: str
) -> None:
    write_project(MANIFEST, FILES)

    assert explained(ours) == explained(dlts)
    assert explained(ours).startswith(ours)


def test_a_variable_of_the_environment_is_named_as_dlt_looks_it_up(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "filesystem")
    write_project(MANIFEST)

    winner = ensure_project(profile="prod").project.explain("destinations.warehouse.type").winner

    assert winner is not None
    assert (winner.key, winner.value) == ("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "filesystem")
    assert dlt.config["destination.warehouse.destination_type"] == "filesystem"


def test_of_a_section_every_value_in_it_is_explained(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__FROM_SHELL", "1")
    write_project(MANIFEST, {".dlt/config.toml": "sources.github.from_file = 2\n"})

    explanation = ensure_project(profile="prod").project.explain("sources.github")

    assert explanation.layers == ()
    assert explanation.winner is None
    assert {one.path: one.winner.value for one in explanation.below if one.winner} == {
        "sources.github.type": "gh.source",
        "sources.github.per_page": "70",
        "sources.github.url": "https://me:***@x.invalid/?token=***&a=1",
        "sources.github.kind": "of shared",
        "sources.github.from_shell": "1",
        "sources.github.from_file": "2",
    }


@pytest.mark.parametrize("section", ["sources", "destinations", "pipelines", "project"])
def test_a_whole_section_is_explained(write_project: WriteProject, section: str) -> None:
    write_project(MANIFEST, FILES)

    assert f"\n{section}." in explained(section)
    assert "hunter2" not in explained(section)


def test_secrets_are_never_shown(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__API_KEY", "hunter2")
    monkeypatch.setenv("SOURCES__GITHUB__ACCESS", "hunter2")
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", "postgresql://a:hunter2@b/c")
    files = {
        ".dlt/config.toml": '[sources.github]\ntoken = "hunter2"\naccess = "hunter2"\n',
        # what stands here is a secret in all layers, whatever it is called
        ".dlt/secrets.toml": '[sources.github]\naccess = "hunter2"\nnested = {a = "hunter2"}\n',
    }
    manifest = MANIFEST + "headers: [{Authorization: hunter2, x: [{password: hunter2}]}]\n"
    write_project(manifest, files)
    project = ensure_project(profile="prod").project

    for path in ("sources", "destinations", "pipelines", "headers", "sources.github.nested"):
        explanation = project.explain(path)
        assert "hunter2" not in f"{explanation} {explanation!r}"
        assert path == "pipelines" or "***" in str(explanation)


def test_secrets_in_other_shapes_are_never_shown(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "hunter2")
    monkeypatch.setenv("SOURCES__A__PLAIN", "hunter2")
    manifest = """
        sources:
          a:
            type: x
            plain: "{env.TOKEN_OF_TEST}"
            header: "Bearer {env.TOKEN_OF_TEST}"
            headers: [{x: "Bearer {env.TOKEN_OF_TEST}"}]
            odbc: "host=db password=hunter2 port=1"
            mixed: a text
        datasets: {d: {destination: "{env.TOKEN_OF_TEST}"}}
        profiles: {dev: {sources: {a: {odbc: null}}}}
    """
    secrets = '[sources.a.mixed]\nx = "hunter2"\n'
    write_project(manifest, {".dlt/secrets.toml": secrets})
    project = ensure_project().project

    for path in ("sources", "sources.a.mixed", "datasets"):
        assert "hunter2" not in f"{project.explain(path)} {project.explain(path)!r}"
    assert "host=db password=*** port=1" in str(project.explain("sources.a.odbc"))


@pytest.mark.parametrize(
    "name",
    [
        *("passphrase", "db_pass", "passcode", "jwt", "salt"),
        *("encryption_key", "client_key", "ssh-key", "X-Api-Key", "connection-string"),
    ],
)
def test_a_value_with_a_name_that_secrets_have_is_not_shown(
    write_project: WriteProject, name: str
) -> None:
    write_project(f"sources: {{a: {{type: x, {name}: hunter2, headers: {{{name}: hunter2}}}}}}\n")
    shown = str(current.project().explain("sources.a"))

    assert "hunter2" not in shown
    assert shown.count("***") == 2


@pytest.mark.parametrize("name", ["author", "passengers", "pass_through", "keys", "salted"])
def test_a_name_that_only_begins_like_that_of_a_secret_is_none(
    write_project: WriteProject, name: str
) -> None:
    write_project(f"sources: {{a: {{type: x, {name}: Ada}}}}\n")

    assert "Ada" in str(current.project().explain("sources.a"))


def test_what_dlt_has_looked_up_as_a_secret_is_not_shown(write_project: WriteProject) -> None:
    write_project("sources: {github: {type: x, pat1: hunter2}}\n")
    assert dlt.secrets["sources.github.pat1"] == "hunter2"

    assert "hunter2" not in str(current.project().explain("sources.github.pat1"))


def test_of_credentials_the_secrets_alone_are_hidden(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__LAKE__CREDENTIALS__PORT", "5433")
    write_project(
        """
        destinations:
          warehouse: {type: postgres, credentials: "postgresql://ada:hunter2@db.invalid/x?k=hunter2"}
          lake: {type: postgres, credentials: {username: ada, password: hunter2, sslkey: hunter2}}
          odd: {type: postgres, credentials: {host: "postgresql://ada:hunter2@db.invalid"}}
          hook: {type: postgres, credentials: "https://db.invalid/hunter2"}
        """,
        {".dlt/secrets.toml": '[destination.lake.credentials]\nhost = "db.invalid"\n'},
    )
    explain = ensure_project().project.explain

    told = str(explain("destinations"))

    assert "hunter2" not in told
    assert "postgresql://ada:***@db.invalid/x" in told
    values = {name: explain(f"destinations.lake.credentials.{name}").winner for name in NAMES}
    assert [value and value.value for value in values.values()] == [
        "ada",
        "***",
        "db.invalid",
        "5433",
    ]


NAMES = ("username", "password", "host", "port")


def test_a_secret_that_is_a_variable_says_which(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_OF_TEST", "postgresql://a:hunter2@b/c")
    write_project(MANIFEST)

    winner = ensure_project().project.explain("destinations.warehouse.credentials").winner

    assert winner is not None
    assert winner.value == "*** (from {env.WAREHOUSE_OF_TEST})"
    assert winner.remark == ""


def test_a_variable_that_is_not_set_is_told_and_is_no_error(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAREHOUSE_OF_TEST", raising=False)
    write_project(MANIFEST + 'plain: "{env.WAREHOUSE_OF_TEST}/x"\n')
    project = ensure_project().project

    for path in ("destinations.warehouse.credentials", "plain"):
        winner = project.explain(path).winner
        assert winner is not None
        assert winner.remark == "uses a variable that is not set"
        assert "{env.WAREHOUSE_OF_TEST}" in winner.value


def test_credentials_in_parts_are_explained_part_by_part_beside_those_in_one_text(
    write_project: WriteProject,
) -> None:
    secrets = '[destination.warehouse.credentials]\npassword = "hunter2"\nhost = "b"\n'
    write_project(MANIFEST, {".dlt/secrets.toml": secrets})

    explanation = ensure_project().project.explain("destinations.warehouse.credentials")

    assert [layer.location for layer in explanation.layers] == [
        ".dlt/secrets.toml:2",
        "dlt.yml:6:5",
    ]
    assert [one.path.split(".")[-1] for one in explanation.below] == ["password", "host"]
    assert [one.winner and one.winner.location for one in explanation.below] == [
        ".dlt/secrets.toml:2",
        ".dlt/secrets.toml:3",
    ]


def test_a_null_in_a_profile_removes_what_is_below_it(write_project: WriteProject) -> None:
    write_project(
        """
        sources: {github: {type: gh.source, per_page: 50, client: {host: a}}}
        profiles: {prod: {sources: {github: {per_page: null, client: text}}}}
        """
    )
    project = ensure_project(profile="prod").project

    explanation = project.explain("sources.github.per_page")
    assert explanation.winner is None
    assert [(layer.value, layer.remark) for layer in explanation.layers] == [
        ("null", "removes the value"),
        ("50", "removed by profile prod"),
    ]
    assert "sources.github.per_page" not in dlt.config
    (host,) = project.explain("sources.github.client.host").layers
    assert (host.counts, host.remark) == (False, "replaced by profile prod")


def test_a_value_that_code_has_set_is_told_as_such(write_project: WriteProject) -> None:
    write_project(MANIFEST, FILES)
    project = ensure_project(profile="prod").project
    dlt.config["sources.github.per_page"] = 5

    explanation = project.explain("sources.github.per_page")

    assert [layer.source for layer in explanation.layers][:2] == [
        "config.toml, set by code",
        ".dlt/prod.config.toml",
    ]
    assert explanation.layers[0].value == "5"


def test_a_file_that_has_changed_since_does_no_harm(write_project: WriteProject) -> None:
    root = write_project(MANIFEST, FILES)
    project = ensure_project(profile="prod").project
    (root / ".dlt/prod.config.toml").write_text("no [toml")
    (root / ".dlt/config.toml").unlink()

    layer = project.explain("sources.github.per_page").layers[0]

    assert (layer.source, layer.value) == ("config.toml, set by code", "90")


def test_a_vault_is_a_layer_and_its_values_are_secrets(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    project = ensure_project(profile="prod").project
    document = {"sources": {"github": {"per_page": 1}}}
    dlt.config.register_provider(CustomLoaderDocProvider("my vault", lambda: document))

    layer = project.explain("sources.github.per_page").layers[0]

    assert (layer.source, layer.key, layer.value) == ("my vault", "sources.github.per_page", "***")


def test_defaults_of_dlt_and_of_the_project_are_the_lowest_layer(
    write_project: WriteProject,
) -> None:
    root = write_project("destinations: {duckdb: {}}\npipelines: {load: {}}\n")
    project = ensure_project().project

    def default(path: str) -> str:
        layer = project.explain(path).layers[-1]
        assert layer.source == "default"
        return layer.value

    assert default("runtime.log_level") == "WARNING"
    assert default("extract.workers") == "5"
    assert default("destinations.duckdb.type") == "duckdb"
    assert default("pipelines.load.dataset_name") == "load_dataset"
    assert default("pipelines.load.dev_mode") == "false"
    # a long one is cut off
    assert f"{root}/_data/dev".startswith(default("project.data_dir").removesuffix("..."))
    assert default("project.name") == "shop"


def test_sections_that_dlt_does_not_look_up_are_explained_from_the_manifest_alone(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__GITHUB__TYPE", "no")
    monkeypatch.setenv("DATASETS__SHOP__DESTINATION", "no")
    write_project(
        """
        project: {name: mart}
        sources: {github: {type: gh.source}}
        datasets: {shop: {destination: [duckdb]}}
        pipelines: {load: {source: [github]}}
        """
    )
    project = ensure_project().project

    values = {
        path: project.explain(path).winner
        for path in (
            "project.name",
            "sources.github.type",
            "datasets.shop.destination",
            "pipelines.load.source",
        )
    }
    assert [(w.source, w.value) for w in values.values() if w] == [
        ("dlt.yml", "mart"),
        ("dlt.yml", "gh.source"),
        ("dlt.yml", "[duckdb]"),
        ("dlt.yml", "[github]"),
    ]


def test_a_folder_that_the_environment_gives_is_the_projects(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "given"))
    write_project("project: {data_dir: declared}\n")
    project = ensure_project().project

    explanation = project.explain("project.data_dir")

    assert explanation.winner is not None
    assert explanation.winner.key == "DLT_DATA_DIR"
    assert explanation.winner.value == project.data_dir
    assert explanation.layers[1].value == "declared"


def test_in_a_sandbox_its_own_layers_are_the_highest(
    write_project: WriteProject, tmp_path: Path
) -> None:
    root = write_project(MANIFEST, FILES)
    sandbox = Sandbox(str(tmp_path / "sandbox"), str(root), str(root))

    with isolated(sandbox):
        project = ensure_project(profile="shared").project
        Overrides(sandbox)["sources.github.per_page"] = 1

        warehouse = project.explain("destinations.warehouse.type")
        assert [layer.source for layer in warehouse.layers] == [
            "Temporary destinations",
            "dlt.yml",
        ]
        assert dlt.config["destination.warehouse.destination_type"] == warehouse.layers[0].value
        source = project.explain("sources.github.per_page").layers[0]
        assert (source.source, source.value) == ("Settings of the test", "1")
        folder = project.explain("project.data_dir").winner
        assert folder is not None
        assert (folder.source, folder.value) == ("given by code", sandbox.data_dir)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "destinations.warehous.credentials",
            r"there is no `warehous` below `destinations`\. Known: warehouse\. Did .* `warehouse`",
        ),
        ("destination.warehouse.typ", r"no `typ` below `destinations\.warehouse`\..*mean `type`"),
        ("sources.github.per_pag", r"no `per_pag` below `sources\.github`\. .*mean `per_page`"),
        ("source.github", r"there is no `source` in .*dlt\.yml\. Known: .*mean `sources`"),
        ("pipelines.loud", r"there is no `loud` below `pipelines`\. .*mean `load`"),
        ("project.nam", r"there is no `nam` below `project`\. .*mean `name`"),
        ("", r"there is no `` in .*dlt\.yml"),
    ],
)
def test_a_path_that_nothing_sets_is_an_error_with_the_nearest_name(
    write_project: WriteProject, path: str, message: str
) -> None:
    write_project(MANIFEST, FILES)

    with pytest.raises(ValueNotSet, match=message):
        ensure_project(profile="prod").project.explain(path)


def test_the_error_says_where_the_value_could_be_set(write_project: WriteProject) -> None:
    write_project(MANIFEST)

    with pytest.raises(ValueNotSet) as caught:
        ensure_project().project.explain("sources.github.token")

    assert caught.value.instruction == (
        "Set it in dlt.yml, below [sources.github] of a TOML file, or as the environment variable "
        "SOURCES__GITHUB__TOKEN."
    )


def test_a_project_that_is_not_active_explains_nothing(write_project: WriteProject) -> None:
    write_project(MANIFEST)
    before = ensure_project(profile="prod").project
    ensure_project(profile="dev")

    with pytest.raises(ProjectError, match="Only values of the active project are explained"):
        before.explain("sources")


def test_explaining_opens_no_file_of_another_profile(write_project: WriteProject) -> None:
    root = write_project(MANIFEST, FILES)
    project = ensure_project(profile="prod").project
    (root / ".dlt/dev.secrets.toml").write_text("no [toml")

    assert "another profile" not in str(project.explain("sources.github.per_page"))


TOML = '''\
# a comment
a.b.c = 1
title = "x"

[sources.gh]
token = "t"   # note
multi = """
x
y"""
[sources.gh.client]
auth = {type = "b", token = "z"}
[other]
k = 1
[sources.gl]
k = [1,
 2]
z.q = 3
"quoted key" = 4
[[tables]]
n = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.b.c", 2),
        ("title", 3),
        ("sources.gh.token", 6),
        ("sources.gh.multi", 7),
        ("sources.gh.client.auth.token", 11),
        ("sources.gh.client.auth", 11),
        ("sources.gh.client", 11),
        ("sources.gh", 6),
        ("sources", 6),
        ("other.k", 13),
        ("sources.gl.k", 15),
        ("sources.gl.z.q", 17),
        ("sources.gl.quoted key", 18),
        ("tables", 20),
        ("gone.k", None),
    ],
)
def test_the_line_of_a_value_in_toml_is_found(tmp_path: Path, path: str, line: Any) -> None:
    (tmp_path / "a.toml").write_text(TOML)

    (file,) = read_toml_files([str(tmp_path / "a.toml"), str(tmp_path / "gone.toml")])

    assert file.line(path.split(".")) == line
    assert "token" not in repr(file)
