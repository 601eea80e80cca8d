"""A destination that is really remote: reached when it is allowed, and left as it was."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import dlt
import psycopg2
import pytest

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject

pytestmark = pytest.mark.postgres

Query = Callable[..., list[Any]]
RunPython = Callable[..., str]


@pytest.fixture
def query(postgres_url: str) -> Iterator[Query]:
    """Ask the server, past dlt: `query("SELECT ...")`."""
    connection = psycopg2.connect(postgres_url)
    connection.autocommit = True

    def ask(sql: str, *values: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    yield ask
    connection.close()


@pytest.fixture
def dataset_name(query: Query) -> Iterator[str]:
    """A name that no dataset has; whatever is left of it is dropped."""
    name = f"sandbox_{uuid.uuid4().hex[:12]}"
    yield name
    for schema in schemas_like(query, name):
        query(f'DROP SCHEMA "{schema}" CASCADE')


def schemas_like(query: Query, name: str) -> list[str]:
    found = query("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s ORDER BY 1", f"{name}%")
    return [row[0] for row in found]


def load(destination: Any, dataset_name: str, *ids: int, **arguments: Any) -> dlt.Pipeline:
    pipeline = dlt.pipeline(
        f"load_{dataset_name}", destination=destination, dataset_name=dataset_name
    )
    pipeline.run([{"id": id_} for id_ in ids or (1,)], table_name="rows", **arguments)
    return pipeline


def test_an_allowed_destination_is_loaded_and_its_dataset_is_gone_afterwards(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    warehouse = dlt.destinations.postgres(postgres_url, destination_name="warehouse")
    merge = {"write_disposition": "merge", "primary_key": "id"}

    with isolated(make_sandbox(allowed=(postgres_url,))):
        load(warehouse, dataset_name, 1, 2)
        pipeline = load(warehouse, dataset_name, 2, 3, **merge)

        assert query(f"SELECT id FROM {dataset_name}.rows ORDER BY 1") == [(1,), (2,), (3,)]
        assert len(pipeline.dataset().table("rows").fetchall()) == 3
        # merge has made a second one
        assert len(schemas_like(query, dataset_name)) == 2

    assert schemas_like(query, dataset_name) == []


def test_a_dataset_that_was_there_before_is_kept(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    query(f"CREATE SCHEMA {dataset_name}")
    query(f"CREATE TABLE {dataset_name}.mine AS SELECT 1 AS id")
    warehouse = dlt.destinations.postgres(postgres_url, destination_name="warehouse")

    with isolated(make_sandbox(allowed=(postgres_url,))):
        load(warehouse, dataset_name)

    assert query(f"SELECT id FROM {dataset_name}.mine") == [(1,)]


def test_it_is_dropped_when_the_block_fails(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    warehouse = dlt.destinations.postgres(postgres_url, destination_name="warehouse")

    def fail() -> None:
        with isolated(make_sandbox(allowed=(postgres_url,))):
            load(warehouse, dataset_name)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()

    assert schemas_like(query, dataset_name) == []


def test_end_of_an_inner_sandbox_keeps_what_the_outer_one_has_loaded(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    warehouse = dlt.destinations.postgres(postgres_url, destination_name="warehouse")

    with isolated(make_sandbox("outer", allowed=(postgres_url,))) as outer:
        pipeline = load(warehouse, dataset_name)
        with isolated(make_sandbox("inner", allowed=(postgres_url,))):
            assert len(pipeline.dataset().table("rows").fetchall()) == 1
        assert schemas_like(query, dataset_name) == [dataset_name]
        with isolated(replace(outer), goes_on=True):
            pass
        assert schemas_like(query, dataset_name) == [dataset_name]

    assert schemas_like(query, dataset_name) == []


def test_without_being_allowed_it_is_blocked(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    warehouse = dlt.destinations.postgres(postgres_url, destination_name="warehouse")

    with (
        isolated(make_sandbox(allowed=("other",))),
        pytest.raises(RemoteDestinationBlocked, match="`warehouse`"),
    ):
        load(warehouse, dataset_name)

    assert schemas_like(query, dataset_name) == []


def test_named_destination_of_the_fixture_is_reached_when_it_is_allowed(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    settings = {"destination_type": "postgres", "credentials": postgres_url}

    with isolated(make_sandbox(destinations={"bigquery": settings}, allowed=("bigquery",))):
        load("bigquery", dataset_name, 7)
        load(dlt.destinations.bigquery, dataset_name, 8)
        assert query(f"SELECT id FROM {dataset_name}.rows ORDER BY 1") == [(7,), (8,)]

    assert schemas_like(query, dataset_name) == []


def test_every_destination_can_be_postgres(
    make_sandbox: MakeSandbox, postgres_url: str, query: Query, dataset_name: str
) -> None:
    settings = {"destination_type": "postgres", "credentials": postgres_url}
    sandbox = make_sandbox(
        destinations={"postgres": settings}, allowed=("postgres",), every_type="postgres"
    )

    with isolated(sandbox):
        load("snowflake", dataset_name, 7)
        assert query(f"SELECT id FROM {dataset_name}.rows") == [(7,)]

    assert schemas_like(query, dataset_name) == []


LOAD_IN_SUBPROCESS = """
    import dlt

    pipeline = dlt.pipeline("sub", destination={destination}, dataset_name={dataset!r})
    pipeline.run([{{"id": 1}}], table_name="rows")
"""


def in_subprocess(destination: str, dataset: str) -> str:
    return LOAD_IN_SUBPROCESS.format(destination=destination, dataset=dataset)


def test_dataset_of_a_subprocess_is_there_for_the_test_and_gone_afterwards(
    make_sandbox: MakeSandbox,
    run_python: RunPython,
    tmp_path: Path,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    settings = {"destination_type": "postgres", "credentials": postgres_url}
    password = urlparse(postgres_url).password
    assert password

    with isolated(
        make_sandbox(destinations={"warehouse": settings}, allowed=("warehouse",))
    ) as sandbox:
        run_python(in_subprocess("'warehouse'", dataset_name), tmp_path)
        assert query(f"SELECT id FROM {dataset_name}.rows") == [(1,)]
        (record,) = Path(sandbox.remote_dir).iterdir()
        assert dataset_name in record.read_text()
        assert f":{password}@" not in record.read_text()

    assert schemas_like(query, dataset_name) == []


def test_names_of_a_subprocess_are_found_again_by_its_naming_convention(
    make_sandbox: MakeSandbox,
    run_python: RunPython,
    tmp_path: Path,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    settings = {"destination_type": "postgres", "credentials": postgres_url}
    code = f"""
        import dlt

        dlt.config["schema.naming"] = "direct"
        {textwrap.indent(in_subprocess("'warehouse'", f"{dataset_name}_Mine"), "    ").strip()}
    """

    with isolated(make_sandbox(destinations={"warehouse": settings}, allowed=("warehouse",))):
        run_python(code, tmp_path)
        assert schemas_like(query, dataset_name) == [f"{dataset_name}_Mine"]

    assert schemas_like(query, dataset_name) == []


def test_dataset_that_a_subprocess_has_found_is_kept(
    make_sandbox: MakeSandbox,
    run_python: RunPython,
    tmp_path: Path,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    query(f"CREATE SCHEMA {dataset_name}")
    settings = {"destination_type": "postgres", "credentials": postgres_url}

    with isolated(make_sandbox(destinations={"warehouse": settings}, allowed=("warehouse",))):
        run_python(in_subprocess("'warehouse'", dataset_name), tmp_path)

    assert schemas_like(query, dataset_name) == [dataset_name]


def test_dataset_of_a_subprocess_with_credentials_in_code_is_dropped_by_a_test_that_reads_it(
    make_sandbox: MakeSandbox,
    run_python: RunPython,
    tmp_path: Path,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    code = f"dlt.destinations.postgres({postgres_url!r}, destination_name='warehouse')"
    here = dlt.destinations.postgres(postgres_url, destination_name="warehouse")

    with isolated(make_sandbox(allowed=(postgres_url,))):
        run_python(in_subprocess(code, dataset_name), tmp_path)
        assert dlt.dataset(here, dataset_name).table("rows").select("id").fetchall() == [(1,)]

    assert schemas_like(query, dataset_name) == []


def test_dataset_of_a_subprocess_that_cannot_be_found_again_is_told(
    make_sandbox: MakeSandbox,
    run_python: RunPython,
    tmp_path: Path,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    code = f"dlt.destinations.postgres({postgres_url!r}, destination_name='warehouse')"
    sandbox = make_sandbox(allowed=(postgres_url,))

    with (
        pytest.warns(UserWarning, match=f"`{dataset_name}` at destination `warehouse`.*is left"),
        isolated(sandbox),
    ):
        run_python(in_subprocess(code, dataset_name), tmp_path)

    assert schemas_like(query, dataset_name) == [dataset_name]


OWN_SECTION = """
    profiles:
      prod:
        destinations:
          warehouse: {{type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}}
      tests:
        extends: prod
        destinations:
          warehouse: {{credentials: "{url}"}}
"""


def test_the_tests_profiles_own_section_is_reached_when_it_is_allowed(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    postgres_url: str,
    query: Query,
    dataset_name: str,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    project = write_project(OWN_SECTION.format(url=postgres_url))

    with isolated(make_sandbox(project=project, allowed=("warehouse",))):
        load("warehouse", dataset_name, 7)
        assert query(f"SELECT id FROM {dataset_name}.rows") == [(7,)]

    assert schemas_like(query, dataset_name) == []
