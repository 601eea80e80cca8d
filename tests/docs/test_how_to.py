"""Tutorial, how-to pages, assertions and hooks: their code runs, and prints what they show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from pages import Command, File, Reader, read_page

DOCS = Path(__file__).parents[2] / "docs"
OF_PLUGINS = [DOCS / "reference" / name for name in ("assertions.md", "hooks.md")]
PAGES = sorted((*DOCS.glob("tutorial/*.md"), *DOCS.glob("how-to/*.md"), *OF_PLUGINS))
OF_ERRORS = DOCS / "how-to" / "read-manifest-errors.md"
OF_POSTGRES = DOCS / "how-to" / "postgres-in-tests.md"
# installs: acceptance/test_installs.py follows it
OF_PACKAGES = DOCS / "how-to" / "share-a-project-as-a-package.md"
# need what is not installed, or somebody who types: test_setups.py follows them
OF_SETUPS = ("fit-into-your-setup", "test-airflow-and-dagster")
# of several sessions each, ten seconds and more
LONG = {
    "compare-with-other-libraries",
    "first-test-of-plain-dlt",
    "first-test-of-a-workspace",
    "from-nothing-to-a-tested-pipeline",
    "test-a-sql-database-offline",
    "test-what-a-resource-yields",
    "guard-the-network",
    "hooks",
    "record-a-source",
    "load-once",
    "move-an-existing-suite",
    "one-expectation-twice-used",
    "retry-and-trace-runs",
    "run-many-pipelines",
    "secrets-in-ci",
    "see-what-is-not-tested",
    "snapshot-a-schema",
    "test-a-rest-api-offline",
    "test-a-transformation",
    "test-crashes",
    "test-an-incremental-resource",
    "test-merge-and-scd2",
    "test-schema-contracts",
    "test-what-is-requested",
    "transform-datasets",
    "when-a-test-is-red",
}
POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"


@pytest.fixture
def postgres() -> Iterator[psycopg2.extensions.cursor]:
    """A cursor on the PostgreSQL of the page, which no other run of this test uses meanwhile."""
    try:
        connection = psycopg2.connect(POSTGRES, connect_timeout=5)
    except psycopg2.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL at 127.0.0.1:5432: {error}")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(hashtext('how_to_postgres'))")
        yield cursor
    connection.close()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.stem in LONG else [], id=page.stem)
        for page in PAGES
        if page not in (OF_POSTGRES, OF_PACKAGES) and page.stem not in OF_SETUPS
    ],
)
def test_code_of_a_page_runs_and_prints_what_is_shown(page: Path, reader: Reader) -> None:
    reader.follow(page)

    assert reader.left_at_home == []


def test_errors_of_manifests_are_printed_exactly_as_shown(reader: Reader) -> None:
    printed = reader.follow(OF_ERRORS)
    commands = [step for step in read_page(OF_ERRORS) if isinstance(step, Command)]

    assert sum(command.line == "pytest -q" for command in commands) == 3
    for command, output in zip(commands, printed, strict=True):
        lines = output.replace(str(reader.folder), "…").splitlines()
        # carets and all
        assert [line for line in lines if line] == list(command.shown)


@pytest.mark.postgres
@pytest.mark.slow
def test_code_of_the_postgres_page_runs_and_leaves_no_dataset(
    reader: Reader, postgres: psycopg2.extensions.cursor
) -> None:
    schemas = "select schema_name from information_schema.schemata where schema_name ~ '^how_to_'"
    postgres.execute(schemas)
    for (left_behind,) in postgres.fetchall():
        postgres.execute(f'drop schema "{left_behind}" cascade')

    reader.follow(OF_POSTGRES)

    postgres.execute(schemas)
    assert postgres.fetchall() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_is_a_file_or_commands(page: Path) -> None:
    fences = page.read_text(encoding="utf-8").count("\n```") // 2
    steps = list(read_page(page))
    consoles = page.read_text(encoding="utf-8").count("\n```console\n")

    assert any(isinstance(step, Command) for step in steps)
    assert sum(isinstance(step, File) for step in steps) + consoles == fences
