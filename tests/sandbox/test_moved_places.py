"""What leads an allowed destination to another server than its URL says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dlt
import pytest
import sqlalchemy
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals.remote_places import leads_into, remote_place
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import guard, isolated

if TYPE_CHECKING:
    from conftest import Listener, MakeSandbox

DRIVERS = {"postgres": "postgresql:", "sqlalchemy": "postgresql+psycopg2:"}
HERE = "u:hunter2@db.invalid:{port}/tests"


def load(destination: Any) -> None:
    pipeline = dlt.pipeline("guarded", destination=destination, dataset_name="data")
    pipeline.run([{"id": 1}], table_name="rows")


def of_tests(kind: str, url: str) -> dict[str, Any]:
    url = url.replace("postgresql:", DRIVERS[kind])
    settings = {kind: {"destination_type": kind, "credentials": url}}
    return {"destinations": settings, "allowed": (kind,)}


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [
        ("PGHOSTADDR", "127.0.0.1", "postgres"),
        ("PGHOSTADDR", "127.0.0.1", "sqlalchemy"),
        ("PGSERVICE", "prod", "postgres"),
        ("PGSERVICE", "prod", "sqlalchemy"),
        # dlt's own asks for a host
        ("PGHOST", "127.0.0.1", "sqlalchemy"),
    ],
)
def test_a_variable_of_the_driver_does_not_lead_to_production(
    make_sandbox: MakeSandbox,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    value: str,
    kind: str,
) -> None:
    services = tmp_path / "services"
    services.write_text("[prod]\nhostaddr=127.0.0.1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    url = f"postgresql://{HERE.format(port=listener.port)}"
    if variable == "PGHOST":
        url = f"postgresql://u:hunter2@:{listener.port}/tests"

    with isolated(make_sandbox(**of_tests(kind, url))):
        monkeypatch.setenv(variable, value)
        with pytest.raises(RemoteDestinationBlocked, match=variable) as blocked:
            load(kind)

    assert listener.connections == 0
    assert f"Unset {variable} in tests" in str(blocked.value)
    assert "hunter2" not in str(blocked.value)


def test_a_variable_that_says_the_same_is_no_matter(
    make_sandbox: MakeSandbox, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    url = f"postgresql://u:p@localhost:{listener.port}/tests?connect_timeout=1"

    with isolated(make_sandbox(**of_tests("postgres", url))), pytest.raises(PipelineStepFailed):
        load("postgres")

    assert listener.connections > 0


def listening(engine: Any, port: int) -> Any:
    @sqlalchemy.event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        named.update(host="127.0.0.1", port=port)

    return engine


def connect(port: int) -> Any:
    import psycopg2

    return psycopg2.connect(host="127.0.0.1", port=port, connect_timeout=1)


def engine(port: int, **arguments: Any) -> Any:
    return sqlalchemy.create_engine(f"postgresql+psycopg2://{HERE.format(port=port)}", **arguments)


GIVEN: dict[str, Callable[[int], Any]] = {
    "host": lambda port: engine(port, connect_args={"host": "127.0.0.1"}),
    "hostaddr": lambda port: engine(port, connect_args={"hostaddr": "127.0.0.1"}),
    "dsn": lambda port: engine(port, connect_args={"dsn": f"host=127.0.0.1 port={port}"}),
    "creator": lambda port: engine(port, creator=lambda: connect(port)),
    "listener": lambda port: listening(engine(port), port),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", GIVEN)
def test_an_engine_of_the_tests_place_does_not_lead_to_production(
    make_sandbox: MakeSandbox, listener: Listener, way: str
) -> None:
    url = f"postgresql+psycopg2://{HERE.format(port=listener.port)}"

    with (
        isolated(make_sandbox(**of_tests("sqlalchemy", url))),
        pytest.raises(RemoteDestinationBlocked) as blocked,
    ):
        load(dlt.destinations.sqlalchemy(GIVEN[way](listener.port)))

    assert listener.connections == 0
    assert "hunter2" not in str(blocked.value)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda port: {"connect_args": {"hostaddr": "127.0.0.1"}},
        lambda port: {"creator": lambda: connect(port)},
    ],
    ids=["connect_args", "creator"],
)
def test_arguments_of_an_engine_do_not_lead_to_production(
    make_sandbox: MakeSandbox, listener: Listener, arguments: Callable[[int], Any]
) -> None:
    url = f"postgresql+psycopg2://{HERE.format(port=listener.port)}"

    with (
        isolated(make_sandbox(**of_tests("sqlalchemy", url))),
        pytest.raises(RemoteDestinationBlocked),
    ):
        load(dlt.destinations.sqlalchemy(url, engine_kwargs=arguments(listener.port)))

    assert listener.connections == 0


def test_a_listener_of_all_engines_does_not_lead_to_production(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    """As an application has it that gives each connection a token."""
    url = f"postgresql+psycopg2://{HERE.format(port=listener.port)}"

    def connecting(_dialect: Any, _record: Any, _args: Any, named: dict[str, Any]) -> None:
        named.update(host="127.0.0.1", port=listener.port)

    sqlalchemy.event.listen(sqlalchemy.Engine, "do_connect", connecting)
    try:
        with (
            isolated(make_sandbox(**of_tests("sqlalchemy", url))),
            pytest.raises(RemoteDestinationBlocked, match="listeners of `do_connect`"),
        ):
            load(dlt.destinations.sqlalchemy(url))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "do_connect", connecting)

    assert listener.connections == 0


@pytest.mark.parametrize("kind", ["ducklake", "lancedb"])
def test_files_of_a_type_that_cannot_be_moved_are_not_called_remote(
    make_sandbox: MakeSandbox, kind: str
) -> None:
    destination = getattr(dlt.destinations, kind)()
    with isolated(make_sandbox()), pytest.raises(RemoteDestinationBlocked) as blocked:
        guard.check(destination, make_sandbox())

    message = str(blocked.value)
    assert f"Destination `{kind}` ({kind}) has files or a server of its own" in message
    assert "is remote" not in message


def place(url: str, **credentials: Any) -> str:
    config = SimpleNamespace(bucket_url=url, credentials=SimpleNamespace(**credentials))
    return remote_place(config)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (place("s3://lake"), place("s3://lake", endpoint_url="https://s3.prod.invalid")),
        # the folder of the tests in a bucket that production has, too
        (place("s3://lake/prod"), "s3://lake/tests"),
        (place("s3://lake"), "s3://lake/tests"),
        (place("s3://lake/tests_of_prod"), "s3://lake/tests"),
        (place("gs://lake/tests/../prod"), "gs://lake/tests"),
        (place("az://lake/prod"), place("az://lake/tests")),
        (place("abfss://tests@acc.dfs.invalid"), place("abfss://prod@acc.dfs.invalid")),
        (
            place("az://lake", azure_storage_account_name="tests"),
            place("az://lake", azure_storage_account_name="prod"),
        ),
        (place("hf://datasets/me/tests"), place("hf://datasets/me/prod")),
        (place("sftp://host.invalid/tests"), place("sftp://host.invalid/prod")),
        ("postgresql://h/a", "postgresql://h/a?hostaddr=10.0.0.1"),
        ("postgresql://h/a?service=tests", "postgresql://h/a?service=prod"),
        ("mysql://h/a", "mysql://h/a?read_default_file=~/.my.cnf"),
        ("mssql://h/a", "mssql://h/a?SERVER=prod"),
        ("mysql://h/a?unix_socket=/run/a", "mysql://h/a?unix_socket=/run/b"),
    ],
)
def test_places_of_one_name_on_two_servers_are_two(one: str, other: str) -> None:
    assert not leads_into(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (place("s3://lake/tests"), "s3://lake"),
        (place("s3://lake/tests/orders"), "s3://lake/tests/"),
        (place("sftp://host.invalid/tests/orders"), "sftp://host.invalid/tests"),
        (
            place("s3://lake/a", endpoint_url="http://u:p@127.0.0.1:1"),
            "s3://lake/a/?endpoint_url=http://127.0.0.1:1",
        ),
        ("postgresql://h/a?sslmode=require&application_name=etl", "postgresql://h/a"),
    ],
)
def test_who_connects_and_how_is_no_other_place(one: str, other: str) -> None:
    assert leads_into(one, other)


def test_a_variable_of_a_bucket_is_part_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.prod.invalid")

    assert place("s3://lake") == "s3://lake?endpoint_url=https://s3.prod.invalid"
    assert not leads_into(place("s3://lake"), "s3://lake")
