"""A dataset that is read: what `dlt.Dataset` leaves to be wished for."""

from __future__ import annotations

from typing import Any

import dlt

from dlthub_project.catalog import conflicts
from dlthub_project.dlt_internals import datasets, server_cursors


class ReadableDataset(dlt.Dataset):
    """A `dlt.Dataset` that reads PostgreSQL in chunks, and that is pickled and copied at any time.

    Connections are open for one query, or in a `with` block: a DuckDB file that is held open can be
    written by no other process.
    """

    @property
    def sql_client(self) -> Any:
        """The client that answers; chunks that are not fetched yet stay on the server."""
        client = super().sql_client
        conflicts.connect_patiently(client)
        server_cursors.leave_on_server(client)
        return client

    def __getstate__(self) -> dict[str, Any]:
        return datasets.without_connections(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        datasets.restore_dataset(self, state)
