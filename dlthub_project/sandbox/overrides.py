"""Settings of one test: above all other configuration, and gone with the sandbox."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.dlt_internals import contexts, http_client
from dlthub_project.dlt_internals.configuration import DocumentProvider
from dlthub_project.sandbox.destinations import TemporaryDestinations
from dlthub_project.sandbox.settings import Sandbox, active_sandbox

_Path = tuple[str, ...]


@dataclass
class _Document:
    """The settings of a test.

    Attributes:
        values: The settings, nested by section; None for those that are unset.
        whole: The paths of mappings that replace whatever other providers have there.
    """

    values: dict[str, Any] = field(default_factory=dict)
    whole: set[_Path] = field(default_factory=set)

    def set(self, path: _Path, value: Any) -> None:
        """Set a value, or None to unset it; whatever was set there and below is dropped."""
        section = self.values
        for depth, name in enumerate(path[:-1], 1):
            if name in section and not isinstance(section[name], dict):
                # the test has set the mapping as a whole, and still does
                self.whole.add(path[:depth])
            if not isinstance(section.get(name), dict):
                section[name] = {}
            section = section[name]
        self.whole -= {one for one in self.whole if one[: len(path)] == path}
        section[path[-1]] = value
        if isinstance(value, dict):
            self.whole.add(path)

    def find(self, path: _Path) -> tuple[Any, bool]:
        """Return what is set at a path, or None, and whether nobody else may answer for it."""
        node: Any = self.values
        for part in path:
            if not isinstance(node, dict):
                # no other provider may add parts to a value that the test has given as a whole
                return None, True
            if part not in node:
                return None, self._is_within_whole(path)
            node = node[part]
        return node, not isinstance(node, dict) or self._is_within_whole(path)

    def _is_within_whole(self, path: _Path) -> bool:
        return any(path[: len(one)] == one for one in self.whole)


# by the folder of the sandbox: contexts of one test come and go, and its settings stay
_documents: dict[str, _Document] = {}


class _LookUp(threading.local):
    """The look-up of a thread at present: dlt asks one provider after the other.

    It does so for the section of the pipeline, and then once more without it.

    Attributes:
        is_answered: Whether the test has set or unset the value.
        first: The first question of the present round.
        is_found: Whether the test has given the value.
        answered_before: The first question of the earlier round, if the test had unset the value;
            dlt asks no second time for a value that it has found.
        unset: The parts of a mapping that the test has unset, with None for each.
    """

    is_answered = False
    is_found = False
    unset: Mapping[str, Any] | None = None
    first: _Path | None = None
    answered_before: _Path | None = None


_look_up = _LookUp()


class OverridesProvider(DocumentProvider):
    """Answers from the settings of the test that runs in a sandbox.

    dlt would complete a value that a test gives as a whole from the providers below: a connection
    string of the test would get the password of `secrets.toml`. So once this provider has answered
    for a value, those below answer nothing.
    """

    def __init__(self, sandbox: Sandbox, providers: list[ConfigProvider]) -> None:
        """Make the provider.

        Args:
            sandbox: Whose settings they are.
            providers: All of the context, which users may add to.
        """
        self._document = _documents.setdefault(sandbox.folder, _Document())
        super().__init__(self._document.values)
        self._providers = providers
        self._below: list[ConfigProvider] = []

    @property
    def name(self) -> str:
        return "Settings of the test"

    @property
    def supports_secrets(self) -> bool:
        return True

    @property
    def is_empty(self) -> bool:
        # dlt asks the first provider for it at the beginning of each look-up
        is_unset = _look_up.is_answered and not _look_up.is_found
        _look_up.answered_before = _look_up.first if is_unset else None
        _look_up.is_answered, _look_up.first, _look_up.unset = False, None, None
        _look_up.is_found = False
        if not self._document.values:
            return True
        if len(self._below) != len(self._providers):
            for provider in self._providers:
                if provider not in self._below:
                    self._below.append(provider)
                    _let_give_way(provider)
        return False

    @property
    def answers_alone(self) -> bool:
        return _look_up.is_answered

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if _look_up.first is None:
            _look_up.first = (*sections, key)
            # the second round asks again for a value that the first one has answered for
            second = not pipeline_name and _look_up.answered_before == _look_up.first
            _look_up.is_answered = second
        # a value without the section of a pipeline stands above those of other providers with it
        above = ((pipeline_name,), ()) if pipeline_name else ((),)
        for name in above:
            if _look_up.is_answered:
                break
            value, _look_up.is_answered = self._document.find((*name, *sections, key))
            if isinstance(value, Mapping):
                _look_up.unset = {**(_look_up.unset or {}), **value}
                # if nothing else is set below it, other providers give the rest
                value = _set_parts(value) or (value if _look_up.is_answered else None)
            if value is not None:
                _look_up.is_found = True
                return value, ".".join((*name, *sections, key))
        return None, ".".join((*sections, key))

    def without_unset(self, value: Any) -> Any:
        return _without(_look_up.unset or {}, value)


def _set_parts(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without None, and without mappings that held nothing else."""
    parts = {k: _set_parts(v) if isinstance(v, Mapping) else v for k, v in value.items()}
    is_nothing = {key for key, part in parts.items() if isinstance(part, dict) and not part}
    return {k: part for k, part in parts.items() if part is not None and k not in is_nothing}


def _without(unset: Mapping[str, Any], value: Any) -> Any:
    """Return a mapping without the keys that are None in another one; other values as they are."""
    if not isinstance(value, Mapping):
        return value
    kept = {key: part for key, part in value.items() if unset.get(key, key) is not None}
    return {
        key: _without(unset[key], part) if isinstance(unset.get(key), Mapping) else part
        for key, part in kept.items()
    }


def _let_give_way(provider: ConfigProvider) -> None:
    """Make a provider answer nothing if the test has an answer for the present look-up."""
    if isinstance(provider, OverridesProvider | TemporaryDestinations):
        # no setting leads out of the sandbox
        return
    original = provider.get_value

    def get_value(
        key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if _look_up.is_answered and active_sandbox() is not None:
            return None, ".".join((*sections, key))
        value, name = original(key, hint, pipeline_name, *sections)
        if _look_up.unset and active_sandbox() is not None:
            value = _without(_look_up.unset, value)
        return value, name

    # set on this provider only, because its class is dlt's
    provider.get_value = get_value  # type: ignore[method-assign]


class Overrides(MutableMapping[str, Any]):
    """Settings by dotted path, such as `sources.github.token`.

    A value replaces all that the configuration has at its path and below, a mapping too. None and
    `del` unset it: it is missing in this test, wherever else it is configured. `clear` takes back
    what the test has set and unset.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._document = _documents.setdefault(sandbox.folder, _Document())

    def __setitem__(self, path: str, value: Any) -> None:
        own = copy.deepcopy(dict(value)) if isinstance(value, Mapping) else value
        self._document.set(tuple(path.split(".")), own)
        _apply(path)

    def __getitem__(self, path: str) -> Any:
        value, _ = self._document.find(tuple(path.split(".")))
        if value is None:
            raise KeyError(path)
        return value

    def __delitem__(self, path: str) -> None:
        self[path] = None

    def __iter__(self) -> Iterator[str]:
        return _paths(self._document.values, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Take back what the test has set and unset."""
        had = list(self._document.values)
        self._document.values.clear()
        self._document.whole.clear()
        for name in had:
            _apply(name)

    def copy_from(self, other: Overrides) -> None:
        """Take over all that is set and unset in another sandbox."""
        self._document.values.update(copy.deepcopy(other._document.values))
        self._document.whole |= other._document.whole

    def described(self) -> tuple[Any, ...]:
        """Return all that is set, unset and given as a whole, in a form that can be compared."""
        return self._document.values, sorted(self._document.whole)


def _apply(path: str) -> None:
    """Have dlt's HTTP client read a changed setting that the active context has read before."""
    if path.split(".")[0] == "runtime" and contexts.has_run_context():
        http_client.read_configuration()


def forget(sandbox: Sandbox) -> None:
    """Drop the settings of a test that has ended."""
    _documents.pop(sandbox.folder, None)


def _paths(section: dict[str, Any], above: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}"
