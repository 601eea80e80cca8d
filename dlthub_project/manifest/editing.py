"""Adds entries to a `dlt.yml`, and changes no other character of it.

ruamel.yaml says where things stand, and writes the new entry. The text between is not written
again: a round trip moves comments that stand between sections, and realigns values.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dlthub_project.errors import ManifestError, ProjectError
from dlthub_project.manifest.document import Document
from dlthub_project.manifest.manifest import read_document
from dlthub_project.manifest.nodes import TEXT_TAG, Loader

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

Entries = Mapping[tuple[str, ...], Mapping[str, Any]]
"""New entries by their paths, such as `("sources", "github")`."""

_BOM = b"\xef\xbb\xbf"
_STEP = 2
_WIDTH = 100
_EMPTY = re.compile(r"\{\s*\}")


def add_entries(path: Path, entries: Entries) -> Document:
    """Add entries to the manifest at `path`, and return it as it is then.

    The file is replaced at once, and only if the new text reads as the old entries and the added
    ones, without a new mistake.

    Args:
        path: The `dlt.yml`.
        entries: What to add. Sections that are missing are made.

    Raises:
        ProjectError: An entry is there already, or would be a mistake; the file is not one that
            text can be added to; or somebody else has changed it meanwhile. The file stays as it
            is.
        ManifestError: The file cannot be read.
    """
    # here, and not above: slow to import
    from ruamel.yaml.error import YAMLError

    from dlthub_project.manifest.validation import mistakes_of_all_profiles

    before = read_document(path)
    written = path.read_bytes()
    text, expected = before.text, before.data
    for at, entry in entries.items():
        _refuse_existing(before, at)
        expected = _with_entry(expected, at, entry)
        try:
            text = _added(text, at, entry, path)
        except YAMLError:
            raise _by_hand(path, entries) from None
    after = _read_again(path, text, expected, entries)
    known = {mistake.message for mistake in mistakes_of_all_profiles(before)}
    new = [m for m in mistakes_of_all_profiles(after) if m.message not in known]
    if new:
        raise ProjectError(
            f"{path} stays as it is, for the new entries have mistakes:\n{after.error(new)}"
        )
    bom = _BOM if written.startswith(_BOM) else b""
    _replace(path, bom + text.encode("utf-8"), written)
    return after


def as_yaml(value: Mapping[str, Any], *, flow: bool = False, step: int = _STEP) -> str:
    """Return the lines of a mapping as a `dlt.yml` has them, on one line if `flow`."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.default_flow_style = flow
    writer.width = 1_000_000
    writer.indent(mapping=step, sequence=step + 2, offset=step)
    out = io.StringIO()
    writer.dump(_plain(value), out)
    return out.getvalue().removesuffix("...\n").rstrip("\n")


def _plain(value: Any) -> Any:
    """Return `value` with quotes around what a manifest would read as another type or a mapping."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {_plain(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    is_quoted = isinstance(value, str) and "\n" not in value and _needs_quotes(value)
    return DoubleQuotedScalarString(value) if is_quoted else value


def _needs_quotes(text: str) -> bool:
    # ruamel.yaml writes YAML 1.2, where `on` and `0123` are texts; a manifest is YAML 1.1
    tag = Loader("").resolve(yaml.ScalarNode, text, (True, False))
    return tag != TEXT_TAG or re.search(r"[{}:#]", text) is not None


def _refuse_existing(document: Document, at: tuple[str, ...]) -> None:
    value: Any = document.data
    for part in at:
        if not isinstance(value, Mapping) or part not in value:
            return
        value = value[part]
    line, column = document.position(at) or (0, 0)
    raise ProjectError(
        f"`{'.'.join(at)}` is there already: {document.path}:{line + 1}:{column + 1}.",
        "Take another name, or change the entry by hand.",
    )


def _with_entry(data: Any, at: Sequence[str], entry: Mapping[str, Any]) -> dict[str, Any]:
    below = dict(data or {}) if isinstance(data, Mapping | None) else {}
    below[at[0]] = _with_entry(below.get(at[0]), at[1:], entry) if at[1:] else dict(entry)
    return below


def _read_again(path: Path, text: str, expected: Mapping[str, Any], entries: Entries) -> Document:
    """Return the manifest that `text` is.

    Raises:
        ProjectError: It is not what was there before, and `entries`.
    """
    reason = ""
    # beside the manifest, where a file can take its place
    with _written_beside(path, text.encode("utf-8")) as name:
        try:
            after = read_document(Path(name))
        except ManifestError as error:
            reason = f": {error}".replace(name, str(path))
        else:
            if after.data == expected:
                return Document(path, after.data, after.text, after.positions)
    raise _by_hand(path, entries, reason)


def _by_hand(path: Path, entries: Entries, reason: str = "") -> ProjectError:
    wanted: dict[str, Any] = {}
    for at, entry in entries.items():
        wanted = _with_entry(wanted, at, entry)
    return ProjectError(
        f"{path} is written in a way that nothing can be added to without changing the rest"
        f"{reason}.",
        f"Add this by hand:\n{as_yaml(wanted)}",
    )


class _written_beside:  # noqa: N801  # a context manager, used as a function
    """A temporary file beside `path` for a block, which may rename it; deleted afterwards."""

    def __init__(self, path: Path, content: bytes) -> None:
        try:
            number, self._name = tempfile.mkstemp(prefix=".dlt-", suffix=".yml", dir=path.parent)
        except OSError as error:
            raise ProjectError(
                f"{path} cannot be changed: {error.strerror}: {path.parent}."
            ) from error
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def __enter__(self) -> str:
        return self._name

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._name)


def _replace(path: Path, content: bytes, written: bytes) -> None:
    # a symbolic link stays a symbolic link
    real = Path(os.path.realpath(path))
    with _written_beside(real, content) as name:
        os.chmod(name, real.stat().st_mode & 0o7777)
        if real.read_bytes() != written:
            raise ProjectError(
                f"{path} has changed while it was read. Nothing was added.", "Try again."
            )
        os.replace(name, real)


def _added(text: str, at: Sequence[str], entry: Mapping[str, Any], path: Path) -> str:
    """Return `text` with `entry` at the path `at`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode

    root = YAML(typ="safe", pure=True).compose(text)
    if root is None:
        return _at_the_end(text, _with_entry({}, at, entry), _STEP)
    if not isinstance(root, MappingNode):
        raise _by_hand(path, {tuple(at): entry})
    mapping, indent, depth, step = root, 0, 0, _step_of(root)
    while depth < len(at) - 1:
        found = next(((k, v) for k, v in mapping.value if k.value == at[depth]), None)
        if found is None:
            break
        depth += 1
        key, value = found
        is_written_here = value.start_mark.index >= key.start_mark.index
        if isinstance(value, MappingNode) and value.value and is_written_here:
            mapping = value
            indent = value.value[0][0].start_mark.column
            continue
        new = _with_entry({}, at[depth:], entry)
        return _below_empty(text, mapping, key, value, new, step)
    new = _with_entry({}, at[depth:], entry)
    if mapping.flow_style:
        return _in_flow(text, mapping, new)
    if mapping is root:
        return _at_the_end(text, new, step)
    return _behind_last(text, mapping, indent, new, step)


def _step_of(root: MappingNode) -> int:
    """Return the number of columns by which the manifest indents."""
    for _, value in root.value:
        if value.id == "mapping" and not value.flow_style and value.value:
            return int(value.value[0][0].start_mark.column)
    return _STEP


def _at_the_end(text: str, new: Mapping[str, Any], step: int) -> str:
    content = text.rstrip()
    gap = _line_end(text) * 2 if content else ""
    return f"{content}{gap}{_lines(new, 0, step, text)}"


def _behind_last(
    text: str, mapping: MappingNode, indent: int, new: Mapping[str, Any], step: int
) -> str:
    """Add an entry behind the last one of a section in block style, indented as that one is."""
    at = _end_of_section(text, _end_of(text, *mapping.value[-1]), indent)
    flow = all(getattr(v, "flow_style", False) and v.value for _, v in mapping.value)
    starts = [key.start_mark.index for key, _ in mapping.value]
    is_apart = len(starts) > 1 and _is_blank_before(text, starts[-1])
    gap = _line_end(text) if is_apart else ""
    return _insert(text, at, gap + _lines(new, indent, step, text, flow=flow))


def _below_empty(
    text: str, parent: MappingNode, key: Node, value: Any, new: Mapping[str, Any], step: int
) -> str:
    """Add the first entry of a section: `sources:`, `sources: {}` or `sources: null`."""
    start, end = value.start_mark.index, value.end_mark.index
    is_here = start >= key.end_mark.index
    if parent.flow_style:
        flow = as_yaml(new, flow=True)
        if not is_here or start == end:
            return text[:end] + (f" {flow}" if is_here else "") + text[end:]
        return text[:start] + flow + text[end:]
    at = key.end_mark.index
    if is_here and (_EMPTY.fullmatch(text[start:end]) or (value.id == "scalar" and start < end)):
        kept = text[:start].rstrip(" ")
        at, text = len(kept), kept + text[end:]
    indent = key.start_mark.column + step
    at = _end_of_section(text, at, indent)
    return _insert(text, at, _lines(new, indent, step, text))


def _in_flow(text: str, mapping: MappingNode, new: Mapping[str, Any]) -> str:
    inner = as_yaml(new, flow=True)[1:-1]
    if not mapping.value:
        at = mapping.start_mark.index + 1
        return text[:at] + inner + text[at:]
    at = _end_of(text, *mapping.value[-1])
    return f"{text[:at]}, {inner}{text[at:]}"


def _end_of(text: str, key: Any, value: Any) -> int:
    """Return where the last character of an entry stands, and where its last line ends."""
    if value.start_mark.index < key.end_mark.index:
        # an alias: what it stands for is written above
        alias = re.compile(r"[\"']?\s*:\s*\*[^\s,}]+").match(text, key.end_mark.index)
        return int(alias.end() if alias else key.end_mark.index)
    if value.id == "mapping" and not value.flow_style and value.value:
        return _end_of(text, *value.value[-1])
    if value.id == "sequence" and not value.flow_style and value.value:
        return _end_of(text, key, value.value[-1])
    return max(int(key.end_mark.index), len(text[: value.end_mark.index].rstrip()))


def _end_of_section(text: str, at: int, indent: int) -> int:
    """Return the end of the line at `at`, or of the comments right below that belong to it."""
    at = _end_of_line(text, at)
    while comment := re.compile(r"(?:\r\n|\n|\r)( *)#[^\r\n]*").match(text, at):
        if len(comment[1]) < indent:
            break
        at = comment.end()
    return at


def _end_of_line(text: str, at: int) -> int:
    found = re.compile(r"[\r\n]").search(text, at)
    return found.start() if found else len(text)


def _insert(text: str, at: int, lines: str) -> str:
    """Insert whole lines behind the line that ends at `at`."""
    line_end = _line_end(text)
    behind = text[at:].removeprefix("\r\n") if text[at : at + 2] == "\r\n" else text[at + 1 :]
    return f"{text[:at]}{line_end}{lines}{behind}"


def _lines(new: Mapping[str, Any], indent: int, step: int, text: str, *, flow: bool = False) -> str:
    """Return an entry as lines for `text`; on one line if `flow` and if it fits."""
    line_end = _line_end(text)
    ((name, entry),) = new.items()
    line = f"{as_yaml({name: None})} {as_yaml(entry, flow=True)}"
    if (flow or not entry) and "\n" not in line and len(line) + indent <= _WIDTH:
        return f"{' ' * indent}{line}{line_end}"
    lines = as_yaml(new, step=step).splitlines()
    return "".join(f"{' ' * indent}{line}{line_end}" if line else line_end for line in lines)


def _is_blank_before(text: str, at: int) -> bool:
    """Tell whether an empty line stands above the entry at `at`, or above its comments."""
    lines = text[:at].splitlines()[:-1]
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return bool(lines) and not lines[-1].strip()


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
