"""Validation: every mistake of a manifest, where it stands, and the name that was meant."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

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
             progress: log, dev_mode: false,
             run_config: {retry_policy: {type: backoff, max_attempts: 5, multiplier: 2, min: 1},
                          retry_pipeline_steps: [load], store_trace_info: true,
                          run_from_clean_folder: false}}
    caches:
      events: {inputs: [{dataset: shop_data, tables: {a: b}}], outputs: [{dataset: mart}]}
    transformations: {report: {engine: python, cache: events}}
    profiles: {prod: {extends: dev, anything: {goes: 1}}}
    runtime: {log_level: WARNING}
    anything: [goes]
"""


def test_a_manifest_with_every_section_is_valid(open_manifest: OpenManifest) -> None:
    """The `contract` of a dataset is a schema contract, or one word."""
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
            "3:10: pipelines.load.souce: unknown key. Known: after, dataset_name, destination, "
            "dev_mode, export_schema_path, import_schema_path, pipeline_salt, pipelines_dir, "
            "progress, refresh, run_config, source, staging. Did you mean `source`?"
        ),
        "3:25: pipelines.load.dev_mode: must be true or false or a text",
        f"5:7: datasets.a.contract: must be {modes} or a mapping. Did you mean `freeze`?",
        (
            "6:18: datasets.b.contract.table: unknown key. Known: columns, data_type, tables. "
            "Did you mean `tables`?"
        ),
        f"6:33: datasets.b.contract.columns: must be {modes}",
        (
            "8:3: sources.orders.type: is required: "
            "the source's code, such as `rest_api` or `github.source`"
        ),
        "9:3: sources.customers: must be a mapping",
        (
            "10:11: project.nme: unknown key. Known: allow_undefined_entities, data_dir, "
            "default_profile, local_dir, name, project_dir, tmp_dir. Did you mean `name`?"
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
         "Known: contract, destination, enabled, metrics, tables. Did you mean `destination`?")),
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
    """Sections that are not mappings, and a value where a mapping is due."""
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
            "6:44: profiles.prod.pipelines.load.dataset: unknown key. Known: after, "
            "dataset_name, destination, dev_mode, export_schema_path, import_schema_path, "
            "pipeline_salt, pipelines_dir, progress, refresh, run_config, source, staging. "
            "Did you mean `dataset_name`?"
        ),
    ]


def test_a_key_that_a_profile_forgot_is_reported_where_the_entry_stands(
    mistakes_of: MistakesOf,
) -> None:
    text = "profiles:\n  prod:\n    sources:\n      orders: {rows: 5}\n"

    assert mistakes_of(text, "prod") == [
        (
            "4:7: profiles.prod.sources.orders.type: is required: "
            "the source's code, such as `rest_api` or `github.source`"
        )
    ]


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


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "pipelines: {a: {run_config: {retries: 3}}}\n",
            (
                "1:30: pipelines.a.run_config.retries: unknown key. Known: on_failed_check, "
                "retry_pipeline_steps, retry_policy, run_from_clean_folder, store_trace_info."
            ),
        ),
        (
            "pipelines: {a: {run_config: {on_failed_check: stopp}}}\n",
            (
                "1:30: pipelines.a.run_config.on_failed_check: must be 'warn', 'fail' or 'stop'. "
                "Did you mean `stop`?"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{is_uniqe: id}]}}}}\n",
            (
                "1:39: datasets.a.tables.b.checks.0.is_uniqe: unknown key. Known: between, case, "
                "freshness, is_foreign_key, is_in, is_not_null, is_primary_key, is_unique, "
                "matches, row_count. Did you mean `is_unique`?"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{is_in: {column: x, values: [1], nam: a}}]}}}}\n",
            (
                "1:71: datasets.a.tables.b.checks.0.is_in.nam: unknown key. Known: at_least, "
                "column, name, only_this_load, severity, values, where. Did you mean `name`?"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{is_unique: {columns: id, severity: wrn}}]}}}}\n",
            (
                "1:64: datasets.a.tables.b.checks.0.is_unique.severity: must be 'error' or 'warn'. "
                "Did you mean `warn`?"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{is_unique: id, case: x > 1}]}}}}\n",
            (
                "1:38: datasets.a.tables.b.checks.0: must be one of is_not_null, is_unique, "
                "is_primary_key, is_in, between, matches, case, is_foreign_key, freshness, "
                "row_count; begin a new one with a dash"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{between: {column: x}}]}}}}\n",
            "1:39: datasets.a.tables.b.checks.0.between: needs `low` or `high`",
        ),
        (
            "datasets: {a: {tables: {b: {checks: [{freshness: {column: x, within: {}}}]}}}}\n",
            (
                "1:62: datasets.a.tables.b.checks.0.freshness.within: needs `days`, `hours` or "
                "`minutes`"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {metrics: [row_cont]}}}}\n",
            (
                "1:39: datasets.a.tables.b.metrics.0: must be 'row_count', 'unique_count' or "
                "'null_row_count' or a mapping. Did you mean `row_count`?"
            ),
        ),
        (
            "datasets: {a: {tables: {b: {metrics: [{maximun: x}]}}}}\n",
            (
                "1:40: datasets.a.tables.b.metrics.0.maximun: unknown key. Known: average_length, "
                "maximum, maximum_length, mean, median, minimum, minimum_length, mode, null_count, "
                "null_rate, quantile, standard_deviation, sum, unique_count. Did you mean "
                "`maximum`?"
            ),
        ),
        (
            "pipelines: {a: {run_config: {retry_policy: {type: backof}}}}\n",
            (
                "1:45: pipelines.a.run_config.retry_policy.type: "
                "must be 'none', 'fixed' or 'backoff'. Did you mean `backoff`?"
            ),
        ),
        (
            "pipelines: {a: {run_config: {retry_policy: {max_attempts: 5}}}}\n",
            "1:30: pipelines.a.run_config.retry_policy.type: is required: none, fixed or backoff",
        ),
        (
            "pipelines: {a: {run_config: {retry_policy: {type: none, max_attempts: many}}}}\n",
            (
                "1:57: pipelines.a.run_config.retry_policy.max_attempts: must be a number or a "
                'variable, such as "{env.NAME}"'
            ),
        ),
        (
            "pipelines: {a: {run_config: {retry_pipeline_steps: [load, lod]}}}\n",
            (
                "1:59: pipelines.a.run_config.retry_pipeline_steps.1: must be 'sync', 'extract', "
                "'normalize' or 'load'. Did you mean `load`?"
            ),
        ),
        (
            "caches: {a: {outputs: [{dataset: b}, {tables: {}}]}}\n",
            "1:38: caches.a.outputs.1.dataset: is required: the name of a dataset",
        ),
        (
            "caches: {a: {inputs: [{dataset: b, table: {}}]}}\n",
            (
                "1:36: caches.a.inputs.0.table: unknown key. Known: dataset, incremental, tables. "
                "Did you mean `tables`?"
            ),
        ),
        (
            "transformations: {a: {engine: sq}}\n",
            (
                "1:23: transformations.a.engine: must be 'python', 'arrow', 'sql' or 'dbt'. "
                "Did you mean `sql`?"
            ),
        ),
        (
            "transformations: {a: {chache: b}}\n",
            (
                "1:23: transformations.a.chache: unknown key. Known: cache, engine. "
                "Did you mean `cache`?"
            ),
        ),
    ],
    ids=lambda value: value.partition(":")[0] if value.endswith("\n") else "",
)
def test_a_mistake_in_a_run_config_cache_or_transformation_is_an_error(
    mistakes_of: MistakesOf, text: str, mistake: str
) -> None:
    assert mistakes_of(text) == [mistake]


def test_a_key_that_is_missing_is_looked_for_among_those_that_are_there(
    mistakes_of: MistakesOf,
) -> None:
    (found,) = mistakes_of("sources: {a: {tpye: rest_api}}\n")

    assert found.endswith(". Is that what `tpye` means?")


def test_names_below_an_entry_that_are_no_text_are_reported_with_the_entry(
    mistakes_of: MistakesOf,
) -> None:
    assert mistakes_of("sources: {a: {type: x, 404: skip}}\n") == [
        "1:11: sources.a.404: has a name that YAML does not read as text; quote it"
    ]


def test_after_very_many_mistakes_what_was_meant_is_not_looked_for(
    mistakes_of: MistakesOf,
) -> None:
    entries = "".join(f"  a{i}: 5\n" for i in range(600))
    found = mistakes_of(f"pipelines:\n{entries}")

    assert found[499] == "501:3: pipelines.a499: must be a mapping"
    assert found[500:] == [": : and 100 more mistakes"]


def test_pydantic_is_imported_only_when_a_manifest_is_read(
    run_bare_python: Callable[..., str], tmp_path: Path
) -> None:
    code = "import sys, dlthub_project.manifest; print('pydantic' in sys.modules)"

    assert run_bare_python(code, tmp_path) == "False\n"


def test_listing_entities_of_a_large_manifest_imports_no_dlt(
    run_bare_python: Callable[..., str], write_project: Callable[..., Path]
) -> None:
    entities = range(1_000)
    sources = "".join(f"  s{i}: {{type: gone.s{i}}}\n" for i in entities)
    pipelines = "".join(f"  p{i}: {{source: s{i}, destination: gone}}\n" for i in entities)
    root = write_project(f"sources:\n{sources}pipelines:\n{pipelines}")
    code = """
        import sys
        from pathlib import Path
        from dlthub_project.manifest import Manifest

        manifest = Manifest.open(Path("dlt.yml"), "dev")
        print(len(manifest.section("sources")), len(manifest.section("pipelines")))
        print("dlt" in sys.modules)
    """
    assert run_bare_python(code, root) == "1000 1000\nFalse\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("destination: duckdb", "destinations"),
        ("destination: {postgres: {credentials: {host: h}}}", "destinations"),
        ("piplines: {p: {source: s, destination: d}}", "pipelines"),
        ("source: {s: {type: a.b}}", "sources"),
        ("profile: {prod: {sources: {}}}", "profiles"),
    ],
)
def test_a_misspelt_section_that_nobody_would_read_is_an_error(
    written: str, meant: str, tmp_path: Path
) -> None:
    (tmp_path / "dlt.yml").write_text(written)

    with pytest.raises(ManifestError, match=rf"dlt.yml:1:1: \w+: .*Did you mean `{meant}`\?"):
        Manifest.open(tmp_path / "dlt.yml", "dev")


@pytest.mark.parametrize(
    "written",
    [
        "source: {page_size: 5}",
        "cache: {folder: {path: x}}",
        "processes: {p: {source: s}}",
    ],
)
def test_other_top_level_keys_are_configuration(written: str, tmp_path: Path) -> None:
    (tmp_path / "dlt.yml").write_text(written)

    assert Manifest.open(tmp_path / "dlt.yml", "dev").section(written.partition(":")[0])
