"""A source, and a pipeline that is made at import."""

import dlt

at_import = dlt.pipeline("at_import", destination="warehouse", dataset_name="shop_data")
TOKEN = dlt.secrets.get("sources.shop.token")


@dlt.resource(primary_key="id", write_disposition="merge")
def orders(since=dlt.sources.incremental("id", initial_value=0)):
    yield [{"id": 1, "price": 4}, {"id": 2, "price": 7}]


@dlt.resource
def currencies(country: str = dlt.config.value):
    yield {"country": country}


@dlt.source
def shop():
    return orders, currencies


def load():
    return at_import.run(orders())
