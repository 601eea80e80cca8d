"""A destination entry to a destination of dlt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dlt.destinations
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.destination.reference import DestinationReference

from dlthub_project.entities.references import list_tried
from dlthub_project.errors import EntityReferenceError, known_names

if TYPE_CHECKING:
    from dlt.common.destination.reference import AnyDestination


def find_destination(reference: str, project_dir: str, place: str) -> Callable[..., AnyDestination]:
    """Return the factory of the destination that `reference` leads to.

    Args:
        reference: The name of a destination of dlt, or a dotted path.
        project_dir: The root of the project's Python modules, for the error.
        place: Where the reference stands, for the error.

    Raises:
        EntityReferenceError: Nothing is found. Code that is found and raises while it is imported
            raises its own error.
    """
    try:
        return DestinationReference.find(reference, raise_exec_errors=True)
    except UnknownDestinationModule as error:
        tried = list_tried(error.traces, "a destination")
        raise EntityReferenceError(
            f"{place}: no destination is found for `{reference}`. Tried, in this order:{tried}",
            f"Give one of dlt's own. {known_names(reference, dlt.destinations.__all__)} Or write a "
            f"function with @dlt.destination into {project_dir}/destinations/ and give its full "
            "dotted path, destinations.<module>.<function>.",
        ) from None
