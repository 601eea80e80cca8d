"""What is still remote is blocked before a connection is opened."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
import pytest
from dlt.common.pipeline import LoadInfo

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import Sandbox, isolated

if TYPE_CHECKING:
    from conftest import Listener, MakeSandbox, WriteProject

PASSWORD = "hunter2secret"


@pytest.fixture(autouse=True)
def tests_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the profile, as the harness does."""
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")


def load(destination: Any, **arguments: Any) -> LoadInfo:
    pipeline = dlt.pipeline("guarded", destination=destination, dataset_name="data", **arguments)
    return pipeline.run([{"id": 1}], table_name="rows")


def url(listener: Listener) -> str:
    return f"postgresql://loader:{PASSWORD}@127.0.0.1:{listener.port}/prod"


def test_the_listener_notices_who_connects(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port)):
        pass

    assert listener.connections == 1


def test_instance_with_a_url_is_blocked_before_it_connects(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked) as blocked:
        load(dlt.destinations.postgres(url(listener)))

    assert listener.connections == 0
    # bare, and not as the failure of a step
    assert type(blocked.value) is RemoteDestinationBlocked
    assert not isinstance(blocked.value, Exception)
    said = str(blocked.value)
    assert "Destination `postgres` (postgres) is remote" in said
    assert "given in code" in said
    assert "dlt_allow_remote = postgres" in said
    assert '@pytest.mark.dlt_allow_remote("postgres")' in said
    assert PASSWORD not in said


def test_instance_under_a_name_of_its_own_is_named_so(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    destination = dlt.destinations.postgres(url(listener), destination_name="warehouse")

    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked) as blocked:
        load(destination)

    assert "Destination `warehouse` (postgres)" in str(blocked.value)
    assert "dlt_allow_remote = warehouse" in str(blocked.value)


def test_credentials_given_to_run_do_not_reach_the_server(
    make_sandbox: MakeSandbox, listener: Listener, tmp_path: Path
) -> None:
    with isolated(make_sandbox()) as sandbox:
        pipeline = dlt.pipeline("guarded", destination="postgres", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows", credentials=url(listener))
        assert pipeline.dataset().table("rows").fetchall()[0][0] == 1

    assert listener.connections == 0
    assert [path.name for path in tmp_path.iterdir()] == [Path(sandbox.folder).name]


def test_destination_set_on_a_pipeline_is_blocked(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("guarded", destination="duckdb", dataset_name="data")
        pipeline.destination = dlt.destinations.postgres(url(listener))
        with pytest.raises(RemoteDestinationBlocked, match="`postgres`"):
            pipeline.run([{"id": 1}], table_name="rows")
        pipeline.destination = dlt.destinations.duckdb("md:prod")
        with pytest.raises(RemoteDestinationBlocked, match="`duckdb`"):
            pipeline.run([{"id": 1}], table_name="rows")

    assert listener.connections == 0


def test_dataset_of_an_instance_is_blocked_when_it_is_read(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    with isolated(make_sandbox()):
        dataset = dlt.dataset(dlt.destinations.postgres(url(listener)), "data")
        with pytest.raises(RemoteDestinationBlocked, match="given in code"):
            dataset.table("rows").fetchall()

    assert listener.connections == 0


def test_sql_client_of_an_instance_is_blocked(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("guarded", destination=dlt.destinations.postgres(url(listener)))
        with pytest.raises(RemoteDestinationBlocked), pipeline.sql_client() as client:
            client.execute_sql("SELECT 1")

    assert listener.connections == 0


def test_staging_bucket_given_in_code_is_blocked(make_sandbox: MakeSandbox) -> None:
    bucket = dlt.destinations.filesystem("s3://prod-bucket/staging", destination_name="lake")

    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked) as blocked:
        load(dlt.destinations.dummy(completed_prob=1.0), staging=bucket)

    assert "Destination `lake` (filesystem)" in str(blocked.value)


@pytest.mark.parametrize("bucket", ["s3://prod", "gs://prod", "az://prod", "sftp://host/prod"])
def test_bucket_given_in_code_is_blocked(make_sandbox: MakeSandbox, bucket: str) -> None:
    with (
        isolated(make_sandbox()),
        pytest.raises(RemoteDestinationBlocked, match=r"`filesystem` .* given in code"),
    ):
        load(dlt.destinations.filesystem(bucket))


def test_database_of_motherduck_is_blocked(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked, match="given in code"):
        load(dlt.destinations.duckdb("md:prod"))


def test_connection_to_a_database_outside_of_the_sandbox_is_blocked(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    with duckdb.connect(str(tmp_path / "prod.duckdb")) as connection:
        with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked) as blocked:
            load(dlt.destinations.duckdb(connection))

        assert f"writes to {tmp_path}/prod.duckdb" in str(blocked.value)
        assert "is remote" not in str(blocked.value)

        assert connection.execute("SELECT * FROM duckdb_tables()").fetchall() == []


def declared_lake(kind: str, in_tests: bool) -> str:
    """Return a manifest with `lake`, which the tests profile's own section has too, or not."""
    manifest = f"destinations: {{lake: {{type: {kind}}}}}\n"
    own = f"profiles: {{tests: {{destinations: {{lake: {{type: {kind}}}}}}}}}\n"
    return manifest + own if in_tests else manifest


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "variable",
    [
        "DESTINATION__LAKE__CREDENTIALS",
        "DESTINATION__LAKE__CREDENTIALS__DATABASE",
        "DESTINATION__CREDENTIALS",
        "GUARDED__DESTINATION__LAKE__CREDENTIALS",
        "CREDENTIALS__DATABASE",
    ],
)
@pytest.mark.parametrize("replaced", [True, False])
def test_no_variable_leads_a_local_destination_elsewhere(
    make_sandbox: MakeSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_project: WriteProject,
    variable: str,
    replaced: bool,
) -> None:
    outside = tmp_path / "prod.duckdb"
    monkeypatch.setenv(variable, str(outside))
    project = write_project(declared_lake("duckdb", in_tests=not replaced))

    with isolated(make_sandbox(project=project)):
        try:
            load("lake")
        except RemoteDestinationBlocked as blocked:
            assert "`lake`" in str(blocked)  # noqa: PT017  # either is well, but for the file

    assert not outside.exists()


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "variable",
    [
        "DESTINATION__LAKE__BUCKET_URL",
        "DESTINATION__BUCKET_URL",
        "GUARDED__DESTINATION__LAKE__BUCKET_URL",
        "BUCKET_URL",
    ],
)
@pytest.mark.parametrize("replaced", [True, False])
def test_no_variable_leads_local_files_into_a_bucket(
    make_sandbox: MakeSandbox,
    monkeypatch: pytest.MonkeyPatch,
    write_project: WriteProject,
    variable: str,
    replaced: bool,
) -> None:
    monkeypatch.setenv(variable, "s3://prod")
    project = write_project(declared_lake("filesystem", in_tests=not replaced))

    with isolated(make_sandbox(project=project)) as sandbox:
        if replaced:
            load("lake")
            assert list(Path(sandbox.local_dir, "lake", "data", "rows").iterdir())
        else:
            with pytest.raises(RemoteDestinationBlocked, match="`lake`"):
                load("lake")


OWN_SECTION = """
    destinations:
      warehouse: {{type: duckdb}}
    profiles:
      tests:
        destinations:
          warehouse: {{type: postgres, credentials: "{url}"}}
"""


def test_destination_of_the_tests_profiles_own_section_is_blocked(
    make_sandbox: MakeSandbox, listener: Listener, write_project: WriteProject
) -> None:
    project = write_project(OWN_SECTION.format(url=url(listener)))

    with (
        isolated(make_sandbox(project=project)),
        pytest.raises(RemoteDestinationBlocked) as blocked,
    ):
        load("warehouse")

    assert listener.connections == 0
    assert "`warehouse` (postgres)" in str(blocked.value)
    assert "The configuration of the test profile places it" in str(blocked.value)
    assert PASSWORD not in str(blocked.value)


@pytest.mark.parametrize("kind", ["secrets", "config"])
def test_destination_of_the_tests_profiles_toml_is_blocked(
    make_sandbox: MakeSandbox, listener: Listener, write_project: WriteProject, kind: str
) -> None:
    project = write_project(
        "destinations: {warehouse: {type: postgres}}",
        {
            f".dlt/tests.{kind}.toml": f"""
                [destination.warehouse]
                credentials = "{url(listener)}"
            """
        },
    )

    with (
        isolated(make_sandbox(project=project)),
        pytest.raises(RemoteDestinationBlocked, match="The configuration of the test profile"),
    ):
        load("warehouse")

    assert listener.connections == 0


def test_what_the_tests_profile_inherits_from_production_is_replaced(
    make_sandbox: MakeSandbox, listener: Listener, write_project: WriteProject
) -> None:
    project = write_project(
        f"""
        profiles:
          prod:
            destinations:
              warehouse: {{type: postgres, credentials: "{url(listener)}"}}
          tests:
            extends: prod
        """
    )

    with isolated(make_sandbox(project=project)):
        load("warehouse")
        assert dlt.current.pipeline().destination.destination_type.endswith("duckdb")

    assert listener.connections == 0


def test_destination_of_the_fixture_is_blocked_and_the_fixture_is_named(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    settings = {"destination_type": "postgres", "credentials": url(listener)}

    with (
        isolated(make_sandbox(destinations={"warehouse": settings})),
        pytest.raises(RemoteDestinationBlocked, match="The fixture dlt_destinations configures"),
    ):
        load("warehouse")

    assert listener.connections == 0


def test_subprocesses_are_guarded_too(
    make_sandbox: MakeSandbox,
    listener: Listener,
    tmp_path: Path,
    run_python: Callable[..., str],
) -> None:
    code = f"""
        import dlt

        destination = dlt.destinations.postgres({url(listener)!r})
        try:
            dlt.pipeline("sub", destination=destination).run([{{"id": 1}}], table_name="rows")
        except BaseException as error:
            print(type(error).__name__)
    """

    with isolated(make_sandbox()):
        printed = run_python(code, tmp_path)

    assert printed.strip() == "RemoteDestinationBlocked"
    assert listener.connections == 0


def local_places(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return {
        "file below a local root": dlt.destinations.duckdb(str(tmp_path / "mine" / "x.duckdb")),
        "relative file": dlt.destinations.duckdb("x.duckdb"),
        "file below the sandbox": dlt.destinations.duckdb(f"{sandbox.folder}/x.duckdb"),
        "instance without place": dlt.destinations.duckdb(),
        "relative bucket": dlt.destinations.filesystem("lake"),
        "bucket below the sandbox": dlt.destinations.filesystem(f"file://{sandbox.folder}/lake"),
        "bucket below a local root": dlt.destinations.filesystem(str(tmp_path / "mine" / "lake")),
        "memory": dlt.destinations.filesystem("memory://lake"),
        "dummy": dlt.destinations.dummy(completed_prob=1.0),
    }


LOCAL = [
    "file below a local root",
    "relative file",
    "file below the sandbox",
    "instance without place",
    "relative bucket",
    "bucket below the sandbox",
    "bucket below a local root",
    "memory",
    "dummy",
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("place", LOCAL)
def test_what_is_local_passes(make_sandbox: MakeSandbox, tmp_path: Path, place: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()

    with isolated(make_sandbox(local_roots=(str(mine),))) as sandbox:
        info = load(local_places(sandbox, tmp_path)[place])
        assert not info.has_failed_jobs
        assert len(info.loads_ids) == 1

    below_local_root = "local root" in place
    assert bool(list(mine.iterdir())) == below_local_root
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "sandbox"]


def test_database_in_memory_passes(make_sandbox: MakeSandbox) -> None:
    with duckdb.connect() as connection, isolated(make_sandbox()):
        load(dlt.destinations.duckdb(connection))

        assert connection.execute("SELECT id FROM data.rows").fetchall() == [(1,)]
