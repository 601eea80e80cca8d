"""The `dlt` program: how a command of it fails."""

from __future__ import annotations

from dlt._workspace.cli.exceptions import CliCommandException


def failure(error: BaseException, status: int) -> Exception:
    """Return what a command raises to have the program print `error` and end with `status`.

    With `--debug` the program raises `error` itself.
    """
    return CliCommandException(error_code=status, raiseable_exception=error)  # type: ignore[arg-type]  # dlt prints and raises it
