"""The functions through which pipelines of one sandbox extract: they may replace the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import dlt

from dlthub_project.sandbox.settings import Sandbox

Seam = Callable[[dlt.Pipeline, Mapping[str, Any]], AbstractContextManager[Mapping[str, Any]]]
"""Called with a pipeline and the arguments of `extract`; gives those that it extracts with."""

# by the folder of the sandbox: threads of a test are in it, fixtures of wider scope are not
_seams: dict[str, list[Seam | None]] = {}


@contextmanager
def extracted_through(seam: Seam | None, sandbox: Sandbox) -> Iterator[None]:
    """Have all extractions of a block go through `seam`; None for none.

    Args:
        seam: What is called; that of a block within the block takes its place.
        sandbox: Where; extractions in other sandboxes stay as they are.
    """
    entered = _seams.setdefault(sandbox.folder, [])
    entered.append(seam)
    try:
        yield
    finally:
        # removes the last equal one, because blocks of threads end in any order
        del entered[len(entered) - 1 - [*map(id, reversed(entered))].index(id(seam))]
        if not entered:
            _seams.pop(sandbox.folder, None)


def hand_on(folder: str, to_folder: str) -> None:
    """Give a copy of a sandbox, for a forked process, the seams of the sandbox."""
    if folder in _seams:
        _seams[to_folder] = _seams[folder]


def is_extracted_through(sandbox: Sandbox) -> bool:
    """Tell whether extractions in a sandbox go through a seam."""
    entered = _seams.get(sandbox.folder, [])
    return bool(entered) and entered[-1] is not None


def through_seam(
    pipeline: dlt.Pipeline, arguments: Mapping[str, Any], sandbox: Sandbox
) -> AbstractContextManager[Mapping[str, Any]]:
    """Give the arguments that a pipeline extracts with."""
    entered = _seams.get(sandbox.folder)
    seam = entered[-1] if entered else None
    return nullcontext(arguments) if seam is None else seam(pipeline, arguments)
