"""Failures that are not the fault of a load, found below those that dlt makes of them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_dlthub.interrupts import causes

_FULL = (errno.ENOSPC, errno.EDQUOT)
# as databases tell it, who do not give the number
_IN_WORDS = ("no space left on device", "disk quota exceeded")


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Say of a failure in a block that the disk is full, where that is its reason.

    Raises:
        UsageError: It is.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise pytest.UsageError(
            f"dlt_load: no space is left on the disk of {folder}. Free some, or have the folder "
            "on another disk: --basetemp or the environment variable TMPDIR name that of the "
            "tests, XDG_CACHE_HOME that of --dlt-reuse."
        ) from error


def _is_full(error: BaseException) -> bool:
    return any(
        (isinstance(cause, OSError) and cause.errno in _FULL)
        or any(words in str(cause).lower() for words in _IN_WORDS)
        for cause in causes(error)
    )
