"""Tells the team's chat about large orders."""

import dlt
from dlt.sources.helpers import requests


@dlt.destination
def chat(items, table, url: str = dlt.secrets.value):
    for item in items:
        requests.post(url, json={"text": f"Order {item['id']}: {item['total']}"})


def alarm(orders):
    large = [order for order in orders if order["total"] > 100_000]
    dlt.pipeline("alarm", destination=chat).run(large, table_name="messages")
