"""The checks of a dataset, whoever has declared them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from dlthub_project.data_quality.attached_checks import attached_checks
from dlthub_project.data_quality.check_kinds import Check

if TYPE_CHECKING:
    import dlt


def checks_of(
    dataset: dlt.Dataset, schemas: Collection[str] | None = None
) -> dict[str, list[Check]]:
    """Return the checks of a dataset by table: those that resources bring with them.

    Args:
        dataset: The dataset.
        schemas: The names of those of its schemas whose tables are meant; None for all.
    """
    meant = [one for one in dataset.schemas if schemas is None or one.name in schemas]
    return attached_checks(*meant)
