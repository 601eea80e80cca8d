"""What the tests of all rooms share: projects on disk, and a dlt that nobody has used yet."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from neighbours import without_neighbours
from processes import python
from sessions import imports_kept, lies_in

from dlthub_project.dlt_internals import contexts
from dlthub_project.secrets import KNOWN

pytest_plugins = ["pytester", "sampled", "contracts"]

os.environ.setdefault("PYTEST_ADDOPTS", without_neighbours())

# suites of their own: harness/test_suites_on_disk.py runs them
collect_ignore = ["projects"]

WriteProject = Callable[..., Path]

_OURS = (
    "WORKSPACE__PROFILE",
    "DLT_PROJECT_DIR",
    "DLT_DATA_DIR",
    "DLT_LOCAL_DIR",
    "DLTHUB_PROJECT_SANDBOX",
)

_OF_PROJECTS = ("sources", "destinations", "transformations")


@pytest.fixture(autouse=True)
def unused_dlt(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Give the test a dlt without context or active pipeline, and environment and path back."""
    if "pytester" in request.fixturenames:
        with imports_kept():
            yield
        return
    for name in _OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    # locks and journals of saves; not in the working directory, which tests look into
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-state")))
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), dict(sys.modules)
    suspended = contexts.suspend_contexts()
    KNOWN.forget()
    yield
    contexts.resume_contexts(suspended)
    sys.path[:] = path
    # new ones alone: to look at all of them takes some milliseconds for each test
    new = [(n, module) for n, module in sys.modules.items() if modules.get(n) is not module]
    for name, module in new:
        if name.partition(".")[0] in _OF_PROJECTS or lies_in(module, tmp_path):
            del sys.modules[name]
    for package in _OF_PROJECTS:
        contexts.forget_references(package)


@pytest.fixture(autouse=True)
def nested_sessions_without_neighbours(
    request: pytest.FixtureRequest, unused_dlt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have nested sessions start without neighbours: pytester takes the environment's options."""
    if "pytester" in request.fixturenames:
        # ends before `unused_dlt` does, which gives imports back that pytester forgets
        request.getfixturevalue("pytester")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours())


@pytest.fixture
def write_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteProject:
    """Write a project and make its folder the working directory.

    Call it with the text of `dlt.yml` and a mapping of further files by their relative path;
    `folder` names another folder than `shop`, below the test's own.
    """

    def write(
        manifest: str, files: dict[str, str] | None = None, folder: str = "shop", enter: bool = True
    ) -> Path:
        root = tmp_path / folder
        for name, text in {"dlt.yml": manifest, **(files or {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        if enter:
            monkeypatch.chdir(root)
        return root

    return write


SHOP = """
    sources:
      orders: {type: shop.orders}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      shop_data: {destination: [warehouse]}
    pipelines:
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
"""

SHOP_SOURCE = """
    import dlt


    @dlt.source
    def orders(rows: int = 3):
        @dlt.resource(primary_key="id")
        def items():
            yield [{"id": i, "price": 10 * i} for i in range(1, rows + 1)]

        @dlt.resource
        def customers():
            yield {"name": "Ada", "emails": [{"address": "ada@example.invalid"}]}

        return items, customers
"""


@pytest.fixture
def shop(write_project: WriteProject) -> Path:
    """A small project: source `orders`, destination `warehouse`, pipeline `load_orders`."""
    return write_project(SHOP, {"sources/shop.py": SHOP_SOURCE})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


RunPython = Callable[..., str]


@pytest.fixture
def run_python() -> RunPython:
    """Run code in a new Python process: `run_python(code, cwd, NAME="value")` -> what it prints."""
    return functools.partial(_run_code, python)


@pytest.fixture
def run_bare_python() -> RunPython:
    """Do the same in a Python that has imported nothing yet, with the seed of its hashes."""
    return functools.partial(_run_code, lambda: [sys.executable])


def _run_code(command: Callable[[], list[str]], code: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [*command(), "-c", textwrap.dedent(code)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """A PostgreSQL on loopback that tests may write to; without one they are skipped, but in CI."""
    import psycopg2

    default = "postgresql://postgres:postgres@127.0.0.1:5432/test"
    url = os.environ.get("TEST_POSTGRES_URL", default)
    try:
        psycopg2.connect(url, connect_timeout=3).close()
    except psycopg2.OperationalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL: {error}")
    return url


@pytest.fixture
def mariadb_url() -> str:
    """A MariaDB on loopback that tests may write to; without one they are skipped, but in CI."""
    import sqlalchemy

    default = "mysql+pymysql://root@127.0.0.1:3306/test"
    url = os.environ.get("TEST_MARIADB_URL", default)
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 3})
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no MariaDB: {error}")
    finally:
        engine.dispose()
    return url
