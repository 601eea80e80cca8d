"""dlt's source factories, and the configuration that their arguments come from."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dlt
from dlt.extract.decorators import DltSourceFactoryWrapper, _maybe_load_schema_for_callable
from dlt.extract.source import _DltSingleSource

from dlthub_project.dlt_internals.look_ups import cast_value

if TYPE_CHECKING:
    from dlt.extract.reference import AnySourceFactory


def configured_value(key: str, hint: Any, *sections: str) -> Any:
    """Return a configured value as `hint` has it, or None; looked up in `sections` alone.

    A type that dlt's configuration does not know leaves the value as it is written.

    Raises:
        ConfigValueCannotBeCoercedException: It cannot be cast.
    """
    return cast_value(key, dlt.config.get(".".join((*sections, key))), hint)


def source_function(factory: AnySourceFactory) -> Callable[..., Any]:
    """Return the function that is called for a source; if it is a resource, that of the resource.

    dlt wraps a resource that serves as a source in a function that takes anything.
    """
    function: Callable[..., Any] = inspect.unwrap(factory)
    if isinstance(factory, DltSourceFactoryWrapper) and issubclass(
        factory._impl_cls, _DltSingleSource
    ):
        resource = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
        function = inspect.unwrap(resource._pipe.gen)
    return function


def has_schema_file(factory: AnySourceFactory) -> bool:
    """Tell whether a schema lies as a file beside the code of a source, under its own name."""
    found = _maybe_load_schema_for_callable(inspect.unwrap(factory), factory.ref.name)
    return found is not None
