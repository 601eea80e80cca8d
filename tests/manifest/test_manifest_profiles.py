"""Profiles: how their sections are laid over the manifest, and how they extend each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project.errors import Problem
from dlthub_project.manifest import Manifest, declared_profiles, read_document

WriteProject = Callable[..., Path]
OpenManifest = Callable[..., Manifest]
MistakesOf = Callable[..., list[str]]

WAREHOUSE = """
    destinations:
      warehouse:
        type: duckdb
        credentials: {database: shop.duckdb, schema: main}
        tags: [a, b]
    profiles:
"""


def destination(manifest: Manifest) -> dict[str, object]:
    found = manifest.section("destinations")["warehouse"]
    assert isinstance(found, dict)
    return found


def test_mappings_of_a_profile_are_merged_at_every_depth(open_manifest: OpenManifest) -> None:
    text = WAREHOUSE + "      prod: {destinations: {warehouse: {credentials: {schema: live}}}}\n"

    assert destination(open_manifest(text, "prod")) == {
        "type": "duckdb",
        "credentials": {"database": "shop.duckdb", "schema": "live"},
        "tags": ["a", "b"],
    }


def test_a_profile_that_is_not_active_changes_nothing(open_manifest: OpenManifest) -> None:
    text = WAREHOUSE + "      prod: {destinations: {warehouse: {type: postgres}}}\n"

    assert destination(open_manifest(text, "dev"))["type"] == "duckdb"


def test_a_list_in_a_profile_replaces_the_list(open_manifest: OpenManifest) -> None:
    text = WAREHOUSE + "      prod: {destinations: {warehouse: {tags: [c]}}}\n"

    assert destination(open_manifest(text, "prod"))["tags"] == ["c"]


def test_a_value_in_a_profile_replaces_a_mapping_and_the_other_way_round(
    open_manifest: OpenManifest,
) -> None:
    over = "{credentials: 'duckdb:///x', tags: {c: 1}}"
    text = WAREHOUSE + f"      prod: {{destinations: {{warehouse: {over}}}}}\n"

    merged = destination(open_manifest(text, "prod"))

    assert merged["credentials"] == "duckdb:///x"
    assert merged["tags"] == {"c": 1}


def test_null_in_a_profile_removes_the_key(open_manifest: OpenManifest) -> None:
    text = WAREHOUSE + "      prod: {destinations: {warehouse: {tags: , type: null}}}\n"

    assert destination(open_manifest(text, "prod")) == {
        "credentials": {"database": "shop.duckdb", "schema": "main"}
    }


def test_null_in_a_profile_removes_an_entry(open_manifest: OpenManifest) -> None:
    text = WAREHOUSE + "      prod: {destinations: {warehouse: null}}\n"

    assert open_manifest(text, "prod").section("destinations") == {}


def test_null_in_a_profile_removes_what_an_extended_profile_adds(
    open_manifest: OpenManifest,
) -> None:
    """Chains of `extends` are resolved first."""
    manifest = open_manifest(
        """
        profiles:
          base: {runtime: {log_level: INFO, log_format: JSON}}
          prod: {extends: base, runtime: {log_format: null, absent: null}}
        """,
        "prod",
    )
    assert manifest.merged["runtime"] == {"log_level": "INFO"}


def test_an_entry_without_content_in_the_base_is_an_empty_entry(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest("destinations:\n  duckdb:\npipelines:\n  load:\n")

    assert manifest.section("destinations") == {"duckdb": {}}
    assert manifest.section("pipelines") == {"load": {}}


def test_null_in_the_base_stays_a_value(open_manifest: OpenManifest) -> None:
    manifest = open_manifest("sources: {a: {type: rest_api, client: {paginator: null}}}\n")

    assert manifest.section("sources")["a"]["client"] == {"paginator": None}


def test_sections_and_profiles_without_content_are_empty(open_manifest: OpenManifest) -> None:
    manifest = open_manifest("project:\nsources:\nprofiles:\n  dev:\n  prod:\n", "prod")

    assert manifest.section("sources") == {}
    assert manifest.settings.current_profile == "prod"


def test_a_profile_that_is_not_declared_adds_nothing(open_manifest: OpenManifest) -> None:
    assert destination(open_manifest(WAREHOUSE, "tests"))["type"] == "duckdb"


def test_a_profile_is_laid_over_the_one_that_it_extends(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        """
        runtime: {a: base, b: base, c: base}
        profiles:
          staging: {runtime: {b: staging, c: staging}}
          prod: {extends: staging, runtime: {c: prod}}
        """,
        "prod",
    )
    assert manifest.merged["runtime"] == {"a": "base", "b": "staging", "c": "prod"}


def test_of_several_extended_profiles_the_right_one_wins(open_manifest: OpenManifest) -> None:
    """A profile extends a name or a list, which is merged first, left to right."""
    manifest = open_manifest(
        """
        profiles:
          left: {runtime: {a: left, b: left}}
          right: {runtime: {b: right}}
          prod: {extends: [left, right]}
        """,
        "prod",
    )
    assert manifest.merged["runtime"] == {"a": "left", "b": "right"}


def test_a_profile_that_is_extended_twice_is_laid_down_once_and_first(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest(
        """
        profiles:
          root: {runtime: {a: root, b: root, c: root}}
          left: {extends: root, runtime: {a: left}}
          right: {extends: root, runtime: {b: right}}
          prod: {extends: [left, right]}
        """,
        "prod",
    )
    assert manifest.merged["runtime"] == {"a": "left", "b": "right", "c": "root"}


def test_extending_an_implicit_profile_that_is_not_declared_is_fine(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest("profiles: {prod: {extends: [dev, tests, access]}}\n", "prod")

    assert manifest.settings.current_profile == "prod"


def test_profiles_that_extend_each_other_are_an_error_that_prints_the_circle(
    mistakes_of: MistakesOf,
) -> None:
    text = """
        profiles:
          a: {extends: b}
          b: {extends: [c]}
          c: {extends: a}
    """
    assert mistakes_of(text, "a") == [
        "5:7: profiles.c.extends: profiles extend each other: a -> b -> c -> a"
    ]


def test_a_profile_outside_of_the_circle_is_not_printed_with_it(mistakes_of: MistakesOf) -> None:
    text = "profiles:\n  a: {extends: b}\n  b: {extends: b}\n"

    assert mistakes_of(text, "a") == ["3:7: profiles.b.extends: profiles extend each other: b -> b"]


def test_extending_an_unknown_profile_names_the_nearest_one(mistakes_of: MistakesOf) -> None:
    text = "profiles:\n  staging: {}\n  prod: {extends: [stagin, tests, gone]}\n"
    known = "Known: access, dev, prod, staging, tests."

    assert mistakes_of(text, "prod") == [
        (
            f"3:10: profiles.prod.extends: there is no profile `stagin`. {known} "
            "Did you mean `staging`?"
        ),
        f"3:10: profiles.prod.extends: there is no profile `gone`. {known}",
    ]


@pytest.mark.parametrize(
    ("extends", "mistake"),
    [
        ("5", "2:9: profiles.dev.extends: must be a text or a list"),
        ("[tests, 5]", "2:26: profiles.dev.extends.1: must be a text"),
    ],
)
def test_extends_takes_names_only(mistakes_of: MistakesOf, extends: str, mistake: str) -> None:
    assert mistakes_of(f"profiles:\n  dev: {{extends: {extends}}}\n") == [mistake]


def test_the_declared_profiles_are_those_of_the_file_in_its_order(
    write_project: WriteProject,
) -> None:
    root = write_project("profiles: {prod: {}, dev: {}, staging: }\n")

    assert declared_profiles(read_document(root / "dlt.yml")) == ("prod", "dev", "staging")


def test_laying_a_profile_over_it_leaves_the_document_as_it_is(write_project: WriteProject) -> None:
    from dlthub_project.manifest import Manifest

    root = write_project("runtime: {a: {b: 1}}\nprofiles: {prod: {runtime: {a: {b: 2}}}}\n")
    document = read_document(root / "dlt.yml")

    assert Manifest(document, "prod").merged["runtime"] == {"a": {"b": 2}}
    assert Manifest(document, "dev").merged["runtime"] == {"a": {"b": 1}}


def test_the_layers_of_a_manifest_are_the_profiles_that_make_it_up(
    open_manifest: OpenManifest,
) -> None:
    text = "profiles: {a: {}, b: {extends: [a, tests]}, c: {extends: b}, d: {}}\n"

    assert open_manifest(text, "c").layers == ("a", "b", "c")


@pytest.mark.parametrize("profile", ["a", "b"])
def test_a_circle_of_profiles_is_the_same_for_each_of_them(
    mistakes_of: MistakesOf, profile: str
) -> None:
    text = "profiles:\n  a: {extends: b}\n  b: {extends: a}\n"

    assert mistakes_of(text, profile) == [
        "3:7: profiles.b.extends: profiles extend each other: a -> b -> a"
    ]


def test_a_chain_of_very_many_profiles_is_an_error(mistakes_of: MistakesOf) -> None:
    chain = "".join(f"  p{i}: {{extends: p{i + 1}}}\n" for i in range(200))

    (found,) = mistakes_of(f"profiles:\n{chain}  p200: {{}}\n", "p0")

    assert found.endswith("profiles extend each other over more than 100 steps")


@pytest.mark.parametrize("in_the_file", [("prod", "staging"), ("staging", "prod")])
def test_a_mistake_is_told_where_the_profile_that_wins_has_it(
    problems_of: Callable[..., tuple[Problem, ...]], in_the_file: tuple[str, str]
) -> None:
    profiles = {
        "prod": "  prod: {extends: staging, pipelines: {load: {destination: 1}}}\n",
        "staging": "  staging: {pipelines: {load: {destination: 2}}}\n",
    }
    text = "profiles:\n" + "".join(profiles[name] for name in in_the_file)

    (problem,) = problems_of(text, "prod")
    assert problem.path == "profiles.prod.pipelines.load.destination"
