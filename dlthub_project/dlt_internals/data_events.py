"""The parts of dlt that show what code does with data: extraction, contracts, reads."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import PurePath
from types import ModuleType
from typing import Any

import dlt
from dlt.common.schema import Schema
from dlt.common.schema.exceptions import DataValidationError
from dlt.common.schema.utils import is_dlt_table_or_column
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.extract import DltResource, DltSource
from dlt.extract.reference import SourceFactory, SourceReference

from dlthub_project.dlt_internals import pipelines, python_state
from dlthub_project.dlt_internals.resources import function_of, incremental_parameter
from dlthub_project.errors import causes

EXTRACT_SOURCE = (dlt.Pipeline, "_extract_source")
"""Is called with pipeline, extract step and each source of a run; returns the id of the load."""

CURSOR_OF_RELATION = (dlt.Relation, "_cursor")
"""A context manager; all rows of a relation are fetched within it."""

APPLY_CONTRACT = (Schema, "apply_schema_contract")
"""Returns what is left of a table, and filters of what a contract does not let pass."""

BREACH = DataValidationError
_OF_LIBRARIES = ("dlt", "dlthub_project", "pytest_dlthub")
_LEADING = tuple(f"dlthub_project.sandbox.own_{what}" for what in ("connections", "statements"))
# functions of DuckDB: those of connections, and those of the module
_TOLD = [(False, "connect"), *product((True, False), ("execute", "executemany", "query", "sql"))]
_ATTACH = re.compile(r"\battach\b", re.IGNORECASE)
_ATTACHED = re.compile(r"\battach\b[^';]*'([^']+)'", re.IGNORECASE)
# functions that replace those of resources
_IN_PLACE = ("dlthub_project.", "pytest_dlthub.")


def refresh_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return `refresh` of the arguments of `EXTRACT_SOURCE` that follow the source."""
    return kwargs.get("refresh") or (args[2] if len(args) > 2 else None)


def name_of_table(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the table that `APPLY_CONTRACT` is called for."""
    table = args[1] if len(args) > 1 else kwargs["partial_table"]
    return str(table["name"])


def items_of(extract: Any, load_id: str) -> dict[str, int]:
    """Return the number of rows by resource, of the source that was extracted last."""
    metrics = extract._step_info_metrics(load_id)[-1]["resource_metrics"]
    return {str(name): found.items_count for name, found in metrics.items()}


def registered_sources() -> dict[tuple[str, str], str]:
    """Return the sources, and resources outside of sources, that modules hold.

    By section and name; the name of the module. dlt also lists the resources that a function makes
    of functions of its module.
    """
    found = {}
    for one in SourceReference.SOURCES.values():
        module, _, name = one.ref.rpartition(".")
        while module and module not in sys.modules:
            # it is a class
            module, _, outer = module.rpartition(".")
            name = f"{outer}.{name}"
        held: Any = sys.modules.get(module)
        for part in name.split("."):
            held = getattr(held, part, None)
        if isinstance(held, SourceFactory | DltResource) or hasattr(held, "_factory"):
            found[one.section, one.name] = module
    return found


def held_sources(module: ModuleType) -> dict[tuple[str, str], str]:
    """Return the sources that a module holds by a name, and that dlt has not registered.

    By section and name; the module of the function, or the module itself. dlt registers the
    functions alone that stand in modules and classes: what a module has made by a call, such as
    `rest_api_source(...)`, `dlt.resource(rows, name="orders")` or a function that makes sources, is
    not among `registered_sources`.
    """
    found = {}
    for held in list(vars(module).values()):
        if isinstance(held, SourceFactory) and "<locals>" in getattr(held, "__qualname__", ""):
            function: Any = held
            own = str(function.__module__)
            section = getattr(sys.modules.get(own), "__source_name__", own.rpartition(".")[2])
            found[str(held.section or section), str(held.name or function.__name__)] = own
        elif isinstance(held, DltSource):
            found[str(held.section), str(held.name)] = module.__name__
        elif isinstance(held, DltResource) and not (held.source_name or held._pipe.has_parent):
            made_by = module_of(held) or module.__name__
            found[str(held.section), str(held.name)] = made_by
    return found


def module_of(resource: DltResource) -> str | None:
    """Return the module of the function that extracts; None for data without a function."""
    function = function_of(resource)
    return None if function is None else str(getattr(function, "__module__", ""))


def is_given(resource: DltResource) -> bool:
    """Tell whether a resource yields what a test gives, or what was recorded."""
    return str(module_of(resource)).startswith(_IN_PLACE)


def parents_of(resource: DltResource) -> Iterator[DltResource]:
    """Yield the resources from which a transformer gets its data, the nearest first."""
    parent: DltResource | None = resource._parent
    while parent is not None and not parent._pipe.is_empty:
        yield parent
        parent = parent._parent


def cursor_of(resource: DltResource) -> str | None:
    """Return the path of the incremental cursor of a resource; None if it has none."""
    found: Any = resource.incremental
    found = getattr(found, "incremental", found)
    if found is None and (function := function_of(resource)) is not None:
        # dlt binds the incremental of an argument only when it extracts
        found = getattr(incremental_parameter(function), "default", None)
    path = getattr(found, "cursor_path", None)
    return str(path) if path else None


def breach_in(error: BaseException) -> Any:
    """Return the breach of a contract that caused an error; None if something else did."""
    return next((one for one in causes(error) if isinstance(one, BREACH)), None)


def has_validator(resource: DltResource) -> bool:
    """Tell whether a model of pydantic validates the rows of a resource."""
    return resource.validator is not None


def contract_of(owner: DltSource | DltResource) -> dict[str, str]:
    """Return the modes by which the contract of a source or resource refuses data, by entity."""
    settings: Any = owner.schema_contract
    if callable(settings) or not settings:
        return {}
    expanded = Schema.expand_schema_contract_settings(settings)
    return {entity: str(mode) for entity, mode in expanded.items() if mode != "evolve"}


def arrow_files(pipeline: dlt.Pipeline) -> Iterator[tuple[str, Schema, str, str]]:
    """Yield the files of Arrow data that a pipeline has extracted: load, schema, table, path."""
    for path, table, schema in pipelines.extracted_files(pipeline, pipelines.ARROW):
        yield PurePath(path).parts[-3], schema, table, path


def schemas_after_run(pipeline: dlt.Pipeline) -> list[Schema]:
    """Return the schemas of a pipeline that has just run: as in memory, where dlt has them.

    `Pipeline.schemas` reads each from its file, some 2 ms, though the run has just written it.
    """
    live = pipeline._schema_storage.live_schemas
    return [live.get(name) or pipeline.schemas[name] for name in pipeline.schema_names]


def tables_of(schema: Schema) -> Iterator[tuple[str, str, dict[str, Any], list[str]]]:
    """Yield the tables of a schema, those without rows too, and without dlt's own.

    With their resource, that of the root table where they are nested, their hints, and the names of
    their columns, without dlt's own.
    """
    prefix = schema._dlt_tables_prefix
    for table in schema.data_tables(include_incomplete=True):
        root: Any = table
        while root.get("parent") in schema.tables:
            root = schema.tables[root["parent"]]
        columns = [name for name in table["columns"] if not is_dlt_table_or_column(name, prefix)]
        yield str(table["name"]), str(root.get("resource") or root["name"]), dict(root), columns


def merge_strategy(table: Mapping[str, Any]) -> str:
    """Return the write disposition of a table, with the strategy that it names."""
    strategy = table.get("x-merge-strategy")
    disposition = str(table.get("write_disposition") or "append")
    return f"{disposition} ({strategy})" if strategy else disposition


def key_of(columns: Mapping[str, Any]) -> list[str]:
    """Return the columns that rows are merged by: the primary key, else the merge key."""
    for hint in ("primary_key", "merge_key"):
        if found := [name for name, column in columns.items() if column.get(hint)]:
            return found
    return []


def tell_of_connections(tell: Callable[[str | None, str], None]) -> None:
    """Call `tell` when code takes a connection of DuckDB for itself, or attaches a database to one.

    With the name of the dataset whose client it takes it from, and a database that it opens; of
    databases that it attaches by their path, or `.` where a statement does not show one.
    """
    import duckdb

    native: Any = vars(DuckDbSqlClient)["native_connection"]
    get = native.fget

    @functools.wraps(get)
    def taken(client: Any) -> Any:
        if _is_of_user(2):
            tell(client.dataset_name, "")
        return get(client)

    setattr(DuckDbSqlClient, "native_connection", property(taken, native.fset))  # noqa: B010  # mypy lets nobody assign a property
    replaced = {}
    for owner, name in _TOLD:
        held: Any = duckdb.DuckDBPyConnection if owner else duckdb
        original = getattr(held, name)
        told = _connecting(original, tell) if name == "connect" else _attaching(original, tell)
        setattr(held, name, told)
        replaced[id(original)] = told
    python_state.replace_held(replaced)


def _connecting(connect: Any, tell: Callable[[str | None, str], None]) -> Any:
    @functools.wraps(connect)
    def connected(*args: Any, **kwargs: Any) -> Any:
        if _is_of_user(2):
            tell(None, str(args[0] if args else kwargs.get("database", "")))
        return connect(*args, **kwargs)

    return connected


def _attaching(execute: Any, tell: Callable[[str | None, str], None]) -> Any:
    @functools.wraps(execute)
    def executed(*args: Any, **kwargs: Any) -> Any:
        # that of a connection, or of the module
        for text in (*args[:2], kwargs.get("query")):
            if isinstance(text, str) and _ATTACH.search(text) and _is_of_user(2):
                for path in _ATTACHED.findall(text) or ["."]:
                    tell(None, path)
        return execute(*args, **kwargs)

    return executed


def _is_of_user(depth: int) -> bool:
    """Tell whether a caller is neither dlt nor ours; other libraries count as the user's code."""
    frame = sys._getframe(depth)
    while frame.f_globals.get("__name__") in _LEADING and frame.f_back is not None:
        # what leads code's own connections into the sandbox stands around these
        frame = frame.f_back
    if frame.f_code.co_name == "__getattr__" and frame.f_back is not None:
        # a client answers `client.execute` with that of its connection
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).partition(".")[0] not in _OF_LIBRARIES


def file_of(module: str) -> str:
    """Return the file of a module that is imported; empty if it has none."""
    found = sys.modules.get(module)
    try:
        return inspect.getfile(found) if found is not None else ""
    except TypeError:
        return ""
