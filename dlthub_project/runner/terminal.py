"""Tells errors that stay, however often a run is repeated, from those that may go away."""

from __future__ import annotations

from collections.abc import Iterator

from dlt.common.exceptions import TerminalException, TransientException
from dlt.common.schema.exceptions import DataValidationError

from dlthub_project.errors import ProjectError


def is_terminal(error: BaseException) -> bool:
    """Tell whether it is of no use to repeat what raised `error`.

    Terminal are what dlt classifies so (missing configuration, failed jobs, wrong credentials), a
    breach of a schema contract, which dlt does not, mistakes in a project, and all that ends a
    process: Ctrl-C, signals, `RemoteDestinationBlocked`. dlt's classification is that of the
    outermost error which has one: a lost connection stays transient where a missing table, which
    dlt calls terminal, was asked about through it.
    """
    if any(_ends_all(link) for link in chain(error, with_contexts=True)):
        return True
    for link in chain(error):
        if isinstance(link, TransientException):
            return False
        if isinstance(link, TerminalException | ProjectError):
            return True
    return False


def chain(error: BaseException, *, with_contexts: bool = False) -> Iterator[BaseException]:
    """Yield `error` and its causes, the outermost first.

    Args:
        error: The error.
        with_contexts: Whether an error that was being handled counts as a cause where none is
            named.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        context = link.__context__ if with_contexts and not link.__suppress_context__ else None
        link = link.__cause__ or context


def _ends_all(error: BaseException) -> bool:
    return not isinstance(error, Exception) or isinstance(error, DataValidationError)
