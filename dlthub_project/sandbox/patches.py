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
from dlt.extract import DltResource

from dlthub_project.dlt_internals import destinations
from dlthub_project.dlt_internals import pipelines as dlt_pipelines
from dlthub_project.sandbox import (
    changes,
    guard,
    hints,
    loading,
    pipelines,
    remote_data,
    replacement,
    runs,
)
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
    _wrap(Destination, "capabilities", _capabilities)
    _wrap(dlt.Pipeline, "__init__", _init_pipeline)
    _wrap(dlt.Pipeline, "_set_destinations", _set_destinations)
    for name in pipelines.USES:
        _wrap(dlt.Pipeline, name, _use_pipeline)
    for name in pipelines.PROPERTIES:
        _wrap_property(name)
    for name in pipelines.ATTRIBUTES:
        setattr(dlt.Pipeline, name, _Attribute(name))
    _wrap(dlt.Pipeline, "extract", _extract)
    _wrap(DltResource, "compute_table_schema", hints.compute_table_schema)
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


def _wrap_property(name: str) -> None:
    """Wrap the getter of a pipeline's property."""
    original: property = getattr(dlt.Pipeline, name)
    assert original.fget is not None
    get = original.fget

    @functools.wraps(get)
    def wrapped(self: dlt.Pipeline) -> Any:
        sandbox = active_sandbox()
        if sandbox is not None:
            pipelines.bring_into(self, sandbox)
        return get(self)

    setattr(dlt.Pipeline, name, property(wrapped, original.fset, original.fdel))


class _Attribute:
    """An attribute that a pipeline has set on itself, asked for like a property."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, pipeline: Any, owner: type | None = None) -> Any:
        if pipeline is None:
            return self
        sandbox = active_sandbox()
        if sandbox is not None:
            pipelines.bring_into(pipeline, sandbox)
        try:
            return vars(pipeline)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, pipeline: Any, value: Any) -> None:
        vars(pipeline)[self._name] = value


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
    # as the other methods, put in the place of dlt's
    Destination.from_reference = classmethod(from_reference)  # type: ignore[assignment,method-assign]


def _client(
    sandbox: Sandbox, original: _Original, destination: Any, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    here = replacement.in_sandbox(destination, sandbox)
    # made in a sandbox around this one, it is local there
    made_in = replacement.sandbox_of(here)
    sandboxes = (sandbox, made_in)
    guard.check(here, *sandboxes)
    client = original(here, *args, **kwargs)
    guard.check_resolved(here, client, *sandboxes)
    if guard.is_allowed(here, sandbox) and here.destination_name not in made_in.owned:
        remote_data.remember_if_new(client, here, sandbox)
    return client


def _capabilities(
    _sandbox: Sandbox, original: _Original, destination: Any, config: Any = None, naming: Any = None
) -> Any:
    """Do not resolve a configuration again and again that nothing is read of."""
    if config is None and not destinations.capabilities_take_configuration(destination):
        config = destination.spec()
    return original(destination, config, naming)


def _set_destinations(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    """Load straight into what knows no staging area, such as DuckDB."""
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    target = given.get("destination") or pipeline.destination
    if given.get("staging") is not None and target is not None:
        here = Destination.from_reference(target)
        if here is not None and not here.capabilities().supported_staging_file_formats:
            name = given.get("staging_name") or Destination.to_name(given["staging"])
            changes.note_dropped_staging(given["staging"], name, sandbox.folder)
            given.update(staging=None, staging_name=None)
    return original(**given)


def _init_pipeline(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    given = signature(original).bind(pipeline, *args, **kwargs).arguments
    pipelines.keep_files_in(sandbox, given)
    # first: what it reads of itself is not to be reset
    pipelines.remember_origin(pipeline, sandbox, given.get("dataset_name"))
    original(**given)


def _use_pipeline(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    return original(pipeline, *args, **kwargs)


def _extract(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    pipelines.bring_into(pipeline, sandbox)
    return hints.extract(sandbox, original, pipeline, *args, **kwargs)


def _observe_run(
    sandbox: Sandbox, original: _Original, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    # first, or another sandbox's database would be opened
    pipelines.bring_into(pipeline, sandbox)
    with _prepared(sandbox, pipeline), runs.observed(pipeline) as done:
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
    dlt_pipelines.skip_restore_from_new_database(pipeline)
    return dlt_pipelines.database_held_open(pipeline)
