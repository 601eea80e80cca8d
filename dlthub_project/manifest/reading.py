"""Reads a `dlt.yml`: bytes to a document, and what is wrong with them in plain words."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import yaml

from dlthub_project.errors import ManifestError
from dlthub_project.manifest.document import Document, Mistake, Position
from dlthub_project.manifest.nodes import Loader, NotAManifest, Walk
from dlthub_project.manifest.settings import SETTINGS
from dlthub_project.secrets import may_name_secret

# ten times a manifest of 1,000 sources and 1,000 pipelines
_MOST_BYTES = 4_000_000

_OURS = rf"env\.|project\.|(?:{'|'.join(SETTINGS)})\}}"
_UNQUOTED = re.compile(
    rf"(?:^|[:,\[-]\s)\s*(?P<value>[^\s:,\[{{\"']*\{{+(?:{_OURS})[^\s}}]*\}}*)|"
    rf"[:,\[-]\s*(?P<variable>\{{+(?:{_OURS})[^\s}}]*\}}*)"
)


def read_document(path: Path) -> Document:
    """Read the manifest file at `path`.

    Raises:
        ManifestError: The file cannot be read, or is not a YAML mapping with unique keys that
            unfolds to a reasonable size. Whatever else is wrong in it is reported, too.
    """
    document = Document(path, {}, _read_text(path), {})
    try:
        data, walk = _parse(document.text)
    except NotAManifest as error:
        raise document.error([Mistake((), error.message, error.position)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line, mark.column) if mark else (0, 0)
        # not from it: it quotes the file
        raise document.error(
            [Mistake((), _in_plain_words(error, document, position), position)]
        ) from None
    except yaml.reader.ReaderError as error:
        message = f"is not valid YAML: {error.reason}"
        position = _position_after(document.text.encode()[: error.position])
        raise document.error([Mistake((), message, position)]) from None
    document = Document(path, data, document.text, walk.positions)
    if walk.mistakes:
        raise document.error(walk.mistakes + _further_mistakes(document, walk.mistakes))
    return document


def _read_text(path: Path) -> str:
    """Return the text of the file.

    Raises:
        ManifestError: It cannot be read.
    """
    found = b""
    try:
        with path.open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
        if len(found) > _MOST_BYTES:
            message = f"has more than {_MOST_BYTES // 1_000_000} MB; a manifest is smaller"
            raise _unreadable(path, message)
        return found.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        message = f"cannot be read: it is not UTF-8 ({error.reason})"
        mistake = Mistake((), message, _position_after(found[: error.start]))
        document = Document(path, {}, found.decode(errors="replace"), {})
        raise document.error([mistake]) from None


def _unreadable(path: Path, message: str) -> ManifestError:
    return Document(path, {}, "", {}).error([Mistake((), message)])


def _position_after(before: bytes) -> Position:
    """Return the position that `before` leads to in its file."""
    lines = Document(Path(), {}, before.decode("utf-8-sig", errors="replace"), {}).lines
    return len(lines) - 1, len(lines[-1])


def _parse(text: str) -> tuple[dict[str, Any], Walk]:
    loader = Loader(text)
    walk = Walk(loader)
    # looking for circles among the nodes takes longer than making them (86 of 136 ms)
    collects = gc.isenabled()
    gc.disable()
    try:
        root = loader.get_single_node()
        if root is None:
            return {}, walk
        if not isinstance(root, yaml.MappingNode):
            raise NotAManifest((0, 0), "must be a mapping of sections, such as `sources:`")
        data, _size = walk.visit(root, ())
    finally:
        loader.dispose()
        if collects:
            gc.enable()
    return data if isinstance(data, dict) else {}, walk


def _further_mistakes(document: Document, found: list[Mistake]) -> list[Mistake]:
    """Return what is wrong in the sections besides `found`, under every profile."""
    # here, and not above: pydantic is slow to import
    from dlthub_project.manifest.validation import mistakes_of_all_profiles

    explained = {mistake.path for mistake in found}
    further = mistakes_of_all_profiles(document)
    return [mistake for mistake in further if mistake.path not in explained]


def _in_plain_words(error: yaml.MarkedYAMLError, document: Document, position: Position) -> str:
    line = document.lines[position[0]] if position[0] < len(document.lines) else ""
    if line[position[1] : position[1] + 1] == "\t":
        return "YAML does not take a tab here; indent with spaces"
    if error.problem == "but found another document":
        return "a second document begins here; a manifest is one document"
    if variable := unquoted_variable(line):
        return f"quote the value that begins with {variable}; YAML reads it as a mapping"
    context = f" ({error.context})" if error.context else ""
    return f"is not valid YAML: {error.problem}{context}"


def unquoted_variable(line: str) -> str | None:
    """Return the variable that a value of `line` begins with and that no quote stands before."""
    match = _UNQUOTED.search(line)
    if not match:
        return None
    found = match["value"] or match["variable"]
    name, colon, _default = found.partition(":")
    if (colon and may_name_secret(line)) or len(found) > 80:
        # a default is a value, and may be a secret
        return f"{name[:79]}:…"
    return found
