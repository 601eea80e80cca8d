"""Allowed is a place that tests have configured, and no name: production has the same names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.destination.reference import DestinationReference
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals.remote_places import leads_into
from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import isolated

if TYPE_CHECKING:
    from conftest import Listener, MakeSandbox, WriteProject


def load(destination: Any, **arguments: Any) -> None:
    pipeline = dlt.pipeline("guarded", destination=destination, dataset_name="data")
    pipeline.run([{"id": 1}], table_name="rows", **arguments)


def url(listener: Listener, database: str = "prod") -> str:
    return f"postgresql://u:hunter2@127.0.0.1:{listener.port}/{database}?connect_timeout=1"


TESTS = "postgresql://u:p@127.0.0.1:1/tests?connect_timeout=1"

WAYS: dict[str, Callable[[str], Any]] = {
    "instance": lambda place: dlt.destinations.postgres(place),
    "named instance": lambda place: dlt.destinations.postgres(place, destination_name="postgres"),
    "by reference": lambda place: dlt.destination("postgres", credentials=place),
    "class": lambda place: DestinationReference.find("postgres")(credentials=place),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_name_of_the_test_server_does_not_allow_production(
    make_sandbox: MakeSandbox, listener: Listener, way: str
) -> None:
    of_tests = {"postgres": {"destination_type": "postgres", "credentials": TESTS}}
    sandbox = make_sandbox(destinations=of_tests, allowed=("postgres",))

    with isolated(sandbox), pytest.raises(RemoteDestinationBlocked) as blocked:
        load(WAYS[way](url(listener)))

    assert listener.connections == 0
    said = str(blocked.value)
    assert f"`postgres` (postgres) is at postgresql://127.0.0.1:{listener.port}/prod here" in said
    assert f"dlt_allow_remote = postgresql://127.0.0.1:{listener.port}/prod" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://u:p@127.0.0.1:{port}/other",
        "postgresql://u:p@db.invalid:{port}/prod",
        "postgresql://u:p@db.invalid:1/prod?host=127.0.0.1&port={port}",
    ],
)
def test_another_database_host_or_port_is_another_place(
    make_sandbox: MakeSandbox, listener: Listener, other: str
) -> None:
    of_tests = {"postgres": {"destination_type": "postgres", "credentials": url(listener)}}
    sandbox = make_sandbox(destinations=of_tests, allowed=("postgres",))

    with isolated(sandbox), pytest.raises(RemoteDestinationBlocked):
        load(dlt.destinations.postgres(other.format(port=listener.port)))

    assert listener.connections == 0


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", ["name", *WAYS])
def test_the_place_that_tests_have_configured_is_reached(
    make_sandbox: MakeSandbox, listener: Listener, way: str
) -> None:
    place = url(listener)
    of_tests = {"postgres": {"destination_type": "postgres", "credentials": place}}
    destination = "postgres" if way == "name" else WAYS[way](place)
    sandbox = make_sandbox(destinations=of_tests, allowed=("postgres",))

    with isolated(sandbox), pytest.raises(PipelineStepFailed):
        load(destination)

    assert listener.connections > 0


def test_place_of_which_tests_say_nothing_is_blocked(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    with isolated(make_sandbox(allowed=("postgres",))), pytest.raises(RemoteDestinationBlocked):
        load(dlt.destinations.postgres(url(listener)))

    assert listener.connections == 0


def test_place_that_is_allowed_itself_is_reached(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    allowed = (f"postgresql://localhost:{listener.port}/prod",)

    with isolated(make_sandbox(allowed=allowed)):
        with pytest.raises(PipelineStepFailed):
            load(dlt.destinations.postgres(url(listener), destination_name="any"))
        reached = listener.connections
        with pytest.raises(RemoteDestinationBlocked):
            load(dlt.destinations.postgres(url(listener, "other"), destination_name="any"))

    assert reached > 0
    assert listener.connections == 0


def test_credentials_that_are_given_to_a_run_do_not_lead_to_production(
    make_sandbox: MakeSandbox, listener: Listener
) -> None:
    of_tests = {"postgres": {"destination_type": "postgres", "credentials": TESTS}}

    with (
        isolated(make_sandbox(destinations=of_tests, allowed=("postgres",))),
        pytest.raises(RemoteDestinationBlocked),
    ):
        load("postgres", credentials=url(listener))

    assert listener.connections == 0


# as commands of users do: with `load_dotenv()`, or by what they set themselves
OF_PRODUCTION = """
    import os

    os.environ.update({variables!r})
    import dlt

    dlt.secrets["destination.second.credentials"] = {place!r}
    dlt.config["destination.second.destination_type"] = "postgres"
    for name in ("first", "second", "third"):
        try:
            dlt.pipeline("it", destination=name).run([{{"id": 1}}], table_name="rows")
        except BaseException as error:
            print(name, type(error).__name__)
"""


@pytest.mark.slow
def test_what_a_subprocess_says_itself_of_a_place_is_of_production(
    make_sandbox: MakeSandbox,
    listener: Listener,
    tmp_path: Path,
    run_bare_python: Callable[..., str],
) -> None:
    def variables(name: str, place: str) -> dict[str, str]:
        prefix = f"DESTINATION__{name}__"
        return {f"{prefix}DESTINATION_TYPE": "postgres", f"{prefix}CREDENTIALS": place}

    of_production = variables("FIRST", url(listener))
    code = OF_PRODUCTION.format(variables=of_production, place=url(listener))
    with isolated(make_sandbox(allowed=("first", "second", "third"))):
        printed = run_bare_python(code, tmp_path, **variables("THIRD", TESTS))

    assert printed.split() == [
        *("first", "RemoteDestinationBlocked", "second", "RemoteDestinationBlocked"),
        # what a test gives it is where it goes
        *("third", "PipelineStepFailed"),
    ]
    assert listener.connections == 0


PROFILES = """
    profiles:
      prod:
        destinations: {{warehouse: {{type: postgres, credentials: "{prod}"}}}}
      tests:
        destinations: {{warehouse: {{type: postgres, credentials: "{tests}"}}}}
"""


@pytest.mark.parametrize("is_first_used", [True, False])
def test_another_profile_does_not_lead_to_production(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    is_first_used: bool,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    project = write_project(PROFILES.format(prod=url(listener), tests=TESTS))
    sandbox = make_sandbox(project=project, allowed=("warehouse",), profile="tests")

    with isolated(sandbox):
        if is_first_used:
            with suppress(PipelineStepFailed):
                load("warehouse")
        dlt.hub.current.project.context().switch_profile("prod")
        with pytest.raises(RemoteDestinationBlocked, match="Profile `prod`, which the test has"):
            load("warehouse")
    # and what is not allowed at all
    with isolated(make_sandbox("other", project=project, profile="tests")):
        dlt.hub.current.project.context().switch_profile("prod")
        with pytest.raises(RemoteDestinationBlocked, match="DuckDB instead, load it on profile `t"):
            load("warehouse")

    assert listener.connections == 0


def test_another_profile_may_have_the_place_of_the_tests(
    make_sandbox: MakeSandbox,
    write_project: WriteProject,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "tests")
    project = write_project(PROFILES.format(prod=url(listener), tests=url(listener)))
    sandbox = make_sandbox(project=project, allowed=("warehouse",), profile="tests")

    with isolated(sandbox):
        dlt.hub.current.project.context().switch_profile("prod")
        with pytest.raises(PipelineStepFailed):
            load("warehouse")

    assert listener.connections > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://u:p@localhost/a", "postgres://127.0.0.1:5432/a"),
        ("postgresql+psycopg2://DB.invalid:5432/a", "postgresql://db.invalid/a"),
        ("s3://bucket/one", "s3://bucket/one"),
    ],
)
def test_two_ways_to_write_one_place_are_the_same(one: str, other: str) -> None:
    assert leads_into(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://db.invalid/a", "postgresql://db.invalid/b"),
        ("postgresql://db.invalid/a", "postgresql://db.invalid:5433/a"),
        ("clickhouse://db.invalid/a", "dremio://db.invalid/a"),
        ("s3://bucket", "s3://other"),
        ("s3://bucket", "gs://bucket"),
        ("", ""),
        ("postgres", "postgres"),
    ],
)
def test_two_places_are_not_the_same(one: str, other: str) -> None:
    assert not leads_into(one, other)
