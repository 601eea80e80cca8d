"""dlt's look-ups of settings, with the same answers in less time.

A small run of plain dlt makes 926,000 calls of functions, most of them for its configuration: each
setting is asked for at some places of every provider, and each type is taken apart again each time.
In a sandbox it makes 429,000 without this module, and 247,000 with it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

from dlt.common import validation
from dlt.common.configuration import resolve
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import LookupTrace
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs import BaseConfiguration, base_configuration

_HAS_NOTHING = "_dlthub_has_nothing"
# the functions that dlt calls with the type of a setting, while it looks the setting up
_OF_TYPES = (
    "extract_inner_hint",
    "is_base_configuration_inner_hint",
    "is_context_inner_hint",
    "is_hint_not_resolvable",
    "is_optional_type",
    "is_union_type",
)
# and those that it calls with the type of each part of a schema
_OF_PARTS = (
    "is_callable_type",
    "is_dict_generic_type",
    "is_list_generic_type",
    "is_literal_type",
    "is_optional_type",
    "is_typeddict",
    "is_union_type",
)
_MOST_TYPES = 5_000

_is_installed = False
_is_on = False


def ask_at_once(provider: ConfigProvider, has_nothing: Callable[[str, str], bool]) -> None:
    """Have dlt ask a provider only once in a look-up, if it has nothing at any of the places.

    dlt's notes on the look-up stay the same. A provider whose `get_value` was replaced is asked at
    each place. This saves 8 % of the calls of a small run.

    Args:
        provider: It has `get_key_name`, as dlt's own providers have it.
        has_nothing: Is given the name of a setting, and the first section of its places.
    """
    vars(provider)[_HAS_NOTHING] = has_nothing


def remember_types(*, is_on: bool) -> None:
    """Have dlt remember what it has found out about types, or find it out each time, as it does."""
    global _is_installed, _is_on
    _is_on = is_on
    if _is_installed or not is_on:
        return
    _is_installed = True
    _set(resolve, "resolve_single_provider_value", _look_up)
    for name in _OF_TYPES:
        for module in (resolve, base_configuration):
            # of the latter, what its other functions call: saves 10 % of the calls
            if hasattr(resolve, name) and (module is resolve or name == "is_optional_type"):
                _set(module, name, _by_type)
    # dlt asks of each part of each schema what kind of type it has: 7 % of the calls left
    for name in _OF_PARTS:
        if hasattr(validation, name):
            _set(validation, name, _by_type)
    # dlt takes the hints of a `TypedDict` apart for each schema: 7 %
    _set(validation, "get_type_hints", _by_spec)
    # dlt takes a thread's name apart for each: 5 %
    _set(Container, "__getitem__", _item_of_container)
    # dlt counts all fields to know that there are some: 7 %, and 4 % to find the first
    _set(BaseConfiguration, "__bool__", _has_fields)


def may_end_a_variable(name: str) -> bool:
    """Tell whether the name of an environment variable may end so; False if certainly none does.

    This is one search in all names: `os.environ` takes ten times as long for each missing name.
    """
    variables = getattr(os.environ, "_data", None)
    if os.name != "posix" or type(variables) is not dict:
        return True
    return os.fsencode(name) + b"\n" in b"\n".join((*variables, b""))


def _set(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name, None)))


def _look_up(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def look_up(
        provider: ConfigProvider,
        key: str,
        hint: type[Any],
        pipeline_name: str | None = None,
        config_section: str | None = None,
        explicit_sections: tuple[str, ...] = (),
        embedded_sections: tuple[str, ...] = (),
    ) -> tuple[Any | None, list[LookupTrace]]:
        state = vars(provider)
        places = pipeline_name, config_section, explicit_sections, embedded_sections
        if _is_on and _HAS_NOTHING in state and "get_value" not in state:
            sections = explicit_sections or embedded_sections or (config_section or "",)
            if state[_HAS_NOTHING](key, sections[0]):
                return None, _notes_of_nothing(type(provider), provider.name, key, *places)
        found: tuple[Any | None, list[LookupTrace]] = original(provider, key, hint, *places)
        return found

    return look_up


@functools.lru_cache(maxsize=4_000)
def _notes_of_nothing(
    provider: Any,
    name: str,
    key: str,
    pipeline_name: str | None,
    config_section: str | None,
    explicit_sections: tuple[str, ...],
    embedded_sections: tuple[str, ...],
) -> list[LookupTrace]:
    """Return what dlt notes of a look-up that finds nothing; nobody changes the list."""
    places = resolve._build_section_lookup_paths(
        explicit_sections, embedded_sections, config_section or "", True
    )
    return [
        LookupTrace(name, list(at), provider.get_key_name(key, pipeline_name or "", *at), None)
        for at in places
    ]


def _by_type(original: Callable[..., Any]) -> Callable[..., Any]:
    # by the object, which is kept: `int | str` and `str | int` are equal, and not the same
    known: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    @functools.wraps(original)
    def answer(hint: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_on:
            return original(hint, *args, **kwargs)
        key = (id(hint), args, *kwargs.items())
        found = known.get(key)
        if found is None:
            if len(known) > _MOST_TYPES:
                known.clear()
            found = known[key] = hint, original(hint, *args, **kwargs)
        return found[1]

    return answer


def _by_spec(original: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    @functools.wraps(original)
    def hints_of(spec: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_on:
            return original(spec, *args, **kwargs)
        if spec not in known:
            if len(known) > _MOST_TYPES:
                known.clear()
            known[spec] = original(spec, *args, **kwargs)
        return known[spec]

    return hints_of


def _item_of_container(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def item(self: Container, spec: Any) -> Any:
        main: int = Container._MAIN_THREAD_ID
        # in its thread all contexts are in one mapping
        if _is_on and get_ident() == main and main in self.thread_contexts:
            found = self.thread_contexts[main][0].get(spec)
            if found is not None:
                return found
        return original(self, spec)

    return item


def _has_fields(_: None) -> Callable[[Any], bool]:
    # by the fields themselves, which are kept: a class may still have those of its base
    known: dict[int, tuple[Any, bool]] = {}

    def has_fields(self: BaseConfiguration) -> bool:
        kind = type(self)
        own = BaseConfiguration
        if not _is_on or kind.__len__ is not own.__len__ or kind.__iter__ is not own.__iter__:
            return len(self) > 0
        fields = kind.__dataclass_fields__
        found = known.get(id(fields))
        if found is None:
            if len(known) > _MOST_TYPES:
                known.clear()
            found = known[id(fields)] = fields, next(iter(self), None) is not None
        return found[1]

    return has_fields
