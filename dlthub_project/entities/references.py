"""What a reference to code was tried as, for the error that it leads nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlt.common.reflection.ref import ImportTrace


def list_tried(traces: Iterable[ImportTrace], expected: str) -> str:
    """Return one line for each candidate that was tried, with the reason why it does not serve.

    Args:
        traces: What dlt noted while it looked.
        expected: What the reference should lead to.
    """
    return "".join(f"\n  {trace.ref}: {_why(trace, expected)}" for trace in traces)


def _why(trace: ImportTrace, expected: str) -> str:
    if trace.reason == "ModuleSpecNotFound":
        return f"there is no module `{trace.module}`"
    if trace.reason == "AttrNotFound":
        return f"module `{trace.module}` has no `{trace.attr_name}`"
    return f"it is not {expected}"
