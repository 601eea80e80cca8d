"""Placeholders for secrets that nobody has configured, where dlt resolves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dlt.common.configuration import resolve
from dlt.common.configuration.accessors import _SecretsAccessor
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.base_configuration import (
    CredentialsConfiguration,
    extract_inner_hint,
    is_secret_hint,
)

from dlthub_project.dlt_internals import pipelines

# by the thread whose work they are for
_placeholders: dict[int, Callable[[str, Any], Any]] = {}


@contextmanager
def placeholders(value_of: Callable[[str, Any], Any]) -> Iterator[None]:
    """Give placeholders to required secrets that nobody has configured, in a block.

    Only the thread of the block has them, and the threads that dlt starts for it. A secret with a
    default keeps the default. `dlt.secrets["name"]` requires a secret, and
    `dlt.secrets.get("name")` and `"name" in dlt.secrets` do not.

    Args:
        value_of: Returns the placeholder for a field's name and type; None for no placeholder.
    """
    _install_placeholders()
    thread = pipelines.thread_of_work()
    outer = _placeholders.get(thread)
    _placeholders[thread] = value_of
    try:
        yield
    finally:
        if outer is None:
            del _placeholders[thread]
        else:
            _placeholders[thread] = outer


def _placeholder_of_thread() -> Callable[[str, Any], Any] | None:
    return _placeholders.get(pipelines.thread_of_work()) if _placeholders else None


def _install_placeholders() -> None:
    """Wrap, once, how dlt resolves secrets. Without placeholders nothing changes."""
    original = resolve._resolve_config_fields
    if original.__module__ == __name__:
        return
    read_secret, knows_secret = _SecretsAccessor.__getitem__, _SecretsAccessor.__contains__

    def resolve_fields(config: BaseConfiguration, *args: Any) -> None:
        value_of = _placeholder_of_thread()
        try:
            original(config, *args)
        except ConfigFieldMissingException as missing:
            *_, accepts_partial = args
            if value_of is None or accepts_partial:
                raise
            hints = config.get_resolvable_fields()
            values = {
                name: _placeholder(config, name, hints[name], value_of) for name in missing.traces
            }
            lacking = {n: t for n, t in missing.traces.items() if values[n] is None}
            if lacking:
                # the others have placeholders
                told = ConfigFieldMissingException(config, lacking)
                told._dlthub_has_placeholders = True  # type: ignore[attr-defined]  # for the report
                raise told from None
            for name, value in values.items():
                setattr(config, name, value)

    def secret(accessor: _SecretsAccessor, field: str) -> Any:
        try:
            return read_secret(accessor, field)
        except ConfigFieldMissingException:
            value_of = _placeholder_of_thread()
            placeholder = value_of(field.rpartition(".")[2], str) if value_of else None
            if placeholder is None:
                raise
            return placeholder

    def has_secret(accessor: _SecretsAccessor, field: str) -> bool:
        if _placeholder_of_thread() is None:
            return knows_secret(accessor, field)
        return accessor.get(field) is not None

    resolve._resolve_config_fields = resolve_fields  # type: ignore[assignment]  # wider arguments
    # methods of our own in the place of dlt's
    _SecretsAccessor.__getitem__ = secret  # type: ignore[assignment, method-assign]
    _SecretsAccessor.__contains__ = has_secret  # type: ignore[assignment, method-assign]


def _placeholder(
    config: BaseConfiguration, name: str, hint: Any, value_of: Callable[[str, Any], Any]
) -> Any:
    is_secret = isinstance(config, CredentialsConfiguration) or is_secret_hint(hint)
    return value_of(name, extract_inner_hint(hint)) if is_secret else None
