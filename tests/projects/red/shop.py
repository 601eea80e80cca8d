"""What a shop loads; some of it cannot be loaded."""

from __future__ import annotations

from typing import Any

import dlt

ORDERS = [{"id": n, "total": 10 * n, "customer": f"c{n}"} for n in (1, 2, 3)]
WIDE = [{"id": n, **{f"c{i:02}": n * i for i in range(40)}} for n in (1, 2, 3)]


@dlt.resource(primary_key="id", write_disposition="merge")
def orders(rows=None):
    yield rows or ORDERS


@dlt.resource(columns={"price": {"data_type": "decimal", "precision": 5, "scale": 2}})
def prices():
    yield [{"sku": "tea", "price": 4}, {"sku": "mug", "price": 123456789}]


@dlt.resource
def visits():
    yield [{"id": 1, "seconds": 2**70}]


@dlt.resource(columns={"email": {"data_type": "text", "nullable": False}})
def customers():
    yield [{"id": 1, "email": "ada@example.com"}, {"id": 2, "email": None}]


@dlt.resource
def taxes():
    for row in ({"id": 1, "total": 10}, {"id": 2}):
        yield {**row, "tax": row["total"] * 0.2}


@dlt.resource
def payments():
    yield [{"id": 1, "order_id": 1}, {"id": 2, "order_id": 7}]


@dlt.resource
def private(api_key: str = dlt.secrets.value):
    yield {"id": 1}


@dlt.resource
def since(at=dlt.sources.incremental("at", initial_value=5)):
    yield {"id": 1, "at": 1}


def invoices(frozen: str, **row: Any):
    return dlt.resource([row], name="invoices", schema_contract={frozen: "freeze"})


def main():
    """Load nothing: nobody has called the pipeline."""
