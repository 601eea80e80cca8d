"""Where the data of a packaged project go when the folder of the package cannot be written to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from dlthub_project.manifest import Settings


def folders_of_user(root: Path, settings: Settings, given: Collection[str]) -> dict[str, str]:
    """Return folders below the user's own for those that a package cannot write to.

    Args:
        root: The folder of the `dlt.yml`. A project that is no package keeps its folders.
        settings: The folders that the project would have.
        given: Names of folders that somebody asked for; they are kept, too.

    Returns:
        `data_dir`, `local_dir`, both or none. Only folders below `root` are moved: whoever
        declares another place means it.
    """
    if not (root / "__init__.py").is_file():
        return {}
    moved = {}
    for name in ("data_dir", "local_dir"):
        folder = Path(getattr(settings, name))
        if name in given or not folder.is_relative_to(root) or _is_writable(folder):
            continue
        moved[name] = str(_user_folder(root) / folder.relative_to(root))
    return moved


def _user_folder(root: Path) -> Path:
    # late: hardly anybody needs it
    import platformdirs

    # two environments may have a package of one name, and each has data of its own
    place = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:8]
    user_folder = platformdirs.user_data_dir("dlthub_project", appauthor=False)
    return Path(user_folder, f"{root.name}-{place}")


def _is_writable(folder: Path) -> bool:
    """Tell whether files can be made in `folder`, or it can be made."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
