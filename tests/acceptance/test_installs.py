"""The built wheel in virtual environments of its own: README, packaged projects, `dlt.hub`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
from pages import run_page, run_page_in_new_environment
from read_only import read_only

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.installs


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this project's wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    return folder


@dataclass(frozen=True)
class Readme:
    """What has come of following the README.

    Attributes:
        folder: Where it was followed, with the virtual environment in `.venv`.
        printed: What each of its commands printed.
        wheels: The folder of the wheel that was installed.
    """

    folder: Path
    printed: list[str]
    wheels: Path

    @property
    def python(self) -> str:
        """The environment's Python."""
        return str(self.folder / ".venv" / "bin" / "python")


@pytest.fixture(scope="module")
def readme(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Readme:
    """The README followed in an empty environment."""
    folder = tmp_path_factory.mktemp("readme")
    printed = run_page_in_new_environment(ROOT / "README.md", folder, wheels)
    return Readme(folder, printed, wheels)


def environment() -> dict[str, str]:
    """Return the environment variables but those of the test run."""
    ours = ("PYTEST", "MEASURE_INTO", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*command: str, cwd: Path | None = None, **variables: str) -> str:
    kept = {**environment(), **variables}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def new_environment(folder: Path, *pip_arguments: str) -> str:
    """Make a virtual environment, install into it, and return its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install(python, *pip_arguments)
    return python


def install(python: str, *pip_arguments: str) -> None:
    """Install into the environment of `python`, in the tested versions."""
    constraints = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, *pip_arguments)


def test_code_of_the_readme_runs_in_an_empty_environment(readme: Readme) -> None:
    assert "2 passed" in readme.printed[1]
    assert "profile tests (default)" in readme.printed[1]
    assert "1 passed" in readme.printed[2]
    assert "orders__lines          1" in readme.printed[3]
    # the report has run on profile dev, and switched to `tests`; tests have left nothing
    data = [path for path in readme.folder.rglob("_data") if ".venv" not in path.parts]
    assert data == [readme.folder / "shop" / "_data"]
    files = [path.relative_to(data[0]) for path in data[0].rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} == {".gitignore", "dev"}


@pytest.mark.slow
def test_code_of_the_page_on_packages_runs_and_its_wheel_has_no_secrets(
    readme: Readme, tmp_path: Path
) -> None:
    programs = str(Path(readme.python).parent)
    variables = {**environment(), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    run_page(ROOT / "docs" / "how-to" / "share-a-project-as-a-package.md", tmp_path, variables)

    with ZipFile(next(tmp_path.glob("dist/*.whl"))) as wheel:
        assert not [name for name in wheel.namelist() if "secrets" in name]
    # it is the installed one that was used
    assert not (tmp_path / "rates_mart" / "_data").exists()


@pytest.mark.slow
def test_the_example_installed_from_its_wheel_works_elsewhere_though_it_is_read_only(
    readme: Readme, tmp_path: Path
) -> None:
    example = str(ROOT / "example_project")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), example)
    install(readme.python, str(next(tmp_path.glob("*.whl"))))
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    package = next(readme.folder.glob(".venv/lib/python*/site-packages/nyc_flights_project"))
    code = """
import nyc_flights_project as nyc
from nyc_flights_project.reports import delays

nyc.runner().run_pipeline("load_reference")
nyc.runner().run_pipeline("load_flights", resources=["flights"])
dataset = nyc.catalog().dataset("nyc")
dataset.save(delays.delays_by_carrier(dataset), table_name="delays_by_carrier")
print(nyc.context().profile, *nyc.catalog(), *nyc.entities().list_pipelines())
print(sorted(dataset.row_counts().fetchall()))
for name in ("hourly_delays", "hourly_delays_arrow"):
    print(*nyc.entities().get_transformation(name).info().tables)
print(nyc.config().data_dir)
"""

    with read_only(package) as words:
        printed = run(*words, readme.python, "-c", code, cwd=elsewhere, HOME=str(home))
        again = run(
            *words, readme.python, "-m", "dlt", "project", "info", "--project", package.name,
            cwd=elsewhere, HOME=str(home),
        )  # fmt: skip

    names, counts, queries, functions, data_dir = printed.splitlines()
    assert (queries, functions) == ("flights_in_weather hourly_delays", "hourly_delays_arrow")
    assert names == "access nyc nyc_delays load_flights load_reference"
    assert ast.literal_eval(counts) == [
        ("airlines", 16),
        ("airports", 1_458),
        ("delays_by_carrier", 16),
        ("flights", 336_776),
        ("planes", 3_322),
    ]
    assert Path(data_dir).is_relative_to(home)
    assert f"data folder      {data_dir}" in again.splitlines()
    assert not list(elsewhere.iterdir())


DBT_PROJECT = {
    "dlt.yml": """
destinations:
  warehouse: {type: duckdb}
datasets:
  shop: {destination: [warehouse]}
  reports: {destination: [warehouse]}
caches:
  orders_cache:
    inputs: [{dataset: shop, tables: {orders: orders}}]
    outputs: [{dataset: reports, tables: {totals: totals}}]
transformations:
  report: {engine: dbt, cache: orders_cache}
""",
    "transformations/report/dbt_project.yml": "name: shop_reports\nversion: '1.0'\nprofile: any\n",
    "transformations/report/models/properties.yml": """
sources:
  - name: cache
    tables: [{name: orders}]
models:
  - name: sums
    columns:
      - name: price
        data_tests: [not_null]
""",
    "transformations/report/models/placed.sql": "SELECT * FROM {{ source('cache', 'orders') }}",
    "transformations/report/models/sums.sql": """
{{ config(materialized='incremental', alias='totals') }}
SELECT city, sum(price)::bigint AS price FROM {{ ref('placed') }} GROUP BY city
{% if is_incremental() %} HAVING false {% endif %}
""",
    "test_report.py": """
import pytest
from dlthub_project.errors import ProjectError

def test_rows_in_rows_out_and_day_2_sees_new_rows_only(dlt_project):
    orders = [{"city": "Rome", "price": 1}, {"city": "Rome", "price": 2}]
    first = dlt_project.transformation("report").run(given={"orders": orders})
    assert first.rows("totals") == [{"city": "Rome", "price": 3}]

    second = first.next(given={"orders": [{"city": "Rome", "price": 4}]})
    assert sorted(row["price"] for row in second.rows("totals")) == [3, 4]
    assert second.next().row_counts == {}

def test_what_dbt_tests_is_not_written_when_it_fails(dlt_project):
    orders = [{"city": "Oslo", "price": None}, {"city": "Rome", "price": 1}]
    with pytest.raises(ProjectError, match="test `not_null_sums_price` .*: Got 1 result"):
        dlt_project.transformation("report").run(given={"orders": orders})
    with pytest.raises(ProjectError):
        dlt_project.dataset("reports").row_counts()
""",
}


@pytest.mark.slow
def test_models_of_dbt_are_built_with_the_extra(readme: Readme, tmp_path: Path) -> None:
    project = tmp_path / "shop"
    for name, text in DBT_PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    files = sorted(project.rglob("*"))
    wheel = next(readme.wheels.glob("*.whl"))
    run(
        readme.python, "-m", "pip", "install", "--quiet", f"{wheel}[dbt]",
        "-c", str(constraints_with_dbt(tmp_path)),
    )  # fmt: skip

    printed = run(readme.python, "-m", "pytest", "-p", "no:cacheprovider", cwd=project)

    assert "2 passed" in printed
    left = {path for path in project.rglob("*") if "__pycache__" not in path.parts}
    assert sorted(left) == files


def constraints_with_dbt(folder: Path) -> Path:
    """Write the tested versions with those for dbt in place of the ones that it cannot have."""
    with_dbt = (Path(__file__).parent / "dbt-constraints.txt").read_text(encoding="utf-8")
    replaced = {line.partition("==")[0] for line in with_dbt.splitlines()}
    ours = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in ours if line.partition("==")[0] not in replaced]
    path = folder / "constraints.txt"
    path.write_text("\n".join((with_dbt, *kept)), encoding="utf-8")
    return path


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
