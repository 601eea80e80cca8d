"""What a session loads into remote destinations that it allows is gone afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from processes import python

RunTests = Callable[..., pytest.RunResult]

pytestmark = pytest.mark.postgres


@pytest.fixture
def schemas(postgres_url: str) -> Iterator[Callable[[], list[str]]]:
    """Return the datasets of this test that there are."""
    connection = psycopg2.connect(postgres_url)
    connection.autocommit = True
    name = f"harness_{uuid.uuid4().hex[:12]}"

    def ask() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", (f"{name}%",))
            return sorted(row[0] for row in cursor.fetchall())

    ask.__name__ = name
    yield ask
    with connection.cursor() as cursor:
        for left in ask():
            cursor.execute(f'DROP SCHEMA "{left}" CASCADE')
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "workers", [[], pytest.param(["-n1"], marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_what_fixtures_of_wider_scope_and_subprocesses_have_loaded_is_dropped(
    pytester: pytest.Pytester,
    shop: Path,
    run_tests: RunTests,
    postgres_url: str,
    schemas: Callable[[], list[str]],
    workers: list[str],
) -> None:
    pytester.makeini("[pytest]\ndlt_allow_remote = warehouse\n")
    own = f'  tests: {{destinations: {{warehouse: {{credentials: "{postgres_url}"}}}}}}'
    manifest = shop / "dlt.yml"
    manifest.write_text(f"{manifest.read_text()}{own}\n")
    (shop / "theirs.py").write_text(
        f"""
import subprocess
import sys
import dlt
import psycopg2

NAME = {schemas.__name__!r}

def load(suffix):
    pipeline = dlt.pipeline("any", destination="warehouse", dataset_name=NAME + suffix)
    pipeline.run([{{"id": 1}}], table_name="rows")
    return pipeline

def load_in_subprocess(suffix):
    code = f"import theirs; theirs.load({{suffix!r}})"
    subprocess.run([*{python()!r}, "-c", code], check=True)

def suffixes():
    cursor = psycopg2.connect({postgres_url!r}).cursor()
    cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", (NAME + "%",))
    return sorted(row[0].removeprefix(NAME) for row in cursor.fetchall())
"""
    )

    result = run_tests(
        """
        import pytest
        import theirs

        @pytest.fixture(scope="session")
        def loaded():
            theirs.load_in_subprocess("_session")
            return theirs.load("")

        def test_one(loaded):
            assert len(loaded.dataset().table("rows").fetchall()) == 1
            theirs.load_in_subprocess("_test")
            assert theirs.suffixes() == ["", "_session", "_test"]

        def test_two(loaded):
            assert len(loaded.dataset().table("rows").fetchall()) == 1
            assert theirs.suffixes() == ["", "_session"]

        def test_without_dlt_in_its_own_process():
            theirs.load_in_subprocess("_alone")
        """,
        "-p",
        "no:randomly",
        "-W",
        "error",
        *workers,
    )

    result.assert_outcomes(passed=3)
    assert schemas() == []
    assert "remote data" not in f"{result.stdout}{result.stderr}"
