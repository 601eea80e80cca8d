"""What reading through the catalog costs, against `dlt.dataset` of the same dataset.

Opening and one query: `catalog.dataset(name)`, and `dlt.dataset` of the same destination. A second
query on an object that is open already, alone and in a `with` block, against a fresh
`dlt.dataset`. Of DuckDB and of PostgreSQL, where `TEST_POSTGRES_URL` names one.

    python benchmarks/catalog_reading.py [ROUNDS]
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from measuring import Figure, Seconds, in_turn, main, ratio, seconds_of

from dlthub_project import current

_DATASET = "speed_of_reading"
_MANIFEST = f"""
destinations:
  warehouse: {{type: duckdb}}
  server: {{type: postgres, credentials: "{{env.TEST_POSTGRES_URL}}"}}
datasets:
  {_DATASET}: {{destination: [warehouse, server]}}
pipelines:
  load: {{destination: warehouse, dataset_name: {_DATASET}}}
"""
_REACH = {"open and read": 1.00, "read again": 0.3, "read again, in a block": 0.3}


def _read(dataset: dlt.Dataset) -> None:
    assert len(dataset.table("items").select("id").fetchall()) == 3


def compared(destination: str, rounds: int) -> Iterator[Figure]:
    """Read each way in turn."""
    catalog, entities = current.catalog(), current.entities()
    opened, held = (catalog.dataset(_DATASET, destination) for _ in range(2))

    def in_block() -> Seconds:
        # not with the others: DuckDB shares a database that is open, and all were cheaper
        with held:
            _read(held)
            return seconds_of(lambda: _read(held))

    plain = "dlt.dataset"
    ways: dict[str, Callable[[], object]] = {
        plain: lambda: _read(dlt.dataset(entities.get_destination(destination), _DATASET)),
        "open and read": lambda: _read(catalog.dataset(_DATASET, destination)),
        "read again": lambda: _read(opened),
        "read again, in a block": in_block,
    }
    timed = in_turn(ways, rounds)
    for way, reach in _REACH.items():
        what = f"{way} on {destination}, against {plain}, wall time"
        yield ratio(what, timed["wall", way], timed["wall", plain], reach)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure in a project of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dlt.yml").write_text(_MANIFEST, encoding="utf-8")
        os.chdir(folder)
        servers = ["server"] if os.environ.get("TEST_POSTGRES_URL") else []
        for destination in ["warehouse", *servers]:
            current.runner().run_pipeline(
                "load",
                data=[{"id": 1}, {"id": 2}, {"id": 3}],
                table_name="items",
                write_disposition="replace",
                destination=destination,
            )
            yield from compared(destination, rounds)
        for destination in servers:
            pipeline = current.entities().get_pipeline("load", destination=destination)
            with pipeline.destination_client() as client:
                client.drop_storage()


if __name__ == "__main__":
    main(figures, rounds=60)
