"""Turns the nodes of a YAML document into data, and finds mistakes that the data would hide."""

from __future__ import annotations

import re
from typing import Any

import yaml

from dlthub_project.manifest.document import EntryPath, Mistake, Position
from dlthub_project.manifest.settings import PROJECT_SETTINGS, SETTINGS
from dlthub_project.secrets import may_name_secret

TEXT_TAG = "tag:yaml.org,2002:str"
MERGE_TAG = "tag:yaml.org,2002:merge"

_MOST_LEVELS = 100
TOO_DEEP = f"is nested more than {_MOST_LEVELS} levels deep"
# far above any real manifest (an entry is a key, an item or a value) and read in a second
_MOST_ENTRIES = 200_000
# no number, date or switch is longer, and reading a number takes time with the square of its length
_LONGEST_NUMBER = 100

_TAGS = {
    yaml.ScalarNode: TEXT_TAG,
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
}


_PREFIX = "tag:yaml.org,2002:"
_IN_PLAIN_WORDS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "null": "nothing",
    "binary": "base64",
}
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


class NotAManifest(Exception):
    """The file is correct YAML, but no manifest."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(position, message)
        self.position = position
        self.message = message


# libyaml's loader keeps positions too, and is four times faster than the one in Python
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either base
    """A safe loader that stops at a document which is too large or too deep."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0
        self._entries = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Count the depth of a node before YAML makes it.

        libyaml makes nodes by recursion: at some ten thousand levels the process would crash.
        """
        self._levels += 1
        self._entries += 1
        if self._levels > _MOST_LEVELS:
            raise NotAManifest(position_of(parent), TOO_DEEP)
        if self._entries > _MOST_ENTRIES:
            message = f"more than {_MOST_ENTRIES:,} entries stand before this; split the project"
            raise NotAManifest(position_of(parent), message)

    def ascend_resolver(self) -> None:
        """Go back one level after a node is made."""
        self._levels -= 1

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Return the tag of a node that has none."""
        if kind is yaml.ScalarNode and implicit[0] and len(value) <= _LONGEST_NUMBER:
            return str(super().resolve(kind, value, implicit))
        return _TAGS[kind]


class Walk:
    """One walk through the nodes below a mapping, which builds its data.

    Attributes:
        positions: Line and column of each entry by its path.
        mistakes: Every key that stands there twice or is no text, variable that is not quoted,
            value that YAML reads otherwise than it looks, and anchors that explode.
    """

    def __init__(self, loader: Loader) -> None:
        self.positions: dict[EntryPath, Position] = {}
        self.mistakes: list[Mistake] = []
        self._loader = loader
        # data and size by the id of a node: an aliased node is one object, and is read once
        self._read: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()
        self._exploded = False

    def visit(self, node: yaml.Node, path: EntryPath) -> tuple[Any, int]:
        """Return the data of `node` at `path`, and how many entries it unfolds to with its anchors.

        What is wrong is read as it was probably meant, so that more mistakes can be found.
        """
        if isinstance(node, yaml.ScalarNode):
            return (node.value if node.tag == TEXT_TAG else self._scalar(node, path)), 1
        if id(node) in self._open:
            self._mistake(path, node, "contains itself, by way of an anchor")
            return None, 1
        if id(node) in self._read:
            return self._read[id(node)]
        self._open.add(id(node))
        data, size = self._collection(node, path)
        self._open.remove(id(node))
        if size > _MOST_ENTRIES:
            if not self._exploded:
                message = f"unfolds to more than {_MOST_ENTRIES:,} entries; use fewer anchors"
                self._mistake(path, node, message)
            self._exploded = True
            data, size = None, 1
        self._read[id(node)] = data, size
        return data, size

    def _collection(self, node: yaml.Node, path: EntryPath) -> tuple[Any, int]:
        if node.tag != _TAGS[type(node)]:
            self._mistake(path, node, f"remove the tag `{node.tag}`: a manifest is plain data")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        items: list[Any] = []
        total = 1
        for index, item in enumerate(node.value):
            at = (*path, index)
            self.positions.setdefault(at, position_of(item))
            data, size = self.visit(item, at)
            items.append(data)
            total += size
        return items, total

    def _mapping(self, node: yaml.MappingNode, path: EntryPath) -> tuple[Any, int]:
        if variable := _as_variable(node, path):
            self._mistake(path, node, _quote_message(variable, path), position_of(node))
            return variable, 1
        data: dict[Any, Any] = {}
        merged: list[dict[Any, Any]] = []
        total = 1
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(path, key_node, "a name here is not a text", position_of(key_node))
                continue
            entry = (*path, key_node.value)
            position = position_of(key_node)
            is_merge = key_node.tag == MERGE_TAG
            key = key_node.value
            if key_node.tag != TEXT_TAG and not is_merge:
                key = self._key(key_node, entry)
            if key in data:
                message = "stands here twice; remove one of the two"
                self._mistake(entry, key_node, message, position)
            self.positions.setdefault(entry, position)
            value, size = self.visit(value_node, entry)
            total += size + 1
            if is_merge:
                merged += self._merged(value, entry, key_node)
            else:
                data[key] = value
        if merged:
            data = {key: value for each in (*merged, data) for key, value in each.items()}
        return data, total

    def _merged(self, value: Any, path: EntryPath, node: yaml.Node) -> list[dict[Any, Any]]:
        """Return the mappings that a merge key (`<<`) names; the last one wins."""
        found = list(reversed(value)) if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in found):
            # an anchor that explodes has been reported, and has no data
            if None not in found or not self.mistakes:
                self._mistake(path, node, "must be a mapping or a list of mappings")
            return []
        return found

    def _key(self, node: yaml.ScalarNode, path: EntryPath) -> Any:
        key = self._scalar(node, path, is_key=True)
        if _is_name(path[:-1]) or key is None or isinstance(key, bool):
            message = f'quote this name: "{_bounded(node.value)}"; YAML does not read it as text'
            self._mistake(path, node, message, position_of(node))
            return node.value
        return key

    def _scalar(self, node: yaml.ScalarNode, path: EntryPath, *, is_key: bool = False) -> Any:
        try:
            value = read_scalar(self._loader, node)
        except ValueError as error:
            self._mistake(path, node, str(error), position_of(node))
            return node.value
        if not is_key and (read_as := surprise(node, value)):
            if any(may_name_secret(str(part)) for part in path):
                message = "quote this value; YAML does not read it as text"
            else:
                text = node.value
                message = f'YAML reads {text} as {read_as}; write {read_as}, or "{text}" for a text'
            self._mistake(path, node, message, position_of(node))
        return value

    def _mistake(
        self, path: EntryPath, node: yaml.Node, message: str, position: Position | None = None
    ) -> None:
        # an aliased node itself stands at its anchor
        position = position or self.positions.get(path, position_of(node))
        self.mistakes.append(Mistake(path, message, position))


def position_of(node: yaml.Node | None) -> Position:
    """Return where `node` begins."""
    return (node.start_mark.line, node.start_mark.column) if node else (0, 0)


def _as_variable(node: yaml.MappingNode, path: EntryPath) -> str | None:
    """Return the text that was meant if `node` is a variable without quotes."""
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


def _quote_message(variable: str, path: EntryPath) -> str:
    name, colon, _default = variable.partition(":")
    # a default is a value, and may be a secret
    if colon and any(may_name_secret(str(part)) for part in path):
        variable = f"{name}:…}}"
    return f'quote this value: "{_bounded(variable)}"; YAML reads it as a mapping'


def _bounded(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_name(path: EntryPath) -> bool:
    """Tell whether the keys below `path` name sections or entries."""
    return len(path) <= 1 or (path[0] == "profiles" and len(path) <= 3)


def read_scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """Return what YAML reads `node` as.

    Raises:
        ValueError: It cannot be read; with what to do about it.
    """
    kind = node.tag.removeprefix(_PREFIX)
    if kind not in _IN_PLAIN_WORDS and node.tag != TEXT_TAG:
        if kind == "value":
            raise ValueError("quote the `=`; it has a meaning of its own in YAML")
        raise ValueError(f"remove the tag `{node.tag[:80]}`: a manifest is plain data")
    try:
        return loader.construct_object(node)
    except Exception:
        # PyYAML's constructors let through whatever a bad date or number raises, with the value
        read_as = _IN_PLAIN_WORDS[kind]
        raise ValueError(f"YAML takes this for {read_as}, and it is none; quote it") from None


def surprise(node: yaml.ScalarNode, value: Any) -> str | None:
    """Return how YAML 1.1 reads `node`, as YAML writes it, if that is a surprise.

    `on`, `yes` and the like are switches, numbers with a leading zero are octal, and `12:30` is a
    number to the base 60. Dates are dates.
    """
    if isinstance(value, bool):
        return None if node.value.lower() in ("true", "false") else str(value).lower()
    if isinstance(value, int | float) and (":" in node.value or _OCTAL.fullmatch(node.value)):
        return str(value)
    return None
