"""Orders of a shop's API."""

import asyncio
import datetime

import dlt
from dlt.sources.helpers import requests

BASE_URL = "https://api.shop.invalid"


def cents(price: float) -> int:
    """Return a price in cents.

    >>> cents(1.5)
    150
    """
    return round(price * 100)


@dlt.resource(primary_key="id", write_disposition="merge")
def orders():
    """Orders, with the prices in cents.

    >>> run = getfixture("dlt_run")(orders(), given={"orders": [{"id": 1, "price": 2.5}]})
    >>> run.rows("orders")
    [{'id': 1, 'price': 2.5, 'cents': 250}]
    """
    response = requests.get(f"{BASE_URL}/orders")
    response.raise_for_status()
    yield response.json()


orders.add_map(lambda row: {**row, "cents": cents(row["price"])})


@dlt.resource
def stock():
    yield {"id": 1, "at": datetime.datetime.now(datetime.timezone.utc)}


@dlt.resource
async def visits():
    for number in range(3):
        await asyncio.sleep(0)
        yield {"number": number}


@dlt.source
def shop():
    return orders, stock, visits
