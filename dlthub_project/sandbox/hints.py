"""What resources ask of production's destination, where another one stands in its place."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import dlt
from dlt.common.destination import Destination, DestinationCapabilitiesContext

from dlthub_project.errors import MergeStrategyNotSupported
from dlthub_project.sandbox import changes
from dlthub_project.sandbox.locality import short_type
from dlthub_project.sandbox.replacement import is_replaced, type_in_production
from dlthub_project.sandbox.settings import Sandbox


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
            changes.note(sandbox.folder, f"table_format {table_format} of {table['name']} dropped")
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
    name, kind, here = destination.destination_name, type_in_production(destination), "DuckDB"
    if short_type(destination) != "duckdb":
        here = f"a {short_type(destination)} destination"
    production = f"`{name}` ({kind})" if kind not in ("", name) else f"`{name}`"
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
