"""Stand-ins in a recording: for secrets, and for fields that the user has named."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from dlthub_project.recordings.personal_values import looks_personal, stand_in
from dlthub_project.recordings.typed_values import NotRecordable
from dlthub_project.secrets import KNOWN, LONG, holds_token, is_secret_name

# the rows of a page whose values are looked at: to look at all takes longer than to write them
_LOOKED_AT = 5
_ATOMS = frozenset((int, bool, type(None)))


class _Field:
    """A field of a resource, at any depth, and whether its values are masked."""

    __slots__ = ("children", "is_kept", "is_masked", "name", "path")

    def __init__(self, path: tuple[str, ...], *, is_masked: bool, is_kept: bool) -> None:
        self.path = path
        self.name = ".".join(path)
        self.is_masked = is_masked
        self.is_kept = is_kept
        self.children: dict[Any, _Field] = {}


class Masks:
    """Replaces what a recording must not hold. One value always has one stand-in: keys still join.

    Attributes:
        fields: The fields of which values were replaced, as `resource.field`.
        personal: The fields whose values look personal, and stay.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Start with no stand-ins.

        Args:
            patterns: Which fields to replace, by the end of their path: `email`, `customers.name`,
                `*.phone`. `!products.name` keeps what stands there, unless it is a known secret.
        """
        self.fields: dict[str, None] = {}
        self.personal: dict[str, None] = {}
        self._masked = [_parts(one) for one in patterns if not one.startswith("!")]
        self._kept = [_parts(one[1:]) for one in patterns if one.startswith("!")]
        self._roots: dict[str, _Field] = {}
        self._made: dict[tuple[type, str], Any] = {}
        self._is_plain = True
        self._is_strict = False
        self._texts: list[str] = []

    def of_page(self, resource: str, page: Any) -> tuple[Any, bool]:
        """Return an item or a page with stand-ins, and whether JSON has all of its values.

        Args:
            resource: The resource.
            page: A row, or a list of rows; it is not changed.

        Raises:
            NotRecordable: The name of a field is a secret.
        """
        root = self._root(resource)
        # if a secret is a number, each value is looked at from the start
        self._is_strict = any(secret.isdigit() for secret in KNOWN.values())
        self._is_plain, self._texts = True, []
        masked = self._of(page, root)
        if holds_secret("\0".join(self._texts)):
            # one of the texts does: now each value is looked at
            self._is_strict = True
            masked = self._of(page, root)
        for row in masked[:_LOOKED_AT] if isinstance(masked, list) else [masked]:
            self.look_at(row, root)
        return masked, self._is_plain

    def of_table(self, resource: str, table: Any) -> Any:
        """Return an Arrow table with stand-ins, of the same types."""
        import pyarrow as pa

        root = self._root(resource)
        for index, name in enumerate(table.column_names):
            field, column = self._child(root, name), table.column(index)
            is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            texts = [text for text in column.unique().to_pylist() if text] if is_text else []
            is_suspect = is_text and holds_secret("\0".join(texts))
            if field.is_masked or is_suspect or not (is_text or _is_flat(column.type)):
                self._is_strict, self._texts = True, []
                values = [self._value(value, field) for value in column.to_pylist()]
                if values != column.to_pylist():
                    array = pa.chunked_array([pa.array(values, type=column.type)])
                    table = table.set_column(index, table.schema.field(index), array)
        for row in table.slice(0, _LOOKED_AT).to_pylist():
            self.look_at(row, root)
        return table

    def names(self, resource: str, path: Sequence[str]) -> bool:
        """Tell whether the names in a path are enough for its values to be replaced."""
        field = self._root(resource)
        for name in path:
            field = self._child(field, name)
        return field.is_masked

    def look_at(self, value: Any, field: _Field) -> None:
        """Note which fields in a value look personal, and are shown all the same."""
        for path, one, is_shown in self._leaves(value, field):
            if is_shown and one is not None and looks_personal(path[1:], one):
                self.personal[".".join(path)] = None

    def look_at_rows(self, resource: str, rows: Sequence[Any]) -> None:
        """Do the same for rows of a resource."""
        for row in rows:
            self.look_at(row, self._root(resource))

    def _leaves(self, value: Any, field: _Field) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
        if isinstance(value, Mapping):
            for key, one in value.items():
                yield from self._leaves(one, self._child(field, key))
        elif isinstance(value, list | tuple | set | frozenset):
            for one in value:
                yield from self._leaves(one, field)
        else:
            yield field.path, value, not (field.is_masked or field.is_kept)

    def _root(self, resource: str) -> _Field:
        if resource not in self._roots:
            name = resource.rpartition(".")[2]
            self._roots[resource] = _Field((name,), is_masked=False, is_kept=False)
        return self._roots[resource]

    def _child(self, field: _Field, key: Any) -> _Field:
        found = field.children.get(key)
        if found is None:
            name = str(key)
            if holds_secret(name):
                raise NotRecordable(f"a field of `{'.'.join(field.path)}` whose name is a secret")
            path = (*field.path, name)
            is_kept = field.is_kept or _matches(self._kept, path)
            is_masked = field.is_masked or _matches(self._masked, path) or is_secret_name([name])
            found = _Field(path, is_masked=is_masked and not is_kept, is_kept=is_kept)
            field.children[key] = found
        return found

    def _of(self, value: Any, field: _Field) -> Any:
        """Return a mapping or a list with stand-ins; itself where nothing is replaced."""
        kind = type(value)
        # the usual types first: `isinstance` with an abstract class takes longer
        if kind is dict or (kind is not list and isinstance(value, Mapping)):
            changed: dict[Any, Any] | None = None
            if kind is not dict:
                self._is_plain = False
            # local names, because this runs for each row
            children, is_strict, texts = field.children, self._is_strict, self._texts
            for key, one in value.items():
                child = children.get(key)
                if child is None:
                    child = self._child(field, key)
                if type(key) is not str or key[:1] == "$":
                    self._is_plain = False
                kind_of_one = type(one)
                if not (child.is_masked or is_strict):
                    if kind_of_one is str:
                        texts.append(one)
                        continue
                    if kind_of_one in _ATOMS or (kind_of_one is float and math.isfinite(one)):
                        continue
                made = self._value(one, child)
                if made is not one:
                    changed = {**value} if changed is None else changed
                    changed[key] = made
            return value if changed is None else changed
        if isinstance(value, list):
            made_all = [self._of(one, field) for one in value]
            is_same = kind is list and all(map(operator.is_, made_all, value))
            return value if is_same else made_all
        return self._value(value, field)

    def _value(self, value: Any, field: _Field) -> Any:
        kind = type(value)
        if kind is dict or kind is list:
            return self._of(value, field)
        if isinstance(value, Mapping):
            return self._of(value, field)
        if isinstance(value, tuple | set | frozenset):
            self._is_plain = False
            return type(value)(self._value(one, field) for one in value)
        if kind is not str and kind not in _ATOMS:
            self._is_plain = self._is_plain and kind is float and math.isfinite(value)
        if field.is_masked:
            # switches and nulls reveal nothing
            return value if value is None or kind is bool else self._stand_in(value, field)
        text = value if kind is str else _text_of(value)
        if len(text) >= LONG:
            self._texts.append(text)
            if self._is_strict and holds_secret(text):
                return self._stand_in(value, field)
        return value

    def _stand_in(self, value: Any, field: _Field) -> Any:
        self.fields[field.name] = None
        key = type(value), value if type(value) is str else repr(value)
        if key not in self._made:
            self._made[key] = stand_in(value, field.path[-1], len(self._made) + 1)
        return self._made[key]


def holds_secret(text: str) -> bool:
    """Tell whether a text holds a secret that this process knows, or a token by its form."""
    return len(text) >= LONG and (KNOWN.is_in(text) or holds_token(text))


def _text_of(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str | int | UUID) and type(value) is not bool else ""


def _is_flat(kind: Any) -> bool:
    import pyarrow as pa

    return not (pa.types.is_nested(kind) or pa.types.is_dictionary(kind))


def _parts(pattern: str) -> list[str]:
    return pattern.strip().lower().split(".")


def _matches(patterns: Sequence[Sequence[str]], path: Sequence[str]) -> bool:
    """Tell whether the end of a path matches one of the patterns."""
    names = [name.lower() for name in path]
    return any(
        len(parts) <= len(names) and all(map(fnmatchcase, names[len(names) - len(parts) :], parts))
        for parts in patterns
    )
