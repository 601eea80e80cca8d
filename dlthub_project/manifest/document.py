"""Reads a `dlt.yml` into plain data, and remembers where each entry stands in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest.excerpt import excerpt
from dlthub_project.manifest.positions import EntryPath, Place, Walk, unquoted_variable

FILE_NAME = "dlt.yml"

_MOST_LEVELS = 100

# libyaml's loader keeps positions too, and is four times faster than the one in Python
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mistake(NamedTuple):
    """What is wrong at a path of a manifest, before anybody knows where that is in the file."""

    path: EntryPath
    message: str


@dataclass(frozen=True)
class Document:
    """The content of one manifest file, as written.

    Attributes:
        path: The file.
        data: Its content; an empty file is an empty mapping.
        lines: The file's lines, for messages.
        positions: Line and column, from 0, of each entry by its path.
    """

    path: Path
    # content is not shown: there may be secrets in it
    data: dict[str, Any] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    positions: dict[EntryPath, Place] = field(repr=False)

    def place(self, path: EntryPath) -> Place | None:
        """Return where `path` stands, or the nearest entry above it that has a position."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions[path] if path else None

    def problem(self, path: EntryPath, message: str) -> Problem:
        """Describe a mistake at `path`."""
        return _problem_at(self.path, self.lines, self.place(path), path, message)


def read_document(path: Path) -> Document:
    """Read the manifest file at `path`.

    Raises:
        ManifestError: The file cannot be read, or is not a YAML mapping with unique keys that
            unfolds to a reasonable size.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    lines = tuple(text.splitlines())

    def error_at(place: Place | None, message: str) -> ManifestError:
        return ManifestError([_problem_at(path, lines, place, (), message)])

    try:
        data, walk = _parse(text)
    except _NotAManifest as error:
        raise error_at(error.place, error.message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else None
        raise error_at(place, _in_plain_words(error, lines, place)) from error
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")
        place = (before.count("\n"), len(before) - before.rfind("\n") - 1)
        raise error_at(place, f"is not valid YAML: {error.reason}") from error
    if walk.mistakes:
        raise ManifestError(
            [_problem_at(path, lines, place, at, text) for place, at, text in walk.mistakes]
        )
    return Document(path, data, lines, walk.positions)


class _NotAManifest(Exception):
    """What is written is good YAML, and no manifest."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(place, message)
        self.place = place
        self.message = message


def _parse(text: str) -> tuple[dict[str, Any], Walk]:
    walk = Walk()
    _check_depth(text)
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return {}, walk
        if not isinstance(root, yaml.MappingNode):
            raise _NotAManifest((0, 0), "must be a mapping of sections, such as `sources:`")
        walk.visit(root, ())
        # constructed only when nothing is wrong: an anchor that explodes would do so here
        data = {} if walk.mistakes else loader.construct_document(root)
    finally:
        loader.dispose()
    return data, walk


def _check_depth(text: str) -> None:
    # libyaml makes nodes by recursion: at some ten thousand levels the process would crash
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MOST_LEVELS:
            mark = event.start_mark
            place = (mark.line, mark.column) if mark else (0, 0)
            raise _NotAManifest(place, f"is nested more than {_MOST_LEVELS} levels deep")


def _in_plain_words(
    error: yaml.MarkedYAMLError, lines: tuple[str, ...], place: Place | None
) -> str:
    line = lines[place[0]] if place and place[0] < len(lines) else ""
    if place and line[place[1] : place[1] + 1] == "\t":
        return "YAML does not take a tab here; indent with spaces"
    if error.problem == "but found another document":
        return "a second document begins here; a manifest is one document"
    if variable := unquoted_variable(line):
        return f"quote the value that begins with {variable}; YAML reads it as a mapping"
    context = f" ({error.context})" if error.context else ""
    return f"is not valid YAML: {error.problem}{context}"


def _problem_at(
    path: Path, lines: tuple[str, ...], place: Place | None, at: EntryPath, message: str
) -> Problem:
    dotted = ".".join(str(part) for part in at)
    if place is None:
        return Problem(str(path), dotted, message)
    line, column = place
    shown = excerpt(lines[line], column) if line < len(lines) else ""
    return Problem(f"{path}:{line + 1}:{column + 1}", dotted, message, shown)
