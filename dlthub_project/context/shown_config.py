"""The merged manifest as it may be shown: with secrets masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

from dlthub_project.dlt_internals import resources
from dlthub_project.errors import ValueNotSet, known_names
from dlthub_project.manifest import Manifest
from dlthub_project.secrets import (
    KNOWN,
    MASK,
    is_secret_name,
    is_variable,
    masked_text,
    names_secret_variable,
)

# keys that are no arguments of a source: they lead to its code and to dlt's factory
_NO_ARGUMENTS = ("type", "with_args")

SecretsOf: TypeAlias = "Callable[[str], set[str] | None]"
"""Returns the arguments of a source that are secrets; None where its code cannot be imported."""


def masked_config(manifest: Manifest, section: str = "") -> Any:
    """Return the merged manifest, or a part of it, with variables filled in and secrets masked.

    The code of a source tells which of its arguments are secrets, so it is imported. If it cannot
    be imported, all arguments are masked.

    Args:
        manifest: The manifest of the active project.
        section: The dotted path of the part, such as `destinations.warehouse`; empty for all.

    Raises:
        ValueNotSet: There is no such part.
    """
    path = tuple(section.split(".")) if section else ()
    found: Any = manifest.merged
    for depth, part in enumerate(path):
        if not isinstance(found, Mapping) or part not in found:
            names = found if isinstance(found, Mapping) else ()
            above = f"below `{'.'.join(path[:depth])}`" if depth else "in the merged manifest"
            raise ValueNotSet(f"There is no `{part}` {above}. {known_names(part, map(str, names))}")
        found = found[part]
    # cached: the question imports the code of the source
    return _masked(manifest, found, path, cache(partial(_secret_arguments, manifest)))


def _masked(manifest: Manifest, value: Any, path: tuple[str, ...], secrets_of: SecretsOf) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _masked(manifest, below, (*path, str(key)), secrets_of)
            for key, below in value.items()
        }
    if isinstance(value, list):
        items = enumerate(value)
        return [_masked(manifest, item, (*path, str(i)), secrets_of) for i, item in items]
    if value is None or isinstance(value, bool):
        return value
    is_secret = is_secret_name(path) or _is_secret_argument(path, secrets_of)
    if is_secret or names_secret_variable(value):
        # the name of a variable says more than a mask, and is no secret
        return value if is_variable(value) else MASK
    if isinstance(value, str):
        return masked_text(KNOWN.masked(str(manifest.fill_known(value))))
    return value


def _secret_arguments(manifest: Manifest, source: str) -> set[str] | None:
    reference = manifest.fill_known((manifest.entry("sources", source) or {}).get("type"))
    return resources.secret_arguments(reference) if isinstance(reference, str) else None


def _is_secret_argument(path: tuple[str, ...], secrets_of: SecretsOf) -> bool:
    if path[0] != "sources" or len(path) < 3 or path[2] in _NO_ARGUMENTS:
        return False
    secrets = secrets_of(path[1])
    return secrets is None or any(part in secrets for part in path[2:])
