"""Compares many parts of code at once, by the identity of the objects that they consist of."""

from __future__ import annotations

import ctypes
import gc
import sys
from itertools import chain
from operator import methodcaller
from typing import Any

from pytest_dlthub.templates.code_parts import Part

_get_values = methodcaller("values")


class PartGroup:
    """Compares many parts at once, by identity. One at a time would take some µs each."""

    def __init__(self) -> None:
        """Make an empty group."""
        self.parts: list[Part] = []
        self._functions: list[Any] = []
        self._cells: list[Any] = []
        self._sequences: list[Any] = []
        self._mappings: list[Any] = []
        self._keyed: list[Any] = []
        self._empty: list[Any] = []
        self._holders: list[Any] = []
        self._lengths: list[int] = []
        self._held: tuple[Any, ...] = ()
        self._noted: object = None
        self._is_noted = False

    def add(self, part: Part) -> None:
        """Add a part to the group."""
        self.parts.append(part)
        part.noted = self.forget
        self._is_noted = False

    def forget(self) -> None:
        """Note the objects of all parts again at the next comparison."""
        self._is_noted = False

    def is_same(self) -> bool:
        """Tell whether all parts still consist of the noted objects."""
        if not self._is_noted and not self._note():
            return False
        lengths = [*map(len, chain(self._mappings, self._sequences))]
        if lengths != self._lengths or any(self._empty):
            return False
        return _pointers(self._objects()) == self._noted

    def _note(self) -> bool:
        """Note the objects of all parts; tell whether each part is as it has noted itself."""
        parts = self.parts
        functions = self._functions = [p.function for p in parts if p.function is not None]
        self._cells = [cell for function in functions for cell in function.__closure__ or ()]
        self._sequences = [part.sequence for part in parts if part.sequence is not None]
        # only containers: an attribute cannot change its name and keep its position
        self._keyed = [p.live for p in parts if p.live is not None and p.is_container]
        self._mappings = [part.live for part in parts if part.live is not None]
        # whose attributes and classes may be replaced
        self._holders = [part.holder for part in parts if part.holder is not None]
        self._mappings += [vars(holder) for holder in self._holders]
        self._mappings += [function.__dict__ for function in functions if function.__dict__]
        self._empty = [function.__dict__ for function in functions if not function.__dict__]
        self._lengths = [*map(len, chain(self._mappings, self._sequences))]
        # hold them: a new object may get the address of one that is gone
        self._held = self._objects()
        self._noted = _pointers(self._held)
        self._is_noted = all(part.is_same(part.read()) for part in parts)
        return self._is_noted

    def _objects(self) -> tuple[Any, ...]:
        return (
            *chain.from_iterable(self._keyed),
            *chain.from_iterable(map(_get_values, self._mappings)),
            *chain.from_iterable(self._sequences),
            # by the garbage collector: each look at `__code__` or `__defaults__` is an audit event
            *gc.get_referents(*self._functions, *self._cells, *self._holders),
        )


def _pointers(objects: tuple[Any, ...]) -> object:
    """Return the addresses of objects: 1 ns each from a tuple, 30 ns each by `id`."""
    if not _TUPLES_SHOW:
        return [*map(id, objects)]
    return ctypes.string_at(id(objects) + tuple.__basicsize__, len(objects) * _ADDRESS_SIZE)


def _tuples_show() -> bool:
    """Tell whether a tuple of this Python stores addresses where CPython does."""
    if sys.implementation.name != "cpython":
        return False
    two = (PartGroup, chain)
    found = ctypes.string_at(id(two) + tuple.__basicsize__, 2 * _ADDRESS_SIZE)
    return found == b"".join(id(x).to_bytes(_ADDRESS_SIZE, sys.byteorder) for x in two)


_ADDRESS_SIZE = ctypes.sizeof(ctypes.c_void_p)
_TUPLES_SHOW = _tuples_show()
