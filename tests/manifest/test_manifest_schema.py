"""The JSON Schema of `dlt.yml`: it takes what the models take, and rejects what they reject."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dlthub_project.errors import ManifestError
from dlthub_project.manifest import Manifest, json_schema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# shows manifests that are wrong
OF_ERRORS = "read-manifest-errors.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (?:\S+/)?dlt\.yml\n")

WriteProject = Callable[..., Path]


def documented() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if FILE.match(code) and page.name != OF_ERRORS
    ]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """What checks a manifest against the schema."""
    return jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_one(validator: jsonschema.Draft202012Validator) -> None:
    validator.check_schema(validator.schema)

    assert validator.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_example_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    text = (ROOT / "example_project" / "dlt.yml").read_text(encoding="utf-8")

    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", documented())
def test_every_documented_manifest_is_valid(
    validator: jsonschema.Draft202012Validator, text: str, write_project: WriteProject
) -> None:
    validator.validate(yaml.safe_load(text))
    Manifest.open(write_project(text) / "dlt.yml", "dev")


VALID = [
    "{}",
    "project:\nsources:\nprofiles:\n  dev:\n",
    "destinations: {duckdb: }\npipelines: {load: }",
    "sources: {a: {type: rest_api, client: {x: [1]}, with_args: {max_table_nesting: 2}}}",
    "datasets: {a: {destination: b, contract: freeze}, c: {contract: {tables: evolve}}}",
    'pipelines: {a: {source: [b], dev_mode: "{env.DEV}"}}',
    "pipelines: {a: {run_config: {retry_policy: {type: none}}}}",
    """
pipelines:
  a:
    run_config:
      retry_policy: {type: backoff, max_attempts: 5, multiplier: 2, min: 1.5, max: "{env.MAX:10}"}
      retry_pipeline_steps: [sync, extract, normalize, load]
      store_trace_info: traces
      run_from_clean_folder: false
""",
    """
caches:
  events_cache:
    inputs: [{dataset: github_events, tables: {events: events}}, {dataset: other}]
    outputs: [{dataset: reports, write_disposition: append}]
transformations:
  stressed: {engine: arrow, cache: events_cache}
""",
    "profiles: {dev: {sources: {a: {rows: 5}}, destinations: {b: }, pipelines: {c: {source: }}}}",
    "profiles: {a: {extends: dev, anything: 1}, b: {extends: [a, tests]}}",
    "runtime: {log_level: WARNING}\nanything: [goes]",
]

INVALID = [
    "sources: [a]",
    "pipelines: 5",
    "project: shop",
    "project: {nme: x}",
    "project: {name: 5}",
    "sources: {a: {}}",
    "sources: {a: {type: 5}}",
    "sources: {a: {type: }}",
    "sources: {a: {type: x, with_args: [1]}}",
    "destinations: {a: duckdb}",
    "datasets: {a: {destinations: b}}",
    "datasets: {a: {contract: frozen}}",
    "datasets: {a: {contract: {table: freeze}}}",
    "datasets: {a: {contract: {tables: never}}}",
    "pipelines: {a: {souce: b}}",
    "pipelines: {a: {source: 5}}",
    "pipelines: {a: {source: [b, 5]}}",
    "pipelines: {a: {destination: [b]}}",
    "pipelines: {a: {dev_mode: [1]}}",
    "pipelines: {a: {run_config: {retries: 1}}}",
    "pipelines: {a: {run_config: {retry_policy: {max_attempts: 5}}}}",
    "pipelines: {a: {run_config: {retry_policy: {type: exponential}}}}",
    "pipelines: {a: {run_config: {retry_policy: {type: fixed, max_attempts: 0}}}}",
    "pipelines: {a: {run_config: {retry_policy: {type: fixed, max_attempts: true}}}}",
    "pipelines: {a: {run_config: {retry_policy: {type: fixed, max_attempts: five}}}}",
    "pipelines: {a: {run_config: {retry_policy: {type: fixed, min: -1}}}}",
    "pipelines: {a: {run_config: {retry_pipeline_steps: [run]}}}",
    "pipelines: {a: {run_config: {retry_pipeline_steps: load}}}",
    "pipelines: {a: {run_config: {store_trace_info: [x]}}}",
    "caches: {a: {input: []}}",
    "caches: {a: {inputs: [b]}}",
    "caches: {a: {inputs: [{tables: {}}]}}",
    "caches: {a: {inputs: [{dataset: b, write_disposition: append}]}}",
    "caches: {a: {inputs: [{dataset: b, tables: [c]}]}}",
    "caches: {a: {outputs: [{dataset: b, write_disposition: upsert}]}}",
    "transformations: {a: {engine: spark}}",
    "transformations: {a: {caches: b}}",
    "profiles: []",
    "profiles: {dev: 1}",
    "profiles: {dev: {extends: 5}}",
    "profiles: {dev: {extends: [tests, 5]}}",
    "profiles: {dev: {pipelines: {a: {souce: b}}}}",
    "profiles: {dev: {datasets: {a: {contract: {tables: never}}}}}",
    "profiles: {dev: {pipelines: {a: {run_config: {retries: 1}}}}}",
]


@pytest.mark.parametrize("text", VALID)
def test_what_the_models_take_is_valid(
    validator: jsonschema.Draft202012Validator, text: str, write_project: WriteProject
) -> None:
    """Sources and destinations take any key."""
    validator.validate(yaml.safe_load(text))
    if "rows: 5" not in text:  # a profile may lay arguments over a source that is not there
        Manifest.open(write_project(text) / "dlt.yml", "dev")


@pytest.mark.parametrize("text", INVALID)
def test_what_the_models_reject_is_invalid(
    validator: jsonschema.Draft202012Validator, text: str, write_project: WriteProject
) -> None:
    """A key that nobody reads is an error in closed sections."""
    with pytest.raises(ManifestError, match=r"dlt\.yml:\d+:\d+: "):
        Manifest.open(write_project(text) / "dlt.yml", "dev")
    assert not validator.is_valid(yaml.safe_load(text))
