"""`rest_api`, `sql_database` and `filesystem`: declared in YAML, loaded, and no line of Python."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy

from dlthub_project import current

WriteProject = Callable[..., Path]

POSTS = [{"id": i, "title": f"post {i}"} for i in range(1, 6)]
TOKEN = "token-of-the-api"


class Api(BaseHTTPRequestHandler):
    """Posts in pages of two, and the comments of each post, for those who know the token."""

    asked: list[str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.asked.append(self.path)
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "who are you?"})
        _, *parts = url.path.split("/")
        if parts == ["posts"]:
            page = int(parse_qs(url.query)["page"][0])
            return self._answer(200, {"posts": POSTS[2 * page - 2 : 2 * page], "pages": 3})
        if len(parts) == 3 and parts[2] == "comments":
            return self._answer(200, [{"text": f"of {parts[1]}"}])
        return self._answer(404, {})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server on loopback: its URL, and the paths that it was asked for."""
    asked: list[str] = []
    handler = type("Api", (Api,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def rows(table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return what is in a table of dataset `loaded`, in order."""
    relation = current.catalog().dataset("loaded").table(table).select(*columns)
    return sorted(relation.fetchall())


def test_a_rest_api_is_loaded_page_by_page_with_the_children_of_each_row(
    write_project: WriteProject,
    api: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, asked = api
    monkeypatch.setenv("TOKEN_OF_TEST", TOKEN)
    write_project(
        f"""
        sources:
          blog:
            type: rest_api
            client:
              base_url: {url}
              auth: {{token: "{{env.TOKEN_OF_TEST}}"}}
              paginator: {{type: page_number, base_page: 1, total_path: pages}}
            resource_defaults: {{primary_key: id, write_disposition: merge}}
            resources:
              - {{name: posts, endpoint: {{path: posts, data_selector: posts}}}}
              - name: comments
                primary_key: [_posts_id, text]
                include_from_parent: [id]
                endpoint: {{path: "posts/{{resources.posts.id}}/comments", paginator: single_page}}
        destinations:
          warehouse: {{type: duckdb}}
        pipelines:
          load_blog: {{source: blog, destination: warehouse, dataset_name: loaded}}
        """
    )
    current.runner().run_pipeline("load_blog")
    current.runner().run_pipeline("load_blog")

    assert rows("posts", "id", "title") == [(post["id"], post["title"]) for post in POSTS]
    assert rows("comments", "_posts_id", "text") == [(i, f"of {i}") for i in range(1, 6)]
    assert [path for path in asked if "comments" not in path][:3] == [
        f"/posts?page={page}" for page in (1, 2, 3)
    ]


@pytest.fixture(
    params=[
        pytest.param("postgres_url", marks=pytest.mark.postgres),
        pytest.param("mariadb_url", marks=pytest.mark.mariadb),
    ]
)
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A database server with tables of a shop: its URL, and the schema that they are in."""
    url = sqlalchemy.make_url(request.getfixturevalue(request.param))
    is_postgres = url.get_backend_name() == "postgresql"
    if is_postgres:
        # SQLAlchemy 2.1 takes `postgresql` for psycopg 3
        url = url.set(drivername="postgresql+psycopg2")
    schema = f"yaml_source_{token_hex(4)}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        # MariaDB's word for a database, too
        connection.execute(sqlalchemy.text(f"create schema {schema}"))
        for statement in (
            "create table {}.customers (id integer primary key, name varchar(50))",
            "create table {}.orders (id integer primary key, price decimal(10, 2), day date)",
            "create table {}.secrets (id integer primary key)",
            "insert into {}.customers values (1, 'Ada'), (2, 'Grace')",
            "insert into {}.orders values (1, 9.90, '2024-05-01'), (2, 120, '2024-05-02')",
        ):
            connection.execute(sqlalchemy.text(statement.format(schema)))
    yield url.render_as_string(hide_password=False), schema
    with engine.begin() as connection:
        cascade = " cascade" if is_postgres else ""
        connection.execute(sqlalchemy.text(f"drop schema {schema}{cascade}"))
    engine.dispose()


def execute(url: str, statement: str) -> None:
    """Change something in the database."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


# dlt's own default of an argument that it calls deprecated
@pytest.mark.filterwarnings("ignore:`detect_precision_hints` argument:DeprecationWarning")
def test_the_tables_of_a_sql_database_are_loaded_with_their_types_and_keys(
    write_project: WriteProject, database: tuple[str, str]
) -> None:
    url, schema = database
    write_project(
        f"""
        sources:
          shop_db:
            type: sql_database
            credentials: {url}
            schema: {schema}
            table_names: [customers, orders]
        destinations:
          warehouse: {{type: duckdb}}
        pipelines:
          load_shop: {{source: shop_db, destination: warehouse, dataset_name: loaded}}
        """
    )
    source = current.entities().get_source("shop_db")()
    assert (source.name, sorted(source.resources)) == ("shop_db", ["customers", "orders"])

    current.runner().run_pipeline("load_shop", write_disposition="merge")
    execute(url, f"update {schema}.customers set name = 'Lovelace' where id = 1")
    current.runner().run_pipeline("load_shop", write_disposition="merge")

    assert rows("customers", "id", "name") == [(1, "Lovelace"), (2, "Grace")]
    assert rows("orders", "id", "price", "day") == [
        (1, Decimal("9.90"), date(2024, 5, 1)),
        (2, Decimal(120), date(2024, 5, 2)),
    ]
    assert "secrets" not in current.catalog().dataset("loaded").tables


def test_credentials_of_a_sql_database_may_be_parts_in_several_layers(
    write_project: WriteProject, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, schema = database
    url = sqlalchemy.make_url(written)
    monkeypatch.setenv("SOURCES__ORDERS_OF_SHOP__CREDENTIALS__DATABASE", str(url.database))
    write_project(
        f"""
        sources:
          orders_of_shop:
            type: sql_database.sql_table
            credentials:
              drivername: {url.drivername}
              username: {url.username}
              password: {url.password or "''"}
              host: {url.host}
              port: {url.port}
            schema: {schema}
            table: orders
        destinations:
          warehouse: {{type: duckdb}}
        pipelines:
          load_shop: {{source: orders_of_shop, destination: warehouse, dataset_name: loaded}}
        """
    )
    current.runner().run_pipeline("load_shop")

    # a resource's name is that of the table, and the source's that of the entry
    assert [id_ for (id_,) in rows("orders", "id")] == [1, 2]


def test_a_sql_table_is_loaded_from_where_the_last_run_ended(
    write_project: WriteProject, database: tuple[str, str]
) -> None:
    url, schema = database
    write_project(
        f"""
        sources:
          orders:
            type: sql_database.sql_table
            credentials: {url}
            schema: {schema}
            table: orders
            incremental: {{cursor_path: id, row_order: asc, range_start: open}}
        destinations:
          warehouse: {{type: duckdb}}
        pipelines:
          load_shop: {{source: orders, destination: warehouse, dataset_name: loaded}}
        """
    )
    current.runner().run_pipeline("load_shop")
    execute(url, f"update {schema}.orders set price = 0 where id = 1")
    execute(url, f"insert into {schema}.orders values (3, 5, '2024-05-03')")
    current.runner().run_pipeline("load_shop")

    assert rows("orders", "id", "price") == [(1, Decimal("9.90")), (2, 120), (3, 5)]


FILES = {
    "incoming/a.csv": "id,name\n1,Ada\n2,Grace\n",
    "incoming/b.csv": "id,name\n3,Edith\n",
    "incoming/c.jsonl": '{"id": 9}\n',
}


def test_files_are_listed_by_a_filesystem_source(write_project: WriteProject) -> None:
    write_project(
        """
        sources:
          incoming:
            type: filesystem
            bucket_url: "file://{project_dir}/incoming"
            file_glob: "*.csv"
        destinations:
          warehouse: {type: duckdb}
        pipelines:
          list_files: {source: incoming, destination: warehouse, dataset_name: loaded}
        """,
        FILES,
    )
    current.runner().run_pipeline("list_files")

    assert rows("incoming", "file_name", "size_in_bytes") == [("a.csv", 22), ("b.csv", 16)]


def test_files_are_read_by_a_resource_of_the_readers(write_project: WriteProject) -> None:
    write_project(
        """
        sources:
          incoming:
            type: filesystem.readers
            bucket_url: "file://{project_dir}/incoming"
            file_glob: "*.csv"
        destinations:
          warehouse: {type: duckdb}
        pipelines:
          load_files: {source: incoming, destination: warehouse, dataset_name: loaded}
        """,
        FILES,
    )
    current.runner().run_pipeline("load_files", resources=["read_csv"])

    assert rows("read_csv", "id", "name") == [(1, "Ada"), (2, "Grace"), (3, "Edith")]
