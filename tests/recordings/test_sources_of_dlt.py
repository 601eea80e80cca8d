"""dlt's own sources: recorded with what they ask, replayed when that is gone."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dlt
import pytest
from dlt.sources.filesystem import filesystem, read_csv
from dlt.sources.rest_api import rest_api_source
from dlt.sources.sql_database import sql_database

from pytest_dlthub import DltItems, DltRun

Recording = Callable[..., AbstractContextManager[Any]]


class Api(BaseHTTPRequestHandler):
    """Posts on two pages, and comments of each, for those who have the token."""

    def do_GET(self) -> None:
        """Answer."""
        url = urlsplit(self.path)
        is_known = self.headers.get("Authorization") == "Bearer the-real-token"
        if url.path == "/posts":
            second = url.query == "page=2"
            found: Any = {"items": [{"id": 2 if second else 1}]}
            if not second:
                found["next"] = f"http://{self.headers['Host']}/posts?page=2"
        else:
            found = [{"text": url.path}]
        body = json.dumps(found).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    """The address of an API on loopback, which answers while the test runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forbid connections from now on."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a replay has opened a connection")

    def forbid() -> None:
        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)

    return forbid


def test_rest_api_with_children_is_replayed_without_a_token_and_without_a_network(
    recording: Recording, api: str, no_network: Callable[[], None], folder: Path
) -> None:
    @dlt.source
    def blog(token: str = dlt.secrets.value) -> Any:
        comments = {"path": "posts/{resources.posts.id}/comments"}
        made = rest_api_source(
            {
                "client": {
                    "base_url": api,
                    "auth": {"token": token},
                    "paginator": {"type": "json_link", "next_url_path": "next"},
                },
                "resources": [
                    {"name": "posts", "endpoint": {"path": "posts", "data_selector": "items"}},
                    {
                        "name": "comments",
                        "endpoint": comments,
                        "include_from_parent": ["id"],
                        "processing_steps": [{"map": lambda row: {**row, "seen": True}}],
                    },
                ],
            }
        )
        return list(made.resources.values())

    with recording(mode="new"):
        first = DltItems()(blog(token="the-real-token"), given="recorded")
    no_network()
    with recording():
        # as `dlt_run(blog)` does: now the secret has a placeholder
        again = DltItems()(blog, given="recorded")

    assert again == first
    assert [row["_posts_id"] for row in again["comments"]] == [1, 2]
    assert all(row["seen"] for row in again["comments"])
    assert "the-real-token" not in "".join(path.read_text() for path in folder.iterdir())
    assert (folder / "posts.jsonl").read_text() == '{"id": 1}\n\n{"id": 2}\n'


@pytest.mark.filterwarnings("ignore:`detect_precision_hints` argument:DeprecationWarning")
@pytest.mark.parametrize(
    ("backend", "deferred"),
    [
        pytest.param(backend, deferred, marks=[] if is_first else [pytest.mark.slow])
        for backend, deferred, is_first in (
            ("sqlalchemy", False, True),
            ("pyarrow", True, True),
            ("sqlalchemy", True, False),
            ("pyarrow", False, False),
            ("pandas", False, False),
            ("pandas", True, False),
        )
    ],
)
def test_sql_database_is_replayed_without_its_database(
    recording: Recording, tmp_path: Path, backend: Any, *, deferred: bool
) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table orders (id integer primary key, total numeric(10, 2))")
        connection.execute("insert into orders values (1, 1.5), (2, 2.25)")
    connection.close()

    def shop() -> Any:
        # the URL of the database is a secret of dlt's own function
        source = sql_database(table_names=["orders"], backend=backend, defer_table_reflect=deferred)
        source.orders.apply_hints(write_disposition="merge")
        return source

    dlt.secrets["sources.sql_database.credentials"] = f"sqlite:///{path}"
    with recording(mode="new"):
        first = DltRun()(shop, given="recorded")
    path.unlink()
    dlt.secrets["sources.sql_database.credentials"] = None
    with recording():
        again = DltRun()(shop, given="recorded", pipelines_dir="again")

    assert again.row_counts == first.row_counts == {"orders": 2}
    # merged, by the key of the database
    assert len(again.rows("orders")) == 2
    assert again.columns("orders") == first.columns("orders")


def test_readers_of_files_are_recorded_and_the_files_not_opened_again(
    recording: Recording, tmp_path: Path, folder: Path
) -> None:
    file = tmp_path / "files" / "orders.csv"
    file.parent.mkdir()
    file.write_text("id,email\n1,ada@shop.invalid\n2,bob@shop.invalid\n")

    def orders() -> Any:
        files = filesystem(bucket_url=str(file.parent), file_glob="*.csv")
        return (files | read_csv()).with_name("orders")

    with recording(mode="new", masks=["email"]):
        first = DltItems()(orders(), given="recorded")
    file.unlink()
    with recording(masks=["email"]):
        again = DltItems()(orders(), given="recorded")

    assert [row["id"] for row in first] == [row["id"] for row in again] == [1, 2]
    assert "shop.invalid" not in (folder / "orders.jsonl").read_text()


def test_files_that_a_transformer_of_the_user_opens_are_recorded_by_what_it_yields(
    recording: Recording, tmp_path: Path
) -> None:
    file = tmp_path / "files" / "orders.txt"
    file.parent.mkdir()
    file.write_text("one\ntwo\n")

    @dlt.transformer
    def lines(items: Any) -> Any:
        for item in items:
            with item.open() as opened:
                yield [{"line": line.decode().strip()} for line in opened]

    def read() -> Any:
        return filesystem(bucket_url=str(file.parent), file_glob="*.txt") | lines

    with recording(mode="new"):
        first = DltItems()(read(), given="recorded")
    file.unlink()
    with recording():
        assert DltItems()(read(), given="recorded") == first == [{"line": "one"}, {"line": "two"}]


def test_transformer_that_asks_over_the_network_is_told_how_to_be_recorded(
    recording: Recording, api: str, no_network: Callable[[], None]
) -> None:
    from dlt.pipeline.exceptions import PipelineStepFailed
    from dlt.sources.helpers import requests

    @dlt.resource
    def posts() -> Any:
        yield [{"id": 1}]

    @dlt.transformer(data_from=posts)
    def comments(page: Any) -> Any:
        headers = {"Authorization": "Bearer the-real-token"}
        yield requests.get(f"{api}posts/1", headers=headers).json()

    with recording(mode="new"):
        DltRun()(comments, given="recorded")
    with recording(), pytest.raises(PipelineStepFailed, match='record="transformers"'):
        _unplugged(comments, api)


def _unplugged(comments: Any, api: str) -> None:
    """Run it where nothing listens any more."""
    with pytest.MonkeyPatch.context() as patch:
        connect = socket.socket.connect

        def refuse(self: socket.socket, address: Any) -> Any:
            if str(address[1]) in api:
                raise ConnectionRefusedError("nothing listens")
            return connect(self, address)

        patch.setattr(socket.socket, "connect", refuse)
        DltRun()(comments, given="recorded", pipelines_dir="again")
