"""The plugin's options and ini names, whenever they are asked for."""

from __future__ import annotations

import pytest


def option(config: pytest.Config, name: str) -> str | None:
    """Return an option; before and after pytest has parsed them all."""
    early = getattr(config.known_args_namespace, name, None)
    found: str | None = early or getattr(config.option, name, None)
    return found


def check_ini(config: pytest.Config, name: str, *accepted: str) -> None:
    """Make sure that an ini option has one of the values that it may have.

    Raises:
        UsageError: It has another.
    """
    value = config.getini(name)
    if value not in accepted:
        *first, last = filter(None, accepted)
        expected = f"{', '.join(first)} or {last}"
        raise pytest.UsageError(f"{name}: {expected} is expected, not {value!r}")


def ini_by_either_name(config: pytest.Config, name: str, alias: str) -> str:
    """Return an ini option that has an older name, too.

    Raises:
        UsageError: The two say different things.
    """
    value: str = config.getini(name)
    by_alias: str = config.getini(alias)
    if value and by_alias and value != by_alias:
        raise pytest.UsageError(
            f"the ini options {name} ({value}) and {alias} ({by_alias}) are one setting "
            f"by two names, and say different things; remove {alias}"
        )
    return value or by_alias
