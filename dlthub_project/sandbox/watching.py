"""Tells a watcher what code does with data in this process; without one, nothing is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dlthub_project.dlt_internals import data_events
from dlthub_project.sandbox import runs, wrapping

if TYPE_CHECKING:
    import dlt
    from dlt.extract import DltSource

    from dlthub_project.sandbox.settings import Sandbox


class Watcher(Protocol):
    """The events that a watcher hears of; its methods raise nothing."""

    def extracting(self, pipeline: dlt.Pipeline, source: DltSource, refresh: Any) -> None:
        """A source is about to be extracted; it still has the schema that code gave it."""

    def extracted(
        self, pipeline: dlt.Pipeline, source: DltSource, load_id: str, items: dict[str, int]
    ) -> None:
        """A source was extracted: rows by resource, those with rows alone."""

    def rows_written(
        self, load_id: str, schema: str, table: str, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Rows of a table were normalized."""

    def arrow_extracted(self, pipeline: dlt.Pipeline) -> None:
        """A pipeline is about to normalize; files of Arrow data are there."""

    def contract_breached(self, schema: str, table: str, entity: str) -> None:
        """Data broke a contract, whatever came of it."""

    def relation_read(self, relation: dlt.Relation) -> None:
        """The rows of a relation were asked for, and the destination has answered."""

    def query_read(self, client: Any, query: Any) -> None:
        """A query of code, outside of runs, was answered."""

    def connection_taken(self, dataset_name: str | None, database: str) -> None:
        """Code has a connection of its own: that of a dataset, or to a database by its path."""


watcher: Watcher | None = None
_is_installed = False


@contextmanager
def watched_by(one: Watcher) -> Iterator[None]:
    """Make `one` the watcher in a block; that of a block around it hears nothing meanwhile."""
    global watcher
    _install()
    before, watcher = watcher, one
    try:
        yield
    finally:
        watcher = before


def _install() -> None:
    """Wrap what only watchers need, once, with the first watcher."""
    global _is_installed
    if _is_installed:
        return
    _is_installed = True
    for owner, name, wrapper in (
        (*data_events.EXTRACT_SOURCE, _extract_source),
        (*data_events.CURSOR_OF_RELATION, _cursor),
        (*data_events.APPLY_CONTRACT, _apply_contract),
    ):
        wrapping.wrap(owner, name, wrapper)
    data_events.tell_of_connections(_connection_taken)


def read_elsewhere(dataset_name: str) -> None:
    """Tell that rows of a dataset are read in a way that does not show which columns matter."""
    if watcher is not None:
        watcher.connection_taken(dataset_name, "")


def answered(context: Any, client: Any, query: Any) -> Any:
    """Return a context manager as it is, or one that tells of its query once that is answered."""
    if watcher is None or _here.is_quiet or runs.is_running():
        return context
    return _telling(context, client, query)


@contextmanager
def _telling(context: Any, client: Any, query: Any) -> Iterator[Any]:
    with context as cursor:
        if watcher is not None:
            watcher.query_read(client, query)
        yield cursor


def _connection_taken(dataset_name: str | None, database: str) -> None:
    if watcher is not None:
        watcher.connection_taken(dataset_name, database)


def _extract_source(
    _sandbox: Sandbox,
    original: Callable[..., Any],
    pipeline: dlt.Pipeline,
    extract: Any,
    source: DltSource,
    *args: Any,
    **kwargs: Any,
) -> Any:
    __tracebackhide__ = True
    if watcher is None:
        return original(pipeline, extract, source, *args, **kwargs)
    watcher.extracting(pipeline, source, data_events.refresh_of(args, kwargs))
    try:
        load_id: str = original(pipeline, extract, source, *args, **kwargs)
    except Exception as error:
        breach = data_events.breach_in(error)
        if breach is not None and watcher is not None:
            # of a model of pydantic
            watcher.contract_breached(source.schema.name, breach.table_name, breach.schema_entity)
        raise
    if watcher is not None:
        watcher.extracted(pipeline, source, load_id, data_events.items_of(extract, load_id))
    return load_id


@contextmanager
def _cursor(
    _sandbox: Sandbox, original: Callable[..., Any], relation: dlt.Relation
) -> Iterator[Any]:
    with ExitStack() as stack:
        _here.is_quiet = True
        try:
            # only this part executes the query: a reader of chunks does other things in between
            cursor = stack.enter_context(original(relation))
        finally:
            _here.is_quiet = False
        if watcher is not None:
            watcher.relation_read(relation)
        yield cursor


class _Here(threading.local):
    """Whether a relation executes its query in this thread."""

    is_quiet: bool = False


_here = _Here()


def _apply_contract(
    _sandbox: Sandbox, original: Callable[..., Any], schema: Any, *args: Any, **kwargs: Any
) -> Any:
    __tracebackhide__ = True
    try:
        table, filters = original(schema, *args, **kwargs)
    except data_events.BREACH as breach:
        if watcher is not None:
            watcher.contract_breached(schema.name, breach.table_name, breach.schema_entity)
        raise
    if filters and watcher is not None:
        name = data_events.name_of_table(args, kwargs)
        for entity, *_ in filters:
            watcher.contract_breached(schema.name, name, entity)
    return table, filters
