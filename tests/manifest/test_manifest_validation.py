"""Validation: every mistake of a manifest, where it stands, and the name that was meant."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable

import dlt
import pytest

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import Manifest, models

OpenManifest = Callable[..., Manifest]
ProblemsOf = Callable[..., tuple[Problem, ...]]
MistakesOf = Callable[..., list[str]]

EVERYTHING = """
    project: {name: shop, project_dir: ., data_dir: _data, local_dir: _files,
              default_profile: dev, allow_undefined_entities: true}
    sources:
      orders: {type: shop.orders, with_args: {max_table_nesting: 2}, rows: 5}
    destinations:
      warehouse: {type: duckdb, anything: goes}
      duckdb: {}
    datasets:
      shop_data: {destination: [warehouse], contract: {tables: evolve, columns: freeze}}
      mart: {destination: warehouse, contract: discard_row}
    pipelines:
      load: {source: [orders, orders], destination: warehouse, dataset_name: shop_data,
             progress: log, dev_mode: false}
    caches: {}
    transformations: {}
    profiles: {prod: {extends: dev, anything: {goes: 1}}}
    runtime: {log_level: WARNING}
    anything: [goes]
"""


def test_a_manifest_with_every_section_is_valid(open_manifest: OpenManifest) -> None:
    manifest = open_manifest(EVERYTHING, "prod")

    assert manifest.merged["anything"] == {"goes": 1}
    assert manifest.section("pipelines")["load"]["source"] == ["orders", "orders"]


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(
    mistakes_of: MistakesOf,
) -> None:
    text = """
        pipelines:
          load: {souce: orders, dev_mode: [1]}
        datasets:
          a: {contract: frozen}
          b: {contract: {table: freeze, columns: never}}
        sources:
          orders: {}
          customers: 5
        project: {nme: x}
        profiles:
          dev: {extends: pord}
          prod: {}
    """
    modes = "'evolve', 'freeze', 'discard_row' or 'discard_value'"
    assert mistakes_of(text) == [
        (
            "3:10: pipelines.load.souce: unknown key. Known: dataset_name, destination, dev_mode, "
            "export_schema_path, import_schema_path, pipeline_salt, pipelines_dir, progress, "
            "refresh, source, staging. Did you mean `source`?"
        ),
        "3:25: pipelines.load.dev_mode: must be true or false or a text",
        f"5:7: datasets.a.contract: must be {modes} or a mapping",
        (
            "6:18: datasets.b.contract.table: unknown key. Known: columns, data_type, tables. "
            "Did you mean `tables`?"
        ),
        f"6:33: datasets.b.contract.columns: must be {modes}",
        "8:3: sources.orders.type: is required",
        "9:3: sources.customers: must be a mapping",
        (
            "10:11: project.nme: unknown key. Known: allow_undefined_entities, data_dir, "
            "default_profile, local_dir, name, project_dir. Did you mean `name`?"
        ),
        (
            "12:9: profiles.dev.extends: there is no profile `pord`. Known: access, dev, prod, "
            "tests. Did you mean `prod`?"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("sources: [a]\n", "1:1: sources: must be a mapping"),
        ("pipelines: 5\n", "1:1: pipelines: must be a mapping"),
        ("profiles: []\n", "1:1: profiles: must be a mapping"),
        ("profiles: {dev: 1}\n", "1:12: profiles.dev: must be a mapping"),
        ("project: shop\n", "1:1: project: must be a mapping"),
        ("project: {name: 5}\n", "1:11: project.name: must be a text"),
        ("destinations: {a: duckdb}\n", "1:16: destinations.a: must be a mapping"),
        ("datasets: {a: {destinations: b}}\n", ("1:16: datasets.a.destinations: unknown key. "
         "Known: contract, destination. Did you mean `destination`?")),
        ("pipelines: {a: {source: 5}}\n", "1:17: pipelines.a.source: must be a text or a list"),
        ("pipelines: {a: {source: [b, 5]}}\n", "1:29: pipelines.a.source.1: must be a text"),
        ("pipelines: {a: {destination: [b]}}\n", "1:17: pipelines.a.destination: must be a text"),
        ("sources: {a: {type: }}\n", "1:15: sources.a.type: must be a text"),
        ("sources: {a: {type: x, with_args: [1]}}\n",
         "1:24: sources.a.with_args: must be a mapping"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_shape_is_an_error(
    mistakes_of: MistakesOf, text: str, mistake: str
) -> None:
    assert mistakes_of(text) == [mistake]


def test_an_error_of_the_active_profile_stands_in_its_section(mistakes_of: MistakesOf) -> None:
    text = """
        pipelines:
          load: {source: orders}
        profiles:
          base: {pipelines: {load: {destination: [a]}}}
          prod: {extends: base, pipelines: {load: {dataset: b}}}
    """
    assert mistakes_of(text, "prod") == [
        "5:29: profiles.base.pipelines.load.destination: must be a text",
        (
            "6:44: profiles.prod.pipelines.load.dataset: unknown key. Known: dataset_name, "
            "destination, dev_mode, export_schema_path, import_schema_path, pipeline_salt, "
            "pipelines_dir, progress, refresh, source, staging. Did you mean `dataset_name`?"
        ),
    ]


def test_a_key_that_a_profile_forgot_is_reported_where_the_entry_stands(
    mistakes_of: MistakesOf,
) -> None:
    text = "profiles:\n  prod:\n    sources:\n      orders: {rows: 5}\n"

    assert mistakes_of(text, "prod") == ["4:7: profiles.prod.sources.orders.type: is required"]


def test_an_error_below_an_alias_is_reported_at_the_entry(mistakes_of: MistakesOf) -> None:
    assert mistakes_of("a: &a {x: 1}\npipelines:\n  load: *a\n")[0].startswith(
        "3:3: pipelines.load.x: unknown key."
    )


def test_an_entry_that_the_file_does_not_have_is_placed_in_the_file(
    open_manifest: OpenManifest,
) -> None:
    manifest = open_manifest("sources: {}\n")

    problem = manifest.problem(("destinations", "duckdb"), "is gone")

    assert str(problem) == f"{manifest.document.path}: destinations.duckdb: is gone"


def test_a_value_is_never_printed(problems_of: ProblemsOf) -> None:
    problems = problems_of("destinations: {a: hunter2}\npipelines: {b: {source: {c: hunter2}}}\n")

    assert all("hunter2" not in problem.message for problem in problems)


def test_a_manifest_error_keeps_its_problems_when_it_is_pickled(
    open_manifest: OpenManifest,
) -> None:
    with pytest.raises(ManifestError) as caught:
        open_manifest("sources: 5\npipelines: 5\n")

    copy = pickle.loads(pickle.dumps(caught.value))

    assert str(copy) == str(caught.value)
    assert copy.problems == caught.value.problems


def test_a_pipeline_takes_every_argument_of_dlt_pipeline() -> None:
    arguments = set(inspect.signature(dlt.pipeline).parameters)
    # `full_refresh` is what `dev_mode` was called; the rest is not for users
    not_from_a_file = {"pipeline_name", "full_refresh", "injection_kwargs", "_impl_cls"}

    assert arguments - not_from_a_file <= set(models.PipelineEntry.model_fields)
