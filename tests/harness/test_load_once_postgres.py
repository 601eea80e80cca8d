"""`dlt_load` into a PostgreSQL that tests may reach: loaded once, and copied for each test."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse

import psycopg2
import pytest

RunTests = Callable[..., pytest.RunResult]
Query = Callable[..., list[Any]]

pytestmark = pytest.mark.postgres

# counts its runs in a file beside the tests
COUNTING = """
import os
import subprocess
import sys
from pathlib import Path

import dlt
import psycopg2
import pytest

RUNS = Path(__file__).with_name("runs.txt")


@dlt.resource(primary_key="id", write_disposition="merge")
def users(since=dlt.sources.incremental("id")):
    with RUNS.open("a") as file:
        file.write("run ")
    yield [{"id": id_, "emails": [{"to": "a"}]} for id_ in (1, 2) if id_ >= (since.last_value or 0)]


def database_of(dataset):
    return dataset("select current_database()").fetchall()[0][0]
"""
LOAD = 'pytest.mark.dlt_load(source=users, destination="warehouse", dataset_name="crm")'


@pytest.fixture
def query(postgres_url: str) -> Iterator[Query]:
    """Ask the server, past dlt: `query("SELECT ...")`."""
    with closing(psycopg2.connect(postgres_url)) as connection:
        connection.autocommit = True

        def ask(sql: str, *values: Any) -> list[Any]:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []

        yield ask


@pytest.fixture
def own_url(query: Query, postgres_url: str) -> Iterator[str]:
    """The URL of a database of this test's own, with a user whose password needs to be encoded.

    What the test's sessions leave on the server belongs to that user.
    """
    name = f"harness_{secrets.token_hex(6)}"
    password = f"p@ss/{secrets.token_hex(4)} ü%?"
    query(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD %s", password)
    query(f"CREATE DATABASE {name} OWNER {name}")
    given = urlparse(postgres_url)
    yield (
        f"postgresql://{name}:{quote(password, safe='')}@{given.hostname}:{given.port or 5432}"
        f"/{name}?sslmode=prefer&application_name=mine"
    )
    for database in databases(query, name):
        query(f'DROP DATABASE "{database}" WITH (FORCE)')
    query(f"DROP ROLE {name}")


def databases(query: Query, owner: str) -> list[str]:
    sql = "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s ORDER BY 1"
    return [row[0] for row in query(sql, owner)]


def name_in(url: str) -> str:
    return urlparse(url).path.strip("/")


def schemas_in(url: str) -> list[str]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def in_postgres(pytester: pytest.Pytester, own_url: str, query: Query) -> Iterator[Path]:
    """Have `warehouse` in the test's own database, which has to be empty and alone afterwards."""
    pytester.makeini("[pytest]\ndlt_allow_remote = warehouse postgres\n")
    pytester.makeconftest(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def dlt_destinations():
            return {{"warehouse": {own_url!r}, "postgres": {own_url!r}}}
        """
    )
    yield pytester.path
    assert databases(query, name_in(own_url)) == [name_in(own_url)]
    assert schemas_in(own_url) == ["information_schema", "public"]


@pytest.fixture
def builds(pytester: pytest.Pytester) -> Callable[[], int]:
    """Return how often the source was run."""
    runs = pytester.path / "runs.txt"
    return lambda: len(runs.read_text().split()) if runs.exists() else 0


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n2", marks=pytest.mark.slow)])
def test_each_test_has_a_copy_of_its_own_that_it_may_write_to(
    run_tests: RunTests, builds: Callable[[], int], workers: str
) -> None:
    result = run_tests(
        COUNTING
        + f"""
pytestmark = {LOAD}


@pytest.mark.parametrize("n", range(4))
def test_copy(dlt_dataset, dlt_loaded, n):
    assert database_of(dlt_dataset).startswith("dlt_copy_")
    assert dlt_loaded.row_counts == {{"users": 2, "users__emails": 2}}
    assert len(dlt_dataset.users.fetchall()) == 2
    dlt_loaded.pipeline.run([{{"id": 3}}], table_name="users", write_disposition="append")
    dlt_loaded.pipeline.run([{{"x": 1}}], table_name="others")
    # seen through the connection that was open before
    assert len(dlt_dataset.users.fetchall()) == 3
    assert dlt_loaded.rows("others") == [{{"x": 1}}]


def test_that_never_asks():
    pass
""",
        workers,
    )

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["1 template built (* s), 5 copies made"])
    assert builds() == 1


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.slow
def test_second_run_continues_on_the_copy(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + f"""
@{LOAD}
@pytest.mark.parametrize("n", range(2))
def test_state(dlt_loaded, n):
    pipeline = dlt_loaded.pipeline
    of_users = pipeline.state["sources"]["users"]["resources"]["users"]
    assert of_users["incremental"]["id"]["last_value"] == 2
    assert not pipeline.first_run
    info = pipeline.run(users())
    assert "users" not in pipeline.last_trace.last_normalize_info.row_counts
    assert len(dlt_loaded.rows("users")) == 2
    # the dataset that a merge adds is in the copy, too
    pipeline.run([{{"id": 2, "name": "Ada"}}, {{"id": 3}}], table_name="users",
                 write_disposition="merge", primary_key="id")
    assert sorted(row["id"] for row in dlt_loaded.rows("users")) == [1, 2, 3]


@{LOAD}
def test_state_at_the_destination(dlt_loaded):
    dlt_loaded.pipeline.drop()
    pipeline = dlt.pipeline("users", destination="warehouse", dataset_name="crm")
    pipeline.sync_destination()
    assert not pipeline.first_run
    pipeline.run(users())
    assert "users" not in pipeline.last_trace.last_normalize_info.row_counts
"""
    )

    result.assert_outcomes(passed=3)


EVERY_WAY = f"""
WAREHOUSE = dlt.destinations.postgres(destination_name="warehouse")
PIPELINE = dlt.pipeline("of_module", destination=WAREHOUSE, dataset_name="crm")


def database_at(destination):
    return database_of(dlt.dataset(destination, "crm"))


@pytest.fixture
def made_before(dlt_isolated):
    return dlt.pipeline("before", destination="warehouse", dataset_name="crm")


@{LOAD}
def test_every_way_leads_to_the_copy(made_before, dlt_dataset):
    copy = database_of(dlt_dataset)
    assert copy.startswith("dlt_copy_")
    assert database_at("warehouse") == copy
    assert database_at(WAREHOUSE) == copy
    # another name of the same database
    assert database_at("postgres") == copy
    for pipeline in (PIPELINE, made_before):
        pipeline.run([{{"id": 1}}], table_name=pipeline.pipeline_name)
        with pipeline.sql_client() as client:
            assert client.execute_sql("select current_database()") == [(copy,)]
    code = (
        "import dlt; dataset = dlt.dataset('warehouse', 'crm');"
        "pipeline = dlt.pipeline('sub', destination='warehouse', dataset_name='made_by_sub');"
        "pipeline.run([{{'id': 1}}], table_name='rows');"
        "print(dataset('select current_database()').fetchall()[0][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == copy, done.stderr
    assert len(dlt.dataset("warehouse", "made_by_sub").rows.fetchall()) == 1


def test_without_the_mark_nothing_is_moved(dlt_run):
    run = dlt_run([{{"id": 1}}], table_name="rows", destination="warehouse", dataset_name="mine")
    assert database_of(run.dataset).startswith("harness_")
"""


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.slow
def test_code_by_name_pipelines_made_before_and_subprocesses_use_the_copy(
    run_tests: RunTests,
) -> None:
    result = run_tests(COUNTING + EVERY_WAY, "-p", "no:randomly")

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("way", ["fixture", "profile"])
@pytest.mark.slow
def test_pipeline_of_a_project(
    shop: Path,
    pytester: pytest.Pytester,
    run_tests: RunTests,
    own_url: str,
    query: Query,
    way: str,
) -> None:
    pytester.makeini("[pytest]\ndlt_allow_remote = warehouse\n")
    if way == "profile":
        text = (shop / "dlt.yml").read_text()
        own = f'  tests: {{destinations: {{warehouse: {{credentials: "{own_url}"}}}}}}\n'
        (shop / "dlt.yml").write_text(text + own)
    else:
        given = urlparse(own_url)
        mapping = {
            "type": "postgres",
            "create_indexes": False,
            "credentials": {
                "host": given.hostname,
                "port": given.port,
                "username": given.username,
                "password": psycopg2.extensions.parse_dsn(own_url)["password"],
                "database": name_in(own_url),
                "query": {"sslmode": "prefer"},
            },
        }
        pytester.makeconftest(
            f"""
            import pytest

            @pytest.fixture(scope="session")
            def dlt_destinations():
                return {{"warehouse": {mapping!r}}}
            """
        )

    result = run_tests(
        """
        import pytest

        pytestmark = pytest.mark.dlt_load("load_orders")


        @pytest.mark.parametrize("n", range(2))
        def test_runs_on_its_copy(dlt_project, dlt_loaded, dlt_dataset, n):
            run = dlt_project.run("load_orders", data=[{"id": 9}], table_name="items")
            assert sorted(row["id"] for row in run.rows("items")) == [1, 2, 3, 9]
            sql = "select current_database()"
            places = {d(sql).fetchall()[0][0] for d in (
                run.dataset, dlt_dataset, dlt_project.dataset("shop_data"))}
            assert len(places) == 1 and places.pop().startswith("dlt_copy_")
            with dlt_project.profile("ci"):
                pass
        """
    )

    result.assert_outcomes(passed=2)
    assert databases(query, name_in(own_url)) == [name_in(own_url)]
    assert schemas_in(own_url) == ["information_schema", "public"]


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_marked_with_types_of_destinations(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@pytest.mark.dlt_destination("duckdb", "postgres")
@pytest.mark.dlt_load(source=users, destination="lake", dataset_name="crm")
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n, request):
    kind = dlt_loaded.pipeline.destination.destination_type
    assert kind.split(".")[-1] in request.node.name
    dlt_loaded.pipeline.run([{"id": 3}], table_name="users", write_disposition="append")
    assert len(dlt_loaded.rows("users")) == 3
    assert (dlt_loaded.database_path is None) == kind.endswith("postgres")
"""
    )

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["2 templates built (* s), 4 copies made"])


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_loads_into_several_kinds_of_destination(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + f"""
@{LOAD}
@pytest.mark.dlt_load(
    source=lambda: dlt.resource([{{"id": 7}}], name="places"),
    destination="lake", dataset_name="geo", pipeline_name="load_places",
)
@pytest.mark.dlt_load(
    source=lambda: dlt.resource([{{"id": 8}}], name="staged"), destination="warehouse",
    dataset_name="staged_data", pipeline_name="load_staged", staging="filesystem",
)
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n):
    assert len(dlt_loaded["users"].rows("users")) == 2
    assert dlt_loaded["load_places"].rows("places") == [{{"id": 7}}]
    assert dlt_loaded["load_staged"].rows("staged") == [{{"id": 8}}]
    assert dlt_loaded["load_places"].database_path.name == "lake-test.duckdb"
    for run in dlt_loaded.values():
        run.pipeline.run([{{"id": n}}], table_name="more")
        assert run.rows("more") == [{{"id": n}}]
"""
    )

    result.assert_outcomes(passed=2)


@pytest.mark.slow
@pytest.mark.usefixtures("own_url")
def test_place_that_code_gives_is_left_for_the_copy(
    run_tests: RunTests, pytester: pytest.Pytester, own_url: str, query: Query
) -> None:
    pytester.makeini("[pytest]\ndlt_allow_remote = warehouse\n")
    result = run_tests(
        COUNTING
        + f"""
WAREHOUSE = dlt.destinations.postgres({own_url!r}, destination_name="warehouse")


@pytest.mark.dlt_load(source=users, destination=WAREHOUSE, dataset_name="crm")
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n):
    assert database_of(dlt_loaded.dataset).startswith("dlt_copy_")
    dlt.pipeline("mine", destination=WAREHOUSE, dataset_name="crm").run(
        [{{"id": 3}}], table_name="users", write_disposition="append"
    )
    assert len(dlt_loaded.rows("users")) == 3
"""
    )

    result.assert_outcomes(passed=2)
    assert databases(query, name_in(own_url)) == [name_in(own_url)]
    assert schemas_in(own_url) == ["information_schema", "public"]


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize("arguments", [("-n0",), ("-n2",), ("-n2", "-x")], ids=" ".join)
def test_databases_are_gone_after_failing_tests(
    run_tests: RunTests, arguments: tuple[str, ...]
) -> None:
    result = run_tests(
        COUNTING
        + f"""
@{LOAD}
@pytest.mark.parametrize("n", range(4))
def test_it(dlt_loaded, n):
    # left open
    left = dlt.pipeline("left", destination="warehouse", dataset_name="crm")
    left.sql_client().__enter__()
    assert len(dlt_loaded.rows("users")) == 3
""",
        *arguments,
    )

    assert result.parseoutcomes()["failed"] >= 1


@pytest.mark.usefixtures("in_postgres")
def test_databases_are_gone_after_a_failing_build(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
@dlt.resource
def broken():
    yield {"id": 1}
    raise ValueError("the source is broken")


@pytest.mark.dlt_load(source=broken, destination="warehouse", dataset_name="crm")
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_dataset, n):
    pass
"""
    )

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["dlt_load(broken): the build failed, as test_it.py::test_it*"])


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_error_when_code_keeps_a_connection_to_what_it_has_loaded(run_tests: RunTests) -> None:
    result = run_tests(
        COUNTING
        + """
import psycopg2

LEFT = []


@dlt.resource
def leaving():
    client = dlt.current.pipeline().sql_client()
    # not dlt's own: that is closed
    LEFT.append(psycopg2.connect(client.credentials.to_native_representation()))
    yield {"id": 1}


pytestmark = pytest.mark.dlt_load(source=leaving, destination="warehouse", dataset_name="crm")


def test_a(dlt_dataset):
    pass


def test_b(dlt_dataset):
    pass
"""
    )

    result.assert_outcomes(errors=2)
    complaint = "cannot close the database dlt_load_*: * 1 other session *Have your code close its*"
    result.stdout.fnmatch_lines([f"dlt_load: destination `warehouse` (postgres): {complaint}"])
    result.stdout.fnmatch_lines(["dlt_load(leaving): the build failed, as test_it.py::test_*"])


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_worker_that_dies_while_it_builds_leaves_no_database(
    run_tests: RunTests, builds: Callable[[], int]
) -> None:
    result = run_tests(
        COUNTING
        + """
@dlt.resource
def deadly():
    runs = len(RUNS.read_text().split()) if RUNS.exists() else 0
    with RUNS.open("a") as file:
        file.write("run ")
    if not runs:
        os._exit(1)
    yield {"id": 1}


@pytest.mark.dlt_load(source=deadly, destination="warehouse", dataset_name="crm")
@pytest.mark.parametrize("n", range(6))
def test_it(dlt_loaded, n):
    assert len(dlt_loaded.rows("deadly")) == 1
""",
        "-n2",
    )

    result.assert_outcomes(passed=5, failed=1)
    assert builds() == 2


@pytest.mark.slow
def test_error_when_the_driver_is_missing(
    in_postgres: Path, run_tests_apart: RunTests, pytester: pytest.Pytester
) -> None:
    conftest = in_postgres / "conftest.py"
    conftest.write_text(f"import sys\nsys.modules['psycopg2'] = None\n{conftest.read_text()}")

    result = run_tests_apart(
        """
        import pytest


        def users():
            yield {"id": 1}


        @pytest.mark.dlt_load(source=users, destination="warehouse", dataset_name="crm")
        def test_it(dlt_loaded):
            pass
        """
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["dlt_load: to copy a PostgreSQL, psycopg2 is needed*pip install*"])
    # nothing was made that the session's end would have to drop
    assert "Traceback" not in result.stderr.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.slow
def test_nothing_is_kept_with_reuse(
    in_postgres: Path,
    run_tests: RunTests,
    builds: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_postgres / "cache"))
    code = f"{COUNTING}\n@{LOAD}\ndef test_it(dlt_loaded): pass"

    for _ in range(2):
        run_tests(code, "--dlt-reuse").assert_outcomes(passed=1)

    assert builds() == 2
    assert not list((in_postgres / "cache").rglob("template.json"))


def test_no_file_has_the_password(in_postgres: Path, run_tests: RunTests, own_url: str) -> None:
    password = psycopg2.extensions.parse_dsn(own_url)["password"]
    quoted = urlparse(own_url).password
    result = run_tests(
        COUNTING
        + f"""
def words():
    import pytest_dlthub
    return [{password!r}, {quoted!r}]


@{LOAD}
def test_it(dlt_loaded, request, tmp_path_factory):
    dlt_loaded.pipeline.run([{{"id": 3}}], table_name="users", write_disposition="append")
    dlt_loaded.trace, dlt_loaded.load_info
    base = Path(dlt_loaded.pipeline.working_dir)
    while not (base / "templates").exists():
        base = base.parent
    files = [path for path in base.rglob("*") if path.is_file()]
    assert any(path.name == "postgres.json" for path in files)
    assert [p for p in files if any(w.encode() in p.read_bytes() for w in words())] == []
""",
    )

    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_template_that_somebody_has_dropped_is_built_again(
    in_postgres: Path, run_tests: RunTests, builds: Callable[[], int], own_url: str
) -> None:
    result = run_tests(
        COUNTING
        + f"""
@{LOAD}
@pytest.mark.parametrize("n", range(2))
def test_it(dlt_loaded, n):
    connection = psycopg2.connect({own_url!r})
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select datname from pg_database where datname ~ '^dlt_template_' "
                       "and pg_get_userbyid(datdba) = current_user")
        ((name,),) = cursor.fetchall()
        cursor.execute(f"drop database {{name}}")
    connection.close()
    assert len(dlt_loaded.rows("users")) == 2
"""
    )

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*damaged*built again*the database dlt_template_*"])
    assert builds() == 2


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_what_a_killed_session_has_left_is_dropped_after_a_day(
    run_tests: RunTests, own_url: str, query: Query
) -> None:
    user, now = name_in(own_url), int(time.time())
    suffix = f"{secrets.token_hex(4)}_{secrets.token_hex(4)}"
    old, young = f"dlt_copy_00000000_{now - 90_000}_{suffix}", f"dlt_copy_00000000_{now}_{suffix}"
    others = f"dlt_copy_of_mine_{suffix}"
    for name in (old, young, others):
        query(f"CREATE DATABASE {name} OWNER {user}")

    result = run_tests(f"{COUNTING}\n@{LOAD}\ndef test_it(dlt_loaded): pass")

    result.assert_outcomes(passed=1)
    assert databases(query, user) == sorted([young, others, user])
    for name in (young, others):
        query(f"DROP DATABASE {name}")


@pytest.mark.usefixtures("in_postgres")
def test_error_when_the_user_may_not_create_databases(
    run_tests: RunTests, own_url: str, query: Query
) -> None:
    user = name_in(own_url)
    query(f"ALTER ROLE {user} NOCREATEDB")

    result = run_tests(
        f"{COUNTING}\npytestmark = {LOAD}\ndef test_a(dlt_loaded): pass\ndef test_b(): pass"
    )

    result.assert_outcomes(errors=2)
    complaint = (
        "dlt_load: destination `warehouse` (postgres): cannot make the database dlt_load_*: "
        f'permission denied*ALTER ROLE "{user}" CREATEDB*dlt_project_factory*'
    )
    result.stdout.fnmatch_lines([complaint])
    result.stdout.fnmatch_lines(["dlt_load(users): the build failed, as test_it.py::test_*"])


@pytest.mark.parametrize("change", ["user", "port", "database"])
def test_error_when_it_cannot_be_reached(
    run_tests: RunTests, pytester: pytest.Pytester, own_url: str, change: str
) -> None:
    url = urlparse(own_url)
    hidden = "hush_hush_%40"
    user, port, path = url.username, url.port, url.path
    # a server on loopback may ask nobody for a password
    if change == "user":
        user = f"nobody_{secrets.token_hex(4)}"
    elif change == "port":
        port = 1
    else:
        path = ""
    given = f"postgresql://{user}:{hidden}@{url.hostname}:{port}{path}"
    # beside the tests, so that no source line shows it
    (pytester.path / "url.txt").write_text(given)
    pytester.makeini("[pytest]\ndlt_allow_remote = warehouse\n")
    pytester.makeconftest(
        """
        from pathlib import Path

        import pytest

        @pytest.fixture(scope="session")
        def dlt_destinations():
            return {"warehouse": Path(__file__).with_name("url.txt").read_text()}
        """
    )

    result = run_tests(f"{COUNTING}\n@{LOAD}\ndef test_it(dlt_loaded): pass")

    result.assert_outcomes(errors=1)
    complaint = {
        "user": f'cannot reach *as {user}: *"{user}"*Start the server, or mend the credentials*',
        "port": "cannot reach *:1/*Connection refused*",
        "database": "has no database. Give it a URL such as postgresql://*",
    }[change]
    result.stdout.fnmatch_lines([f"dlt_load: destination `warehouse` (postgres)*{complaint}"])
    assert "hush_hush" not in f"{result.stdout}{result.stderr}"


@pytest.mark.slow
@pytest.mark.usefixtures("in_postgres")
def test_databases_of_what_one_test_used_go_once_newer_ones_are_there(
    run_tests: RunTests, query: Query, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dlthub.templates.store._MOST_USED_ONCE", 1)
    result = run_tests(
        COUNTING
        + f"""
NUMBER = 0


@dlt.resource
def numbered():
    yield [{{"id": NUMBER}}]


@pytest.fixture(params=range(3))
def number(request, monkeypatch):
    monkeypatch.setitem(globals(), "NUMBER", request.param)
    return request.param


@{LOAD.replace("users", "numbered")}
def test_it(number, dlt_loaded):
    assert dlt_loaded.rows("numbered") == [{{"id": number}}]


def test_few_are_left():
    from contextlib import closing

    with closing(psycopg2.connect({own_url!r})) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = current_user"
        )
        # the user's own, and the last template
        assert cursor.fetchone() == (2,)
"""
    )
    result.assert_outcomes(passed=4)
