"""How pipelines extract and normalize in a sandbox.

Another destination may stand in production's place, and a seam may replace the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.extract import DltResource, DltSource

from dlthub_project.dlt_internals import normalization, pipelines
from dlthub_project.errors import MergeKeyNotKnown, MergeStrategyNotSupported, causes
from dlthub_project.sandbox import parquet_values, production, report_notes, runs, watching
from dlthub_project.sandbox.destinations import is_replaced, short_type
from dlthub_project.sandbox.pipelines import takes_any_file_format
from dlthub_project.sandbox.production import Production, note_unknown, production_of
from dlthub_project.sandbox.settings import Sandbox

# compressed: some thousand rows. For three rows Parquet is slower.
_WORTH_IT_BYTES = 20_000
_OF_THE_TEST = (MergeKeyNotKnown, MergeStrategyNotSupported)

Seam = Callable[[dlt.Pipeline, Mapping[str, Any]], AbstractContextManager[Mapping[str, Any]]]
"""Called with a pipeline and the arguments of `extract`; gives those that it extracts with."""

# by the folder of the sandbox: threads of a test are in it, fixtures of wider scope are not
_seams: dict[str, list[Seam | None]] = {}
_extracted_for: ContextVar[Production | None] = ContextVar("_extracted_for", default=None)


def extract(
    _sandbox: Sandbox, original: Callable[..., Any], pipeline: dlt.Pipeline, *args: Any, **kw: Any
) -> Any:
    """Extract without `table_format`, if the destination is replaced.

    Raises:
        MergeKeyNotKnown: A resource merges the rows of the test by no key.
        MergeStrategyNotSupported: What is in its place does not merge as a resource asks.
    """
    __tracebackhide__ = True
    token = _extracted_for.set(production_of(pipeline))
    try:
        return original(pipeline, *args, **kw)
    except Exception as error:
        # bare, and not as the failure of a step: the pipeline has not failed, the test has to say
        # more
        links = causes(error, "none")
        cause = next((link for link in links if isinstance(link, _OF_THE_TEST)), None)
        if cause is None:
            raise
        raise cause from None
    finally:
        _extracted_for.reset(token)


def compute_table_schema(
    sandbox: Sandbox, original: Callable[..., Any], resource: Any, *args: Any, **kw: Any
) -> Any:
    """Compute the table of a resource, as it is extracted here.

    Raises:
        TypeError: Its rows are sources or resources. dlt makes tables of their attributes.
    """
    rows = args[0] if args else kw.get("item")
    first = rows[0] if isinstance(rows, list) and rows else rows
    if isinstance(first, DltSource | DltResource):
        kind = "source" if isinstance(first, DltSource) else "resource"
        raise TypeError(
            f"`{resource.name}` yields or returns the {kind} `{first.name}` as if it were a row: "
            "dlt would load its attributes. Call the function, and run what it gives: "
            "`list(make())`, or `asyncio.run(make())` where it is `async`."
        )
    table = original(resource, *args, **kw)
    replaced = _extracted_for.get()
    if replaced is not None:
        # before: some merge tables of one format alone
        _check_merge_strategy_of_production(table, replaced)
        if table_format := table.pop("table_format", None):
            report_notes.note(
                sandbox.folder, f"table_format {table_format} of {table['name']} dropped"
            )
        _check_merge_strategy(table, replaced)
    return table


def check_merge_strategies(pipeline: dlt.Pipeline) -> None:
    """Make sure that tables are merged as their schema says, which is not of resources alone.

    Hints of nested tables and schemas that are imported say it too, and a pipeline may get its
    destination after it has extracted.

    Raises:
        MergeStrategyNotSupported: The destination cannot do it, or what stands for it. dlt itself
            appends where a filesystem cannot merge.
    """
    replaced = production_of(pipeline)
    if replaced is None:
        return
    for name in pipeline.schema_names:
        for table in pipeline.schemas[name].data_tables(include_incomplete=True):
            _check_merge_strategy_of_production(table, replaced, is_as_declared=False)
            _check_merge_strategy(table, replaced)


def _strategies(capabilities: DestinationCapabilitiesContext, table: Any) -> Any:
    found = capabilities.supported_merge_strategies or []
    selector: Any = capabilities.merge_strategies_selector
    return selector(found, table_schema=table) if selector else found


def _merges(table: Any) -> str:
    strategy = table.get("x-merge-strategy")
    wanted = f"with the strategy `{strategy}`" if strategy else "its rows"
    return f"Resource `{table.get('resource') or table['name']}` merges {wanted}."


def _check_merge_strategy_of_production(
    table: Any, replaced: Production, *, is_as_declared: bool = True
) -> None:
    capabilities = replaced.capabilities()
    if table.get("write_disposition") != "merge" or isinstance(capabilities, str):
        return
    supported = _strategies(capabilities, table)
    if not (supported or is_as_declared):
        # it may have had a table format, which has been dropped for what stands here
        formats = capabilities.supported_table_formats or ()
        with_format = ({**table, "table_format": one} for one in formats)
        supported = next(filter(None, (_strategies(capabilities, t) for t in with_format)), [])
    # without one, dlt takes the first that the destination has
    if supported and table.get("x-merge-strategy") in (None, *supported):
        return
    has = ", ".join(supported) if supported else "no merge strategy"
    raise MergeStrategyNotSupported(
        f"{_merges(table)} In production destination {replaced.description} has {has}.",
        "Choose a strategy that it has: "
        'write_disposition={"disposition": "merge", "strategy": ...}.',
    )


def _check_merge_strategy(table: Any, replaced: Production) -> None:
    if table.get("write_disposition") != "merge":
        return
    strategy: str | None = table.get("x-merge-strategy")
    supported = _strategies(replaced.here, table)
    if supported and strategy in (None, *supported):
        return
    name, here = replaced.destination.destination_name, "DuckDB"
    if short_type(replaced.destination) != "duckdb":
        here = f"a {short_type(replaced.destination)} destination"
    is_newer = here == "DuckDB" and strategy in (replaced.here.supported_merge_strategies or ())
    raise MergeStrategyNotSupported(
        f"{_merges(table)} In production that is for destination {replaced.description}; "
        f"here {here} is in its place, "
        f"which has {', '.join(supported) if supported else 'no merge strategy'}.",
        f"{'Newer versions of DuckDB have it. ' if is_newer else ''}Say in the fixture "
        f"dlt_destinations which destination `{name}` is in tests, and allow it if it is remote: "
        f'dlt_allow_remote = {name} in the ini file, or @pytest.mark.dlt_allow_remote("{name}").',
    )


def normalize(
    sandbox: Sandbox, original: Callable[..., Any], pipeline: dlt.Pipeline, *args: Any, **kw: Any
) -> Any:
    """Normalize, as the sandbox says, else into Parquet where it pays and changes no value.

    A declared DuckDB keeps its production loader.

    Raises:
        MergeStrategyNotSupported: What is in the destination's place does not merge so.
        NotSupportedInProduction: The destination itself cannot take the tables.
    """
    __tracebackhide__ = True
    check_merge_strategies(pipeline)
    note_unknown(pipeline, sandbox)
    if watching.watcher is not None:
        watching.watcher.arrow_extracted(pipeline)
    with production.checked(pipeline):
        info = _normalize(sandbox, original, pipeline, *args, **kw)
        runs.remember_untraced(pipeline, info)
    return info


def _normalize(
    sandbox: Sandbox, original: Callable[..., Any], pipeline: dlt.Pipeline, *args: Any, **kw: Any
) -> Any:
    __tracebackhide__ = True
    destination = pipeline.destination
    free = destination is not None and (is_replaced(destination) or takes_any_file_format(pipeline))
    if not free or not destination.destination_type.endswith(".duckdb"):
        return original(pipeline, *args, **kw)
    if sandbox.loader_file_format is not None:
        with pipelines.preferred_loader_file_format(pipeline, sandbox.loader_file_format):
            return original(pipeline, *args, **kw)
    if _extracted_bytes(pipeline) < _WORTH_IT_BYTES:
        return original(pipeline, *args, **kw)
    with normalization.file_format_tried("parquet", parquet_values.same_as_inserted):
        return original(pipeline, *args, **kw)


def normalize_package(
    _sandbox: Sandbox, original: Callable[..., Any], step: Any, *args: Any, **kw: Any
) -> Any:
    """Normalize one package, in the format that is tried if all its rows may be."""
    return normalization.normalize_package(original, step, *args, **kw)


def write_rows(
    _sandbox: Sandbox,
    original: Callable[..., Any],
    storage: Any,
    load_id: str,
    schema_name: str,
    table_name: str,
    item: Any,
    columns: Any,
) -> Any:
    """Write rows of a table, unless they must not be in the format that is tried."""
    production.look_at_rows(table_name, item, columns)
    if watching.watcher is not None:
        watching.watcher.rows_written(load_id, schema_name, table_name, item, columns)
    return normalization.write_rows(
        original, storage, load_id, schema_name, table_name, item, columns
    )


def _extracted_bytes(pipeline: dlt.Pipeline) -> int:
    folder = Path(pipeline.working_dir, "normalize")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextmanager
def extracted_through(seam: Seam | None, sandbox: Sandbox) -> Iterator[None]:
    """Have all extractions of a block go through `seam`; None for none.

    Args:
        seam: What is called; that of a block within the block takes its place.
        sandbox: Where; extractions in other sandboxes stay as they are.
    """
    entered = _seams.setdefault(sandbox.folder, [])
    entered.append(seam)
    try:
        yield
    finally:
        # removes the last equal one, because blocks of threads end in any order
        del entered[len(entered) - 1 - [*map(id, reversed(entered))].index(id(seam))]
        if not entered:
            _seams.pop(sandbox.folder, None)


def copy_seams(folder: str, to_folder: str) -> None:
    """Give a copy of a sandbox, for a forked process, the seams of the sandbox."""
    if folder in _seams:
        _seams[to_folder] = _seams[folder]


def is_extracted_through(sandbox: Sandbox) -> bool:
    """Tell whether extractions in a sandbox go through a seam."""
    entered = _seams.get(sandbox.folder, [])
    return bool(entered) and entered[-1] is not None


def through_seam(
    pipeline: dlt.Pipeline, arguments: Mapping[str, Any], sandbox: Sandbox
) -> AbstractContextManager[Mapping[str, Any]]:
    """Give the arguments that a pipeline extracts with."""
    entered = _seams.get(sandbox.folder)
    seam = entered[-1] if entered else None
    return nullcontext(arguments) if seam is None else seam(pipeline, arguments)
