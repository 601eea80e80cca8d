"""Templates that are open: tests read their copies through them, as long as they only read."""

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
    """The databases of templates that this process has open to read, those used last."""

    def __init__(self) -> None:
        self._open: dict[tuple[Any, ...], DuckDBPyConnection] = {}
        self._process = os.getpid()

    def connect(self, path: str, settings: tuple[Any, ...]) -> DuckDBPyConnection | None:
        """Return a new connection to a database of a template, which cannot be written to.

        Args:
            path: The database.
            settings: Those that hold for all connections to it.
        """
        if os.getpid() != self._process:
            # a fork has none of the threads of what is open
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
        """Close all."""
        while self._open:
            _, opened = self._open.popitem()
            if os.getpid() == self._process:
                opened.close()


@dataclass(frozen=True)
class TwinOfCopy:
    """What a test reads its copy of a template through: see `dlt_internals.twins`.

    Attributes:
        open_templates: What is open.
        template: The template.
        files: Its databases, by the paths of the copies.
    """

    open_templates: OpenTemplates
    template: Template
    files: Mapping[str, StoredFile]

    @classmethod
    def of(cls, open_templates: OpenTemplates, template: Template, folder: str) -> TwinOfCopy:
        """Return that of the copy of a template in the folder of a sandbox."""
        databases = (file for file in template.files if is_database(file.path))
        files = {os.path.join(folder, file.path): file for file in databases}
        return cls(open_templates, template, files)

    def connect(self, path: str, settings: tuple[Any, ...]) -> DuckDBPyConnection | None:
        """Return a connection that reads what is in a copy; None where that may be another."""
        if not self.is_same(path):
            return None
        original = os.path.join(
            self.template.sandbox_folder(self.template.folder), self.files[path].path
        )
        return self.open_templates.connect(original, settings)

    def is_same(self, path: str) -> bool:
        """Tell whether nothing was written to a copy, which has the time of the original.

        DuckDB writes what is committed into a log beside it, and later into the file.
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
