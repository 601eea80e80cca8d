"""Records what would be sent through a custom destination function."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import dlt
from dlt.common.destination import Destination

_SENT = "_dlthub_sent"


def recording(original: Destination[Any, Any]) -> Destination[Any, Any]:
    """Return a custom destination like `original` whose function records and sends nothing."""
    sent: dict[str, list[Any]] = defaultdict(list)

    def record(items: Any, table: Any) -> None:
        rows = items if isinstance(items, list) else [items]
        sent[table["name"]].extend(rows)

    kept = ("batch_size", "loader_file_format", "skip_dlt_columns_and_tables", "max_table_nesting")
    arguments = {key: original.config_params[key] for key in kept if key in original.config_params}
    if naming := original.caps_params.get("naming_convention"):
        arguments["naming_convention"] = naming
    made = dlt.destinations.destination(
        record, destination_name=original.destination_name, **arguments
    )
    setattr(made, _SENT, sent)
    return made


def is_recording(destination: Destination[Any, Any]) -> bool:
    """Tell whether `destination` records what it is given."""
    return hasattr(destination, _SENT)


def sent_to(destination: Destination[Any, Any]) -> dict[str, list[Any]]:
    """Return the items that a recording destination was given, by table."""
    return dict(getattr(destination, _SENT, {}))
