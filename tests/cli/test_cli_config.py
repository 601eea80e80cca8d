"""`dlt project config` and `dlt project check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

# names that say nothing, and values that look like nothing
SECRETIVE = """
    sources:
      orders: {type: shop.orders, pin: the-pin-4711, rows: 2}
      broken: {type: nowhere.to_be_found, pin: the-pin-4712}
    destinations:
      warehouse: {type: duckdb}
    pipelines:
      load_orders: {source: orders, destination: warehouse}
    runtime: {log_level: ERROR, slack_incoming_hook: "https://ada:the-pin-4713@example.invalid/x"}
    profiles:
      prod:
        destinations:
          warehouse: {type: postgres, credentials: {host: db.invalid, password: the-pin-4714}}
        sources: {orders: {pin: "{env.SHOP_PIN}", rows: 5}}
"""
SECRETIVE_SOURCE = """
    import dlt


    @dlt.source
    def orders(pin: str = dlt.secrets.value, rows: int = 3):
        return dlt.resource([{"id": 1}], name="items")
"""


@pytest.fixture
def secretive(write_project: WriteProject) -> Path:
    return write_project(SECRETIVE, {"sources/shop.py": SECRETIVE_SOURCE})


def test_show_prints_the_merged_manifest_without_its_secrets(
    secretive: Path, dlt_main: DltProgram
) -> None:
    dev = dlt_main("project", "config", "show")
    prod = dlt_main("project", "config", "show", "--profile", "prod", SHOP_PIN="the-pin-4715")
    document = json.loads(dlt_main("project", "config", "show", "--format", "json").stdout)
    origins = dlt_main("project", "config", "show", "--origins", "--profile", "prod")

    assert "the-pin" not in dev.stdout + prod.stdout + origins.stdout + json.dumps(document)
    assert document["sources"]["orders"] == {"type": "shop.orders", "pin": "***", "rows": 2}
    # code that is not there may call anything a secret
    assert document["sources"]["broken"]["pin"] == "***"
    assert "  log_level: ERROR" in dev.stdout.splitlines()
    assert '    pin: "{env.SHOP_PIN}"' in prod.stdout.splitlines()
    assert "    rows: 5" in prod.stdout.splitlines()
    assert "profiles" not in document
    hidden, winner = "sources.orders.rows", "profiles.prod.sources.orders.rows"
    lines = [" ".join(line.split()) for line in origins.stdout.splitlines()]
    assert f"-> profile prod dlt.yml:14:47 {winner} 5" in lines
    assert [line for line in lines if line.startswith("dlt.yml:3") and line.endswith(f"{hidden} 2")]


def test_show_takes_a_part(secretive: Path, dlt_main: DltProgram) -> None:
    one = dlt_main("project", "config", "show", "--section", "destinations")
    value = dlt_main("project", "config", "show", "--section", "sources.orders.rows")
    origin = dlt_main(
        *("project", "config", "show", "--origins", "--format", "json"),
        *("--section", "sources.orders.rows"),
        SOURCES__ORDERS__ROWS="7",
    )
    unknown = dlt_main("project", "config", "show", "--section", "destination")

    assert one.stdout == "warehouse:\n  type: duckdb\n"
    assert value.stdout == "sources.orders.rows: 2\n"
    (told,) = json.loads(origin.stdout)
    assert told["value"] == "7"
    assert [(layer["source"], layer["wins"]) for layer in told["layers"]] == [
        ("environment", True),
        ("dlt.yml", False),
    ]
    assert unknown.returncode == 1
    assert "Did you mean `destinations`?" in unknown.stderr


def test_validate_tells_all_mistakes_of_all_profiles_and_all_missing_variables(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(
        """
        project: {default_profile: nobody}
        sources: {orders: {type: shop.orders, token: "{env.SHOP_TOKEN}"}}
        pipelines: {load: {source: orders, destinatio: duckdb}}
        profiles:
          prod: {sources: {orders: {token: "{env.PROD_TOKEN}"}}}
          staging: {extends: prd}
          ci: {pipelines: {load: {destinatio: null, sauce: x}}}
        """,
        {".dlt/prod.secrets.toml": 'a = 1\nb = "the-pin\n', ".dlt/qa.config.toml": ""},
    )
    found = dlt_main("project", "config", "validate")
    document = json.loads(dlt_main("project", "config", "validate", "--format", "json").stdout)
    ci = dlt_main("project", "config", "validate", "--profile", "ci")

    assert (found.returncode, ci.returncode) == (1, 1)
    assert found.stderr.startswith("Found: 5 mistakes")
    places = [(Path(e["location"]).name, e["path"]) for e in document["errors"]]
    assert places == [
        ("dlt.yml", ""),
        ("dlt.yml:4:36", "pipelines.load.destinatio"),
        ("dlt.yml:7:13", "profiles.staging.extends"),
        ("dlt.yml:8:45", "profiles.ci.pipelines.load.sauce"),
        ("prod.secrets.toml:2:12", ""),
    ]
    assert document["profiles"] == ["dev", "tests", "access", "prod", "staging", "ci", "qa"]
    assert "the-pin" not in found.stdout
    assert "load.destinatio" not in ci.stdout
    assert str(root) in ci.stdout


def test_variables_that_are_not_set_are_told_and_an_error_only_if_asked_for(
    secretive: Path, dlt_main: DltProgram
) -> None:
    (secretive / "dlt.yml").write_text(
        (secretive / "dlt.yml")
        .read_text()
        .replace("prod:", 'prod:\n    runtime: {a: "{env.SHOP_PIN}"}')
    )
    told = dlt_main("project", "config", "validate")
    strict = dlt_main("project", "config", "validate", "--require-variables")
    document = json.loads(dlt_main("project", "config", "validate", "--format", "json").stdout)
    complete = dlt_main("project", "config", "validate", "--require-variables", SHOP_PIN="x")

    assert (told.returncode, strict.returncode, complete.returncode) == (0, 1, 0)
    assert "No mistake under the profiles dev, tests, access, prod." in told.stdout
    (missing,) = document["missing_variables"]
    assert (missing["name"], missing["profiles"]) == ("SHOP_PIN", ["prod"])
    assert {use["path"] for use in missing["uses"]} == {
        "profiles.prod.runtime.a",
        "profiles.prod.sources.orders.pin",
    }


def test_schema_is_the_json_schema_of_the_manifest(dlt_main: DltProgram) -> None:
    # outside of any project
    schema = json.loads(dlt_main("project", "config", "schema").stdout)

    assert {"sources", "pipelines", "profiles"} <= schema["properties"].keys()


def test_check_builds_every_entity_without_secrets(shop: Path, dlt_main: DltProgram) -> None:
    with (shop / "dlt.yml").open("a") as manifest:
        manifest.write(
            """
caches: {daily: {inputs: [{dataset: shop_data}]}}
transformations: {sums: {engine: sql, cache: daily}}
profiles:
  prod:
    destinations: {warehouse: {type: postgres, credentials: "{env.THE_PASSWORD}"}}
    transformations: {sums: null}
  broken: {destinations: {warehouse: {type: postgrs}}, transformations: {sums: null}}
"""
        )
    before = dict(os.environ)
    prod = dlt_main("project", "check", "--profile", "prod", "--format", "json")
    broken = dlt_main("project", "check", "--profile", "broken")
    code = dlt_main("project", "check")

    assert json.loads(prod.stdout) == {
        "profile": "prod",
        "built": [
            "source orders",
            "destination warehouse",
            "dataset shop_data",
            "pipeline load_orders",
            "sources of pipeline load_orders",
            "cache daily",
        ],
    }
    assert (prod.returncode, broken.returncode, code.returncode) == (0, 1, 1)
    assert "destination warehouse:" in broken.stderr
    assert "Known:" in broken.stderr
    # a transformation whose code is not there
    assert "transformation sums:" in code.stderr
    assert "there is no .sql file in" in code.stderr
    assert dict(os.environ) == before
    assert not (shop / "_data" / "prod").exists()


def test_what_lists_or_validates_imports_nothing_and_makes_no_pipeline(
    shop: Path, dlt_main: DltProgram
) -> None:
    (shop / "sources" / "shop.py").write_text("raise RuntimeError('imported')\n")
    commands = [
        ("project", "list"),
        ("project", "info"),
        ("project", "config", "validate"),
        ("project", "config", "schema"),
        ("profile", "list"),
        ("profile", "tests", "info"),
        ("profile", "tests", "pin"),
        ("profile", "unpin"),
        ("source", "list"),
        ("source", "list-available"),
        ("destination", "list"),
        ("destination", "list-available"),
    ]
    for command in commands:
        done = dlt_main(*command)
        assert done.returncode == 0, done.stderr

    assert "sources.shop" not in sys.modules
    assert list((shop / "_data").rglob("pipelines")) == []
    # it would be noticed
    assert "imported" in dlt_main("project", "check").stderr
