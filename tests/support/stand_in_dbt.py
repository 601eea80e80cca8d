"""Stands for the program `dbt`: one model, a view `totals` of the orders of each city.

What it is called with is in `said.json` of its target folder. The variable STAND_IN_DBT says what
comes of the model: its status ("" when dbt gets not that far), dbt's message and the model's alias.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import yaml


def main() -> int:
    words = sys.argv[1:]
    options = dict(pairwise(words))
    target = Path(options["--target-path"])
    target.mkdir(exist_ok=True)
    profiles = yaml.safe_load(Path(options["--profiles-dir"], "profiles.yml").read_text())
    database = profiles[options["--profile"]]["outputs"][options["--target"]]
    statistics = os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"]
    said = {"words": words, "database": database, "cwd": os.getcwd(), "statistics": statistics}
    (target / "said.json").write_text(json.dumps(said))
    status, message, alias = json.loads(os.environ["STAND_IN_DBT"])
    if status:
        describe(target, status, message, alias)
    if status != "success":
        print(message)
        return 1
    with duckdb.connect(database["path"]) as connection:
        for each in database["attach"]:
            connection.execute(f"ATTACH '{each['path']}' AS {each['alias']} (READ_ONLY)")
        connection.execute(
            f"CREATE VIEW cache.{alias} AS "
            "SELECT city, count(*) AS orders FROM cache.orders GROUP BY city"
        )
    return 0


def describe(target: Path, status: str, message: str, alias: str) -> None:
    """Write what dbt writes of a build."""
    key = "model.shop_reports.totals"
    node = {
        "name": "totals",
        "alias": alias,
        "schema": "cache",
        "resource_type": "model",
        "package_name": "shop_reports",
        "original_file_path": "models/totals.sql",
    }
    manifest = {"metadata": {"project_name": "shop_reports"}, "nodes": {key: node}}
    results = {"results": [{"unique_id": key, "status": status, "message": message}]}
    (target / "manifest.json").write_text(json.dumps(manifest))
    (target / "run_results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    sys.exit(main())
