"""Files that code has outside of the sandbox are put into it: no test writes a real one."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import duckdb
import pytest
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import changed_destinations, isolated

if TYPE_CHECKING:
    from conftest import MakeSandbox, WriteProject


def load(destination: Any, number: int = 1, **arguments: Any) -> dlt.Pipeline:
    arguments = {"dataset_name": "data", **arguments}
    pipeline = dlt.pipeline("files", destination=destination, **arguments)
    pipeline.run([{"id": number}], table_name="rows")
    return pipeline


def ids(pipeline: dlt.Pipeline) -> list[int]:
    return sorted(row[0] for row in pipeline.dataset().table("rows").select("id").fetchall())


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder of the user's own, with a database that has a row."""
    folder = tmp_path / "real"
    folder.mkdir()
    with duckdb.connect(str(folder / "prod.duckdb")) as connection:
        connection.execute("CREATE SCHEMA data; CREATE TABLE data.rows (id BIGINT)")
        connection.execute("INSERT INTO data.rows VALUES (42)")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


DATABASES: dict[str, Callable[[Path], Any]] = {
    "path": lambda real: dlt.destinations.duckdb(f"{real}/prod.duckdb"),
    "URL": lambda real: dlt.destinations.duckdb(f"duckdb:///{real}/prod.duckdb"),
    "relative path": lambda real: dlt.destinations.duckdb(f"../../../{real.name}/prod.duckdb"),
    "way round": lambda real: dlt.destinations.duckdb(f"{real}/../{real.name}/prod.duckdb"),
    "credentials": lambda real: dlt.destinations.duckdb(DuckDbCredentials(f"{real}/prod.duckdb")),
    "named": lambda real: dlt.destinations.duckdb(
        f"{real}/prod.duckdb", destination_name="warehouse"
    ),
    "local_dir": lambda real: bound_to(dlt.destinations.duckdb("prod.duckdb"), real),
    "by reference": lambda real: dlt.destination(
        "warehouse", destination_type="duckdb", credentials=f"{real}/prod.duckdb"
    ),
}


def bound_to(destination: Any, folder: Path) -> Any:
    destination.config_params["local_dir"] = str(folder)
    return destination


@pytest.mark.sampled(3)
@pytest.mark.parametrize("allowed", [(), ("duckdb", "warehouse")])
@pytest.mark.parametrize("way", DATABASES)
def test_database_outside_is_a_new_one_in_the_sandbox(
    make_sandbox: MakeSandbox, real: Path, way: str, allowed: tuple[str, ...]
) -> None:
    before = content(real)

    with isolated(make_sandbox(allowed=allowed)) as sandbox:
        pipeline = load(DATABASES[way](real))
        assert ids(pipeline) == [1]
        assert ids(load(DATABASES[way](real), 2)) == [1, 2]
        pipeline.drop()
        with pipeline.destination_client() as client:
            client.drop_storage()  # type: ignore[attr-defined]  # as a full refresh does
        told = changed_destinations(sandbox.folder)

    assert content(real) == before
    if way != "local_dir":
        assert [line for line in told if f"(duckdb {real}/prod.duckdb) -> {sandbox.folder}" in line]
        assert told[0].endswith("/prod.duckdb")


@pytest.mark.parametrize(
    "given", [":external:", DuckDbCredentials(":external:"), {"database": ":external:"}]
)
def test_connection_that_is_missing_leaves_no_file_in_the_working_folder(
    make_sandbox: MakeSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    # dlt 1.27 does not say that it is missing
    with isolated(make_sandbox()) as sandbox, suppress(PipelineStepFailed):
        load(dlt.destinations.duckdb(given))

    assert content(tmp_path / "project") == {}
    assert [path.name for path in Path(sandbox.folder).rglob(":external:")] == [":external:"]


def test_link_in_the_sandbox_to_a_real_database_leads_nowhere(
    make_sandbox: MakeSandbox, real: Path
) -> None:
    before = content(real)

    with isolated(make_sandbox()) as sandbox:
        Path(sandbox.local_dir).mkdir(parents=True)
        Path(sandbox.local_dir, "linked.duckdb").symlink_to(real / "prod.duckdb")
        assert ids(load(dlt.destinations.duckdb("linked.duckdb"))) == [1]

    assert content(real) == before


def test_two_databases_of_one_name_stay_two(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    with isolated(make_sandbox()):
        one = dlt.destinations.duckdb(f"{tmp_path}/one/x.duckdb")
        two = dlt.destinations.duckdb(f"{tmp_path}/two/x.duckdb")
        load(one, 1)
        assert ids(load(two, 2)) == [2]


def test_object_of_the_users_leads_where_it_did_after_the_sandbox(
    make_sandbox: MakeSandbox, real: Path
) -> None:
    credentials = DuckDbCredentials(f"{real}/mine.duckdb")
    destination = dlt.destinations.duckdb(credentials)

    with isolated(make_sandbox()):
        load(destination)

    assert credentials.database == f"{real}/mine.duckdb"
    assert destination.config_params["credentials"] is credentials
    assert not (real / "mine.duckdb").exists()


BUCKETS: dict[str, Callable[[Path], Any]] = {
    "path": lambda real: dlt.destinations.filesystem(f"{real}/lake"),
    "URL": lambda real: dlt.destinations.filesystem(f"file://{real}/lake"),
    "URL with one slash": lambda real: dlt.destinations.filesystem(f"file:{real}/lake"),
    "relative path": lambda real: dlt.destinations.filesystem(f"../../../{real.name}/lake"),
    "encoded dots": lambda real: dlt.destinations.filesystem(
        f"file://{real.parent}/sandbox/data/local/%2e%2e/%2e%2e/%2e%2e/{real.name}/lake"
    ),
    "local_dir": lambda real: bound_to(dlt.destinations.filesystem("lake"), real),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", BUCKETS)
def test_folder_outside_is_a_new_one_in_the_sandbox(
    make_sandbox: MakeSandbox, real: Path, way: str
) -> None:
    before = content(real)

    with isolated(make_sandbox()) as sandbox:
        assert ids(load(BUCKETS[way](real))) == [1]
        assert changed_destinations(sandbox.folder)

    assert content(real) == before
    assert not (real / "lake").exists()


def test_relative_database_in_a_folder_is_made_with_its_folder(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()) as sandbox:
        pipeline = load(dlt.destinations.duckdb("data/raw.duckdb"))
        assert ids(pipeline) == [1]
        assert Path(sandbox.local_dir, "data", "raw.duckdb").is_file()


@pytest.mark.parametrize("speed", ["on", "off"])
def test_a_run_does_not_open_the_real_database(
    make_sandbox: MakeSandbox, real: Path, monkeypatch: pytest.MonkeyPatch, speed: str
) -> None:
    monkeypatch.setenv("DLTHUB_PROJECT_SPEED", speed)
    # a second one could not open it
    with (
        duckdb.connect(str(real / "prod.duckdb"), read_only=True),
        isolated(make_sandbox()),
    ):
        assert ids(load(dlt.destinations.duckdb(f"{real}/prod.duckdb"))) == [1]


CONFIGURED = "profiles: {{tests: {{destinations: {{warehouse: {{type: duckdb, {place}}}}}}}}}"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("by", ["manifest", "fixture", "variable"])
def test_configured_database_outside_is_brought_in(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    real: Path,
    by: str,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    before, place = content(real), f"{real}/prod.duckdb"
    given: dict[str, Any] = {}
    manifest = CONFIGURED.format(place=f'credentials: "{place}"')
    if by == "fixture":
        given = {
            "destinations": {"warehouse": {"destination_type": "duckdb", "credentials": place}}
        }
    if by == "variable":
        manifest = CONFIGURED.format(place='credentials: "mine.duckdb"')
        monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", place)

    with isolated(make_sandbox(project=write_project(manifest), **given)):
        assert ids(load("warehouse")) == [1]

    assert content(real) == before


def test_subprocesses_have_the_same_file_in_the_sandbox(
    make_sandbox: MakeSandbox, real: Path, run_python: Callable[..., str]
) -> None:
    before = content(real)
    code = textwrap.dedent(f"""
        import dlt

        destination = dlt.destinations.duckdb("{real}/prod.duckdb")
        pipeline = dlt.pipeline("sub", destination=destination, dataset_name="data")
        pipeline.run([{{"id": 7}}], table_name="rows")
    """)

    with isolated(make_sandbox()):
        run_python(code, real)
        dataset = dlt.dataset(dlt.destinations.duckdb(f"{real}/prod.duckdb"), "data")
        assert dataset.table("rows").select("id").fetchall() == [(7,)]

    assert content(real) == before


@pytest.mark.parametrize("layout", ["{real}/{{table_name}}/{{file_id}}.{{ext}}", UP := "up"])
def test_layout_that_leads_out_of_the_bucket_is_blocked(
    make_sandbox: MakeSandbox, real: Path, layout: str
) -> None:
    before = content(real)
    up = "../" * 9
    text = f"{up}{real}/{{table_name}}/{{file_id}}.{{ext}}" if layout == UP else layout
    text = text.replace("{real}", str(real)).replace("{{", "{").replace("}}", "}")

    with (
        isolated(make_sandbox()),
        pytest.raises(RemoteDestinationBlocked, match="not in the test's sandbox"),
    ):
        load(dlt.destinations.filesystem("lake", layout=text))

    assert content(real) == before


@pytest.mark.parametrize("is_function", [True, False])
def test_placeholder_that_leads_out_of_the_bucket_is_blocked(
    make_sandbox: MakeSandbox, real: Path, is_function: bool
) -> None:
    before, up = content(real), "../" * 9 + str(real)
    placeholders = {"owner": (lambda *_: up) if is_function else up}
    destination = dlt.destinations.filesystem(
        "lake", layout="{table_name}/{owner}/{file_id}.{ext}", extra_placeholders=placeholders
    )

    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked):
        load(destination)

    assert content(real) == before


def test_dataset_name_that_leads_out_of_the_bucket_is_blocked(
    make_sandbox: MakeSandbox, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(real)

    monkeypatch.setenv("SCHEMA__NAMING", "direct")
    name = f"../../../../{real.name}/data"

    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked):
        load(dlt.destinations.filesystem("lake"), dataset_name=name)

    assert content(real) == before


STATEMENTS = [
    "ATTACH '{real}/new.duckdb' AS other",
    "attach database if not exists '{real}/new.duckdb'",
    "/* mine */ ATTACH OR REPLACE '{real}/new.duckdb' AS other (TYPE duckdb)",
    "SELECT 1; ATTACH '{real}/new.duckdb' AS other",
    "COPY (SELECT 1) TO '{real}/new.csv'",
    "EXPORT DATABASE '{real}/new'",
    "ATTACH 'postgres:dbname=prod host=db.invalid' AS other (TYPE postgres)",
    "ATTACH 'dbname=prod host=db.invalid' AS other (TYPE postgres)",
    "ATTACH '' AS other (TYPE mysql)",
    "ATTACH 'mysql:host=db.invalid' AS other",
    "ATTACH '{real}/prod.duckdb' AS other (READ_ONLY false)",
    "ATTACH '{real}/new.duckdb' AS read_only",
    "ATTACH 'md:prod'",
    "COPY (SELECT 1) TO 's3://prod.invalid/new.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{real}/new.csv'",
    "PREPARE p AS COPY (SELECT 1) TO '{real}/new.csv'; EXECUTE p",
    "SET enable_profiling='json'; SET profiling_output='{real}/new.json'; SELECT 1",
    "PRAGMA profile_output='{real}/new.json'",
    "SET GLOBAL secret_directory TO '{real}/new'",
    "CREATE OR REPLACE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "CALL enable_logging(storage='file', storage_config={{'path': '{real}/new'}})",
]


def test_statement_that_writes_outside_is_blocked(
    make_sandbox: MakeSandbox, real: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(real)

    with isolated(make_sandbox()) as sandbox, load("duckdb").sql_client() as client:
        # a remote place without a slash at its beginning is no file of this folder
        monkeypatch.chdir(sandbox.folder)
        for statement in STATEMENTS:
            with pytest.raises(RemoteDestinationBlocked):
                client.execute_sql(statement.format(real=real))

    assert content(real) == before
    assert not list(home.iterdir())
    assert sorted(path.name for path in real.iterdir()) == ["prod.duckdb"]


def test_statement_of_the_credentials_that_writes_outside_is_blocked(
    make_sandbox: MakeSandbox, real: Path
) -> None:
    if "statements" not in DuckDbCredentials.get_resolvable_fields():
        pytest.skip("dlt has no statements of credentials before 1.31")
    attach = f"ATTACH '{real}/new.duckdb' AS other"
    credentials = DuckDbCredentials("mine.duckdb", statements=[attach])

    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked):
        load(dlt.destinations.duckdb(credentials))

    assert not (real / "new.duckdb").exists()


def test_statement_of_sqlite_that_writes_outside_is_blocked(
    make_sandbox: MakeSandbox, real: Path
) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    statements = ["VACUUM INTO '{real}/new.db'", "ATTACH '{real}/new.db' AS other"]

    with isolated(make_sandbox()):
        pipeline = dlt.pipeline("lite", destination=dlt.destinations.sqlalchemy("sqlite:///a.db"))
        with pipeline.sql_client() as client:
            for statement in [text.format(real=real) for text in statements]:
                for query in (statement, sqlalchemy.text(statement)):
                    with pytest.raises(RemoteDestinationBlocked):
                        client.execute_sql(query)

    assert not (real / "new.db").exists()


def test_statement_that_writes_nothing_outside_is_executed(
    make_sandbox: MakeSandbox, real: Path
) -> None:
    statements = (
        "ATTACH '{sandbox}/new.duckdb' AS other",
        "ATTACH ':memory:' AS one",
        "ATTACH '{real}/prod.duckdb' AS real (READ_ONLY)",
        "SELECT 'ATTACH ''/x'''",
        "SET secret_directory='{sandbox}/new'",
        "VACUUM; EXPLAIN SELECT 1 AS copy; CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    )
    with isolated(make_sandbox()) as sandbox, load("duckdb").sql_client() as client:
        for statement in statements:
            client.execute_sql(statement.format(real=real, sandbox=sandbox.folder))


def test_file_that_is_allowed_by_its_path_is_written(make_sandbox: MakeSandbox, real: Path) -> None:
    allowed = (f"{real}/allowed.duckdb",)

    with isolated(make_sandbox(allowed=allowed)), suppress(OSError):
        assert ids(load(dlt.destinations.duckdb(f"{real}/allowed.duckdb"))) == [1]

    assert os.path.exists(f"{real}/allowed.duckdb")


def files_of(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.duckdb"))


UNNAMED: dict[str, Callable[[], Any]] = {
    "name": lambda: "duckdb",
    "dotted name": lambda: "dlt.destinations.duckdb",
    "class": lambda: dlt.destinations.duckdb,
    "instance": dlt.destinations.duckdb,
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", UNNAMED)
def test_each_pipeline_has_a_file_of_its_own_without_a_name_or_path(
    make_sandbox: MakeSandbox, way: str
) -> None:
    with isolated(make_sandbox()) as sandbox:
        for number, name in enumerate(("one", "two")):
            pipeline = dlt.pipeline(name, destination=UNNAMED[way](), dataset_name="data")
            pipeline.run([{"id": number}], table_name="rows")
            assert ids(pipeline) == [number]
        assert files_of(sandbox.local_dir) == ["one.duckdb", "two.duckdb"]
        assert changed_destinations(sandbox.folder) == [
            f"duckdb -> DuckDB {sandbox.local_dir}/one.duckdb",
            f"duckdb -> DuckDB {sandbox.local_dir}/two.duckdb",
        ]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", ["declared", "named instance", "configured"])
def test_named_warehouse_is_one_database(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    project = write_project("destinations: {warehouse: {type: duckdb}}")
    destination: Any = "warehouse"
    if way == "named instance":
        destination = dlt.destinations.duckdb(destination_name="warehouse")
    if way == "configured":
        monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "/data/shared.duckdb")
        destination = "duckdb"

    with isolated(make_sandbox(project=project)) as sandbox:
        for number, name in enumerate(("one", "two"), start=1):
            pipeline = dlt.pipeline(name, destination=destination, dataset_name="data")
            pipeline.run([{"id": number}], table_name="rows")
        assert ids(pipeline) == [1, 2]
        assert len(files_of(sandbox.local_dir)) == 1


@pytest.mark.parametrize(
    "variable", ["DESTINATION__CREDENTIALS", "DESTINATION__DUCKDB__CREDENTIALS__DATABASE"]
)
def test_no_variable_leads_a_pipelines_own_file_elsewhere(
    make_sandbox: MakeSandbox, real: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    before = content(real)
    monkeypatch.setenv(variable, f"{real}/prod.duckdb")
    with isolated(make_sandbox("file")):
        assert ids(load("duckdb")) == [1]
    monkeypatch.setenv(variable, "../../../real/prod.duckdb")
    with isolated(make_sandbox("relative")):
        assert ids(load("duckdb")) == [1]

    assert content(real) == before


@pytest.mark.parametrize("speed", ["on", "off"])
def test_second_pipeline_is_on_a_database_that_is_new(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, speed: str
) -> None:
    monkeypatch.setenv("DLTHUB_PROJECT_SPEED", speed)
    restored: list[str] = []
    original = dlt.Pipeline._restore_state_from_destination

    def restore(pipeline: dlt.Pipeline) -> Any:
        restored.append(pipeline.pipeline_name)
        return original(pipeline)

    monkeypatch.setattr(dlt.Pipeline, "_restore_state_from_destination", restore)

    with isolated(make_sandbox()):
        for name in ("one", "two"):
            pipeline = dlt.pipeline(name, destination="duckdb", dataset_name="data")
            pipeline.run([{"id": 1}], table_name="rows")

    assert restored == ([] if speed == "on" else ["one", "two"])
