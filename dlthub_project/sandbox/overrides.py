"""Settings of one test, above all other configuration."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from dlthub_project.dlt_internals.configuration import DocumentProvider
from dlthub_project.sandbox.settings import Sandbox

# by the folder of the sandbox: contexts of one test come and go, its settings stay
_documents: dict[str, dict[str, Any]] = {}


class OverridesProvider(DocumentProvider):
    """Answers from the settings of the test that runs in a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(_documents.setdefault(sandbox.folder, {}))

    @property
    def name(self) -> str:
        return "Settings of the test"

    @property
    def supports_secrets(self) -> bool:
        return True


class Overrides(MutableMapping[str, Any]):
    """Settings by dotted path, such as `sources.github.token`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._document = _documents.setdefault(sandbox.folder, {})

    def __setitem__(self, path: str, value: Any) -> None:
        *sections, key = path.split(".")
        section = self._document
        for name in sections:
            if not isinstance(section.get(name), dict):
                section[name] = {}
            section = section[name]
        section[key] = copy.deepcopy(dict(value)) if isinstance(value, Mapping) else value

    def __getitem__(self, path: str) -> Any:
        section, key = self._existing(path)
        return section[key]

    def __delitem__(self, path: str) -> None:
        section, key = self._existing(path)
        del section[key]

    def __iter__(self) -> Iterator[str]:
        return _paths(self._document, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _existing(self, path: str) -> tuple[dict[str, Any], str]:
        *sections, key = path.split(".")
        section: Any = self._document
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or key not in section:
            raise KeyError(path)
        return section, key


def forget(sandbox: Sandbox) -> None:
    """Drop the settings of a test that has ended."""
    _documents.pop(sandbox.folder, None)


def _paths(section: dict[str, Any], above: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
