"""Invoices of one country."""

import dlt

COUNTRIES = ("AT", "DE", "ZZ")


@dlt.source
def invoices(country: str = dlt.config.value):
    if country not in COUNTRIES:
        raise ValueError(f"no invoices of {country}")

    @dlt.resource(primary_key="number", write_disposition="merge")
    def items():
        yield [
            {"number": f"{country}-1", "total": 12, "lines": [{"sku": "tea"}, {"sku": "mug"}]},
            {"number": f"{country}-2", "total": 3, "lines": [{"sku": "pot"}]},
        ]

    return items
