"""Arrow types of dlt's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

# what dlt or the destination converts without loss, or not at all
_LEFT_ALONE = ("text", "json", "binary", "wei")


def narrower_arrow_type(column: TColumnSchema, kind: Any) -> Any:
    """Return the Arrow type of a dlt column that may lose a part of a value of type `kind`.

    None where it cannot, and where the column has no type yet.
    """
    from dlt.common.destination import DestinationCapabilitiesContext
    from dlt.common.libs.pyarrow import (
        UnsupportedArrowTypeException,
        get_column_type_from_py_arrow,
        get_py_arrow_datatype,
    )

    wanted = column.get("data_type")
    if wanted is None or wanted in _LEFT_ALONE:
        return None
    try:
        found = get_column_type_from_py_arrow(kind)
    except UnsupportedArrowTypeException:
        # dlt says it better
        return None
    if found.get("data_type") in (None, "json", "text"):
        return None
    if found.get("data_type") == wanted and (
        wanted != "decimal" or (found.get("scale") or 0) <= (column.get("scale") or 0)
    ):
        return None
    caps = DestinationCapabilitiesContext.generic_capabilities()
    return get_py_arrow_datatype(column, caps, "UTC")
