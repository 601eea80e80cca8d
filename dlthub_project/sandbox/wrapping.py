"""Wraps a member of a class of dlt, so that other code is called in its place in a sandbox."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import ismethod
from typing import Any

import dlt

from dlthub_project.errors import RemoteDestinationBlocked
from dlthub_project.sandbox import pipelines, report_notes
from dlthub_project.sandbox.background_work import CallOfDlt
from dlthub_project.sandbox.settings import Sandbox, active_sandbox


def wrap(
    owner: type, name: str, wrapper: Callable[..., Any], *, is_everywhere: bool = False
) -> None:
    """Wrap a member of a class.

    Args:
        owner: The class.
        name: The member.
        wrapper: Called with the sandbox, the member itself, and the arguments of the call.
        is_everywhere: Whether the wrapper is called outside of sandboxes, too, with None.
    """
    member = getattr(owner, name)
    is_of_class = ismethod(member)
    original: Callable[..., Any] = member.__func__ if is_of_class else member

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        # hides this frame: in a traceback, it only stands between the user's code and dlt's
        __tracebackhide__ = True
        sandbox = active_sandbox()
        try:
            with CallOfDlt(sandbox):
                if sandbox is None and not is_everywhere:
                    return original(*args, **kwargs)
                return wrapper(sandbox, original, *args, **kwargs)
        except RemoteDestinationBlocked as error:
            if sandbox is not None:
                report_notes.note_blocked(sandbox, error)
            raise

    setattr(owner, name, classmethod(wrapped) if is_of_class else wrapped)


def wrap_property(name: str, original: property) -> None:
    """Wrap the getter of a pipeline's property."""
    assert original.fget is not None
    get = original.fget

    @functools.wraps(get)
    def wrapped(self: dlt.Pipeline) -> Any:
        sandbox = active_sandbox()
        with CallOfDlt(sandbox):
            if sandbox is not None:
                pipelines.bring_into(self, sandbox)
            return get(self)

    setattr(dlt.Pipeline, name, property(wrapped, original.fset, original.fdel))


class Attribute:
    """An attribute that an object has set on itself, asked for like a property."""

    def __init__(self, name: str, bring: Callable[[Any, Sandbox], None]) -> None:
        self._name = name
        self._bring = bring

    def __get__(self, owned: Any, owner: type | None = None) -> Any:
        if owned is None:
            return self
        sandbox = active_sandbox()
        if sandbox is not None and self._name in vars(owned):
            with CallOfDlt(sandbox):
                self._bring(owned, sandbox)
        try:
            return vars(owned)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, owned: Any, value: Any) -> None:
        vars(owned)[self._name] = value


class OfDataset(Attribute):
    """One of a dataset, which is of where it gets its destination."""

    def __set__(self, owned: Any, value: Any) -> None:
        super().__set__(owned, value)
        if self._name == "_destination":
            pipelines.remember_dataset(owned, active_sandbox())
