"""What a template was built under, beyond what its key says: known only after the build."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from dlthub_project.sandbox import ENVIRONMENT_VARIABLE
from pytest_dlthub.templates.digests import file_digest

# of the test that happens to build, and of no consequence for what is loaded
_OF_THE_TEST = (ENVIRONMENT_VARIABLE, "PYTEST_")

# of the blocks that record now, each within the one before
_recordings: list[set[str]] = []


@dataclass(frozen=True)
class Conditions:
    """The environment variables that a build read, and the modules outside of the project.

    Attributes:
        salt: Keeps values from being guessed by their digest.
        environment: Digests of the values by name; None for a variable that is not set.
        modules: Digests of the files of modules that the key does not know.
    """

    salt: str
    environment: Mapping[str, str | None]
    modules: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str | None], modules: Iterable[str]) -> Conditions:
        """Return the conditions of a build that has just ended.

        Args:
            environment: What it read.
            modules: The files of the modules.
        """
        salt = secrets.token_hex(8)
        digests = {name: _salted(salt, value) for name, value in environment.items()}
        return cls(salt, digests, {path: _digest_once(path) for path in modules})

    def hold(self) -> bool:
        """Tell whether a build would meet the same now."""
        return self._environment_is_same() and all(
            _digest_once(path) == known for path, known in self.modules.items()
        )

    def _environment_is_same(self) -> bool:
        # dlt asks for a thousand variables, of which a few are set
        if any(name in self._unset for name in os.environ):
            return False
        return all(_salted(self.salt, os.environ.get(name)) == d for name, d in self._set)

    @cached_property
    def _unset(self) -> frozenset[str]:
        return frozenset(name for name, value in self.environment.items() if value is None)

    @cached_property
    def _set(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.environment.items() if value is not None]

    def to_json(self) -> dict[str, Any]:
        """Return what `Conditions(**...)` takes."""
        return asdict(self)


def _salted(salt: str, value: str | None) -> str | None:
    if value is None:
        return None
    return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=salt.encode()).hexdigest()


@lru_cache(maxsize=4096)
def _digest_once(path: str) -> str:
    """Return the digest of a file as it is when this process first asks: modules load once."""
    try:
        return file_digest(Path(path))
    except OSError:
        return ""


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
