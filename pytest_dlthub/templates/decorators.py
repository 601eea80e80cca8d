"""Applies the replacements of a test's decorators also while its data are loaded once.

Else the load would ask a real API that a decorator replaces in the test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


@contextmanager
def decorated(test: Any) -> Iterator[None]:
    """Replace in a block what decorators of `unittest.mock`, responses and requests-mock replace.

    Args:
        test: The function of a test, or None.
    """
    with ExitStack() as stack:
        for replacing in _replacements_of(test):
            stack.enter_context(replacing)
        yield


def _replacements_of(test: Any) -> list[AbstractContextManager[Any]]:
    found: dict[int, AbstractContextManager[Any]] = {}
    while test is not None:
        # `functools.wraps` copies the list to the wrapper
        found.update((id(patching), patching) for patching in getattr(test, "patchings", ()))
        for cell in getattr(test, "__closure__", None) or ():
            if replacing := _replacing(cell.cell_contents):
                found.setdefault(id(cell.cell_contents), replacing)
        test = getattr(test, "__wrapped__", None)
    return [*found.values()]


def _replacing(value: Any) -> AbstractContextManager[Any] | None:
    """Return a context manager that replaces as the decorator does; None for another value."""
    if _is(value, "unittest.mock", "patch", "dict"):
        patching: AbstractContextManager[Any] = value
        return patching
    if _is(value, "responses", "RequestsMock"):
        return _answers(value)
    if _is(value, "requests_mock", "Mocker"):
        # a copy, as its decorator makes for each call of the test
        copy: AbstractContextManager[Any] = value.copy()
        return copy
    return None


def _is(value: Any, module: str, *names: str) -> bool:
    kind: Any = sys.modules.get(module)
    for name in names:
        kind = getattr(kind, name, None)
    return isinstance(kind, type) and isinstance(value, kind)


@contextmanager
def _answers(mock: Any) -> Iterator[None]:
    """Let `responses` answer in a block; its calls and its answers stay for the test."""
    from requests.adapters import HTTPAdapter

    before = HTTPAdapter.send
    mock.start()
    has_started = HTTPAdapter.send is not before
    try:
        yield
    except BaseException:
        # the test does not run, so its decorator will not do this
        mock.reset()
        raise
    finally:
        # unless a fixture has started it
        if has_started:
            mock.stop(allow_assert=False)
