"""The merged manifest as it may be shown: with secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

# what leads to a source's code, and the arguments of dlt's own factory
_NO_ARGUMENTS = ("type", "with_args")


def masked_config(manifest: Manifest, section: str = "") -> Any:
    """Return the merged manifest, or a part of it, with variables filled in and secrets masked.

    Which arguments of a source are secrets its code tells, which is imported. Where that is not
    possible, all of them are masked.

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
    return _masked(manifest, found, path)


def _masked(manifest: Manifest, value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(manifest, below, (*path, str(key))) for key, below in value.items()}
    if isinstance(value, list):
        return [_masked(manifest, item, (*path, str(i))) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    is_secret = is_secret_name(path) or _is_secret_argument(manifest, path)
    if is_secret or names_secret_variable(value):
        # the name of a variable says more than a mask, and is no secret
        return value if is_variable(value) else MASK
    if isinstance(value, str):
        return masked_text(KNOWN.masked(str(manifest.fill_known(value))))
    return value


def _is_secret_argument(manifest: Manifest, path: tuple[str, ...]) -> bool:
    if path[0] != "sources" or len(path) < 3 or path[2] in _NO_ARGUMENTS:
        return False
    reference = manifest.fill_known((manifest.entry("sources", path[1]) or {}).get("type"))
    secrets = resources.secret_arguments(reference) if isinstance(reference, str) else None
    return secrets is None or any(part in secrets for part in path[2:])
