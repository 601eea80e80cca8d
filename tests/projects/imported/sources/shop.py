"""Orders."""

import dlt

counted = []


@dlt.source
def orders(rows: int = 2):
    """Yield some orders, of two lines each."""

    @dlt.resource(primary_key="id", write_disposition="merge")
    def items():
        yield [{"id": n, "lines": [{"n": 1}, {"n": 2}]} for n in range(rows, 0, -1)]

    return items
