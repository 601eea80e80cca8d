"""Where a sandbox reaches into dlt: each wrapper does nothing outside of one.

Installed when the first sandboxed run context is opened, in this process or a subprocess.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import signature
from typing import Any

import dlt
from dlt.common.destination import Destination

from dlthub_project.sandbox import guard, pipelines, remote_data, replacement
from dlthub_project.sandbox.locality import short_type
from dlthub_project.sandbox.settings import Sandbox, active_sandbox

_installed = False


def install() -> None:
    """Wrap the methods of dlt through which every destination and every run goes, once."""
    global _installed
    if _installed:
        return
    _installed = True
    _wrap_reference()
    _wrap(Destination, "client", _client)
    _wrap(dlt.Pipeline, "__init__", _init_pipeline)
    _wrap(dlt.Pipeline, "_set_destinations", _set_destinations)
    for name in pipelines.USES:
        _wrap(dlt.Pipeline, name, _use_pipeline)
    for name in ("run", "load"):
        _wrap(dlt.Pipeline, name, _observe_run)


_Original = Callable[..., Any]
_Wrapper = Callable[..., Any]


def _wrap(owner: type, name: str, wrapper: _Wrapper) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        sandbox = active_sandbox()
        if sandbox is None:
            return original(self, *args, **kwargs)
        return wrapper(sandbox, original, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _wrap_reference() -> None:
    """Wrap the class method that makes an object of every way to name a destination."""
    original = Destination.from_reference

    def from_reference(cls: type[Destination[Any, Any]], *args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        sandbox = active_sandbox()
        if sandbox is None or found is None:
            return found
        return replacement.in_sandbox(found, sandbox)

    functools.update_wrapper(from_reference, original)
    Destination.from_reference = classmethod(from_reference)  # type: ignore[assignment,method-assign]


def _client(
    sandbox: Sandbox, original: _Original, destination: Any, *args: Any, **kwargs: Any
) -> Any:
    here = replacement.in_sandbox(destination, sandbox)
    guard.check(here, sandbox)
    client = original(here, *args, **kwargs)
    if guard.is_allowed(here, sandbox):
        remote_data.remember_if_new(client)
    return client


def _set_destinations(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Load straight into DuckDB, which knows no staging area."""
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    target = given.get("destination") or pipeline.destination
    here = Destination.from_reference(target) if target is not None else None
    if here is not None and short_type(here) == "duckdb":
        given.update(staging=None, staging_name=None)
    return original(**given)


def _init_pipeline(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    pipelines.keep_files_in(sandbox, given)
    original(**given)
    pipelines.remember_origin(pipeline, sandbox)


def _use_pipeline(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    pipelines.bring_into(pipeline, sandbox)
    return original(pipeline, *args, **kwargs)


def _observe_run(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    with pipelines.observed(pipeline) as done:
        info = original(pipeline, *args, **kwargs)
        done(info)
    return info
