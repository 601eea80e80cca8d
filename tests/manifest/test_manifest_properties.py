"""What holds for any manifest, and for any bytes in place of one."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dlthub_project.errors import ManifestError
from dlthub_project.manifest import Manifest, default_profile, read_document
from dlthub_project.manifest.profiles import merge
from dlthub_project.manifest.settings import SETTINGS, substitute

# the same examples in every run, and no more than a few seconds of them
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_LEAVES = st.one_of(st.integers(), st.booleans(), st.text(max_size=3), st.lists(st.integers()))
# a name is that of a mapping in every layer, or in none
_LAYERS = st.recursive(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), _LEAVES),
    lambda below: st.builds(
        lambda leaves, mappings: {**leaves, **mappings},
        st.dictionaries(st.sampled_from(["a", "b", "c"]), _LEAVES),
        st.dictionaries(st.sampled_from(["x", "y"]), below),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@bounded
@given(_LAYERS, _LAYERS, _LAYERS)
def test_without_null_the_order_of_merging_does_not_matter(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c)


@bounded
@given(_LAYERS, _LAYERS)
def test_merging_leaves_its_layers_as_they_are(a: dict[str, Any], b: dict[str, Any]) -> None:
    before = repr((a, b))
    merged = merge(a, b)
    merge(merged, {"x": {"new": 1}, "new": 1})

    assert repr((a, b)) == before
    assert merge(merged, b) == merged
    assert merge(a, {}) == a


def test_a_value_that_replaces_a_mapping_forgets_it() -> None:
    mapping, value, other = {"k": {"x": 1}}, {"k": 5}, {"k": {"y": 2}}

    # the one case in which order matters: what is laid over a value is no more than itself
    assert merge(mapping, value, other) == {"k": {"y": 2}}
    assert merge(mapping, merge(value, other)) == {"k": {"x": 1, "y": 2}}


_OURS = re.compile(rf"env\.[A-Za-z_][A-Za-z0-9_]*(:[^{{}}]*)?|(project\.)?({'|'.join(SETTINGS)})")
_FOREIGN = st.text(
    st.sampled_from("{}abcenv.project:_ /%\n") | st.characters(codec="utf-8"), max_size=40
).filter(lambda text: not re.search(rf"\{{({_OURS.pattern}|project\.name)\}}", text))


@bounded
@given(_FOREIGN)
@example("{table_name}/{load_id}.{file_id}.{ext}")
@example("repos/{resources.repos.name}/issues")
@example("{{ var('data_dir') }}{% if env.X %}{#{data_dir }#}")
def test_substitution_never_touches_foreign_braces(text: str) -> None:
    assert substitute(text, lambda name: f"<{name}>", {"X": "<X>"}) == text


@bounded
@given(_FOREIGN.filter(lambda text: text.count("{") == text.count("}") == 0), _FOREIGN)
def test_substitution_changes_nothing_beside_its_variable(before: str, after: str) -> None:
    after = after.lstrip("}")
    text = f"{before}|{{env.X}}|{after}"

    assert substitute(text, str, {"X": "{data_dir}"}) == f"{before}|{{data_dir}}|{after}"


def opened(content: bytes, folder: Path) -> Manifest | ManifestError:
    """Open a manifest of these bytes; any other exception than a ManifestError gets through."""
    path = folder / "dlt.yml"
    path.write_bytes(content)
    try:
        document = read_document(path)
        return Manifest(document, default_profile(document))
    except ManifestError as error:
        return error


_PIECES_IN_A_LINE = (
    "a b: - [ ] { } , : ? & * ! | > ' \" % @ ` # << <<: &a *a --- ... ~ null on 0123 12:30 0x_ "
    ".inf 2024-13-45 !!int !!python/object:os.system !!binary {env.X} {data_dir} project: "
    "sources: name: pipelines: profiles: extends: dev type: x"
)
_PIECES = st.sampled_from(_PIECES_IN_A_LINE.split(" "))
_SPACES = st.sampled_from(["\n", "\n  ", "\n    ", " ", "\t", "\r", "\x00", "\ufeff"])
_YAML_LIKE = st.lists(
    st.one_of(
        _PIECES, st.sampled_from(["\n", "\n  ", "\n    ", " ", "\t", "\r", "\x00", "\ufeff"])
    ),
    max_size=40,
).map(lambda pieces: "".join(pieces).encode())


@settings(bounded, max_examples=400)
@given(st.one_of(st.binary(max_size=200), _YAML_LIKE, st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_a_manifest_or_a_manifest_error(tmp_path: Path, content: bytes) -> None:
    found = opened(content, tmp_path)

    assert isinstance(found, Manifest) or found.problems


VALID = (
    textwrap.dedent("""
    project:
      name: shop
      data_dir: "{project_dir}/_data/{current_profile}"
      default_profile: prod
    sources:
      github: &github {type: github.source, with_args: {max_table_nesting: 2}, access_token: x}
      other: {<<: *github, since: 2024-01-01}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      shop_data:
        destination: [warehouse]
        contract: {tables: evolve, columns: freeze}
    pipelines:
      load_shop:
        source: [github, other]
        destination: warehouse
        run_config: {retry_policy: {type: backoff, max_attempts: 5}}
    caches: {hot: {inputs: [{dataset: shop_data}]}}
    transformations: {report: {engine: sql, cache: hot}}
    profiles:
      staging: {runtime: {log_level: INFO}}
      prod: {extends: [staging], destinations: {warehouse: {type: postgres}}}
    """)
    .lstrip()
    .encode()
)


@settings(bounded, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(VALID)),
            st.integers(0, 12),
            _PIECES.map(str.encode) | st.binary(max_size=3) | st.sampled_from([b"\n", b"\t", b" "]),
        ),
        min_size=1,
        max_size=3,
    )
)
@example([(740, 12, b"a")])
def test_any_mutation_is_valid_or_reported_with_a_position_inside_the_file(
    tmp_path: Path, mutations: list[tuple[int, int, bytes]]
) -> None:
    content = VALID
    for start, length, piece in mutations:
        content = content[:start] + piece + content[start + length :]

    found = opened(content, tmp_path)

    if isinstance(found, ManifestError):
        text = content.decode(errors="replace")
        lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)
        for problem in found.problems:
            place = re.fullmatch(r".*dlt\.yml:(\d+):(\d+)", problem.location)
            assert place, problem
            line, column = int(place[1]), int(place[2])
            assert 1 <= line <= len(lines)
            assert 1 <= column <= len(lines[line - 1]) + 1
            assert problem.message


def test_the_manifest_that_is_mutated_is_valid(tmp_path: Path) -> None:
    assert isinstance(opened(VALID, tmp_path), Manifest)


NASTY: dict[str, Callable[[], bytes]] = {
    "deep flow": lambda: b"[" * 3_000_000,
    "deep blocks": lambda: b"".join(b" " * i + b"a:\n" for i in range(2_000)),
    "deep dashes": lambda: b"- " * 1_000_000,
    "deep questions": lambda: b"? " * 1_000_000,
    "laughs": lambda: b"\n".join(
        b"a%d: &a%d [%s]" % (i, i, b",".join([b"*a%d" % (i - 1) if i else b"x"] * 9))
        for i in range(50)
    ),
    "merged laughs": lambda: b"a0: &a0 {k: 1}\n" + b"\n".join(
        b"a%d: &a%d {<<: [%s]}" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 50)
    ),
    "a huge scalar": lambda: b"a: " + b"x y " * 900_000,
    "a huge key": lambda: b'sources: {? "' + b"k" * 3_000_000 + b'" : 5}',
    "a huge number": lambda: b"a: " + b"9" * 3_000_000,
    "a huge number to the base 60": lambda: b"a: 1" + b":1" * 1_500_000,
    "a float to the base 60": lambda: b"a: 1" + b":1" * 45 + b".5",
    "a long line that is wrong": lambda: b"a: [}" + b"x y " * 900_000,
    "many keys in a line": lambda: b"a: {" + b"k: 1, " * 600_000 + b"}",
    "many documents": lambda: b"---\na: 1\n" * 400_000,
    "many lines": lambda: b"\n" * 3_900_000,
    "more than a manifest": lambda: b"a" * 50_000_000,
    "two byte order marks": lambda: b"\xef\xbb\xbf\xef\xbb\xbfa: 1",
    "a byte order mark within": lambda: b"a: 1\n\xef\xbb\xbf---\nb: 1",
    "UTF-16": lambda: "sources: {}".encode("utf-16"),
    "surrogates": lambda: b"a: \xed\xa0\x80\n",
    "an escaped surrogate": lambda: b'a: "\\ud800"\n',
    "control characters": lambda: b"a: \x1b[31mred\n",
    "NUL": lambda: b"a: 1\n\x00",
    "tabs": lambda: b"\ta: 1\n\t\tb: 1",
    "python tags": lambda: b"a: !!python/object/apply:os.system [ls]\n",
    "a recursive alias": lambda: b"a: &a {b: *a, c: [*a]}\n",
    "a recursive merge": lambda: b"a: &a {<<: *a}\n",
    "mistakes without end": lambda: b"pipelines:\n" + b"".join(
        b" k%d: 1\n" % i for i in range(40_000)
    ),
    "unknown keys without end": lambda: b"pipelines:\n a:\n" + b"".join(
        b"  k%d: 1\n" % i for i in range(40_000)
    ),
    "duplicates without end": lambda: b"a: 1\n" * 40_000,
    "a chain of profiles": lambda: b"project: {default_profile: p0}\nprofiles:\n" + b"".join(
        b" p%d: {extends: p%d}\n" % (i, i + 1) for i in range(15_000)
    ),
    "unknown profiles": lambda: b"profiles:\n dev: {extends: [%s]}\n" % b",".join(
        b"q%d" % i for i in range(30_000)
    ) + b"".join(b" p%d: \n" % i for i in range(15_000)),
    "settings of settings": lambda: b'project: {name: "%s", data_dir: "%s", local_dir: "%s"}' % (
        b"{data_dir}" * 1_000, b"{local_dir}" * 300, b"{default_profile}/" * 200
    ),
}  # fmt: skip


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", NASTY)
def test_nasty_bytes_are_a_manifest_or_a_manifest_error(tmp_path: Path, name: str) -> None:
    found = opened(NASTY[name](), tmp_path)

    assert isinstance(found, Manifest) or len(str(found)) < 500_000


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of memory there")
@pytest.mark.slow
def test_nasty_bytes_take_less_than_200_mb(tmp_path: Path) -> None:
    folders = []
    for number, make in enumerate(NASTY.values()):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        (folders[-1] / "dlt.yml").write_bytes(make())
    code = """
        import resource, sys
        from pathlib import Path
        import dlthub_project.manifest.validation
        from dlthub_project.errors import ManifestError
        from dlthub_project.manifest import Manifest, default_profile, read_document

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, -1))
        for path in sys.argv[1:]:
            try:
                document = read_document(Path(path, "dlt.yml"))
                Manifest(document, default_profile(document))
            except ManifestError:
                pass
        print("all of them")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "all of them\n", done.stderr[-2_000:]
