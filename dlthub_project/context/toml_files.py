"""The TOML files that a provider of dlt has read: what stands in each, and in which line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

_MARK = "the value that is looked for"


@dataclass(frozen=True)
class TomlFile:
    """A TOML file, as it is now.

    Attributes:
        path: The file.
        text: Its content.
        data: The same as plain data.
    """

    path: Path
    # not shown: there may be secrets in them
    text: str
    data: dict[str, Any]

    def __repr__(self) -> str:
        return f"<TomlFile {self.path}>"

    def line(self, path: Sequence[str]) -> int | None:
        """Return the line, from 1, of the value at `path`; of a section, that of its first value.

        None when it cannot be told.
        """
        parts: list[str | int] = list(path)
        value = value_at(self.data, path)
        while value and isinstance(value, Mapping | list):
            if isinstance(value, list) and not isinstance(value[0], Mapping):
                break
            part: Any = next(iter(value)) if isinstance(value, Mapping) else 0
            parts.append(part)
            value = value[part]
        # tomlkit tells no positions, but keeps the text around a value that is replaced
        document: Any = tomlkit.parse(self.text)
        section = document
        try:
            for part in parts[:-1]:
                section = section[part]
            section[parts[-1]] = _MARK
            lines = tomlkit.dumps(document).splitlines()
        except (TOMLKitError, KeyError, TypeError, ValueError):
            return None
        return next((number for number, line in enumerate(lines, 1) if _MARK in line), None)


def read_toml_files(paths: Sequence[str]) -> Iterator[TomlFile]:
    """Yield those of the files that are there and can be read, in the order given."""
    for path in map(Path, paths):
        try:
            text = path.read_text(encoding="utf-8")
            data = tomlkit.parse(text).unwrap()
        except (OSError, ValueError):
            # it was changed since dlt has read it
            continue
        yield TomlFile(path, text, data)


def value_at(section: Any, path: Sequence[str]) -> Any:
    """Return what stands at `path` of nested mappings, or None."""
    for part in path:
        section = section.get(part) if isinstance(section, Mapping) else None
    return section
