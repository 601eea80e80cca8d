"""Orders and customers of the web shop."""

from decimal import Decimal

import dlt
from dlt.sources.helpers import requests


def cents(price):
    return int(Decimal(price) * 100)


def pages(url, token):
    while url:
        response = requests.get(url, headers={"Authorization": f"Bearer {token}"})
        response.raise_for_status()
        page = response.json()
        yield page["items"]
        url = page.get("next")


@dlt.source
def shop(base_url: str = dlt.config.value, token: str = dlt.secrets.value):
    @dlt.resource(primary_key="id", write_disposition="merge")
    def orders(changed=dlt.sources.incremental("changed_at", initial_value="2024-01-01")):
        for page in pages(f"{base_url}/orders?since={changed.last_value}", token):
            yield [{**order, "total": cents(order["total"])} for order in page]

    @dlt.resource(primary_key="id", write_disposition="replace")
    def customers():
        yield from pages(f"{base_url}/customers", token)

    return orders, customers


def main():
    pipeline = dlt.pipeline(
        "shop", destination="bigquery", staging="filesystem", dataset_name="shop_raw"
    )
    info = pipeline.run(shop())
    info.raise_on_failed_jobs()
    print(info)


if __name__ == "__main__":
    main()
