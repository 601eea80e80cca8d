"""Code as users write it: with state in its module, in caches and in the process."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import dlt
import duckdb

os.environ["SOURCES__REGION"] = "set at import"
dlt.config["sources.page_size"] = 50

API = "https://api.invalid/v1"
ROWS = [{"id": 1, "api": API}, {"id": 2, "api": API}]
FROZEN = {"columns": "freeze"}


@dlt.source
def orders():
    @dlt.resource(primary_key="id", write_disposition="merge")
    def items():
        yield [{"id": 1, "lines": [{"n": 1}, {"n": 2}]}, {"id": 2}]

    return items


@dlt.resource(primary_key="id")
def new_items(since=dlt.sources.incremental("id")):
    yield [{"id": 1}, {"id": 2}]


@dlt.resource
def pages():
    yield [{"id": row["id"], "api": API} for row in ROWS]


LIMIT = ContextVar("LIMIT", default="none")


@dlt.resource
def limited():
    yield [{"limit": LIMIT.get()}]


class Client:
    def rows(self):
        return [{"id": 1, "by": "the class"}]


@dlt.resource
def of_client():
    yield Client().rows()


@dlt.resource
def settings(
    region: str = dlt.config.value, page_size: int = dlt.config.value, token: str = "no token"
):
    yield {"region": region, "page_size": page_size, "token": token}


@dlt.resource
def secret(token: str = dlt.secrets.value):
    yield {"token": token}


# made at import, and kept
schema = dlt.Schema("of_module")
shop = orders()
pipeline = dlt.pipeline("kept", destination="duckdb", dataset_name="data")


in_memory = duckdb.connect()
pool = ThreadPoolExecutor(1)


@functools.lru_cache
def destination():
    return dlt.destination("duckdb")


@functools.lru_cache
def client():
    return dlt.pipeline("cached", destination="duckdb", dataset_name="data").sql_client()


def main():
    """Load what is new, and return how many rows there are."""
    run = dlt.pipeline("main", destination="duckdb", dataset_name="data")
    run.run(new_items())
    return len(run.dataset()["new_items"].fetchall())
