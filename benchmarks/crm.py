"""The source that both suites of `harness_speed.py` load: 200 users with 300 emails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import dlt

_DAYS = [f"2024-01-{day:02}T00:00:00Z" for day in range(1, 26)]


@dlt.source
def crm() -> Any:
    """Return a resource with a cursor, merged by its key, that has one nested table."""

    @dlt.resource(primary_key="id", write_disposition="merge")
    def users(
        since: Any = dlt.sources.incremental("changed_at", initial_value=_DAYS[0]),
    ) -> Iterator[list[dict[str, Any]]]:
        _note_run()
        yield [
            {
                "id": number,
                "name": f"user {number}",
                "changed_at": _DAYS[number % len(_DAYS)],
                "is_active": number % 3 == 0,
                "credit": number / 4,
                "emails": [{"address": f"{number}@{n}.invalid"} for n in range(1 + number % 2)],
            }
            for number in range(200)
        ]

    return users


def _note_run() -> None:
    """Add a line to the file that the benchmark counts runs by, if it says which."""
    if path := os.environ.get("CRM_RUNS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write("run\n")
