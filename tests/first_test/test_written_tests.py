"""First tests of pipelines: what they hold, that they pass, and that they can fail."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dlthub_project import current
from dlthub_project.errors import EntityNotFound, ProjectError
from dlthub_project.first_test import Written, write_first_test

MANIFEST = """
    sources:
      shop: {{type: kinds.shop}}
      tables: {{type: kinds.tables}}
      api:
        type: rest_api
        client: {{base_url: "{api}", auth: {{type: bearer}}}}
        resources:
          - {{name: posts, primary_key: id, endpoint: {{path: posts, paginator: single_page}}}}
          - name: comments
            endpoint: {{path: "posts/{{resources.posts.id}}/comments", paginator: single_page}}
            include_from_parent: [id]
      db: {{type: sql_database, table_names: [members]}}
      other: {{type: kinds.other}}
      empty: {{type: kinds.empty}}
      picky: {{type: kinds.picky}}
      hinted: {{type: kinds.hinted}}
      reader: {{type: kinds.reader}}
    destinations:
      warehouse: {{type: postgres, credentials: "postgresql://u:p@db.invalid/prod"}}
    pipelines:
      load_all: {{source: [shop, tables, api, db, other], destination: warehouse}}
      load_shop: {{source: shop, destination: warehouse}}
      load_empty: {{source: empty, destination: warehouse}}
      load_picky: {{source: picky, destination: warehouse}}
      load_hinted: {{source: hinted, destination: warehouse}}
      load_reader: {{source: reader, destination: warehouse}}
      load_nothing: {{destination: warehouse}}
"""
SECRETS = """
    [sources.shop]
    token = "hush-hush-very-secret"
    [sources.api.client.auth]
    token = "token-of-the-api"
    [sources.db]
    credentials = "sqlite:///{db}"
"""
SOURCES = """
    import asyncio
    import datetime
    import pathlib
    import time
    import urllib.request
    import uuid
    from decimal import Decimal

    import dlt
    import pyarrow as pa

    UTC = datetime.timezone.utc
    START = datetime.datetime(2020, 1, 1, tzinfo=UTC)


    @dlt.source
    def shop(token: str = dlt.secrets.value):
        @dlt.resource(primary_key="id", write_disposition="merge")
        def orders(at=dlt.sources.incremental("updated_at", initial_value=START)):
            assert token.startswith("hush")
            yield [
                {
                    "id": i,
                    "total": Decimal("12.50") * i,
                    "updated_at": datetime.datetime(2026, 1, i, 3, 4, 5, 678, tzinfo=UTC),
                    "on": datetime.date(2026, 1, i),
                    "time": datetime.time(3, 4, 5),
                    "uid": uuid.UUID(int=i + 99),
                    "raw": b"\\x00\\xff",
                    "email": f"ada{i}@lovelace.org",
                    "customer": {"id": 7, "name": "Ada Lovelace"},
                    "used": token,
                    "lines": [{"sku": "tea", "parts": [{"n": 1}]}, {"sku": "mug"}],
                }
                for i in range(1, 9)
            ]

        @dlt.transformer(data_from=orders)
        def details(page):
            for order in page:
                yield {"order_id": order["id"], "size": len(order["lines"])}

        @dlt.resource(selected=False)
        def ids():
            yield [1, 2, 3, 4]

        @dlt.transformer(data_from=ids)
        def fetched(page):
            for i in page:
                url = f"{dlt.config['sources.api.client.base_url']}posts/{i}/size"
                with urllib.request.urlopen(url) as got:
                    yield {"i": i, "size": len(got.read())}

        @dlt.resource
        async def late():
            for i in range(5):
                await asyncio.sleep(0)
                yield {"i": i}

        return orders, details, ids, fetched, late.add_map(
            lambda row: {**row, "seen_at": time.time_ns()}
        )


    @dlt.source
    def tables():
        @dlt.resource
        def arrow():
            price = pa.array([Decimal("1.10")] * 5, pa.decimal128(10, 2))
            yield pa.table({"id": range(5), "price": price, "phone": ["+49 30 1234567"] * 5})

        @dlt.resource
        def events():
            yield dlt.mark.with_table_name({"id": 1}, "pushes")
            yield dlt.mark.with_table_name({"id": 2}, "forks")

        return arrow, events


    @dlt.source
    def other():
        @dlt.resource(table_name="other_orders")
        def orders():
            yield {"id": 1}

        return orders


    @dlt.source
    def empty():
        @dlt.resource
        def rows():
            yield from ()

        return rows


    @dlt.source
    def picky():
        @dlt.resource
        def people():
            yield {"name": "Ada"}

        def check(row):
            assert row["name"] == "Ada", "nobody else"
            return row

        return people.add_map(check)


    @dlt.source
    def reader():
        @dlt.resource
        def paths():
            yield {"path": "people.txt"}

        @dlt.transformer(data_from=paths)
        def people(row):
            for name in pathlib.Path(row["path"]).read_text().split():
                yield {"name": name, "mail_to": "ask " + name + "@x.org", "size": len(name)}

        return paths, people


    @dlt.source
    def hinted():
        @dlt.resource
        def rows():
            hints = dlt.mark.make_hints(table_name="x", primary_key="id")
            yield dlt.mark.with_hints({"id": 1}, hints)

        return rows
"""


class Api(BaseHTTPRequestHandler):
    """Posts and their comments."""

    def do_GET(self) -> None:
        _, _, *parts = self.path.split("/")
        rows: Any = [{"id": i, "title": f"post {i}"} for i in range(1, 6)]
        if parts:
            rows = [{"n": n, "author": {"id": n, "mail": "bob@babbage.org"}} for n in (1, 2)]
        body = json.dumps(rows).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(api: str, write_project: Callable[..., Path], tmp_path: Path) -> Path:
    database = tmp_path / "db.sqlite"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT, points NUMERIC)"
        )
        connection.execute("INSERT INTO members VALUES (1, 'Ada Lovelace', 1.5)")
    secrets = SECRETS.format(db=database)
    return write_project(
        MANIFEST.format(api=api), {"sources/kinds.py": SOURCES, ".dlt/secrets.toml": secrets}
    )


Write = Callable[..., Written]
RunWritten = Callable[..., pytest.RunResult]

# dlt's own default of an argument that it calls deprecated
pytestmark = pytest.mark.filterwarnings(
    "ignore:`detect_precision_hints` argument:DeprecationWarning"
)


@pytest.fixture
def write(folder: Path, run_written: RunWritten) -> Write:
    """Write a first test as the command does, with sessions of pytest in this process."""

    def run_tests(project: Path, path: Path) -> str:
        done = run_written(project, path)
        return "" if done.ret == 0 else "\n".join(line for line in done.outlines if line[:1] == "E")

    def call(pipeline: str, **options: Any) -> Written:
        path = folder / "tests" / f"test_{pipeline}.py"
        options = {"rows": 3, "limit": 3, **options}
        return write_first_test(current.entities(), pipeline, path, run_tests=run_tests, **options)

    return call


def test_a_first_test_passes_holds_nothing_personal_and_can_fail(
    folder: Path, write: Write, run_written: RunWritten
) -> None:
    written = write("load_shop", rows=2)
    text = written.path.read_text(encoding="utf-8")

    assert written.row_counts == {
        "details": 2,
        "fetched": 2,
        "late": 2,
        "orders": 2,
        "orders__lines": 4,
        "orders__lines__parts": 2,
    }
    assert list(written.replaced) == ["email", "customer.name", "used"]
    assert written.left_out == ["late.seen_at"]
    for personal in ("ada1", "lovelace", "Lovelace", "hush"):
        assert personal not in text
    # what needs no network runs: the transformer `details` is given nothing
    assert '"details": [' not in text
    assert "# These transformers need more than rows, such as a network: fetched." in text
    # only what is needed is given
    assert '"ids"' not in text
    for line in (
        '                "total": Decimal("25.00"),',
        '                "uid": uuid.UUID("00000000-0000-0000-0000-000000000065"),',
        '                "raw": b"\\x00\\xff",',
        '                "time": datetime.time(3, 4, 5),',
        '    assert run.rows("orders__lines__parts") == [{"n": 1}, {"n": 1}]',
        '    assert run.columns("details") == {"order_id": "bigint", "size": "bigint"}',
        "    # not compared: seen_at",
        '    assert run.rows("late", columns=["i"]) == [{"i": 0}, {"i": 1}]',
    ):
        assert line in text.splitlines(), text
    # neither data nor state of the project have changed, and no trial is left
    assert not (folder / "_data" / "dev" / "pipelines" / "load_shop").exists()
    assert [path.name for path in (folder / "tests").iterdir()] == ["test_load_shop.py"]

    # it is not green whatever happens
    source = folder / "sources" / "kinds.py"
    source.write_text(source.read_text().replace('order["id"], "size"', 'order["id"], "length"'))
    red = run_written(folder, written.path)
    assert red.ret == 1
    assert any("length" in line for line in red.outlines)


@pytest.mark.slow
def test_frames_apis_databases_and_marked_rows_of_several_sources_are_given(write: Write) -> None:
    written = write("load_all")
    text = written.path.read_text(encoding="utf-8")

    assert {t: n for t, n in written.row_counts.items() if "_" not in t} == {
        "arrow": 3,
        "comments": 3,
        "details": 3,
        "fetched": 3,
        "forks": 1,
        "late": 3,
        "members": 1,
        "orders": 3,
        "posts": 3,
        "pushes": 1,
    }
    assert {*written.replaced} >= {"phone", "author.mail", "name"}
    for personal in ("1234567", "babbage", "token-of", "Lovelace"):
        assert personal not in text
    assert "such as a network: fetched, comments." in text
    for line in (
        '        dlt.mark.with_table_name({"id": 1}, "pushes"),',
        '                pa.field("price", pa.decimal128(10, 2)),',
        '    "shop.orders": [',
        '    "other.orders": [{"id": 1}],',
        '    run = dlt_project.run("load_all", given=GIVEN, hints=HINTS)',
    ):
        assert line in text.splitlines(), text


@pytest.mark.slow
def test_values_that_the_code_needs_are_kept_when_they_are_asked_for(write: Write) -> None:
    with pytest.raises(ProjectError, match=r"(?s)nobody else.*`name`, which are made up: --keep"):
        write("load_picky")
    written = write("load_picky", names=["people"], keep_values=True)

    assert written.row_counts == {"people": 1}
    assert '"people": [{"name": "Ada"}]' in written.path.read_text(encoding="utf-8")


def test_what_the_code_reads_from_elsewhere_is_not_shown_where_it_looks_personal(
    folder: Path, write: Write
) -> None:
    (folder / "people.txt").write_text("Grace Alan")
    written = write("load_reader")
    text = written.path.read_text(encoding="utf-8")

    assert "Grace" not in text
    assert written.left_out == ["people.name", "people.mail_to"]
    assert 'run.rows("people", columns=["size"]) == [{"size": 5}, {"size": 4}]' in text


def test_no_test_is_written_that_would_test_nothing(folder: Path, write: Write) -> None:
    with pytest.raises(ProjectError, match="has loaded no rows"):
        write("load_empty")
    with pytest.raises(EntityNotFound, match="declares no source"):
        write("load_nothing")
    with pytest.raises(EntityNotFound, match="Did you mean `orders`"):
        write("load_all", names=["order"])
    with pytest.raises(ProjectError, match="hints of their own"):
        write("load_hinted")
    assert not (folder / "tests").exists()


@pytest.mark.slow
def test_rows_may_stand_in_the_files_of_a_recording(folder: Path, write: Write) -> None:
    written = write("load_shop", rows=2, in_files=True, names=["orders", "details"])
    text = written.path.read_text(encoding="utf-8")

    assert written.row_counts["orders__lines"] == 4
    assert list(written.replaced) == ["email", "customer.name", "used"]
    assert '"orders": "recordings/test_load_shop/load_shop/orders.jsonl"' in text
    files = written.path.parent / "recordings" / "test_load_shop" / "load_shop"
    rows = "".join(path.read_text(encoding="utf-8") for path in files.glob("*.jsonl"))
    assert '{"$decimal": "25.00"}' in rows
    for personal in ("ada1", "lovelace", "Lovelace", "hush"):
        assert personal not in rows


def test_files_of_a_test_that_is_not_written_are_not_left(folder: Path, write: Write) -> None:
    with pytest.raises(ProjectError, match="loaded no rows"):
        write("load_empty", in_files=True)

    assert not (folder / "tests").exists()
