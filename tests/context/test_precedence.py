"""Which layer wins: environment, TOML, vaults, profiles, the base, defaults, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.specs import BaseConfiguration, RuntimeConfiguration
from dlt.common.data_writers.buffered import BufferedDataWriter
from dlt.extract.pipe_iterator import PipeIterator

from dlthub_project import current, ensure_project
from dlthub_project.sandbox import Sandbox, isolated

WriteProject = Callable[..., Path]
Value = int | str | Mapping[str, Any]

SOURCE = """
    import dlt


    @dlt.source
    def orders(rows: int = 1000, path: str = "the default"):
        return dlt.resource([{"rows": rows, "path": path}], name="items")


    @dlt.source
    def orders_required(rows: int):
        return dlt.resource([{"rows": rows}], name="items")
"""

# the highest first; files by their folder
LAYERS = [
    "environment",
    "project/prod.secrets.toml",
    "project/secrets.toml",
    "global/prod.secrets.toml",
    "global/secrets.toml",
    "project/prod.config.toml",
    "project/config.toml",
    "global/prod.config.toml",
    "global/config.toml",
    "vault",
    "profile prod",
    "profile parent",
    "base",
    "default",
]


@configspec
class WarehouseConfiguration(BaseConfiguration):
    query_timeout: int = 1000


def of_source() -> int:
    (row,) = list(current.entities().get_source("orders")())
    return int(row["rows"])


def of_source_without_default() -> int:
    (row,) = list(current.entities().get_source("required")())
    return int(row["rows"])


def of_destination() -> int:
    # as `Destination.configuration` does
    spec = resolve_configuration(WarehouseConfiguration(), sections=("destination", "warehouse"))
    return spec.query_timeout


def of_pipeline() -> str:
    name = current.entities().get_pipeline("load").dataset_name
    assert dlt.pipeline("load").dataset_name == name
    return name


def of_runtime() -> str:
    return resolve_configuration(RuntimeConfiguration()).config_files_storage_path


def of_extract() -> int:
    return resolve_configuration(PipeIterator.PipeIteratorConfiguration()).workers


def of_data_writer() -> int | None:
    spec = BufferedDataWriter.BufferedDataWriterConfiguration()
    return resolve_configuration(spec, sections=("normalize",)).file_max_items


# the path in dlt's words, and how to ask dlt for the value
VALUES: dict[str, Callable[[], int | str | None]] = {
    "sources.orders.rows": of_source,
    "sources.required.rows": of_source_without_default,
    "destination.warehouse.query_timeout": of_destination,
    "pipelines.load.dataset_name": of_pipeline,
    "runtime.config_files_storage_path": of_runtime,
    "extract.workers": of_extract,
    "normalize.data_writer.file_max_items": of_data_writer,
}
TEXTS = ("pipelines.load.dataset_name", "runtime.config_files_storage_path")
WITHOUT_DEFAULT = ("sources.required.rows", "normalize.data_writer.file_max_items")


def nested(path: str, value: Value) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def toml(path: str, value: Value) -> str:
    return f"{path} = {json.dumps(value)}\n"


class World:
    """A project in a sandbox, with a global folder of its own, and values in any layers."""

    def __init__(self, write_project: WriteProject, patch: pytest.MonkeyPatch, tmp: Path) -> None:
        self._write, self._patch = write_project, patch
        self._sandbox_folder = tmp / "sandbox"

    @contextmanager
    def with_values(self, *values: tuple[str, str, Value]) -> Iterator[None]:
        """Activate profile `prod` of the project with values: layer, path in dlt's words, value."""
        manifest: dict[str, Any] = {
            "sources": {
                "orders": {"type": "shop.orders"},
                "required": {"type": "shop.orders_required"},
            },
            "destinations": {"warehouse": {"type": "duckdb"}},
            "pipelines": {"load": {"destination": "warehouse"}},
            "profiles": {"prod": {"extends": "parent"}, "parent": {}},
        }
        files: dict[str, str] = {}
        vault: dict[str, Any] = {}
        for layer, path, value in values:
            if layer == "environment":
                self._patch.setenv(path.replace(".", "__").upper(), str(value))
            elif layer.endswith(".toml"):
                files[layer] = files.get(layer, "") + toml(path, value)
            elif layer == "vault":
                lay_over(vault, nested(path, value))
            elif layer != "default":
                section = manifest
                if layer.startswith("profile "):
                    section = manifest["profiles"][layer.removeprefix("profile ")]
                lay_over(section, nested(path.replace("destination.", "destinations."), value))
        in_project = {
            f".dlt/{name.removeprefix('project/')}": text
            for name, text in files.items()
            if name.startswith("project/")
        }
        root = self._write(json.dumps(manifest), {"sources/shop.py": SOURCE, **in_project})
        sandbox = Sandbox(str(self._sandbox_folder), str(root), str(root))
        global_dir = Path(sandbox.global_dir)
        global_dir.mkdir(parents=True)
        for name, text in files.items():
            if name.startswith("global/"):
                (global_dir / name.removeprefix("global/")).write_text(text)
        with isolated(sandbox):
            ensure_project(profile="prod")
            if vault:
                # as dlt adds those that its configuration enables
                added = CustomLoaderDocProvider("vault", lambda: vault, supports_secrets=True)
                dlt.config.register_provider(added)
            yield


def lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            lay_over(below[key], value)
        else:
            below[key] = value


@pytest.fixture
def world(write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(write_project, monkeypatch, tmp_path)


@pytest.mark.parametrize("path", VALUES)
@pytest.mark.parametrize(("higher", "lower"), list(pairwise(LAYERS)), ids=lambda name: str(name))
def test_a_layer_wins_over_the_next_lower_one_and_the_explanation_says_so(
    world: World, path: str, higher: str, lower: str
) -> None:
    low, high = ("low", "high") if path in TEXTS else (8, 9)

    with world.with_values((lower, path, low), (higher, path, high)):
        explanation = current.project().explain(path)

        assert VALUES[path]() == high
        assert explanation.winner is explanation.layers[0]
        # what stands in a file for secrets, or in a vault, is not shown
        is_shown = not any("secrets" in layer or layer == "vault" for layer in (higher, lower))
        assert explanation.winner.value == (str(high) if is_shown else "***")
        assert explanation.winner.source == source_of(higher)
        if lower != "default":
            assert explanation.layers[1].source == source_of(lower)


def source_of(layer: str) -> str:
    if layer.startswith("project/"):
        return layer.replace("project/", ".dlt/")
    if layer.startswith("global/"):
        return str(Path(current.context().global_dir, layer.removeprefix("global/")))
    return {"base": "dlt.yml"}.get(layer, layer)


@pytest.mark.parametrize("path", [path for path in VALUES if path not in WITHOUT_DEFAULT])
def test_what_no_layer_has_is_the_default(world: World, path: str) -> None:
    with world.with_values():
        asked = VALUES[path]()

        if path in ("sources.orders.rows", "destination.warehouse.query_timeout"):
            assert asked == 1000  # of the code, which an explanation does not look into
            return
        winner = current.project().explain(path).winner
        assert winner is not None
        assert (winner.source, winner.value) == ("default", str(asked))


# dlt searches all layers for a section that is named after the pipeline, and then each layer for
# the longest path first
PATHS = [
    "load.sources.orders.orders.rows",
    "load.sources.orders.rows",
    "load.sources.rows",
    "load.rows",
    "sources.orders.orders.rows",
    "sources.orders.rows",
    "sources.rows",
    "rows",
]
# entries of `sources` are mappings: other layers have values beside them
NOT_IN_MANIFEST = ("sources.rows",)


@pytest.mark.parametrize("layer", ["environment", "project/config.toml", "vault", "base"])
@pytest.mark.parametrize("index", range(len(PATHS)), ids=PATHS.__getitem__)
def test_in_one_layer_the_longest_path_wins(world: World, layer: str, index: int) -> None:
    paths = [p for p in PATHS[index:] if layer != "base" or p not in NOT_IN_MANIFEST]
    values = [(layer, path, 10 + PATHS.index(path)) for path in paths]

    with world.with_values(*values):
        dlt.pipeline("load", destination="duckdb")
        winner = current.project().explain("sources.orders.rows").winner

        assert of_source() == 10 + PATHS.index(paths[0])
        assert winner is not None
        assert winner.key.lower().replace("__", ".") == paths[0]


@pytest.mark.parametrize("layer", ["environment", "project/config.toml", "vault"])
@pytest.mark.parametrize("path", PATHS[:-1])
def test_a_higher_layer_wins_also_with_a_shorter_or_a_longer_path(
    world: World, layer: str, path: str
) -> None:
    with world.with_values(("base", "sources.orders.rows", 7), (layer, path, 8)):
        dlt.pipeline("load", destination="duckdb")
        winner = current.project().explain("sources.orders.rows").winner

        assert of_source() == 8
        assert winner is not None
        assert winner.source == source_of(layer)


def test_the_section_of_the_active_pipeline_wins_over_every_layer_without_one(
    world: World,
) -> None:
    values = [("base", "load.sources.orders.rows", 7), ("environment", "sources.orders.rows", 8)]

    with world.with_values(*values):
        assert of_source() == 8
        assert current.project().explain("sources.orders.rows").layers[0].value == "8"
        dlt.pipeline("load", destination="duckdb")
        assert of_source() == 7
        assert current.project().explain("sources.orders.rows").layers[0].value == "7"


@pytest.mark.parametrize("path", ["load.sources.required.rows", "sources.required.required.rows"])
def test_an_argument_without_a_default_is_found_where_dlt_looks_for_others(
    world: World, path: str
) -> None:
    with world.with_values(("base", "sources.required.rows", 7), ("project/config.toml", path, 8)):
        dlt.pipeline("load", destination="duckdb")

        assert of_source_without_default() == 8


@pytest.mark.parametrize("layer", ["environment", "project/config.toml", "base"])
def test_an_argument_without_a_default_is_not_given_what_only_has_its_name(
    world: World, layer: str
) -> None:
    with world.with_values((layer, "rows", 7)), pytest.raises(TypeError, match="rows"):
        of_source_without_default()


@pytest.mark.parametrize("path", ["pipelines.dataset_name", "dataset_name"])
def test_a_shorter_path_in_a_file_wins_over_what_a_pipeline_declares(
    world: World, path: str
) -> None:
    declared = ("base", "pipelines.load.dataset_name", "declared")

    with world.with_values(declared, ("project/config.toml", path, "of_all")):
        winner = current.project().explain("pipelines.load.dataset_name").winner

        assert of_pipeline() == "of_all"
        assert winner is not None
        assert (winner.value, winner.location) == ("of_all", ".dlt/config.toml:1")


@pytest.mark.parametrize(
    ("path", "declared"),
    [("data_writer.file_max_items", "normalize.data_writer.file_max_items")],
)
def test_a_shorter_path_of_a_plain_key_counts_where_the_longer_one_is_not_set(
    world: World, path: str, declared: str
) -> None:
    with world.with_values(("base", path, 7)):
        winner = current.project().explain(declared).winner

        assert of_data_writer() == 7
        assert winner is not None
        assert winner.key == path


# `PATH` is always set, and every one of these names may be
@pytest.mark.parametrize("layer", ["base", "profile parent", "profile prod"])
def test_a_declared_path_is_not_the_shells(
    world: World, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.with_values((layer, "sources.orders.path", "declared")):
        (row,) = list(current.entities().get_source("orders")())
        explanation = current.project().explain("sources.orders.path")

        assert row["path"] == "declared"
        assert explanation.winner is not None
        assert explanation.winner.value == "declared"
        assert explanation.layers[-1].key == "PATH"
        remark = "ignored: it has no section, and the manifest has a value"
        assert explanation.layers[-1].remark == remark


@pytest.mark.parametrize(
    "path",
    ["sources.orders.rows", "destination.warehouse.query_timeout", "pipelines.load.dataset_name"],
)
def test_a_declared_value_is_not_that_of_a_variable_without_a_section(
    world: World, path: str
) -> None:
    low, high = ("low", "high") if path in TEXTS else (8, 9)

    with world.with_values(("base", path, low), ("environment", path.rpartition(".")[2], high)):
        winner = current.project().explain(path).winner

        assert VALUES[path]() == low
        assert winner is not None
        assert winner.value == str(low)


@pytest.mark.parametrize(
    "path",
    ["sources.orders.rows", "destination.warehouse.query_timeout", "pipelines.load.dataset_name"],
)
def test_a_value_that_is_not_declared_is_that_of_a_variable_without_a_section(
    world: World, path: str
) -> None:
    high = "high" if path in TEXTS else 9
    section, _, key = path.split(".")
    variable = ("environment", key, high)
    # what another one declares under the same name does not matter
    declared = [("base", f"{section}.another.{key}", "8")]
    if section != "pipelines":
        declared.append(("base", f"{section}.another.type", "shop.orders"))

    with world.with_values(variable, *declared):
        winner = current.project().explain(path).winner

        assert VALUES[path]() == high
        assert winner is not None
        assert (winner.source, winner.value) == ("environment", str(high))


def test_a_declared_value_without_a_section_is_not_that_of_the_shell_either(world: World) -> None:
    with world.with_values(("base", "path", "declared")):
        assert dlt.config["path"] == "declared"
        (row,) = list(current.entities().get_source("orders")())
        assert row["path"] == "declared"


def test_asking_for_a_declared_value_leaves_the_next_look_up_alone(world: World) -> None:
    declared = ("base", "sources.orders.rows", 7)

    with world.with_values(declared, ("environment", "rows", 8)):
        assert dlt.config["sources.orders.rows"] == 7
        assert dlt.config["rows"] == 8


def test_a_null_in_a_profile_gives_a_variable_without_a_section_its_place(world: World) -> None:
    values: list[tuple[str, str, Any]] = [
        ("base", "sources.orders.rows", 7),
        ("profile prod", "sources.orders.rows", None),
        ("environment", "rows", 8),
    ]
    with world.with_values(*values):
        assert of_source() == 8
