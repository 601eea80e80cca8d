"""Saves the state of the process before a sandbox, and restores it afterwards."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from dlthub_project.dlt_internals.python_state import differing, variables
from dlthub_project.sandbox import at_import
from dlthub_project.sandbox.settings import SPEED_VARIABLE

_MEMORY = "fsspec.implementations.memory"
_HTTP_HELPER = "dlt.sources.helpers.requests"
_TELEMETRY = "dlt.common.runtime.anon_tracker"


def save() -> Callable[[], None]:
    """Return a function that restores the present state of this process, but for what modules set.

    The state is the environment, even if `os.environ` is another object by then, the working
    directory, the loggers of dlt, the configuration of its HTTP client, and the content of buckets
    of `memory://`. dlt's telemetry, if it has been started, sends nothing until then.
    """
    environ, environment = os.environ, dict(os.environ)
    before = dict(environment)
    # half of the cost of a test that does not use dlt; see `speed`
    held = None if environment.get(SPEED_VARIABLE) == "off" else variables()
    complete = at_import.save_environment()
    working_dir = os.getcwd()
    loggers = _loggers()
    buckets = _buckets()
    restore_client = _save_client()
    restore_telemetry = _suspend_telemetry()

    def restore() -> None:
        complete(environment)
        os.environ = environ  # noqa: B003  # the object that was there: its own methods set C's
        _restore_environment(environment, before, held)
        os.chdir(working_dir)
        _restore_loggers(loggers)
        _restore_buckets(buckets)
        restore_client()
        restore_telemetry()

    return restore


def _save_client() -> Callable[[], None]:
    if _HTTP_HELPER not in sys.modules:
        return lambda: None
    from dlthub_project.dlt_internals import http_client

    return http_client.save_shared_client()


def _suspend_telemetry() -> Callable[[], None]:
    # its import may have failed half way
    if not hasattr(sys.modules.get(_TELEMETRY), "track"):
        return lambda: None
    from dlthub_project.dlt_internals import contexts

    return contexts.suspend_telemetry()


def _restore_environment(
    environment: dict[str, str], before: dict[str, str], held: dict[bytes, bytes] | None
) -> None:
    """Set `os.environ` item by item, so that the process's own environment follows.

    Args:
        environment: The environment to have.
        before: The environment before.
        held: The same as Python held it, which shows in less time what has changed since.
    """
    changed = differing(held)
    if changed is None:
        names = {*os.environ, *environment}
    else:
        # and what modules have set
        differ = {name for name, _ in environment.items() ^ before.items()}
        names = {*changed, *differ}
    for name in names:
        if name not in environment:
            os.environ.pop(name, None)
        elif os.environ.get(name) != environment[name]:
            os.environ[name] = environment[name]


def _names_of_loggers() -> list[str]:
    names = {"dlt"}
    dlts = sys.modules.get("dlt.common.logger")
    # it is named after the run context
    if name := getattr(getattr(dlts, "LOGGER", None), "name", None):
        names.add(str(name))
    known = logging.root.manager.loggerDict
    return sorted({*names, *(name for name in known if name.startswith("dlt."))})


def _loggers() -> dict[str, dict[str, Any]]:
    return {name: _state_of(logging.getLogger(name)) for name in _names_of_loggers()}


def _state_of(logger: logging.Logger) -> dict[str, Any]:
    return {
        "level": logger.level,
        "propagate": logger.propagate,
        "disabled": logger.disabled,
        "handlers": list(logger.handlers),
        "filters": list(logger.filters),
    }


def _restore_loggers(loggers: dict[str, dict[str, Any]]) -> None:
    for name in _names_of_loggers():
        logger = logging.getLogger(name)
        state = loggers.get(name)
        if state is None:
            # made since: its handlers are dlt's, and write to where dlt says
            logger.setLevel(logging.NOTSET)
            logger.disabled = False
            continue
        logger.setLevel(state["level"])
        logger.propagate, logger.disabled = state["propagate"], state["disabled"]
        logger.handlers[:], logger.filters[:] = state["handlers"], state["filters"]


def _file_system() -> Any:
    module = sys.modules.get(_MEMORY)
    return getattr(module, "MemoryFileSystem", None)


def _buckets() -> tuple[dict[str, tuple[Any, bytes]], list[str]]:
    files = _file_system()
    if files is None:
        return {}, [""]
    # a file that is appended to stays the same object
    contents = {path: (file, file.getvalue()) for path, file in files.store.items()}
    return contents, list(files.pseudo_dirs)


def _restore_buckets(buckets: tuple[dict[str, tuple[Any, bytes]], list[str]]) -> None:
    files = _file_system()
    if files is None:
        return
    contents, folders = buckets
    files.store.clear()
    for path, (file, content) in contents.items():
        if file.getvalue() != content:
            file.seek(0)
            file.truncate()
            file.write(content)
        files.store[path] = file
    files.pseudo_dirs[:] = folders
