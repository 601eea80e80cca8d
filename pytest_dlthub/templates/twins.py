"""Reads a test's copy through the template, which is open already, until the test writes to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_dlthub.templates.template import StoredFile, Template, is_database

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_OPEN = 4


class OpenTemplates:
    """The databases of templates that this process has used last, open for reading."""

    def __init__(self) -> None:
        self._open: dict[tuple[Any, ...], DuckDBPyConnection] = {}
        self._process = os.getpid()

    def connect(self, path: str, settings: tuple[Any, ...]) -> DuckDBPyConnection | None:
        """Return a new read-only connection to a database of a template; None in a fork.

        Args:
            path: The database.
            settings: Settings of DuckDB, the same for all connections to it.
        """
        if os.getpid() != self._process:
            # a fork lacks the threads of open databases
            return None
        import duckdb

        opened = self._open.pop((path, *settings), None)
        if opened is None:
            opened = duckdb.connect(path, read_only=True)
        self._open[(path, *settings)] = opened
        if len(self._open) > _MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()
        return opened.cursor()

    def close(self) -> None:
        """Close all databases."""
        while self._open:
            _, opened = self._open.popitem()
            if os.getpid() == self._process:
                opened.close()


@dataclass(frozen=True)
class TwinOfCopy:
    """The template behind a test's copy; see `dlt_internals.twins`.

    Attributes:
        open_templates: The open databases.
        template: The template.
        files: The databases of the template, by the path of their copy.
    """

    open_templates: OpenTemplates
    template: Template
    files: Mapping[str, StoredFile]

    @classmethod
    def of(cls, open_templates: OpenTemplates, template: Template, folder: str) -> TwinOfCopy:
        """Return the twin of a copy in the folder of a sandbox."""
        databases = (file for file in template.files if is_database(file.path))
        files = {os.path.join(folder, file.path): file for file in databases}
        return cls(open_templates, template, files)

    def connect(self, path: str, settings: tuple[Any, ...]) -> DuckDBPyConnection | None:
        """Return a connection to the template; None if the copy may have changed."""
        if not self.is_same(path):
            return None
        original = os.path.join(
            self.template.sandbox_folder(self.template.folder), self.files[path].path
        )
        return self.open_templates.connect(original, settings)

    def is_same(self, path: str) -> bool:
        """Tell whether a copy still has the size and time of the original, and no log.

        DuckDB writes a commit into a log beside the file first, and later into the file.
        """
        file = self.files.get(path)
        try:
            found = os.stat(path)
        except OSError:
            return False
        is_as_copied = file is not None and (found.st_size, found.st_mtime_ns) == (
            file.size,
            file.changed,
        )
        return is_as_copied and not os.path.exists(f"{path}.wal")
