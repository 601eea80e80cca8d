"""The `dlt` program: what it may ask, and how a command of it fails."""

from __future__ import annotations

from dlt._workspace.cli import _debug, echo
from dlt._workspace.cli.exceptions import CliCommandException


def is_confirmed() -> bool:
    """Return whether the program got its `--yes`, which it takes at any place."""
    return echo.ALWAYS_CONFIRM


def is_interactive() -> bool:
    """Return whether the program may ask: not with `--non-interactive`, nor without a terminal."""
    return echo.is_interactive()


def failure(error: BaseException, status: int) -> BaseException:
    """Print `error`, and return what a command raises to have the program end with `status`.

    With `--debug` the program prints `error`, and raises it.
    """
    if not _debug.is_debug_enabled():
        # dlt before 1.31 prints a note, too, on stdout, where a program reads JSON: dlt#4126
        echo.secho(str(error), err=True, fg="red")
        return SystemExit(status)
    return CliCommandException(error_code=status, raiseable_exception=error)  # type: ignore[arg-type]  # dlt prints and raises it
