"""What decorators of a test replace while it runs: in force while its data are loaded, too.

Else what stands for an API in the test would not stand for it in the load, which would ask the real
one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


@contextmanager
def decorated(test: Any) -> Iterator[None]:
    """Have in a block what decorators of `unittest.mock`, responses and requests-mock replace.

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
        # `functools.wraps` hands the list on
        found.update((id(patching), patching) for patching in getattr(test, "patchings", ()))
        for cell in getattr(test, "__closure__", None) or ():
            if replacing := _replacing(cell.cell_contents):
                found.setdefault(id(cell.cell_contents), replacing)
        test = getattr(test, "__wrapped__", None)
    return [*found.values()]


def _replacing(value: Any) -> AbstractContextManager[Any] | None:
    """Return what begins and ends what a decorator's value replaces."""
    if _is(value, "unittest.mock", "patch", "dict"):
        patching: AbstractContextManager[Any] = value
        return patching
    if _is(value, "responses", "RequestsMock"):
        return _answers(value)
    if _is(value, "requests_mock", "Mocker"):
        # as its decorator: each call of the test has one of its own
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
    """Have `responses` answer in a block; what was called, and what is to be, stay for the test."""
    from requests.adapters import HTTPAdapter

    before = HTTPAdapter.send
    mock.start()
    has_started = HTTPAdapter.send is not before
    try:
        yield
    except BaseException:
        # the test does not run, at whose end its decorator would do this
        mock.reset()
        raise
    finally:
        # a fixture may have started it
        if has_started:
            mock.stop(allow_assert=False)
