"""Reading a `dlt.yml`: what YAML hides or says badly is said in plain words, with its place."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import date, datetime, timezone
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
        ("{env.OWNER}", "{env.OWNER}"),
        ("{env.OWNER:nobody}", "{env.OWNER:nobody}"),
        ("{project.name}", "{project.name}"),
        ("{data_dir}", "{data_dir}"),
        ("{{env.OWNER}}", "{{env.OWNER}}"),
    ],
)
def test_a_variable_without_quotes_is_an_error(
    mistakes_of: MistakesOf, written: str, meant: str
) -> None:
    found = mistakes_of(f"sources:\n  a:\n    type: x\n    owner: {written}\n")

    assert len(found) == 1
    assert ": sources.a.owner: " in found[0]
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
    """YAML is loaded with a safe loader only."""
    made = tmp_path / "made"

    assert mistakes_of(f"a: !!python/object/apply:os.mkdir ['{made}']\n") == [
        (
            "1:1: a: remove the tag `tag:yaml.org,2002:python/object/apply:os.mkdir`: a manifest "
            "is plain data"
        )
    ]
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

    with pytest.raises(ManifestError, match=r"dlt\.yml:1:17: cannot be read: it is not UTF-8"):
        read_document(root / "dlt.yml")


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"dlt\.yml: cannot be read: .*No such file"):
        read_document(tmp_path / "dlt.yml")


@pytest.mark.parametrize(
    ("first", "others", "found"),
    [
        ("{x: 1}", "{x: *a%d, y: *a%d, z: *a%d}", "11:1: a10"),
        ("[1]", "[*a%d, *a%d, *a%d]", "12:1: a11"),
        ("{x: 1}", "{<<: [*a%d, *a%d, *a%d]}", "11:12: a10.<<"),
    ],
    ids=["mappings", "lists", "merge keys"],
)
def test_anchors_that_explode_are_an_error(
    mistakes_of: MistakesOf, first: str, others: str, found: str
) -> None:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {others % (i - 1, i - 1, i - 1)}" for i in range(1, 60)]

    assert mistakes_of("\n".join(lines)) == [
        f"{found}: unfolds to more than 200,000 entries; use fewer anchors"
    ]


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

    assert mistakes_of(text)[0] == (
        f'{found}: quote this name: "{name}"; YAML does not read it as text'
    )


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


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("on", "true"),
        ("Yes", "true"),
        ("OFF", "false"),
        ("no", "false"),
        ("0123", "83"),
        ("-017", "-15"),
        ("12:30", "750"),
        ("1:30.5", "90.5"),
    ],
)
def test_a_value_that_yaml_reads_otherwise_than_it_looks_is_an_error(
    mistakes_of: MistakesOf, written: str, read_as: str
) -> None:
    meant = f'write {read_as}, or "{written}" for a text'

    assert mistakes_of(f"runtime: {{a: {written}}}\n") == [
        f"1:14: runtime.a: YAML reads {written} as {read_as}; {meant}"
    ]


def test_a_secret_that_yaml_reads_otherwise_is_not_printed(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of("runtime: {password: 0123}\n")

    assert problem.message == "quote this value; YAML does not read it as text"
    assert "0123" not in str(problem)
    assert "83" not in str(problem)


def test_numbers_switches_dates_and_quoted_texts_stay_what_they_are(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest(
        """
        runtime:
          values: [true, False, 0, 10, 1_000, 0x1F, 1.5, "on", "0123", y, 0890, 1e3, ~]
          since: 2024-01-01
          at: 2024-01-01T12:30:00Z
        """
    )
    assert manifest.merged["runtime"] == {
        "values": [True, False, 0, 10, 1000, 31, 1.5, "on", "0123", "y", "0890", "1e3", None],
        "since": date(2024, 1, 1),
        "at": datetime(2024, 1, 1, 12, 30, tzinfo=timezone.utc),
    }


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("2024-13-45", "a date"),
        ("2001-12-14t21:59:43.10-99:30", "a date"),
        ("0x_", "a number"),
        ("!!int abc", "a number"),
        ("!!bool maybe", "true or false"),
        ("!!binary ä", "base64"),
    ],
)
def test_a_value_that_yaml_cannot_read_is_an_error(
    mistakes_of: MistakesOf, written: str, kind: str
) -> None:
    assert mistakes_of(f"a: 1\nb: {written}\n") == [
        f"2:4: b: YAML takes this for {kind}, and it is none; quote it"
    ]


@pytest.mark.parametrize("written", ["!secret x", "!!set {a}", "!!omap [a: 1]"])
def test_a_tag_is_an_error(mistakes_of: MistakesOf, written: str) -> None:
    (found,) = mistakes_of(f"a: {written}\n")

    assert ": a: remove the tag `" in found


def test_an_equals_sign_alone_is_an_error(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("a: =\n") == ["1:4: a: quote the `=`; it has a meaning of its own in YAML"]


@pytest.mark.parametrize("written", ["5", "[1]", "null"])
def test_a_merge_key_that_names_no_mapping_is_an_error(
    mistakes_of: MistakesOf, written: str
) -> None:
    assert mistakes_of(f"a: {{<<: {written}}}\n") == [
        "1:5: a.<<: must be a mapping or a list of mappings"
    ]


def test_merge_keys_add_what_a_mapping_has_not_itself(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(
        """
        a: &a {x: a, y: a}
        b: &b {y: b, z: b}
        c: {y: c, <<: [*a, *b]}
        """
    )
    assert manifest.merged["c"] == {"x": "a", "y": "c", "z": "b"}


def test_what_is_wrong_in_sections_and_profiles_is_reported_beside_what_yaml_hides(
    mistakes_of: MistakesOf,
) -> None:
    text = """
        destinations: {a: {type: duckdb, type: duckdb}}
        pipelines: {load: {souce: orders}}
        project: {data_dir: "{local_dir}"}
        profiles:
          prod: {datasets: {a: {contract: frozen}}}
    """
    assert [found.partition(": ")[2].partition(": ")[0] for found in mistakes_of(text)] == [
        "destinations.a.type",
        "pipelines.load.souce",
        "project.data_dir",
        "profiles.prod.datasets.a.contract",
    ]


def test_what_was_meant_by_a_variable_without_quotes_causes_no_further_error(
    mistakes_of: MistakesOf,
) -> None:
    assert len(mistakes_of("pipelines: {load: {destination: {env.WHERE}}}\n")) == 1


@pytest.mark.parametrize("path", ["password", "credentials.url", "api_key"])
def test_the_default_of_a_variable_without_quotes_is_not_printed_for_a_secret(
    problems_of: ProblemsOf, path: str
) -> None:
    text = ": {".join(path.split(".")) + ": {env.X:hunter2}" + "}" * path.count(".")

    (problem,) = problems_of(f"a: {{{text}}}\n")

    assert '"{env.X:…}"' in problem.message
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  private_key: |\n    hunter2\n\thunter2\n",
        "a:\n  credentials:\n    host: db\n    x: hunter2\n    x: hunter2\n",
        "a:\n  tokens:\n  - hunter2\n  - {x: hunter2, x: hunter2}\n",
        "a:\n  headers: {Authorization: Bearer hunter2, x: 1, x: 2}\n",
        "a: {pwd: hunter2: b}\n",
        "password: hunter2: b\n",
        "a: {x: ghp_hunter2hunter2, y: 1, y: 2}\n",
        "a: {x: Zx9hunter2Zx9hunter2Zx9, y: 1, y: 2}\n",
        "a: {credentials: {x:\n  hunter2, y: 1, y: 2}}\n",
        'a:\n  password: "hunter2\n   hunter2: \x01"\n',
    ],
)
def test_an_error_shows_no_secret_on_lines_near_its_name(
    problems_of: ProblemsOf, text: str
) -> None:
    problems = problems_of(text)

    assert all(problem.excerpt for problem in problems)
    assert "hunter2" not in "".join(map(str, problems))


def test_keys_and_carets_stay_where_values_are_masked(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of("a: {credentials: {user: me, password: hunter2, user: you}}\n")

    assert problem.excerpt == (
        "    a: {credentials: {user: me, password: *******, user: you}}\n"
        "                                                   ^"
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "{type: a.b, conn_str: hunter2, x: 1, x: 2}",
            "{type: a.b, conn_str: *******, x: *, x: *}",
        ),
        (
            "{host: db.invalid, password: {type: hunter2 x}, x: 1, x: 2}",
            "{host: db.invalid, password: {type: ******* *}, x: *, x: *}",
        ),
        (
            "{type: ghp_hunter2hunter2, password: a, x: 1, x: 2}",
            "{type: ******************, password: *, x: *, x: *}",
        ),
        (
            "{api_kee: hunter2, type: a.b, x: 1, x: 2}",
            "{api_kee: *******, type: a.b, x: *, x: *}",
        ),
        ("{shopTokne: hunter2, x: 1, x: 2}", "{shopTokne: *******, x: *, x: *}"),
        (
            "{section: hunter1, taken: hunter1, x: 1, x: 2}",
            "{section: hunter1, taken: hunter1, x: 1, x: 2}",
        ),
    ],
)
def test_of_a_line_with_secrets_the_type_and_the_place_are_shown(
    problems_of: ProblemsOf, line: str, shown: str
) -> None:
    (problem,) = problems_of(f"a: {line}\n")

    assert problem.excerpt.splitlines()[0] == f"    a: {shown}"


def test_a_line_without_secrets_is_shown_as_it_is(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of("a: {path: data/orders-2024.csv, key_field: id, path: b}\n")

    assert problem.excerpt.startswith(
        "    a: {path: data/orders-2024.csv, key_field: id, path: b}\n"
    )


def test_characters_that_control_a_terminal_are_not_printed(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of('"\\e[31m": 1\n"\\e[31m": 2\n')
    (control,) = problems_of("a: \x1b[31mred\n")

    assert problem.path == "�[31m"
    assert control.excerpt.startswith("    a: �[31mred\n")


def test_a_file_that_is_not_utf8_shows_the_line(problems_of: ProblemsOf, tmp_path: Path) -> None:
    (tmp_path / "dlt.yml").write_bytes(b"a: 1\nname: caf\xe9\n")

    with pytest.raises(ManifestError) as caught:
        read_document(tmp_path / "dlt.yml")

    assert caught.value.problems[0].excerpt == "    name: caf�\n             ^"
    assert caught.value.problems[0].location.endswith("dlt.yml:2:10")


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dlt.yml").write_bytes(b"#" * 4_000_001)

    with pytest.raises(ManifestError, match="has more than 4 MB"):
        read_document(tmp_path / "dlt.yml")


def test_a_file_with_too_many_entries_is_an_error(mistakes_of: MistakesOf) -> None:
    (found,) = mistakes_of("a: [" + "1, " * 200_000 + "]")

    assert found.endswith("more than 200,000 entries stand before this; split the project")


def test_of_very_many_mistakes_the_first_are_shown_and_the_others_counted(
    mistakes_of: MistakesOf,
) -> None:
    found = mistakes_of("a: 1\n" * 602)

    assert found[0] == "2:1: a: stands here twice; remove one of the two"
    assert found[500:] == [": : and 101 more mistakes"]


def test_lines_are_counted_as_editors_count_them_with_windows_line_ends(
    write_project: WriteProject,
) -> None:
    root = write_project("")
    (root / "dlt.yml").write_bytes(b"a: 1\r\nb: 1\r\nb: 2\r\n")

    with pytest.raises(ManifestError, match=r"dlt\.yml:3:1: b: stands here twice"):
        read_document(root / "dlt.yml")


def test_reading_leaves_the_garbage_collector_as_it_was(mistakes_of: MistakesOf) -> None:
    mistakes_of("a: [")
    assert gc.isenabled()


def test_what_is_missing_at_the_end_of_a_file_is_reported_at_its_end(
    mistakes_of: MistakesOf,
) -> None:
    assert mistakes_of("a: [1,\nb: {")[0].startswith("2:5: : is not valid YAML: ")
