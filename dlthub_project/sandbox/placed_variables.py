"""Notes the variables by which production, and not a test, says where destinations are.

`dlt_allow_remote` with the name of a destination allows the place that tests have configured. A
variable that a module sets while it is imported, as `load_dotenv()` does, also holds in production.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dlthub_project.sandbox.settings import given_by_tests

# dlt looks a place up in sections of destinations, or in none
_WORDS = ("DESTINATION", "CREDENTIALS", "BUCKET_URL")


@dataclass(frozen=True)
class _Placed:
    """A variable that a module has set, or deleted.

    Attributes:
        name: Its name.
        before: The value before; None if it was not set.
        after: The value since then.
    """

    name: str
    before: str | None
    after: str | None


_placed: list[_Placed] = []


def note(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Note the variables that a module has set while it was imported.

    Args:
        before: The environment before the import.
        after: The environment after it.
    """
    _placed.extend(_Placed(name, before.get(name), after.get(name)) for name in _of(before, after))


def count() -> int:
    """Return the number of notes until now."""
    return len(_placed)


def forget_since(earlier: int) -> None:
    """Drop the notes since `count()` returned `earlier`: a session ends."""
    del _placed[earlier:]


def _of(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the variables that say where a destination is, and that differ."""
    names = [name for name in {**one, **other} if any(word in name for word in _WORDS)]
    return [name for name in names if one.get(name) != other.get(name)]


@contextmanager
def without_them() -> Iterator[None]:
    """Have, in a block, the variables as they were before code of production has set them."""
    before = _before()
    now = {name: os.environ.get(name) for name in before}
    _set(before)
    try:
        yield
    finally:
        _set(now)


def may_place_destinations() -> bool:
    """Tell whether code of production may have said where a destination is."""
    # a subprocess has no other code, and more ways to say it
    return given_by_tests() is not None or bool(_before())


def _before() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in {placed.name for placed in _placed}:
        now = value = os.environ.get(name)
        # one module after the other may have set it; what a test has set is its own
        for placed in reversed(_placed):
            if placed.name == name and placed.after == value:
                value = placed.before
        if value != now:
            found[name] = value
    if (given := given_by_tests()) is not None:
        found.update({name: given.get(name) for name in _of(given, os.environ)})
    return found


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
