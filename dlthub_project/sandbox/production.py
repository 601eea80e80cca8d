"""Makes an error of what the destination of production cannot take, whatever a test has instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import dlt
from dlt.common.destination import (
    Destination,
    DestinationCapabilitiesContext,
    merge_caps_file_formats,
)
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.common.destination.utils import (
    prepare_load_table,
    verify_schema_capabilities,
    verify_supported_data_types,
)
from dlt.common.schema.utils import get_inherited_table_hint
from dlt.common.storages import ParsedLoadJobFileName
from dlt.destinations.utils import verify_schema_replace_disposition

from dlthub_project.dlt_internals import destinations as dlt_destinations
from dlthub_project.dlt_internals import normalization, pipelines
from dlthub_project.errors import NotSupportedInProduction
from dlthub_project.sandbox import report_notes
from dlthub_project.sandbox.destinations import (
    declared_type,
    is_recording,
    is_replaced,
    original_of,
    short_type,
)
from dlthub_project.sandbox.settings import Sandbox

_MOST_PROBLEMS = 10
# dlt has these take an empty text in a CSV file for NULL; the first one gets Arrow data as CSV
_CSV_LOSES = ("postgres", "snowflake")
# dlt maps types by the dialect of the server, and needs the driver to know it
_TYPES_OF_DIALECT = ("sqlalchemy",)
# DuckDB lacks the first, which is a faster second
_OPTIMIZED, _OF_SAME_ROWS = "staging-optimized", "insert-from-staging"


@dataclass
class Production:
    """The destination of production that another stands for.

    Attributes:
        destination: What stands for it.
    """

    destination: Destination[Any, Any]

    @property
    def type(self) -> str:
        """Its type; empty when it cannot be told."""
        return declared_type(self.destination)

    @property
    def description(self) -> str:
        """Its name and type, for messages."""
        name = self.destination.destination_name
        return f"`{name}` ({self.type})" if self.type not in ("", name) else f"`{name}`"

    @cached_property
    def here(self) -> DestinationCapabilitiesContext:
        """The capabilities of the destination that stands for it."""
        # not cheap, and few tests need them
        return self.destination.capabilities()

    def capabilities(self, naming: Any = None) -> DestinationCapabilitiesContext | str:
        """Return its capabilities, or in words why they are unknown."""
        made = original_of(self.destination)
        return normalization.known_capabilities(self.type, made, naming)


def production_of(pipeline: dlt.Pipeline) -> Production | None:
    """Return the destination of production; None where it is the one that is here."""
    destination = pipeline.destination
    if destination is None or not is_replaced(destination):
        return None
    return Production(destination)


def note_unknown(pipeline: dlt.Pipeline, sandbox: Sandbox) -> None:
    """Let the report of a red test name the destination whose capabilities are unknown."""
    destination = pipeline.destination
    if destination is None:
        return
    why: DestinationCapabilitiesContext | str = ""
    if is_recording(destination):
        why = "it is a function"
    elif is_replaced(destination):
        why = Production(destination).capabilities()
    if why and isinstance(why, str):
        name = destination.destination_name
        report_notes.note(sandbox.folder, f"what {name} can do is not checked: {why}")


# the staging areas that pipelines have in production, and not in a test
_staging: WeakKeyDictionary[dlt.Pipeline, Any] = WeakKeyDictionary()


def remember_staging(pipeline: dlt.Pipeline, staging: Any) -> None:
    """Remember the staging area of a pipeline, which is dropped for what stands here."""
    _staging[pipeline] = staging


def check_file_format(pipeline: dlt.Pipeline, file_format: str | None) -> None:
    """Make sure that production loads files of a format, by way of its staging area if it has one.

    Args:
        pipeline: The pipeline.
        file_format: The `loader_file_format` of a run; None if it names none.

    Raises:
        NotSupportedInProduction: Its destination cannot.
    """
    production, staging = production_of(pipeline), _staging.get(pipeline)
    if production is None or (file_format is None and staging is None):
        return
    if short_type(production.destination) != "duckdb":
        # the destination here may be files, to which a save adds in their own format
        return
    capabilities, of_staging = production.capabilities(), _capabilities_of_staging(staging)
    if isinstance(capabilities, str) or isinstance(of_staging, str):
        return
    name = "" if staging is None else Destination.to_name(staging)
    try:
        _, possible = merge_caps_file_formats(
            production.destination.destination_name,
            name,
            capabilities,
            of_staging,  # type: ignore[arg-type]  # None for no staging area
        )
    except DestinationTerminalException as error:
        raise _error(production, [_first_line(error)]) from None
    if file_format is not None and file_format not in possible:
        way = "" if staging is None else f" from staging `{name}`"
        known = ", ".join(possible)
        raise _error(production, [f"loader_file_format {file_format}: it loads {known}{way}"])


def _capabilities_of_staging(staging: Any) -> DestinationCapabilitiesContext | str | None:
    """Return the capabilities of a staging area, None without one, or in words why unknown."""
    if staging is None:
        return None
    if isinstance(staging, Destination):
        return staging.capabilities()
    if staging == "filesystem":
        return normalization.known_capabilities("filesystem", None, None)
    return "it is declared elsewhere"


@contextmanager
def checked(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Make sure that production could load what a pipeline normalizes in a block.

    Raises:
        NotSupportedInProduction: Its destination lacks a type, a way to replace, or room for a
            name or a text, or takes two names for one.
    """
    production = production_of(pipeline)
    capabilities = "" if production is None else production.capabilities()
    if production is None or isinstance(capabilities, str):
        yield
        return
    texts = _Texts(capabilities, loads_csv=production.type in _CSV_LOSES)
    changed = dict(_changed_by_csv(pipeline, production.type, capabilities))
    token = _texts.set(texts)
    try:
        yield
    finally:
        _texts.reset(token)
    if texts.problems:
        raise _error(production, list(texts.problems))
    for table, column in texts.empty:
        if _format_of(pipeline, table) == "csv":
            changed[table, column] = "an empty text becomes NULL"
    changed = {key: why for key, why in changed.items() if _is_changed(pipeline, *key, why)}
    if changed:
        problems = [f"column `{table}.{name}`: {why}" for (table, name), why in changed.items()]
        raise _error(production, problems, _NO_CSV)
    for name in pipeline.schema_names:
        problems = list(_problems(pipeline.schemas[name], production))
        if problems:
            raise _error(production, problems)


_NO_CSV = (
    "dlt loads it there as CSV, as frames and Arrow data by default. Name another format: "
    '`loader_file_format="insert_values"` of the run, or `file_format` of the resource.'
)


def _changed_by_csv(
    pipeline: dlt.Pipeline, kind: str, capabilities: DestinationCapabilitiesContext
) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the columns of Arrow data that production gets as CSV, which changes them."""
    if getattr(pipeline, "keeps_what_csv_changes", False) or kind not in _CSV_LOSES:
        return
    for path, name, schema in pipelines.extracted_files(pipeline, pipelines.ARROW):
        table: Any = schema.tables.get(name, {"name": name})
        if normalization.file_format_of_arrow(capabilities, table) == "csv":
            for column, why in normalization.changed_by_csv(path):
                yield (name, schema.naming.normalize_identifier(column)), why


def _is_changed(pipeline: dlt.Pipeline, table: str, name: str, why: str) -> bool:
    if not why.endswith("NULL"):
        return True
    having = (schema.tables[table]["columns"] for schema in _schemas(pipeline, table))
    return all(columns.get(name, {}).get("nullable", True) for columns in having)


def _format_of(pipeline: dlt.Pipeline, table: str) -> str | None:
    """Return the format that resource or run name for a table."""
    found: str | None = None
    for schema in _schemas(pipeline, table):
        found = get_inherited_table_hint(schema.tables, table, "file_format", allow_none=True)
    return found


def _schemas(pipeline: dlt.Pipeline, table: str) -> Iterator[dlt.Schema]:
    schemas = (pipeline.schemas[name] for name in pipeline.schema_names)
    return (schema for schema in schemas if table in schema.tables)


class _Texts:
    """Notes texts that are longer than a destination takes."""

    def __init__(self, capabilities: DestinationCapabilitiesContext, *, loads_csv: bool) -> None:
        self.problems: dict[str, None] = {}
        self.empty: dict[tuple[str, str], None] = {}
        self._loads_csv = loads_csv
        self._most = capabilities.max_text_data_type_length
        self._is_in_bytes = bool(capabilities.is_max_text_data_type_length_in_bytes)
        templates = getattr(capabilities.type_mapper, "sct_to_dbt", {})
        self._has_precision = "text" in templates

    def look_at(self, table: str, row: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        # this runs for each row of a load, so it must be short
        for name, value in row.items():
            if not isinstance(value, str) or name not in columns:
                continue
            if not value and self._loads_csv:
                self.empty[table, name] = None
            most = columns[name].get("precision") if self._has_precision else None
            # no character takes more than four bytes
            if most is None and (not self._most or len(value) * 4 <= self._most):
                continue
            if columns[name].get("data_type") == "text" and self._is_too_long(value, most):
                has = f"{len(value)} characters"
                if most is None and self._is_in_bytes:
                    has = f"{len(value.encode())} bytes"
                self.problems[
                    f"column `{table}.{name}` (text): a value has {has}, "
                    f"and there is room for {most or self._most}"
                ] = None

    def _is_too_long(self, value: str, most: int | None) -> bool:
        if most is not None:
            return len(value) > most
        return (len(value.encode()) if self._is_in_bytes else len(value)) > self._most


_texts: ContextVar[_Texts | None] = ContextVar("_texts", default=None)


def look_at_rows(table: str, item: Any, columns: Mapping[str, Any]) -> None:
    """Note what rows have that production does not take; `_changed_by_csv` looks at frames."""
    texts = _texts.get()
    if texts is None:
        return
    for row in item if isinstance(item, list) else [item]:
        if isinstance(row, dict):
            texts.look_at(table, row, columns)


def _error(
    production: Production,
    problems: list[str],
    remedy: str = "Change the hints or names of the resource, or the destination.",
) -> NotSupportedInProduction:
    here = "DuckDB"
    if short_type(production.destination) != "duckdb":
        here = f"the {short_type(production.destination)} destination"
    shown = problems[:_MOST_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    return NotSupportedInProduction(
        f"Destination {production.description} cannot take this in production:\n"
        + "\n".join(f"  {problem}" for problem in shown),
        f"{here} in its place can, so only this check tells. {remedy}",
    )


def _problems(schema: dlt.Schema, production: Production) -> Iterator[str]:
    capabilities = production.capabilities(schema.naming)
    if isinstance(capabilities, str):
        return
    kind = production.type
    for error in verify_schema_capabilities(schema, capabilities, kind, warnings=False):
        yield _first_line(error)
    for table in schema.data_tables(seen_data_only=True):
        prepared = prepare_load_table(schema.tables, table, destination_capabilities=capabilities)
        strategy = _replace_strategy(production)
        for error in verify_schema_replace_disposition(
            schema, [prepared], capabilities, strategy, warnings=False
        ):
            yield _first_line(error)
        if kind not in _TYPES_OF_DIALECT:
            yield from _problems_of_types(prepared, capabilities, kind)


def _problems_of_types(
    table: Any, capabilities: DestinationCapabilitiesContext, kind: str
) -> Iterator[str]:
    file_format: Any = (
        table.get("file_format")
        or capabilities.preferred_loader_file_format
        or capabilities.preferred_staging_file_format
    )
    jobs = [ParsedLoadJobFileName(table["name"], "rows", 0, file_format)]
    for name, column in table["columns"].items():
        # Databricks' client adds how it inserts
        alone: Any = {"x-insert-api": "copy_into", **table, "columns": {name: column}}
        for error in verify_supported_data_types([alone], jobs, capabilities, kind, warnings=False):
            yield f"column `{table['name']}.{name}` ({column['data_type']}): {_first_line(error)}"


def _replace_strategy(production: Production) -> Any:
    given = original_of(production.destination).config_params.get("replace_strategy")
    name = production.destination.destination_name
    return given or dlt_destinations.configured_replace_strategy(name)


def replace_as_it_can(destination: Destination[Any, Any], config: Any, sandbox: Sandbox) -> None:
    """Have what stands for a destination replace tables as it can, where production is faster.

    The rows are the same. What production itself lacks is an error of `checked`.
    """
    if getattr(config, "replace_strategy", None) != _OPTIMIZED or not is_replaced(destination):
        return
    supported = normalization.replace_strategies(destination)
    if _OPTIMIZED not in supported and _OF_SAME_ROWS in supported:
        config.replace_strategy = _OF_SAME_ROWS
        of = destination.destination_name
        report_notes.note(
            sandbox.folder, f"replace_strategy {_OPTIMIZED} of {of} -> {_OF_SAME_ROWS}"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
