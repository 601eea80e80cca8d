"""Takes the secrets that are known out of errors that are raised to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dlthub_project.secrets.known import KNOWN

# attributes with the texts of builtin errors, beside their arguments
_TOLD = ("code", "filename", "filename2", "msg", "strerror", "text", "value")


@contextmanager
def hidden_in_errors() -> Iterator[None]:
    """Mask the secrets in the errors that leave a block or, as a decorator, a function."""
    try:
        yield
    except BaseException as error:
        hide_in_error(error)
        raise


def hide_in_error(error: BaseException) -> None:
    """Mask the secrets in what an error says, and those that it goes back to.

    The receiver may print, log or send the error. The errors stay the same objects. Only causes
    that cannot be changed, such as groups and errors of pydantic, are replaced by errors with the
    masked text.
    """
    if not KNOWN:
        return
    for link in _links(error):
        _hide(link)
    for link in _links(error):
        for name in ("__cause__", "__context__"):
            earlier = getattr(link, name)
            if earlier is not None and _tells(earlier):
                hides_context = link.__suppress_context__
                setattr(link, name, _stand_in(earlier))
                link.__suppress_context__ = hides_context


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes, the members of groups, and errors in attributes of all these."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, *vars(link).values(), *link.args]
        waiting += getattr(link, "exceptions", ())


def _hide(error: BaseException) -> None:
    # some errors of libraries refuse changes
    with suppress(Exception):
        if (hidden := KNOWN.masked_in(error.args)) != error.args:
            error.args = hidden
    for name, value in list(vars(error).items()):
        with suppress(Exception):
            if (hidden := KNOWN.masked_in(value)) != value:
                setattr(error, name, hidden)
    for name in _TOLD:
        with suppress(Exception):
            value = getattr(error, name, None)
            if isinstance(value, str) and (hidden := KNOWN.masked(value)) != value:
                setattr(error, name, hidden)


def _tells(error: BaseException) -> bool:
    try:
        text = str(error)
    except Exception:
        return False
    return KNOWN.masked(text) != text


def _stand_in(error: BaseException) -> BaseException:
    kind = type(error)
    # a name of its own, so that no code takes it for the original class
    made = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
    shown: BaseException = made(KNOWN.masked(str(error)))
    shown.__cause__, shown.__context__ = error.__cause__, error.__context__
    shown.__suppress_context__ = error.__suppress_context__
    return shown.with_traceback(error.__traceback__)
