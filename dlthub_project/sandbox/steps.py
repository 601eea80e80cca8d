"""The steps extract and normalize, where another destination stands in production's place."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination, DestinationCapabilitiesContext

from dlthub_project.dlt_internals import normalization, pipelines
from dlthub_project.errors import MergeStrategyNotSupported
from dlthub_project.sandbox import change_report, parquet_values
from dlthub_project.sandbox.destinations import declared_type, is_replaced, short_type
from dlthub_project.sandbox.pipelines import takes_any_file_format
from dlthub_project.sandbox.settings import Sandbox

# compressed: some thousand rows. For three rows Parquet is slower.
_WORTH_IT_BYTES = 20_000


class _Replaced:
    """What stands for the destination of production, and what it can do."""

    def __init__(self, destination: Destination[Any, Any]) -> None:
        self.destination = destination

    @cached_property
    def capabilities(self) -> DestinationCapabilitiesContext:
        # not cheap, and few tests need them
        return self.destination.capabilities()


_extracted_for: ContextVar[_Replaced | None] = ContextVar("_extracted_for", default=None)


def extract(
    _sandbox: Sandbox, original: Callable[..., Any], pipeline: dlt.Pipeline, *args: Any, **kw: Any
) -> Any:
    """Extract without `table_format`, if the destination is replaced.

    Raises:
        MergeStrategyNotSupported: What is in its place does not merge as a resource asks.
    """
    __tracebackhide__ = True
    token = _extracted_for.set(_replaced(pipeline))
    try:
        return original(pipeline, *args, **kw)
    except Exception as error:
        # bare, and not as the failure of a step: the pipeline has not failed, the test has to say
        # more
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MergeStrategyNotSupported):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
    finally:
        _extracted_for.reset(token)


def compute_table_schema(
    sandbox: Sandbox, original: Callable[..., Any], resource: Any, *args: Any, **kw: Any
) -> Any:
    """Compute the table of a resource, as it is extracted here."""
    table = original(resource, *args, **kw)
    replaced = _extracted_for.get()
    if replaced is not None:
        if table_format := table.pop("table_format", None):
            change_report.note(
                sandbox.folder, f"table_format {table_format} of {table['name']} dropped"
            )
        _check_merge_strategy(table, replaced)
    return table


def check_merge_strategies(pipeline: dlt.Pipeline) -> None:
    """Make sure that tables are merged as their schema says, which is not of resources alone.

    Raises:
        MergeStrategyNotSupported: What stands for the destination cannot do it. dlt itself appends
            where a filesystem cannot merge.
    """
    replaced = _replaced(pipeline)
    if replaced is None:
        return
    for name in pipeline.schema_names:
        for table in pipeline.schemas[name].data_tables(include_incomplete=True):
            _check_merge_strategy(table, replaced)


def _replaced(pipeline: dlt.Pipeline) -> _Replaced | None:
    destination = pipeline.destination
    if destination is None or not is_replaced(destination):
        return None
    return _Replaced(destination)


def _check_merge_strategy(table: Any, replaced: _Replaced) -> None:
    if table.get("write_disposition") != "merge":
        return
    # without one, dlt takes the first that the destination has
    strategy: str | None = table.get("x-merge-strategy")
    all_strategies = replaced.capabilities.supported_merge_strategies or []
    selector: Any = replaced.capabilities.merge_strategies_selector
    supported = selector(all_strategies, table_schema=table) if selector else all_strategies
    if supported and strategy in (None, *supported):
        return
    destination = replaced.destination
    name, declared, here = destination.destination_name, declared_type(destination), "DuckDB"
    if short_type(destination) != "duckdb":
        here = f"a {short_type(destination)} destination"
    production = f"`{name}` ({declared})" if declared not in ("", name) else f"`{name}`"
    wanted = f"with the strategy `{strategy}`" if strategy else "its rows"
    is_newer = here == "DuckDB" and strategy in all_strategies
    raise MergeStrategyNotSupported(
        f"Resource `{table.get('resource') or table['name']}` merges {wanted}. In production that "
        f"is for destination {production}; here {here} is in its place, "
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
    """
    check_merge_strategies(pipeline)
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
    _sandbox: Sandbox, original: Callable[..., Any], storage: Any, *args: Any, **kw: Any
) -> Any:
    """Write rows of a table, unless they must not be in the format that is tried."""
    return normalization.write_rows(original, storage, *args, **kw)


def _extracted_bytes(pipeline: dlt.Pipeline) -> int:
    folder = Path(pipeline.working_dir, "normalize")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
