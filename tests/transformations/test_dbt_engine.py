"""Engine `dbt`, up to where dbt begins: a program of that name stands for it here.

acceptance/test_installs.py runs the real one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlthub_project import current
from dlthub_project.errors import EntityReferenceError, ProjectError

WriteShop = Callable[..., Any]

PROJECT = {
    "transformations/report/dbt_project.yml": "name: shop_reports\nversion: '1'\n",
    "transformations/report/models/totals.sql": "SELECT 1",
}

# a model's query is in a table `totals` once dbt has run; says what it was called with
DBT = """#!{python}
import json, os, pathlib, sys

import duckdb

options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
target, profiles = pathlib.Path(options["--target-path"]), pathlib.Path(options["--profiles-dir"])
profile = (profiles / "profiles.yml").read_text()
target.mkdir(exist_ok=True)
said = dict(
    words=sys.argv[1:], profile=profile, cwd=os.getcwd(),
    statistics=os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"],
)
(target / "said.json").write_text(json.dumps(said))
status, message, alias = {status!r}, {message!r}, {alias!r}
node = dict(
    name="totals", alias=alias, schema="cache", resource_type="model",
    package_name="shop_reports", original_file_path="models/totals.sql",
)
if status:
    result = dict(unique_id="model.shop_reports.totals", status=status, message=message)
    manifest = dict(
        metadata=dict(project_name="shop_reports"), nodes={{"model.shop_reports.totals": node}}
    )
    (target / "manifest.json").write_text(json.dumps(manifest))
    (target / "run_results.json").write_text(json.dumps(dict(results=[result])))
if status != "success":
    print(message)
    sys.exit(1)
with duckdb.connect(str(target.parent / "dbt.duckdb")) as connection:
    for word in {attach!r}.join(["", ""]).split(","):
        pass
    import re
    for path, alias_of in re.findall("path: (.*)\\n +alias: '(.*)'", profile):
        connection.execute(f"ATTACH '{{path}}' AS {{alias_of}} (READ_ONLY)")
    connection.execute(
        f"CREATE VIEW cache.{{alias}} AS "
        "SELECT city, count(*) AS orders FROM cache.orders GROUP BY city"
    )
"""
