"""Revenue by day, for the dashboard."""

import dlt

pipeline = dlt.pipeline("revenue", destination="bigquery", dataset_name="dashboard")


@dlt.resource(primary_key="day", write_disposition="merge")
def revenue(orders, day=dlt.sources.incremental("day")):
    totals = {}
    for order in orders:
        totals[order["changed_at"]] = totals.get(order["changed_at"], 0) + order["total"]
    yield [{"day": day, "total": total} for day, total in totals.items()]


def refresh(orders):
    pipeline.run(revenue(orders))
    return pipeline.dataset()
