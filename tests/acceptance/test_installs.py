"""The built wheel in virtual environments of its own: the README's code, and `dlt.hub`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from pages import run_page_in_new_environment

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.installs


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this project's wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    return folder


def run(*command: str, cwd: Path | None = None) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COVERAGE", "COV_"))}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def new_environment(folder: Path, *pip_arguments: str) -> str:
    """Make a virtual environment, install into it, and return its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    constraints = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, *pip_arguments)
    return python


def test_code_of_the_readme_runs_in_an_empty_environment(wheels: Path, tmp_path: Path) -> None:
    printed = run_page_in_new_environment(ROOT / "README.md", tmp_path, wheels)

    assert "2 passed" in printed[1]
    assert "profile tests (default)" in printed[1]
    assert "1 passed" in printed[2]
    assert not list(tmp_path.rglob("_data"))


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_dlt_hub_works_once_installed_and_nothing_is_left_once_uninstalled(
    wheels: Path, tmp_path: Path, editable: bool
) -> None:
    target = ["--editable", str(ROOT)] if editable else [str(next(wheels.glob("*.whl")))]
    python = new_environment(tmp_path / "venv", *target)
    project = tmp_path / "shop"
    project.mkdir()
    (project / "dlt.yml").write_text("project: {name: shop}\n")
    code = "import dlt; print(dlt.hub.current.project.config().name)"

    assert run(python, "-c", code, cwd=project) == "shop\n"
    assert run(python, "-W", "error", "-c", "pass") == ""

    run(python, "-m", "pip", "uninstall", "--yes", "--quiet", "pytest-dlthub")
    assert run(python, "-W", "error", "-c", "pass") == ""
    assert run(python, "-c", "import dlt; print(dlt.hub.__found__)", cwd=project) == "False\n"
    assert not list((tmp_path / "venv").rglob("dlthub_project_fallback*"))


STAND_IN = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "dlthub"
version = "0"

[tool.setuptools]
packages = ["dlthub"]
# elsewhere than its name says: installed editable, it is found by a finder of setuptools
package-dir = {dlthub = "code"}
"""


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["normally", "editable"])
def test_a_package_called_dlthub_wins_and_our_hooks_stay_silent(
    wheels: Path, tmp_path: Path, editable: bool
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "code").mkdir(parents=True)
    (theirs / "pyproject.toml").write_text(STAND_IN)
    (theirs / "code" / "__init__.py").write_text("transformation = runner = 'theirs'\n")
    (theirs / "code" / "current.py").write_text("project = 'theirs'\n")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "dlt.yml").write_text("pipelines:\n  load: {destination: duckdb}\n")
    (shop / "test_it.py").write_text("def test_it(): pass\n")
    wheel = str(next(wheels.glob("*.whl")))
    python = new_environment(
        tmp_path / "venv", wheel, *(["--editable"] if editable else []), str(theirs)
    )
    code = """
import dlt
from dlthub_project import ProjectRunContextNotAvailable, current
print(dlt.hub.current.project, dlt.hub.runner, type(dlt.current.run_context()).__name__)
try:
    current.config()
except ProjectRunContextNotAvailable as error:
    print(error.reason)
"""

    assert run(python, "-c", code, cwd=shop).splitlines() == [
        "theirs theirs RunContext",
        "The package dlthub is installed, and projects are left to it.",
    ]
    assert run(python, "-W", "error", "-c", "pass") == ""
    assert "project " not in run(python, "-m", "dlt", "--help", cwd=shop)
    header = f"dlt: the package dlthub is installed: {shop} is left to it"
    assert header in run(python, "-m", "pytest", cwd=shop)


@pytest.mark.slow
def test_all_of_dlt_hub_works_in_the_installed_wheel(wheels: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", str(next(wheels.glob("*.whl"))))
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "dlt.yml").write_text(
        "project: {name: shop}\npipelines:\n  load: {destination: duckdb, dataset_name: data}\n"
    )
    code = """
import dlt
from dlt.hub.current import project
from dlthub.project import Catalog, EntityFactory, PipelineManager, Project, ProjectRunContext
from dlthub.project.run_context import ensure_project

assert dlt.hub.__found__
assert dlt.hub.current.project is project
assert isinstance(project.context(), ProjectRunContext)
assert isinstance(project.config(), Project)
assert isinstance(project.entities(), EntityFactory)
assert isinstance(project.runner(), PipelineManager)
assert isinstance(project.catalog(), Catalog)

@dlt.hub.transformation
def cheap(dataset: dlt.Dataset):
    yield dataset.table("items").where("price", "lt", 15)

project.runner().run_pipeline(
    "load", data=[{"id": 1, "price": 10}, {"id": 2, "price": 20}], table_name="items"
)
pipeline = dlt.pipeline("cheap", destination="duckdb", dataset_name="bargains")
dlt.hub.runner(pipeline).run(cheap(project.catalog().dataset("data")))
print(pipeline.dataset().table("cheap").select("id").fetchall())
print(ensure_project(profile="tests").profile, project.config().name)
"""

    assert run(python, "-c", code, cwd=shop) == "[(1,)]\ntests shop\n"


@pytest.mark.slow
def test_runtime_works_without_pytest(wheels: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", str(next(wheels.glob("*.whl"))))
    run(python, "-m", "pip", "uninstall", "--yes", "--quiet", "pytest")
    (tmp_path / "dlt.yml").write_text(
        "pipelines:\n  load: {destination: duckdb, dataset_name: data}\n"
    )
    code = """
import dlt
project = dlt.hub.current.project
project.runner().run_pipeline("load", data=[{"id": 1}], table_name="rows")
print(project.catalog().dataset("data").table("rows").select("id").fetchall())
"""

    assert run(python, "-c", code, cwd=tmp_path) == "[(1,)]\n"
