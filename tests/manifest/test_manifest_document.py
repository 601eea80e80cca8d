"""Reading a `dlt.yml`: what YAML hides or says badly is said in plain words, with its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import Manifest, read_document

WriteProject = Callable[..., Path]
OpenManifest = Callable[..., Manifest]
ProblemsOf = Callable[..., tuple[Problem, ...]]
MistakesOf = Callable[..., list[str]]


def test_an_empty_file_is_a_manifest_with_all_defaults(open_manifest: OpenManifest) -> None:
    manifest = open_manifest("")

    assert manifest.merged == {}
    assert manifest.settings.name == "shop"
    assert manifest.settings.default_profile == "dev"
    assert manifest.settings.allow_undefined_entities is True


def test_a_file_of_comments_is_a_manifest_with_all_defaults(open_manifest: OpenManifest) -> None:
    assert open_manifest("# nothing yet\n").merged == {}


@pytest.mark.parametrize("text", ["- a\n- b\n", "hello\n", "[]", "5"])
def test_a_root_that_is_no_mapping_is_an_error(mistakes_of: MistakesOf, text: str) -> None:
    assert mistakes_of(text) == ["1:1: : must be a mapping of sections, such as `sources:`"]


def test_an_error_shows_file_line_column_and_a_caret_below_the_place(
    write_project: WriteProject,
) -> None:
    root = write_project("sources:\n  a: {type: x}\n  a: {type: y}\n")

    with pytest.raises(ManifestError) as caught:
        read_document(root / "dlt.yml")

    assert str(caught.value) == (
        f"{root / 'dlt.yml'}:3:3: sources.a: stands here twice; remove one of the two\n"
        "      a: {type: y}\n"
        "      ^"
    )


def test_keys_that_stand_there_twice_are_reported_all_at_once(mistakes_of: MistakesOf) -> None:
    text = """
        pipelines: {}
        sources:
          a: {type: x, type: y}
        pipelines: {}
    """
    assert mistakes_of(text) == [
        "4:16: sources.a.type: stands here twice; remove one of the two",
        "5:1: pipelines: stands here twice; remove one of the two",
    ]


def test_two_merge_keys_in_one_mapping_are_not_a_duplicate(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        """
        sources:
          a: &a {type: x, first: 1}
          b: &b {type: x, second: 2}
          c:
            <<: *a
            <<: *b
            third: 3
        """
    )
    assert manifest.section("sources")["c"] == {"type": "x", "first": 1, "second": 2, "third": 3}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{env.TOKEN}", "{env.TOKEN}"),
        ("{env.TOKEN:none}", "{env.TOKEN:none}"),
        ("{project.name}", "{project.name}"),
        ("{data_dir}", "{data_dir}"),
        ("{{env.TOKEN}}", "{{env.TOKEN}}"),
    ],
)
def test_a_variable_without_quotes_is_an_error(
    mistakes_of: MistakesOf, written: str, meant: str
) -> None:
    found = mistakes_of(f"sources:\n  a:\n    type: x\n    token: {written}\n")

    assert len(found) == 1
    assert ": sources.a.token: " in found[0]
    assert f'quote this value: "{meant}"; YAML reads it as a mapping' in found[0]
    assert found[0].startswith("4:1")


def test_variables_without_quotes_in_a_list_are_reported_all_at_once(
    mistakes_of: MistakesOf,
) -> None:
    assert mistakes_of("a: [{env.X}, {env.Y}]\n") == [
        '1:5: a.0: quote this value: "{env.X}"; YAML reads it as a mapping',
        '1:14: a.1: quote this value: "{env.Y}"; YAML reads it as a mapping',
    ]


def test_the_name_without_quotes_is_a_variable_in_the_section_project_only(
    open_manifest: OpenManifest, mistakes_of: MistakesOf
) -> None:
    assert mistakes_of("project: {data_dir: {name}}\n") == [
        '1:21: project.data_dir: quote this value: "{name}"; YAML reads it as a mapping'
    ]
    manifest = open_manifest("sources: {a: {type: x, fields: {name}}}\n")
    assert manifest.section("sources")["a"]["fields"] == {"name": None}


def test_a_path_that_begins_with_a_variable_without_quotes_is_an_error(
    mistakes_of: MistakesOf,
) -> None:
    assert mistakes_of("project:\n  data_dir: {project_dir}/data\n") == [
        "2:26: : quote the value that begins with {project_dir}/data; YAML reads it as a mapping"
    ]


def test_flow_mappings_of_other_keys_are_no_variables(open_manifest: OpenManifest) -> None:
    manifest = open_manifest('a: {environment: }\nb: {"env.X": 1}\nc: {env.X: , d: 1}\n')

    assert manifest.merged == {
        "a": {"environment": None},
        "b": {"env.X": 1},
        "c": {"env.X": None, "d": 1},
    }


def test_a_tab_is_an_error_that_says_what_to_use(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("project:\n\tname: x\n") == [
        "2:1: : YAML does not take a tab here; indent with spaces"
    ]


def test_the_caret_below_a_line_with_tabs_stands_below_its_place(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of("project: {name: shop,\n\t\tname: mart}\n")

    assert problem.location.endswith(":2:3")
    assert problem.excerpt == "    \t\tname: mart}\n    \t\t^"


def test_a_second_document_is_an_error(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("project: {}\n---\nsources: {}\n") == [
        "2:1: : a second document begins here; a manifest is one document"
    ]


def test_other_errors_of_yaml_keep_its_own_words(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("sources: {a: 1\n") == [
        "2:1: : is not valid YAML: did not find expected ',' or '}' (while parsing a flow mapping)"
    ]


def test_an_alias_without_an_anchor_is_an_error(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("a: *b\n") == ["1:4: : is not valid YAML: found undefined alias"]


def test_a_tag_makes_no_python_object(mistakes_of: MistakesOf, tmp_path: Path) -> None:
    made = tmp_path / "made"

    (found,) = mistakes_of(f"a: !!python/object/apply:os.mkdir ['{made}']\n")

    assert found.startswith("1:4: : is not valid YAML: could not determine a constructor")
    assert not made.exists()


def test_a_control_character_is_an_error_with_its_place(mistakes_of: MistakesOf) -> None:
    assert mistakes_of('project:\n  name: "ä\x01"\n') == [
        "2:11: : is not valid YAML: control characters are not allowed"
    ]


def test_a_byte_order_mark_is_skipped(write_project: WriteProject) -> None:
    root = write_project("")
    (root / "dlt.yml").write_bytes(b"\xef\xbb\xbfproject: {name: mart}\n")

    document = read_document(root / "dlt.yml")

    assert document.data == {"project": {"name": "mart"}}
    assert document.positions["project",] == (0, 0)


def test_a_file_that_is_not_utf8_is_an_error(write_project: WriteProject) -> None:
    root = write_project("")
    (root / "dlt.yml").write_bytes(b"project: {name: \xe9}\n")

    with pytest.raises(ManifestError, match=r"dlt\.yml: cannot be read: .*utf-8"):
        read_document(root / "dlt.yml")


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"dlt\.yml: cannot be read: .*No such file"):
        read_document(tmp_path / "dlt.yml")


@pytest.mark.parametrize(
    ("first", "others"),
    [("{x: 1}", "{x: *a%d, y: *a%d, z: *a%d}"), ("[1]", "[*a%d, *a%d, *a%d]")],
    ids=["mappings", "lists"],
)
def test_anchors_that_explode_are_a_cheap_error(
    mistakes_of: MistakesOf, first: str, others: str
) -> None:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {others % (i - 1, i - 1, i - 1)}" for i in range(1, 60)]
    started = time.perf_counter()

    found = mistakes_of("\n".join(lines))

    assert time.perf_counter() - started < 1
    assert found == ["11:1: a10: unfolds to more than 100,000 entries; use fewer anchors"]


def test_anchors_that_do_not_explode_are_as_good_as_their_content(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest(
        """
        pipelines:
          a: &load {source: orders, destination: duckdb}
          b: *load
          c: {<<: *load, source: customers}
        """
    )
    assert manifest.section("pipelines") == {
        "a": {"source": "orders", "destination": "duckdb"},
        "b": {"source": "orders", "destination": "duckdb"},
        "c": {"source": "customers", "destination": "duckdb"},
    }


@pytest.mark.parametrize(
    ("text", "place"), [("a: &a {b: *a}\n", "1:8: a.b"), ("a: &a [1, *a]\n", "1:4: a.1")]
)
def test_an_anchor_within_itself_is_an_error(
    mistakes_of: MistakesOf, text: str, place: str
) -> None:
    assert mistakes_of(text) == [f"{place}: contains itself, by way of an anchor"]


@pytest.mark.parametrize("depth", [101, 2_000, 200_000])
def test_a_file_that_is_nested_too_deeply_is_an_error(mistakes_of: MistakesOf, depth: int) -> None:
    (found,) = mistakes_of("a: " + "[" * depth + "]" * depth)

    assert ": is nested more than 100 levels deep" in found
    assert len(found) < 100


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sources:\n  on: {type: x}\n", "2:3: sources.on"),
        ("sources:\n  2024: {type: x}\n", "2:3: sources.2024"),
        ("profiles:\n  no: {}\n", "2:3: profiles.no"),
        ("profiles:\n  dev:\n    sources: {1.5: {}}\n", "3:15: profiles.dev.sources.1.5"),
        ("null: {}\n", "1:1: null"),
    ],
)
def test_a_name_that_yaml_does_not_read_as_text_is_an_error(
    mistakes_of: MistakesOf, text: str, found: str
) -> None:
    name = found.partition(": ")[2].rpartition(".")[2] if "1.5" not in found else "1.5"

    assert mistakes_of(text) == [
        f'{found}: quote this name: "{name}"; YAML does not read it as text'
    ]


def test_keys_below_an_entry_may_be_numbers(open_manifest: OpenManifest) -> None:
    manifest = open_manifest("sources: {a: {type: x, codes: {404: skip}}}\n")

    assert manifest.section("sources")["a"]["codes"] == {404: "skip"}


def test_a_name_that_is_a_list_is_an_error(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("sources:\n  ? [a, b]\n  : {}\n") == [
        "2:5: sources: a name here is not a text"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "password: hunter2, and more",
        'password: "hunter2"',
        "api_key: 'hunter2'",
        "access_token: hunter2",
        "{user: me, client_secret: hunter2}",
        "url: postgresql://me:hunter2@db/shop",
        "credentials: postgresql://me:hunter2@db/shop",
    ],
)
def test_an_error_shows_no_secret(problems_of: ProblemsOf, line: str) -> None:
    (problem,) = problems_of(f"destinations:\n  a: {{}}\n  a: {{x: [{line}]}}\n")

    assert "hunter2" not in str(problem)
    assert "*******" in problem.excerpt


def test_an_error_shows_no_secret_of_a_file_that_is_no_yaml(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of('sources:\n  a:\n    password: "hunter2\n')

    assert "hunter2" not in str(problem)


def test_an_error_shows_a_secret_that_is_only_a_variable(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of('a: {}\na: {password: "{env.PASSWORD}", b: }\n')

    assert '{password: "{env.PASSWORD}", b: }' in problem.excerpt


def test_the_caret_stands_right_behind_a_masked_value(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of("a: {password: hunter2, b: 1, b: 2}\n")

    line, caret = problem.excerpt.splitlines()
    assert caret.index("^") == 4 + "a: {password: hunter2, b: 1, b: 2}".rindex("b")
    assert len(line) == 4 + len("a: {password: hunter2, b: 1, b: 2}")


def test_a_long_line_is_shown_around_the_place(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(f"a: {{{', '.join(f'key{i}: 1' for i in range(500))}, key7: 2}}\n")

    line, caret = problem.excerpt.splitlines()
    assert len(line) <= 104
    assert line[caret.index("^") :].startswith("key7: 2")


def test_a_document_does_not_print_its_content(write_project: WriteProject) -> None:
    root = write_project("sources: {a: {type: x, password: hunter2}}\n")

    assert "hunter2" not in repr(read_document(root / "dlt.yml"))
