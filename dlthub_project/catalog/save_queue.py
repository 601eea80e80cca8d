"""The queue of saves to one database file or dataset: one save at a time, on one machine.

Threads and processes of one user wait for each other, whichever project they belong to. They lock
a file in a folder of that user.
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
class SaveQueue:
    """Where saves to one database file, or one dataset, wait for their turn.

    Attributes:
        key: Tells the queue from others; part of the names of files.
        folder: Holds the lock of the queue, and the journals of its saves.
    """

    key: str
    folder: Path


# by the thread that waits or saves, and by the key of the queue; a thread of dlt's pools counts as
# the thread that started it
_held: dict[tuple[int, str], FileLock] = {}


def queue_of(client: JobClientBase, dataset_name: str) -> SaveQueue:
    """Return the queue of the saves that go through `client` to a dataset."""
    place = destinations.physical_place(client, dataset_name)
    key = sha256(place.encode()).hexdigest()[:16]
    return SaveQueue(key, _folder() / key)


@contextmanager
def turn_to_save(queue: SaveQueue) -> Iterator[bool]:
    """Wait until no other save of the queue runs, and keep others waiting in a block.

    Yields:
        Whether this thread has its turn already. Then the block is part of a running save: a
        generator may save while its own rows are saved.
    """
    owner = pipelines.thread_of_work(), queue.key
    if owner in _held:
        yield True
        return
    from filelock import FileLock

    queue.folder.mkdir(exist_ok=True)
    # each save has a lock object of its own, so that threads wait for each other as processes do
    lock = FileLock(str(queue.folder / "lock"), thread_local=False)
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
    # the user's home cannot be written to, such as that of a service
    folder = Path(tempfile.gettempdir(), f"dlthub_project_{_user()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
