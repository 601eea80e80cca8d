"""Mapping arguments of sources are merged leaf by leaf across the layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project import ManifestError, current, ensure_project

WriteProject = Callable[..., Path]

CODE = """
    import dlt
    from typing import Any


    @dlt.source
    def required(client: dict, resources: list = None):
        return dlt.resource([{"client": client}], name="clients", max_table_nesting=0)


    @dlt.source
    def optional(client: dict = None):
        return dlt.resource([{"client": client}], name="clients", max_table_nesting=0)


    @dlt.source
    def injected(client: dict = dlt.config.value):
        return dlt.resource([{"client": client}], name="clients", max_table_nesting=0)


    @dlt.source
    def anything(**rest):
        return dlt.resource([rest], name="clients", max_table_nesting=0)
"""
MANIFEST = """
    sources:
      pokemon:
        type: poke.{function}
        client: {{base_url: "https://example.invalid/", auth: {{type: bearer}}, Retries: 3}}
"""
MERGED = {
    "base_url": "https://example.invalid/",
    "auth": {"type": "bearer", "token": "t1"},
    "Retries": 3,
}

every_kind = pytest.mark.parametrize("function", ["required", "optional", "injected", "anything"])


def client(**arguments: Any) -> Any:
    (row,) = list(current.entities().get_source("pokemon")(**arguments))
    return row["client"]


@pytest.fixture
def write_pokemon(write_project: WriteProject) -> Callable[..., Path]:
    def write(function: str, files: dict[str, str] | None = None, more: str = "") -> Path:
        manifest = MANIFEST.format(function=function) + more
        return write_project(manifest, {"sources/poke.py": CODE, **(files or {})})

    return write


@every_kind
def test_a_section_of_secrets_adds_to_the_mapping_of_the_manifest(
    write_pokemon: Callable[..., Path], function: str
) -> None:
    secrets = '[sources.pokemon.client.auth]\ntoken = "t1"\n'
    write_pokemon(function, {".dlt/secrets.toml": secrets})

    assert client() == MERGED


@every_kind
def test_an_environment_variable_adds_to_the_mapping_of_the_manifest(
    write_pokemon: Callable[..., Path], function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__POKEMON__CLIENT__AUTH__TOKEN", "t1")
    write_pokemon(function)

    assert client() == MERGED


@every_kind
def test_each_value_is_that_of_the_highest_layer_that_has_it(
    write_pokemon: Callable[..., Path], function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the name as the manifest spells it, and the type as it has it
    monkeypatch.setenv("SOURCES__POKEMON__CLIENT__RETRIES", "7")
    files = {
        ".dlt/secrets.toml": '[sources.pokemon.client.auth]\ntoken = "t1"\ntype = "secret"\n',
        ".dlt/config.toml": '[sources.pokemon.client.auth]\ntoken = "no"\nname = "x"\n',
    }
    write_pokemon(function, files)

    assert client() == {
        "base_url": "https://example.invalid/",
        "auth": {"type": "secret", "token": "t1", "name": "x"},
        "Retries": 7,
    }


@every_kind
def test_the_section_of_the_active_pipeline_adds_above_all_others(
    write_pokemon: Callable[..., Path], function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__POKEMON__CLIENT__AUTH__TOKEN", "no")
    config = '[load.sources.pokemon.client.auth]\ntoken = "t1"\n'
    write_pokemon(function, {".dlt/config.toml": config})
    dlt.pipeline("load", destination="duckdb")

    assert client() == MERGED


@every_kind
@pytest.mark.parametrize("name", ["SOURCES__POKEMON__CLIENT", "SOURCES__CLIENT"])
def test_a_mapping_in_one_environment_variable_adds_too(
    write_pokemon: Callable[..., Path], function: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, '{"auth": {"token": "t1"}}')
    write_pokemon(function)

    assert client() == MERGED


def test_a_value_that_is_no_mapping_replaces_all_of_it(
    write_pokemon: Callable[..., Path],
) -> None:
    write_pokemon("anything", {".dlt/config.toml": '[sources.pokemon]\nclient = "a text"\n'})

    assert client() == "a text"


def test_a_list_is_replaced(write_project: WriteProject, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(
        "sources: {pokemon: {type: poke.required, client: {ids: [1, 2], a: 1}}}\n",
        {
            "sources/poke.py": CODE,
            ".dlt/config.toml": "[sources.pokemon.client]\nids = [3]\n",
        },
    )

    assert client() == {"ids": [3], "a": 1}


@every_kind
def test_a_variable_that_a_higher_layer_makes_needless_does_not_have_to_be_set(
    write_project: WriteProject, function: str
) -> None:
    entry = f'type: poke.{function}, client: {{auth: {{token: "{{env.NOT_SET}}", a: 1}}}}'
    secrets = '[sources.pokemon.client.auth]\ntoken = "t1"\n'
    root = write_project(
        f"sources: {{pokemon: {{{entry}}}}}\n",
        {"sources/poke.py": CODE, ".dlt/secrets.toml": secrets},
    )
    assert client() == {"auth": {"token": "t1", "a": 1}}

    (root / ".dlt/secrets.toml").write_text('[sources.pokemon.client.auth]\nother = "t1"\n')
    ensure_project()
    with pytest.raises(ManifestError, match=r"dlt\.yml:1:\d+: sources\.pokemon\.client\.auth\.tok"):
        client()


@every_kind
def test_what_is_given_in_code_is_left_as_it_is(
    write_pokemon: Callable[..., Path], function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__POKEMON__CLIENT__AUTH__TOKEN", "t1")
    write_pokemon(function)

    assert client(client={"a": 1}) == {"a": 1}


def test_a_text_stays_one_whatever_is_set_below_its_name(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import dlt


        @dlt.source
        def texts(required: str, optional: str = "x", anything="y", load="default"):
            return dlt.resource([[required, optional, anything, load]], name="texts")
    """
    for name in ("REQUIRED", "OPTIONAL"):
        monkeypatch.setenv(f"SOURCES__POKEMON__{name}__ID", "no")
    # an argument called as a section of dlt
    monkeypatch.setenv("LOAD__WORKERS", "3")
    entry = """required: '{"a":  1}', optional: '{"b":  2}', anything: '{"c":  3}'"""
    write_project(
        f"sources: {{pokemon: {{type: poke.texts, {entry}}}}}\n", {"sources/poke.py": code}
    )

    texts = list(current.entities().get_source("pokemon")())

    assert texts == ['{"a":  1}', '{"b":  2}', '{"c":  3}', "default"]


def test_every_leaf_is_explained_as_it_is_merged(
    write_pokemon: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__POKEMON__CLIENT__RETRIES", "7")
    files = {
        ".dlt/secrets.toml": '[sources.pokemon.client.auth]\ntoken = "t1"\n',
        ".dlt/config.toml": "[sources.pokemon.client]\ntimeout = 9\n",
    }
    write_pokemon("required", files)

    explanation = current.project().explain("sources.pokemon.client")

    assert explanation.winner is None
    assert "t1" not in f"{explanation}{explanation!r}"
    places = {
        one.path.removeprefix("sources.pokemon.client."): one.winner.location or one.winner.key
        for one in leaves(explanation)
        if one.winner
    }
    assert places == {
        "auth.token": ".dlt/secrets.toml:2",
        "auth.type": "dlt.yml:5:59",
        "timeout": ".dlt/config.toml:2",
        "base_url": "dlt.yml:5:14",
        "Retries": "SOURCES__POKEMON__CLIENT__RETRIES",
    }


def leaves(explanation: Any) -> Any:
    for below in explanation.below:
        yield from leaves(below) if below.below else (below,)
