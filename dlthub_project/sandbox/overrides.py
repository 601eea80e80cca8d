"""Settings of one test, above all other configuration."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from dlthub_project.dlt_internals import DocumentProvider
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
        self._section(sections, make=True)[key] = value

    def __getitem__(self, path: str) -> Any:
        *sections, key = path.split(".")
        try:
            return self._section(sections)[key]
        except KeyError:
            raise KeyError(path) from None

    def __delitem__(self, path: str) -> None:
        *sections, key = path.split(".")
        del self._section(sections)[key]

    def __iter__(self) -> Iterator[str]:
        return _paths(self._document, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _section(self, names: list[str], make: bool = False) -> dict[str, Any]:
        section = self._document
        for name in names:
            section = section.setdefault(name, {}) if make else section[name]
        return section


def forget(sandbox: Sandbox) -> None:
    """Drop the settings of a test that has ended."""
    _documents.pop(sandbox.folder, None)


def _paths(section: dict[str, Any], above: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
