"""The how-to pages that need more than a reader: orchestrators, a debugger, the machines of CI."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import File, Reader, read_page
from sessions import run_program_here

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
OF_SETUP = HOW_TO / "fit-into-your-setup.md"

# as Airflow 3.3 and Dagster 1.13 have them, as far as the page goes; they are some 200 packages
STAND_INS = {
    "airflow/sdk.py": """
        def task(function):
            def make_task(*arguments, **named):
                return None

            make_task.function = function
            return make_task

        def dag(*, schedule, start_date, catchup):
            return lambda function: function
    """,
    "dagster.py": """
        from types import SimpleNamespace

        class AssetExecutionContext(SimpleNamespace):
            pass

        def materialize(assets, resources):
            for asset in assets:
                list(asset.function(AssetExecutionContext(asset=asset), **resources))
            return SimpleNamespace(success=True)
    """,
    "dagster_dlt.py": """
        from types import SimpleNamespace

        def dlt_assets(*, dlt_source, dlt_pipeline, name):
            return lambda function: SimpleNamespace(
                function=function, source=dlt_source, pipeline=dlt_pipeline
            )

        class DagsterDltResource:
            def run(self, context):
                info = context.asset.pipeline.run(context.asset.source)
                info.raise_on_failed_jobs()
                # as the real one does when it tells of the columns
                for table in context.asset.pipeline.default_schema.data_tables():
                    for column in table["columns"].values():
                        column.pop("data_type")
                yield info
    """,
}

# types what the page shows after the prompt
TYPED = """
import io
import pathlib
import pdb
import sys

class Lines(io.StringIO):
    def readline(self):
        line = super().readline()
        sys.stdout.write(line)
        return line

class Typed(pdb.Pdb):
    def __init__(self, **options):
        lines = pathlib.Path("typed.txt").read_text()
        super().__init__(**{**options, "stdin": Lines(lines), "stdout": sys.stdout})
        self.use_rawinput = False
"""


@pytest.mark.slow
def test_tasks_and_assets_of_orchestrators_load(reader: Reader) -> None:
    for name, code in STAND_INS.items():
        File(name, "\n".join(line[8:] for line in code.splitlines())).write(reader.folder)

    reader.follow(HOW_TO / "test-airflow-and-dagster.md")

    assert reader.left_at_home == []


class Typist(Reader):
    """Somebody who types into a debugger what the page shows after its prompt."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PYTEST_ADDOPTS": "--pdbcls=typist:Typed"}


@pytest.mark.slow
def test_suites_of_each_setup_pass_and_the_debugger_has_the_run(tmp_path: Path) -> None:
    typist = Typist(tmp_path, run_program_here)
    prompt = "(Pdb) "
    shown = [line for line in OF_SETUP.read_text("utf-8").splitlines() if line.startswith(prompt)]
    File("typist.py", TYPED).write(typist.folder)
    File("typed.txt", "\n".join(line.removeprefix(prompt) for line in shown)).write(typist.folder)

    typist.follow(OF_SETUP)

    assert typist.left_at_home == []


@pytest.mark.slow
@pytest.mark.parametrize("workflow", [".github/workflows/tests.yml", ".gitlab-ci.yml"])
def test_what_machines_of_ci_run_passes_without_any_secret(workflow: str, reader: Reader) -> None:
    for step in read_page(OF_SETUP):
        if isinstance(step, File):
            step.write(reader.folder)
    job = yaml.safe_load((reader.folder / workflow).read_text(encoding="utf-8"))
    variables, commands = job_of_github(job) if "jobs" in job else job_of_gitlab(job)
    variables = {k: v.replace("$CI_PROJECT_DIR", str(reader.folder)) for k, v in variables.items()}
    (pytests,) = (shlex.split(line) for line in commands if "pytest" in line)
    words = [word for word in pytests if word not in ("uv", "run", "-n", "2")]

    # all but the test that is there to be debugged
    not_debugged = ("tests", "--deselect", "tests/test_to_debug.py::test_ids")
    code, printed = run_program_here(
        [*words, *not_debugged], reader.folder, {**reader.environment, **variables}
    )

    assert code == 0, printed
    assert (reader.folder / "tests.xml").exists()
    assert reader.left_at_home == []


def job_of_github(workflow: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    job = workflow["jobs"]["tests"]
    return job["env"], [step["run"] for step in job["steps"] if "run" in step]


def job_of_gitlab(workflow: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    return workflow["tests"]["variables"], workflow["tests"]["script"]
