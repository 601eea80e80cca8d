"""The result of a pipeline run, as a test gets it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlthub_project.dlt_internals import datasets
from dlthub_project.errors import known_names
from dlthub_project.runner import row_counts, schema_changes
from dlthub_project.sandbox import sent_to, untraced_steps
from pytest_dlthub.assertions.broken_loads import duplicates, unfinished_loads
from pytest_dlthub.assertions.equality import Rows
from pytest_dlthub.assertions.records import is_dlt_name
from pytest_dlthub.assertions.tables import TableReader, sql_rows
from pytest_dlthub.data_coverage import reads

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.common.schema import Schema
    from dlt.pipeline.trace import PipelineTrace

    from dlthub_project.data_quality import CheckResults

Again = Callable[..., "PipelineRun"]
_SAME: Any = object()


class RowCounts(dict[str, int]):
    """The number of rows by table; its KeyError suggests the nearest table."""

    def __missing__(self, table: str) -> int:
        raise KeyError(f"No rows of a table `{table}` were loaded. {known_names(table, self)}")


def states_by_resource(state: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return states by `resource`, or by `source.resource` where several have that name.

    Args:
        state: The state of a pipeline.
    """
    sources: Mapping[str, Any] = state.get("sources", {})
    all_states = [
        (source, resource, state)
        for source, its in sources.items()
        for resource, state in its.get("resources", {}).items()
    ]
    count = Counter(resource for _, resource, _ in all_states)
    return {
        resource if count[resource] == 1 else f"{source}.{resource}": state
        for source, resource, state in all_states
    }


def cursors_of(states: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last value of every incremental cursor, by resource and path."""
    return {
        f"{resource}.{path}": cursor["last_value"]
        for resource, state in states.items()
        for path, cursor in state.get("incremental", {}).items()
    }


class PipelineRun:
    """One finished run of a pipeline, and the dataset that it loaded.

    Counts, load info and trace belong to this run. Dataset, rows, tables and schema are read when
    you ask for them, and include what later runs have loaded.

    Attributes:
        row_counts: The number of rows of this run by data table, with nested tables and without
            empty ones.
    """

    def __init__(self, pipeline: dlt.Pipeline, load_info: LoadInfo | None, again: Again) -> None:
        """Make the run. Tests get it from `dlt_run`, `dlt_project.run` and the like.

        Args:
            pipeline: The pipeline.
            load_info: What `dlt.Pipeline.run` returned.
            again: Runs the pipeline once more; takes arguments that differ.
        """
        self._again = again
        self._pipeline = pipeline
        self._load_info = load_info
        trace = pipeline.last_trace
        # dlt adds the steps of later calls to the trace that it has
        self._trace = trace and trace._replace(steps=list(trace.steps))
        self.row_counts: dict[str, int] = RowCounts(
            row_counts(pipeline, load_info, untraced_steps(pipeline))
        )

    @property
    def pipeline(self) -> dlt.Pipeline:
        """The pipeline."""
        return self._pipeline

    @property
    def load_info(self) -> LoadInfo | None:
        """What `dlt.Pipeline.run` returned; None if there was nothing to load."""
        return self._load_info

    @property
    def trace(self) -> PipelineTrace | None:
        """dlt's trace of the run."""
        return self._trace

    @property
    def dataset(self) -> dlt.Dataset:
        """The dataset that the pipeline loads, with everything that is in it now."""
        return self.pipeline.dataset()

    def next(
        self,
        *,
        given: Mapping[str, Any] | Literal["recorded"] | None = _SAME,
        data: Any = None,
        **run_arguments: Any,
    ) -> PipelineRun:
        """Run the pipeline again on the state that it has now: "day 2".

        Without arguments, the same data run once more.

        Args:
            given: What resources yield this time; see `DltProject.run`. With None, resources
                extract their own data, even if the run before was given rows.
            data: What to load instead of the data of the run before.
            **run_arguments: Arguments of the run that differ from the run before.

        Returns:
            The new run, with its own row counts and schema changes, on the same dataset.

        Raises:
            TypeError: `data` is needed: other code has started the run before, or it has used up
                an iterator.
            PipelineStepFailed: As `dlt.Pipeline.run` does.
        """
        if data is not None:
            run_arguments["data"] = data
        if data is not None or given is not _SAME:
            # those that were given before are of the data before
            run_arguments["given"] = None if given is _SAME else given
        return self._again(**run_arguments)

    @property
    def schema(self) -> Schema:
        """The pipeline's default schema."""
        return self.pipeline.default_schema

    @property
    def tables(self) -> list[str]:
        """The names of the data tables in the dataset, nested tables included."""
        return [name for name in self.dataset.tables if not name.startswith("_dlt_")]

    def rows(
        self,
        table: str,
        *names: str,
        columns: Sequence[str] | None = None,
        where: Any = None,
        order_by: Any = None,
        nested: bool = False,
        current: bool = False,
        dlt_ids: bool = False,
    ) -> Rows:
        """Return the rows of a table in the dataset, without dlt's own columns.

        The order is always the same: by primary key or merge key; in nested tables by parent and
        by index in the list. Without a key, rows are in the order of loading if the destination
        knows it (DuckDB, PostgreSQL and files; not after a merge), else ordered by all columns.

        Args:
            table: The table, or a view that other code has made at the destination.
            *names: Columns; the rows are tuples of these.
            columns: Columns; the rows are mappings of these alone.
            where: A filter: `{"id": 1, "note": None}`, all of which match; a tuple of arguments of
                dlt's `Relation.where`, `("id", "in", [1, 2])`; a sqlglot expression; or SQL of
                the destination.
            order_by: A column, `("column", "desc")`, or a list of these. Nulls come first.
            nested: Whether to put the rows of nested tables back into their parents, at any depth,
                as lists under the name of the field, as the source yielded them.
            current: Whether to leave out retired versions of rows, in a table of strategy `scd2`.
            dlt_ids: Whether to keep dlt's own columns, `_dlt_id` and the like.

        Returns:
            The rows; none if dlt knows the table, and has not loaded rows yet.

        Raises:
            ValueError: There is no such table or column; the message suggests the nearest name.
                Or `current` is asked of a table without history.
            TypeError: Both `names` and `columns` are given. Or `where` has a value that its column
                can never equal, as text against a `bigint`.
        """
        return TableReader(self.dataset, table).rows(
            names,
            columns=columns,
            where=where,
            order_by=order_by,
            nested=nested,
            current=current,
            dlt_ids=dlt_ids,
            is_extracted=table in self._extracted_items(),
        )

    def sql(self, query: str) -> Rows:
        """Run raw SQL at the destination, and return its rows.

        Args:
            query: The query. Tables of the dataset need no qualifier.

        Returns:
            The rows with all columns of the query. Without ORDER BY, their order is always the
            same, too.

        Raises:
            ValueError: Two columns have one name.
            DatabaseException: The destination refuses the query.
        """
        return sql_rows(self.dataset, query)

    def columns(self, table: str) -> dict[str, str]:
        """Return dlt's data types by column of a table, `{"id": "bigint"}`, without dlt's columns.

        Raises:
            ValueError: dlt knows no such table; the message suggests the nearest name.
        """
        return TableReader(self.dataset, table).columns()

    def duplicates(self) -> dict[str, Rows]:
        """Return the rows that share their `_dlt_id` with another row, by table.

        A sound dataset has none. Versions of a row in a table of strategy `scd2` do not count.
        dlt gives frames and Arrow data no `_dlt_id`, so their tables never show any: use
        `assert_unique` with the key of such a table.
        """
        return duplicates(self.dataset)

    @property
    def unfinished_loads(self) -> dict[str, list[str]]:
        """The ids of loads that have rows, but no entry in `_dlt_loads`, by table.

        A crash leaves such rows behind. A sound dataset has none. Tables of frames and Arrow data,
        which have no `_dlt_load_id`, are left out.
        """
        return unfinished_loads(self.dataset)

    def state(self, resource: str) -> dict[str, Any]:
        """Return a copy of the current state of a resource; empty if it keeps none.

        Args:
            resource: Its name; `source.resource` where several sources have one of that name.

        Raises:
            ValueError: There is no such resource in the pipeline.
        """
        states = self._resource_states()
        if resource in states:
            return copy.deepcopy(dict(states[resource]))
        of_several = {name.partition(".")[2] for name in states}
        without = {*self._extracted_items()} | {
            name
            for schema in self.pipeline.schemas.values()
            for table in schema.data_tables(include_incomplete=True)
            if (name := table.get("resource"))
        }
        if resource in without - of_several:
            return {}
        known = {*states, *(without - of_several)}
        raise ValueError(f"There is no resource `{resource}`. {known_names(resource, known)}")

    @property
    def cursors(self) -> dict[str, Any]:
        """The last value of every incremental cursor, by resource and path: `comments.at`.

        The key is `source.comments.at` where several sources have a resource of that name.
        """
        return cursors_of(self._resource_states())

    def cursor_starts(self, resource: str) -> dict[str, Any]:
        """Return the values from which this run took rows of a resource, by path of the cursor.

        They are the last values of the run before, or the initial values in a first run. A lag is
        not subtracted.

        Raises:
            ValueError: The resource has no incremental cursor, or there is no such resource. Or
                the pipeline has run again since, or this run did not extract the resource.
        """
        latest = self.pipeline.last_trace
        if self.trace and latest and latest.transaction_id != self.trace.transaction_id:
            raise ValueError("The pipeline has run again since. Ask its last run.")
        cursors = self.state(resource).get("incremental", {})
        extracted, name_alone = self._extracted_items(), resource.rpartition(".")[2]
        if not cursors:
            raise ValueError(f"Resource `{resource}` keeps no incremental cursor")
        if name_alone not in extracted:
            raise ValueError(f"This run did not extract resource `{resource}`")
        # dlt keeps the start of the last run that had rows
        name = "start_value" if extracted[name_alone] else "last_value"
        return {path: cursor.get(name) for path, cursor in cursors.items()}

    def _resource_states(self) -> dict[str, Mapping[str, Any]]:
        return states_by_resource(self.pipeline.state)

    def _extracted_items(self) -> dict[str, int]:
        extracted = self.trace and self.trace.last_extract_info
        if not extracted:
            return {}
        items: dict[str, int] = {}
        for metrics in extracted.metrics.values():
            for each in metrics:
                for resource in filterfalse(is_dlt_name, each["hints"]):
                    found = each["resource_metrics"].get(resource)
                    items[resource] = items.get(resource, 0) + (found.items_count if found else 0)
        return items

    @property
    def checks(self) -> CheckResults:
        """The results of the checks that resources declare; see `assert_checks`."""
        from pytest_dlthub.assertions.data_checks import checked

        return checked(self)

    @property
    def schema_changes(self) -> dict[str, list[str]]:
        """The columns that this run has added at the destination, by table."""
        return schema_changes(self.load_info)

    @property
    def database_path(self) -> Path | None:
        """The DuckDB file of the dataset; None for others. No connection to it is open."""
        with self.pipeline.destination_client() as client:
            path = datasets.local_database(client)
        reads.connection_taken(self.pipeline.dataset_name)
        return Path(path) if path else None

    @property
    def sent(self) -> dict[str, list[Any]]:
        """The items that a custom destination function would have received in this test, by table.

        Nothing is really sent. Empty for other destinations.
        """
        return sent_to(self.pipeline.destination)

    def __repr__(self) -> str:
        return f"<PipelineRun {self.pipeline.pipeline_name}: {self.row_counts}>"
