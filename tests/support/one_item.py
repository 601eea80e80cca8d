"""A dataset to save to, without running a pipeline in each test."""

from __future__ import annotations

import shutil
from pathlib import Path

from dlthub_project import WritableDataset, current


def with_one_item(folder: Path) -> WritableDataset:
    """Return dataset `shop_data` of the active project, with one row in `items`.

    Args:
        folder: Where its file is kept for the next test, which copies it.
    """
    template = folder / "one_item.duckdb"
    database = Path(current.context().local_dir, "warehouse.duckdb")
    if template.exists():
        shutil.copy(template, database)
    else:
        current.runner().run_pipeline("load_orders", data=[{"id": 1}], table_name="items")
        shutil.copy(database, template)
    return current.catalog().shop_data
