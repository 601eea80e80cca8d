"""A journal of what a load does to the files of a filesystem destination, to undo it.

A file system has no transactions. A load notes each file before it writes it, and deletes files
last, when all others are there. If the load fails, the process takes the written files away again.
If the process was killed, the next one that finds the journal does so.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from dlt.common.destination.client import JobClientBase

logger = logging.getLogger(__name__)

_ENTRIES = "entries.jsonl"


def keeps_files(client: JobClientBase) -> bool:
    """Tell whether the destination of `client` is a file system that a journal can undo."""
    if not str(client.config.destination_type).endswith("filesystem"):
        return False
    # Hugging Face has commits of its own
    return getattr(client.config, "protocol", "") != "hf"


class Journal:
    """The journal of one load: a folder with entries, and with copies of overwritten files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._is_begun = False
        self._noted: set[str] = set()

    def join(self, client: JobClientBase) -> None:
        """Note what a client does to files, from the moment that the journal is begun."""
        files: Any = client.fs_client  # type: ignore[attr-defined]  # of filesystem destinations
        client.fs_client = self._noting(files)  # type: ignore[attr-defined]  # as above

    @contextmanager
    def begun(self, client: JobClientBase) -> Iterator[None]:
        """Keep what a block does to the files; undo it if the block raises.

        Args:
            client: A client of the destination.
        """
        self.folder.mkdir(parents=True)
        self._is_begun = True
        try:
            yield
        except BaseException:
            self._is_begun = False
            # the journal keeps what cannot be undone now
            with suppress(Exception):
                settle(self.folder, client)
            raise
        self._is_begun = False
        self._enter("kept", "")
        try:
            settle(self.folder, client)
        except Exception as error:
            logger.warning(
                "All rows are saved, but not every file that they replace could be deleted: %s. "
                "The next save on this machine deletes the rest.",
                error,
            )

    def _enter(self, what: str, path: str, *more: str) -> None:
        with (self.folder / _ENTRIES).open("a", encoding="utf-8") as file:
            file.write(json.dumps([what, path, *more]) + "\n")

    def _noting(self, files: Any) -> Any:
        """Return a file system like `files` that notes what it is told to do.

        It is a copy and no subclass: remote file systems set their methods on the instance.
        """
        noting = copy.copy(files)
        for name, of_target in (("put_file", 1), ("write_text", 0), ("pipe_file", 0), ("touch", 0)):
            setattr(noting, name, self._written(files, getattr(noting, name), of_target))
        for name in ("rm_file", "rm"):
            setattr(noting, name, self._removed(getattr(noting, name)))
        noting.makedirs = self._made(files, noting.makedirs)
        return noting

    def _written(self, files: Any, write: Callable[..., Any], target: int) -> Callable[..., Any]:
        def written(*args: Any, **kwargs: Any) -> Any:
            if self._is_begun:
                self._note_file(files, str(args[target]))
            return write(*args, **kwargs)

        return written

    def _note_file(self, files: Any, path: str) -> None:
        with self._lock:
            if path in self._noted:
                return
            self._noted.add(path)
            if files.exists(path):
                copied = self.folder / uuid4().hex
                files.get_file(path, str(copied))
                self._enter("overwritten", path, copied.name)
            else:
                self._enter("written", path)

    def _made(self, files: Any, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(path: str, *args: Any, **kwargs: Any) -> Any:
            if self._is_begun:
                with self._lock:
                    folder, missing = str(path).rstrip("/\\"), []
                    while folder and not files.exists(folder):
                        missing.append(folder)
                        folder = folder.rpartition("/")[0]
                    for folder in reversed(missing):
                        self._enter("made", folder)
            return make(path, *args, **kwargs)

        return made

    def _removed(self, remove: Callable[..., Any]) -> Callable[..., Any]:
        def removed(path: str, *args: Any, **kwargs: Any) -> Any:
            if not self._is_begun:
                return remove(path, *args, **kwargs)
            with self._lock:
                self._enter("to delete", str(path))
            return None

        return removed


def settle(folder: Path, client: JobClientBase) -> None:
    """Undo a load that did not reach its end; delete the replaced files of one that did.

    A second call does what an interrupted one left undone. The journal is deleted at the end.

    Args:
        folder: The folder of the journal.
        client: A client of the destination.
    """
    files: Any = client.fs_client  # type: ignore[attr-defined]  # of filesystem destinations
    files.invalidate_cache()
    entries = list(_entries(folder))
    if any(what == "kept" for what, *_ in entries):
        for what, path, *_ in entries:
            if what == "to delete" and files.exists(path):
                files.rm(path)
    else:
        for what, path, *more in reversed(entries):
            if what == "written" and files.exists(path):
                files.rm(path)
            elif what == "overwritten":
                files.put_file(str(folder / more[0]), path)
            elif what == "made":
                # somebody else may have put a file there
                with suppress(OSError, NotImplementedError):
                    files.rmdir(path)
    files.invalidate_cache()
    shutil.rmtree(folder)


def _entries(folder: Path) -> Iterator[list[str]]:
    path = folder / _ENTRIES
    if not os.path.exists(path):
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        # a process that was killed while it wrote an entry has not touched the file yet
        with suppress(json.JSONDecodeError):
            yield json.loads(line)
