"""Records what the tests of this process do with pipelines and data."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dlthub_project.dlt_internals import data_events, relations
from dlthub_project.runner import row_counts
from dlthub_project.sandbox import active_sandbox, untraced_steps
from pytest_dlthub.data_coverage import reads
from pytest_dlthub.data_coverage.facts import Facts, Item
from pytest_dlthub.data_coverage.loaded_tables import Loaded, LoadedDataset
from pytest_dlthub.data_coverage.seen_values import Values
from pytest_dlthub.data_coverage.source_owners import Owners

if TYPE_CHECKING:
    import dlt
    from dlt.extract import DltSource

    from pytest_dlthub.activation import Session

_GIVEN = "its rows were given: its own code never ran"
_NOTHING = "it ran and yielded nothing"


@dataclass
class _Extraction:
    """One source that a run has extracted.

    Attributes:
        owners: The source of each resource.
        items: The number of rows by resource; resources without rows are absent.
    """

    schema: str
    owners: Mapping[str, str]
    given: Collection[str]
    cursors: Mapping[str, str]
    parents: Mapping[str, Collection[str]]
    load_id: str = ""
    items: Mapping[str, int] = field(default_factory=dict)

    def ran(self) -> Iterator[tuple[str, bool]]:
        """Yield the resources that have run, parents included, and whether they had rows."""
        for name in self.parents:
            yield name, bool(self.items.get(name))
            for parent in self.parents[name]:
                # nobody counts the items that a parent yields to its children
                if self.items.get(name):
                    yield parent, True


class Recorder:
    """Watches the sandboxes of this process; it records into `target`."""

    def __init__(self, session: Session) -> None:
        self.owners = Owners(session)
        self.target = Facts()
        self._loaded = Loaded()
        self._values = Values()
        self._pending: WeakKeyDictionary[dlt.Pipeline, list[_Extraction]] = WeakKeyDictionary()
        self._begun: WeakKeyDictionary[dlt.Pipeline, _Extraction] = WeakKeyDictionary()
        # the working folders of this process's pipelines
        self._working_dirs: set[str] = set()
        # keys: schema and resource
        self._owner_of: dict[tuple[str, str], str] = {}
        # keys: schema, resource and entity; for a source, the resource is empty
        self._contracts: dict[tuple[str, str, str], Item] = {}

    @contextmanager
    def into(self, facts: Facts) -> Iterator[None]:
        """Record into other facts during a block."""
        before, self.target = self.target, facts
        try:
            yield
        finally:
            self.target = before

    def add(self, facts: Facts) -> None:
        """Add facts from another recorder."""
        self.target.add(facts)

    def forget(self, folder: str) -> None:
        """Forget the sandbox of a test that has ended."""
        self._loaded.forget(folder)

    def extracting(self, pipeline: dlt.Pipeline, source: DltSource, refresh: Any) -> None:
        """Record the resources of a source, with their cursors and contracts."""
        self._working_dirs.add(pipeline.working_dir)
        owners = self.owners.of(source, pipeline)
        schema, own = source.schema.name, {}
        for resource in source.resources.values():
            name = str(resource.name)
            if name not in owners:
                continue
            own[name] = resource
            owner = owners[name]
            self._owner_of[schema, name] = owner
            self.target.known |= {("sources", owner), ("resources", owner, name)}
            self._know_contract(owner, schema, name, resource)
            self._know_contract(owner, schema, "", source)
        selected = {n: r for n, r in own.items() if n in source.selected_resources}
        parents = {n: [str(p.name) for p in data_events.parents_of(r)] for n, r in selected.items()}
        given = {n for n, r in own.items() if data_events.is_given(r)} | {
            str(p.name)
            for r in own.values()
            for p in data_events.parents_of(r)
            if data_events.is_given(p)
        }
        paths = ((name, data_events.cursor_of(resource)) for name, resource in own.items())
        cursors = {name: path for name, path in paths if path}
        self.target.known |= {("cursors", owners[n], n, path) for n, path in cursors.items()}
        self._begun[pipeline] = _Extraction(schema, owners, given, cursors, parents)
        if refresh or pipeline.refresh:
            dataset = self._loaded.dataset(_folder(), pipeline.dataset_name or "")
            for owner in {*owners.values()}:
                dataset.refresh(owner)

    def extracted(
        self, pipeline: dlt.Pipeline, source: DltSource, load_id: str, items: dict[str, int]
    ) -> None:
        """Keep the row counts of a source until they are loaded."""
        extraction = self._begun.pop(pipeline, None)
        if extraction is not None:
            extraction.load_id, extraction.items = load_id, items
            self._pending.setdefault(pipeline, []).append(extraction)
            self._know_tables(source.schema)

    def rows_written(
        self, load_id: str, schema: str, table: str, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Record which columns have values."""
        self._values.see_rows(load_id, schema, table, rows, columns)

    def arrow_extracted(self, pipeline: dlt.Pipeline) -> None:
        """Record which columns of Arrow data have values."""
        self._values.see_files(pipeline)

    def finished(self, pipeline: dlt.Pipeline, info: Any) -> None:
        """Record a successful run."""
        load_ids = list(info.loads_ids) if info is not None else []
        runs = [
            extraction
            for extraction in self._pending.pop(pipeline, [])
            # leave out packages that were dropped before their load
            if extraction.load_id in load_ids or not any(extraction.items.values())
        ]
        for extraction in runs:
            self._take_extraction(extraction)
        owners = {extraction.owners[n] for extraction in runs for n in extraction.parents}
        item = self.owners.pipeline_item(pipeline.pipeline_name, owners)
        if item is not None:
            self.target.cover(item)
            self.owners.cover_profile(self.target)
        self._take_tables(pipeline, info, load_ids, runs)

    def items_yielded(self, data: Any, counts: Mapping[str, int]) -> None:
        """Record the items that resources have yielded without a load."""
        from dlt.extract import DltSource

        if not isinstance(data, DltSource):
            return
        owners = self.owners.of(data, None)
        for name, resource in data.resources.items():
            if name not in owners:
                continue
            owner = owners[name]
            self.target.known |= {("sources", owner), ("resources", owner, name)}
            if name in counts:
                self._take_resource(owner, name, data_events.is_given(resource), counts[name] > 0)

    def profile_checked(self, profile: str) -> None:
        """Record that a test has built all entities of a profile."""
        self.target.cover(("profiles", profile))

    def contract_breached(self, schema: str, table: str, entity: str) -> None:
        """Record that data have violated a contract."""
        names = [name for of_schema, name in self._owner_of if of_schema == schema]
        # the names of nested tables begin with that of their root table
        fitting = [name for name in names if table == name or table.startswith(f"{name}__")]
        for name in (max(fitting, key=len, default=""), ""):
            if (item := self._contracts.get((schema, name, entity))) is not None:
                self.target.cover(item)
                return

    def look_for_subprocesses(self, folder: Path) -> None:
        """Record that other processes have run pipelines in a sandbox: their facts are unknown."""
        # a pipeline that code has only attached to has no trace
        for trace in folder.glob("data/pipelines/*/trace.pickle"):
            if str(working_dir := trace.parent) in self._working_dirs:
                continue
            for schema in working_dir.glob("schemas/*.schema.json"):
                name = schema.name.removesuffix(".schema.json")
                self.target.unknown |= self.owners.run_elsewhere(working_dir.name, name)

    def relation_read(self, relation: dlt.Relation) -> None:
        """Record the columns that a relation in the test's code reads."""
        if not reads.is_suppressed():
            dataset = relations.dataset_of(relation)
            self._take_read(dataset.dataset_name, reads.of_relation(relation))

    def origin_of(self, relation: dlt.Relation, table: str | None) -> reads.Origin | None:
        """Return the table that a relation's rows come from; None if there is no single one."""
        if table is None:
            return None
        return reads.Origin(relations.dataset_of(relation).dataset_name, table)

    def query_read(self, client: Any, query: Any) -> None:
        """Record the columns that a query in the test's code reads."""
        if not reads.is_suppressed() and isinstance(query, str):
            dataset = self._loaded.find(_folder(), client.dataset_name)
            if dataset is not None:
                found = reads.of_query(
                    query, client.capabilities.sqlglot_dialect, _columns(dataset)
                )
                self._take_read(client.dataset_name, found)

    def _take_read(self, dataset_name: str, found: reads.Read) -> None:
        # read it now, since the data may change, but record it only if the assertion holds
        reads.when_held(functools.partial(self.looked, dataset_name, found.named, True))
        reads.when_held(functools.partial(self.looked, dataset_name, found.fetched, False))

    def looked(
        self, dataset_name: str, columns: Collection[tuple[str, str]], is_known: bool
    ) -> None:
        """Record columns that code has looked at; `is_known` is false if we cannot be sure.

        Columns without a value do not count: there was nothing to see.
        """
        dataset = self._loaded.find(_folder(), dataset_name)
        if dataset is None:
            return
        take = self.target.cover if is_known else self.target.leave_open
        for table, column in columns:
            for owner, loaded in dataset.of(table):
                if column in loaded.columns:
                    take(("reads", owner, table, column))
                elif column in loaded.unseen:
                    self.target.leave_open(("reads", owner, table, column))

    def connection_taken(self, dataset_name: str | None, database: str) -> None:
        """Record that code may have looked at anything."""
        folder = _folder()
        if dataset_name is not None:
            dataset = self._loaded.find(folder, dataset_name)
            datasets = [dataset] if dataset is not None else []
        elif not database or database.startswith((":", "md:")) or not Path(database).exists():
            # the test's own database; for each attached database there is another call
            return
        else:
            datasets = [*self._loaded.all()]
        for one in datasets:
            self._leave_open(one)

    def loaded_here(self) -> dict[str, Any]:
        """Return the loaded data of this sandbox as JSON types."""
        return self._loaded.to_json(_folder())

    def load_here(self, found: Mapping[str, Any]) -> None:
        """Add loaded data to this sandbox: a template's files have been copied into it."""
        self._loaded.take(_folder(), found)
        self._working_dirs |= {str(one) for one in Path(_folder()).glob("data/pipelines/*")}

    def _take_extraction(self, extraction: _Extraction) -> None:
        for name, has_rows in extraction.ran():
            owner = extraction.owners.get(name)
            if owner is not None:
                self._take_resource(owner, name, name in extraction.given, has_rows)
                self.target.cover(("sources", owner))

    def _take_resource(self, owner: str, name: str, is_given: bool, has_rows: bool) -> None:
        item = ("resources", owner, name)
        if has_rows and not is_given:
            self.target.cover(item)
        elif is_given or item not in self.target.notes:
            self.target.notes[item] = _GIVEN if is_given else _NOTHING

    def _take_tables(
        self, pipeline: dlt.Pipeline, info: Any, load_ids: list[str], runs: list[_Extraction]
    ) -> None:
        name = pipeline.dataset_name
        if not name or pipeline.destination is None:
            return
        dataset = self._loaded.dataset(_folder(), name)
        dataset.is_watched = str(pipeline.destination.destination_type).endswith("duckdb")
        counts: Mapping[str, int] = row_counts(pipeline, info, untraced_steps(pipeline))
        for schema in data_events.schemas_after_run(pipeline):
            self._know_tables(schema)
            for table, resource, root, columns in data_events.tables_of(schema):
                owner = self._owner_of.get((schema.name, resource))
                if owner is None:
                    continue
                seen = self._values.taken(load_ids, schema.name, table)
                if seen is None and not counts.get(table):
                    continue
                loaded = dataset.table(table, owner)
                loaded.names |= {*columns}
                self.target.cover(("tables", owner, table))
                if seen is None:
                    loaded.unseen |= {*columns}
                else:
                    loaded.columns |= seen.columns & {*columns}
                for column in columns:
                    if column in loaded.columns:
                        self.target.cover(("columns", owner, table, column))
                    elif column in loaded.unseen:
                        self.target.leave_open(("columns", owner, table, column))
                if root["name"] == table:
                    self._take_load(loaded, owner, root, None if seen is None else seen.keys)
        for extraction in runs:
            self._take_cursors(dataset, pipeline, extraction)
        if not dataset.is_watched:
            self._leave_open(dataset)

    def _take_load(self, loaded: Any, owner: str, root: dict[str, Any], keys: Any) -> None:
        """Record a load of a table, and whether it is the second one."""
        table = root["name"]
        disposition, key = data_events.merge_strategy(root), data_events.key_of(root["columns"])
        is_merged = root.get("write_disposition") == "merge" and key
        if loaded.loads:
            self.target.cover(("dispositions", owner, table, disposition))
        met = loaded.bring(keys) if is_merged else False
        if is_merged and loaded.loads and met is not False:
            item = ("keys", owner, table, ", ".join(key))
            (self.target.cover if met else self.target.leave_open)(item)
        loaded.loads += 1

    def _take_cursors(
        self, dataset: LoadedDataset, pipeline: dlt.Pipeline, extraction: _Extraction
    ) -> None:
        for name, path in extraction.cursors.items():
            if name not in extraction.parents:
                continue
            cursor = (pipeline.pipeline_name, extraction.owners[name], name)
            if cursor in dataset.cursors:
                self.target.cover(("cursors", extraction.owners[name], name, path))
            elif extraction.items.get(name):
                # a run without rows stores no value that the next run could begin at
                dataset.cursors.add(cursor)

    def _know_tables(self, schema: dlt.Schema) -> None:
        for table, resource, root, columns in data_events.tables_of(schema):
            owner = self._owner_of.get((schema.name, resource))
            if owner is None:
                continue
            known = self.target.known
            known.add(("tables", owner, table))
            for column in columns:
                known |= {("columns", owner, table, column), ("reads", owner, table, column)}
            if root["name"] == table:
                known.add(("dispositions", owner, table, data_events.merge_strategy(root)))
                key = data_events.key_of(root["columns"])
                if key and root.get("write_disposition") == "merge":
                    known.add(("keys", owner, table, ", ".join(key)))

    def _know_contract(self, owner: str, schema: str, name: str, whose: Any) -> None:
        for entity, mode in data_events.contract_of(whose).items():
            item = ("contracts", owner, name, f"{entity}={mode}")
            self.target.known.add(item)
            self._contracts[schema, name, entity] = item
            if name and data_events.has_validator(whose) and mode != "freeze":
                # a validator's model drops rows and values by itself
                self.target.unknown.add(item)

    def _leave_open(self, dataset: LoadedDataset) -> None:
        for (table, owner), loaded in dataset.tables.items():
            for column in loaded.columns | loaded.unseen:
                self.target.leave_open(("reads", owner, table, column))


def _columns(dataset: LoadedDataset) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for (table, _), loaded in dataset.tables.items():
        found.setdefault(table, []).extend(sorted(loaded.names))
    return found


def _folder() -> str:
    sandbox = active_sandbox()
    return sandbox.folder if sandbox is not None else ""
