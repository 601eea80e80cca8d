"""A project with a transformation: orders with nested lines, and reports made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project import current
from dlthub_project.transformations import Transformation

WriteProject = Callable[..., Path]

MANIFEST = """
destinations:
  warehouse: {warehouse}
  store: {{type: duckdb}}
datasets:
  shop_data: {{destination: [warehouse]}}
  reports: {{destination: [store]}}
  other_reports: {{destination: [warehouse]}}
pipelines:
  load_orders: {{destination: warehouse, dataset_name: shop_data}}
  {pipelines}
caches:
  orders_cache:
    inputs: {inputs}
    outputs: {outputs}
transformations:
  report: {{engine: {engine}, cache: orders_cache}}
  other: {{engine: {engine}, cache: orders_cache}}
"""

TOTALS = "SELECT city, count(*) AS orders, sum(price) AS price FROM orders GROUP BY city"


class Shop:
    """The project, and what its tests ask of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def report(self) -> Transformation:
        """The transformation, as a new process would have it."""
        return current.entities().get_transformation("report")

    def load(self, *ids: int, table: str = "orders", pipeline: str = "load_orders") -> None:
        """Load orders, one of Rome for each even id and one of Oslo for each odd one."""
        rows = [
            {
                "id": i,
                "city": ("Rome", "Oslo")[i % 2],
                "price": 10 * i,
                "lines": [{"sku": f"{i}/{n}", "parts": [{"part": n}]} for n in (1, 2)],
            }
            for i in ids
        ]
        current.runner().run_pipeline(pipeline, data=dlt.resource(rows, name=table))

    def rows(self, table: str, *columns: str, dataset: str = "reports") -> list[Any]:
        """Return the rows of an output, in order."""
        return sorted(current.catalog()[dataset][table].select(*columns).fetchall())

    def loads(self, dataset: str = "reports") -> int:
        """Return how many load packages an output has."""
        return len(current.catalog()[dataset].loads_table().fetchall())


@pytest.fixture
def write_shop(write_project: WriteProject) -> Callable[..., Shop]:
    """Write the project: `write_shop({file: text}, inputs=..., outputs=..., engine=...)`."""

    def write(
        files: dict[str, str] | None = None,
        *,
        inputs: str = "[{dataset: shop_data}]",
        outputs: str = "[{dataset: reports, tables: {totals: totals}}]",
        engine: str = "sql",
        warehouse: str = "{type: duckdb}",
        pipelines: str = "",
    ) -> Shop:
        manifest = MANIFEST.format(
            inputs=inputs,
            outputs=outputs,
            engine=engine,
            warehouse=warehouse,
            pipelines=pipelines,
        )
        given = {"transformations/report/totals.sql": TOTALS} if files is None else files
        return Shop(write_project(manifest, given))

    return write
