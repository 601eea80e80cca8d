"""Where a dataset physically is, and whose work a thread does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.container import Container

from dlthub_project.dlt_internals.datasets import local_database
from dlthub_project.dlt_internals.destinations import sqlite_path

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase


def physical_place(client: JobClientBase, dataset_name: str) -> str:
    """Return a text for the place that a dataset is at, without secrets: a file, or a dataset.

    Two clients of one place give the same, as far as it can be told: not where one names a server
    by its name and the other by its address.
    """
    credentials: Any = getattr(client.config, "credentials", None)
    kind = str(client.config.destination_type)
    of_file = sqlite_path(credentials) if "sqlalchemy" in kind else local_database(client)
    if of_file:
        # one writer has all of it
        return os.path.realpath(of_file)
    if bucket := getattr(client.config, "bucket_url", None):
        # what filesystem destinations have
        local = getattr(client, "is_local_filesystem", False)
        where = os.path.realpath(str(client.bucket_path)) if local else str(bucket)  # type: ignore[attr-defined]
    elif host := getattr(credentials, "host", None):
        where = f"{host}:{getattr(credentials, 'port', '')}/{getattr(credentials, 'database', '')}"
    elif "duckdb" in kind:
        # in memory
        where = f"{os.getpid()}/{id(credentials)}"
    else:
        where = str(client.config.fingerprint())
    return f"{kind} {where} {dataset_name}"


def thread_of_work() -> int:
    """Return the thread whose work is done here: of dlt's pool threads, the one that made them."""
    return Container()._effective_thread_id()
