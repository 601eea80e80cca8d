"""Where the templates of a session are: in a folder that its workers share, or in the cache."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from pytest_dlthub.activation import SESSION

_FOLDER = pytest.StashKey[Path]()
_IDENTITY = pytest.StashKey[str]()
# what a worker is told by its controller
_INPUT = "dlt_templates"

_MOST_BYTES = 2 * 1024**3
_LONGEST_SECONDS = 7 * 24 * 3600


def session_identity(config: pytest.Config) -> str:
    """Return a name for the session, the same in all of its workers."""
    worker = getattr(config, "workerinput", None)
    if worker:
        return str(worker["testrunuid"])
    return config.stash.setdefault(_IDENTITY, f"{os.getpid()}_{time.time_ns()}")


def template_folders(config: pytest.Config) -> list[Path]:
    """Return the folders to look for templates in; of the first that can be written to, build."""
    own = session_folder(config)
    return [cache_folder(), own] if config.getoption("dlt_reuse") else [own]


def session_folder(config: pytest.Config) -> Path:
    """Return the folder of this session's templates, which goes with it."""
    worker = getattr(config, "workerinput", None)
    if worker and _INPUT in worker:
        return Path(worker[_INPUT])
    if _FOLDER not in config.stash:
        folder = config.stash[SESSION].folder / "templates"
        config.stash[_FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    return config.stash[_FOLDER]


def share_with_worker(config: pytest.Config, workerinput: dict[str, object]) -> None:
    """Tell a worker where this session's templates are."""
    workerinput[_INPUT] = str(session_folder(config))


def cache_folder() -> Path:
    """Return the folder of the templates that sessions share with `--dlt-reuse`."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("pytest-dlthub", appauthor=False), "templates")


def prune_cache(config: pytest.Config) -> None:
    """Delete templates that were not used for a week, and those above 2 GB."""
    if not config.getoption("dlt_reuse") or hasattr(config, "workerinput"):
        return
    from pytest_dlthub.templates.store import TemplateStore

    store = TemplateStore(cache_folder(), session_identity(config))
    store.prune(_MOST_BYTES, _LONGEST_SECONDS)
