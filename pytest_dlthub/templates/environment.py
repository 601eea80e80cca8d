"""Which environment variables a build reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from dlthub_project.sandbox import ENVIRONMENT_VARIABLE

# of the test that happens to build, and of no consequence for what is loaded
_OF_THE_TEST = (ENVIRONMENT_VARIABLE, "PYTEST_")

# of the blocks that record now, each within the one before
_recordings: list[set[str]] = []


class _Recording(os._Environ):  # type: ignore[type-arg]  # generic in stubs alone
    """Notes the name of every variable that is asked for, set or not."""

    def __getitem__(self, name: str) -> str:
        value: str
        for names in _recordings:
            names.add(name)
        value = super().__getitem__(name)
        return value


@contextmanager
def recorded_reads(also: Iterable[str] = ()) -> Iterator[Mapping[str, str | None]]:
    """Give, after the block, the variables that it read: their values before it, None if not set.

    Reads through `os.environ` and `os.getenv`, in all threads; C libraries and subprocesses are not
    seen. Reading all variables, as copying the environment does, reads each.

    Args:
        also: Names that count as read.
    """
    around = _recordings[:]
    _recordings.clear()
    # which is not to count as read
    before = dict(os.environ)
    _recordings[:] = around
    found: dict[str, str | None] = {}
    names = set(also)
    environ = os.environ
    plain = type(environ)
    if not issubclass(plain, os._Environ):
        # somebody has put another mapping there, which does not tell: each variable counts
        names.update(before)
    else:
        environ.__class__ = _Recording
    _recordings.append(names)
    try:
        yield found
    finally:
        # not by equality: two of them may hold the same names
        _recordings[:] = [other for other in _recordings if other is not names]
        if issubclass(plain, os._Environ):
            environ.__class__ = plain
        read = sorted(n for n in names if isinstance(n, str) and not n.startswith(_OF_THE_TEST))
        found.update({name: before.get(name) for name in read})
