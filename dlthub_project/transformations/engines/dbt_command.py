"""The program `dbt`: finds it, calls it, and reads its results."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlthub_project.entities import EntryPosition

INSTALL = 'pip install "pytest-dlthub[dbt]"'
_PROFILE = "dlthub_project"
_FAILED = ("error", "fail", "runtime error")
# the last lines of dbt's output, for an error before any model ran
_LINES = 30


@dataclass(frozen=True)
class Profile:
    """The database that dbt works in, for dbt-duckdb's `profiles.yml`.

    Attributes:
        path: The DuckDB file.
        schema: The schema of models.
        attached: The files that its views read, by alias.
    """

    path: Path
    schema: str
    attached: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write `profiles.yml` into a folder."""
        target = {
            "type": "duckdb",
            "path": str(self.path),
            "schema": self.schema,
            "attach": [
                # dbt-duckdb writes both into SQL without quoting them
                {"path": file.replace("'", "''"), "alias": f'"{alias}"', "read_only": True}
                for alias, file in self.attached.items()
            ],
        }
        profile = {_PROFILE: {"target": "cache", "outputs": {"cache": target}}}
        text = yaml.safe_dump(profile, sort_keys=False)
        (folder / "profiles.yml").write_text(text, encoding="utf-8")


def find_dbt(position: EntryPosition) -> list[str]:
    """Return the words that call the dbt of this Python's environment, else the one on PATH.

    Raises:
        ProjectError: There is none.
    """
    spec = importlib.util.find_spec("dbt")
    for folder in (spec and spec.submodule_search_locations) or ():
        if Path(folder, "cli", "main.py").is_file():
            # not `-m dbt.cli.main`, which warns of a second import
            return [sys.executable, "-c", "from dbt.cli.main import cli; cli()"]
    program = shutil.which("dbt")
    if program is None:
        raise ProjectError(
            f"{position}: dbt is not installed: neither in this environment nor as a program "
            "`dbt`.",
            f"{INSTALL}, or install dbt-duckdb into an environment of its own and put its `dbt` "
            "on PATH.",
        )
    return [program]


def build(
    command: Sequence[str], project: Path, work: Path, profile: Profile
) -> list[dict[str, Any]]:
    """Build a dbt project: seeds, models, tests.

    Args:
        command: What calls dbt.
        project: The folder of the dbt project. dbt writes nothing into it.
        work: An existing folder, in which dbt writes `target/` and `logs/`.
        profile: The database.

    Returns:
        What dbt's manifest says of each of the project's models that are in the database.

    Raises:
        ProjectError: A model or a test fails, or the project cannot be read.
    """
    target = work / "target"
    for name in ("run_results.json", "manifest.json"):
        # results of an earlier build must not count as those of this one
        (target / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as profiles:
        profile.write(Path(profiles))
        done = subprocess.run(
            [
                *command,
                "--no-use-colors",
                "build",
                *("--project-dir", str(project)),
                *("--profiles-dir", profiles),
                *("--profile", _PROFILE),
                *("--target", "cache"),
                *("--target-path", str(target)),
                *("--log-path", str(work / "logs")),
            ],
            cwd=project,
            env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    results = _read(target / "run_results.json").get("results", [])
    nodes = _read(target / "manifest.json")
    if done.returncode:
        raise _failure(project, results, nodes.get("nodes", {}), done.stdout)
    built = {result["unique_id"] for result in results if result["status"] == "success"}
    own = nodes["metadata"]["project_name"]
    return [
        node
        for key, node in nodes["nodes"].items()
        if key in built and node["resource_type"] == "model" and node["package_name"] == own
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _failure(
    project: Path, results: Sequence[Mapping[str, Any]], nodes: Mapping[str, Any], printed: str
) -> ProjectError:
    """Return an error in the words of dbt."""
    failed = [result for result in results if result["status"] in _FAILED]
    if failed:
        lines = [
            f"{_name(nodes.get(result['unique_id'], {}), result['unique_id'])}: {result['message']}"
            for result in failed
        ]
        return ProjectError(f"dbt project {project} fails.\n" + "\n".join(lines))
    said = "\n".join(printed.strip().splitlines()[-_LINES:])
    remedy = ""
    if "adapter type" in printed or "No module named" in printed:
        remedy = f"{INSTALL}, or install dbt-duckdb beside the `dbt` that is on PATH."
    return ProjectError(f"dbt project {project} cannot be built. dbt says:\n{said}", remedy)


def _name(node: Mapping[str, Any], unique_id: str) -> str:
    kind, _, rest = unique_id.partition(".")
    return f"{kind} `{node.get('name', rest)}` ({node.get('original_file_path', 'unknown file')})"
