"""What the company loads."""

import dlt


@dlt.source
def orders():
    """Yield two orders."""

    @dlt.resource(primary_key="id", write_disposition="merge")
    def items():
        yield [{"id": 1, "total": 10}, {"id": 2, "total": 5}]

    return items
