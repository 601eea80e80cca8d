"""Walks the nodes of a YAML document: where each entry stands, and what data alone would hide."""

from __future__ import annotations

import re
from collections.abc import Hashable

import yaml

from dlthub_project.manifest.variables import PROJECT_SETTINGS, SETTINGS

EntryPath = tuple[Hashable, ...]
Place = tuple[int, int]
"""Line and column, from 0."""

# far above any real manifest (an entry is a key, an item or a value) and read in half a second
_MOST_ENTRIES = 100_000

_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_KEY = "<<"
_OURS = rf"env\.|project\.|(?:{'|'.join(SETTINGS)})\}}"
_UNQUOTED = re.compile(rf"(?:^|[:,\[-])\s*(?P<variable>\{{+(?:{_OURS})[^\s}}]*\}}*)")


class Walk:
    """One walk through the nodes below a mapping.

    Attributes:
        positions: Line and column of each entry by its path.
        mistakes: Place, path and message of every key that stands there twice or is no text, of
            every variable that is not quoted, and of anchors that explode.
    """

    def __init__(self) -> None:
        self.positions: dict[EntryPath, Place] = {}
        self.mistakes: list[tuple[Place, EntryPath, str]] = []
        # by the id of a node: an aliased node is one object, so that anchors cannot explode here
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        self._exploded = False

    def visit(self, node: yaml.Node, path: EntryPath) -> int:
        """Visit `node`, which stands at `path`, and return how many entries it unfolds to."""
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in self._open:
            self._mistake(path, node, "contains itself, by way of an anchor")
            return 1
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        self._open.add(id(node))
        size = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else 1
        if isinstance(node, yaml.SequenceNode):
            size += self._sequence(node, path)
        self._open.remove(id(node))
        if size > _MOST_ENTRIES:
            if not self._exploded:
                message = f"unfolds to more than {_MOST_ENTRIES:,} entries; use fewer anchors"
                self._mistake(path, node, message)
            self._exploded = True
            size = 1
        self._sizes[id(node)] = size
        return size

    def _mapping(self, node: yaml.MappingNode, path: EntryPath) -> int:
        if variable := _as_variable(node, path):
            message = f'quote this value: "{variable}"; YAML reads it as a mapping'
            self.mistakes.append((_place(node), path, message))
            return 1
        size = 1
        keys: set[str] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append((_place(key_node), path, "a name here is not a text"))
                continue
            key = key_node.value
            entry = (*path, key)
            if key in keys and key != _MERGE_KEY:
                message = "stands here twice; remove one of the two"
                self.mistakes.append((_place(key_node), entry, message))
            elif _is_name(path) and key_node.tag != _TEXT_TAG and key != _MERGE_KEY:
                message = f'quote this name: "{key}"; YAML does not read it as text'
                self.mistakes.append((_place(key_node), entry, message))
            keys.add(key)
            self.positions.setdefault(entry, _place(key_node))
            size += self.visit(value_node, entry)
        return size

    def _sequence(self, node: yaml.SequenceNode, path: EntryPath) -> int:
        size = 0
        for index, item in enumerate(node.value):
            self.positions.setdefault((*path, index), _place(item))
            size += self.visit(item, (*path, index))
        return size

    def _mistake(self, path: EntryPath, node: yaml.Node, message: str) -> None:
        # an aliased node itself stands at its anchor
        self.mistakes.append((self.positions.get(path, _place(node)), path, message))


def unquoted_variable(line: str) -> str | None:
    """Return the variable that a value of `line` begins with and that no quote stands before."""
    found = _UNQUOTED.search(line)
    return found["variable"] if found else None


def _as_variable(node: yaml.MappingNode, path: EntryPath) -> str | None:
    """Return what was meant when `node` is a variable without quotes."""
    if not node.flow_style or len(node.value) != 1:
        return None
    key, value = node.value[0]
    if value.value != "":
        return None
    if isinstance(key, yaml.MappingNode):
        inner = _as_variable(key, path)
        return f"{{{inner}}}" if inner else None
    names = PROJECT_SETTINGS if path[:1] == ("project",) else SETTINGS
    ours = isinstance(key, yaml.ScalarNode) and (
        key.value.startswith(("env.", "project.")) or key.value in names
    )
    return f"{{{key.value}}}" if ours else None


def _is_name(path: EntryPath) -> bool:
    """Tell whether the keys below `path` name sections or entries."""
    return len(path) <= 1 or (path[0] == "profiles" and len(path) <= 3)


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line, node.start_mark.column
