"""What a template was built under, beyond what its key says: known only after the build."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pytest_dlthub.templates.files import file_digest


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
