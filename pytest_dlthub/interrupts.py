"""Ctrl-C, found below the failures that dlt makes of it."""

from __future__ import annotations

from collections.abc import Iterator


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an error goes back to Ctrl-C: dlt makes the failure of a step of it."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it goes back to, the latest first."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__
