"""The queue of those that save to one place: one at a time, on one machine.

Threads and processes of one user wait for each other, whatever project they belong to, by locks on
files in a folder of that user.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from dlthub_project.dlt_internals import destinations, pipelines
from dlthub_project.sandbox import active_sandbox

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase
    from filelock import FileLock


@dataclass(frozen=True)
class Place:
    """Where no more than one can save at a time: a database file, a dataset.

    Attributes:
        key: Tells it from others; a part of names of files.
        folder: Holds its lock, and the journals of saves to it.
    """

    key: str
    folder: Path


# by the thread that waits or saves, and by place; a thread of dlt's pools counts as the one that
# started it
_held: dict[tuple[int, str], FileLock] = {}


def place_of(client: JobClientBase, dataset_name: str) -> Place:
    """Return the place that saves through `client` to a dataset go to."""
    location = destinations.physical_place(client, dataset_name)
    key = sha256(location.encode()).hexdigest()[:16]
    return Place(key, _folder() / key)


@contextmanager
def turn_to_save(place: Place) -> Iterator[bool]:
    """Wait until nobody else saves to `place`, and keep others waiting in a block.

    Yields:
        Whether the thread is saving there already: then the block is within that save, as where a
        generator saves while it is saved.
    """
    owner = pipelines.thread_of_work(), place.key
    if owner in _held:
        yield True
        return
    from filelock import FileLock

    place.folder.mkdir(exist_ok=True)
    # one lock for each save, so that threads wait for each other as processes do
    lock = FileLock(str(place.folder / "lock"), thread_local=False)
    with lock:
        _held[owner] = lock
        try:
            yield False
        finally:
            del _held[owner]


def _folder() -> Path:
    import platformdirs

    sandbox = active_sandbox()
    own = Path(sandbox.global_dir) if sandbox else platformdirs.user_state_path("dlthub_project")
    try:
        (own / "saves").mkdir(parents=True, exist_ok=True)
        if os.access(own / "saves", os.W_OK | os.X_OK):
            return own / "saves"
    except OSError:
        pass
    # a home that cannot be written to, as that of a service
    folder = Path(tempfile.gettempdir(), f"dlthub_project_{_user()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
