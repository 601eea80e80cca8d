"""What the tests of saving share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from saved import Store


@pytest.fixture
def make_store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Store]]:
    """Make the project of a store: `make_store("duckdb", contract="evolve")`."""
    made: list[Store] = []

    def make(kind: str, contract: str = "evolve") -> Store:
        url = request.getfixturevalue(f"{kind}_url") if kind in ("postgres", "mariadb") else ""
        store = Store(kind, tmp_path, url, f"stored_{uuid.uuid4().hex[:8]}")
        store.write(contract)
        made.append(store)
        return store

    yield make
    for store in made:
        store.drop()
