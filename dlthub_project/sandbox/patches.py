"""Where a sandbox reaches into dlt: each wrapper does nothing outside of one.

Installed when the first sandboxed run context is opened, in this process or a subprocess.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import dlt
from dlt.common.destination import Destination

from dlthub_project import dlt_internals
from dlthub_project.sandbox import guard, loading, pipelines, remote_data, replacement
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
    _wrap(dlt.Pipeline, "normalize", loading.normalize)
    for name in ("run", "load"):
        _wrap(dlt.Pipeline, name, _observe_run)


_Original = Callable[..., Any]
_Wrapper = Callable[..., Any]


def _wrap(owner: type, name: str, wrapper: _Wrapper) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        # in a traceback of the user's, what stands between their code and dlt says nothing
        __tracebackhide__ = True
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
    __tracebackhide__ = True
    here = replacement.in_sandbox(destination, sandbox)
    # made in a sandbox around this one, it is local there
    sandboxes = (sandbox, replacement.sandbox_of(here))
    guard.check(here, *sandboxes)
    client = original(here, *args, **kwargs)
    guard.check_resolved(here, client, *sandboxes)
    if guard.is_allowed(here, sandbox):
        remote_data.remember_if_new(client, sandbox)
    return client


def _set_destinations(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Load straight into what knows no staging area, such as DuckDB."""
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    target = given.get("destination") or pipeline.destination
    if given.get("staging") is not None and target is not None:
        here = Destination.from_reference(target)
        if here is not None and not here.capabilities().supported_staging_file_formats:
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
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    return original(pipeline, *args, **kwargs)


def _observe_run(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    # first, or another sandbox's database would be opened
    pipelines.bring_into(pipeline, sandbox)
    if kwargs.get("table_format") and replacement.is_replaced(pipeline.destination):
        # of a lake in production; DuckDB has none
        kwargs["table_format"] = None
    with _prepared(sandbox, pipeline), pipelines.observed(pipeline) as done:
        info = original(pipeline, *args, **kwargs)
        done(info)
    return info


def _prepared(sandbox: Sandbox, pipeline: dlt.Pipeline) -> AbstractContextManager[None]:
    """Make a run cheaper; not where it is about to be blocked."""
    if pipeline.destination is None:
        return nullcontext()
    here = replacement.in_sandbox(pipeline.destination, sandbox)
    if not guard.passes(here, sandbox, replacement.sandbox_of(here)):
        return nullcontext()
    dlt_internals.skip_restore_from_new_database(pipeline)
    return dlt_internals.database_held_open(pipeline)
