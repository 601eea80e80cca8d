from collections.abc import Iterator
from typing import Any

import dlt
from dlt.extract import DltResource


@dlt.source
def orders(rows: int = 1) -> DltResource:
    @dlt.resource(primary_key="id")
    def items() -> Iterator[list[dict[str, Any]]]:
        yield [{"id": i, "price": 10 * i} for i in range(1, rows + 1)]

    return items
