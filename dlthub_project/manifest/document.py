"""The content of a `dlt.yml`, as written, and where each entry stands in the file."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest.excerpt import excerpt, printable

FILE_NAME = "dlt.yml"

EntryPath = tuple[Hashable, ...]
Position = tuple[int, int]
"""Line and column, from 0."""

# of more nobody reads all, and a file made to be slow could have 50,000
_MOST_PROBLEMS = 500

# what libyaml counts as the end of a line
_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


class Mistake(NamedTuple):
    """One mistake in a manifest.

    Attributes:
        path: The path.
        message: What is wrong and what was expected.
        position: Line and column, from 0; None if the mistake stands where its path does.
    """

    path: EntryPath
    message: str
    position: Position | None = None


@dataclass(frozen=True)
class Document:
    """The content of one manifest file, as written.

    Attributes:
        path: The file.
        data: Its content; an empty file is an empty mapping.
        text: The file's text, for messages.
        positions: Line and column, from 0, of each entry by its path.
    """

    path: Path
    # content is not shown: there may be secrets in it
    data: dict[str, Any] = field(repr=False)
    text: str = field(repr=False)
    positions: dict[EntryPath, Position] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines."""
        return _LINE_END.split(self.text)

    def position(self, path: EntryPath) -> Position | None:
        """Return where `path` stands, or the nearest entry above it that has a position."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions[path] if path else None

    def problem(self, path: EntryPath, message: str, position: Position | None = None) -> Problem:
        """Describe a mistake at `path`, which stands at `position` if that is given."""
        dotted = ".".join(printable(str(part)) for part in path)
        position = position or self.position(path)
        if position is None:
            return Problem(str(self.path), dotted, message)
        # what is missing at the end of a file is missing behind its end for libyaml
        line = min(position[0], len(self.lines) - 1)
        column = (
            min(position[1], len(self.lines[line]))
            if line == position[0]
            else len(self.lines[line])
        )
        shown = excerpt(self.lines, line, column)
        return Problem(f"{self.path}:{line + 1}:{column + 1}", dotted, message, shown)

    def error(self, mistakes: Iterable[Mistake]) -> ManifestError:
        """Return an error that describes `mistakes`, in the order of the file."""
        located = [
            (position or self.position(path), path, text) for path, text, position in mistakes
        ]
        located.sort(key=lambda found: found[0] or (0, 0))
        shown = located[:_MOST_PROBLEMS]
        problems = [self.problem(path, message, position) for position, path, message in shown]
        if more := len(located) - len(shown):
            problems.append(Problem(str(self.path), "", f"and {more:,} more mistakes"))
        return ManifestError(problems)
