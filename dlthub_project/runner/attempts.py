"""The attempts of one run: each continues where the one before failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from dlt.common.metrics import LoadJobMetrics, LoadMetrics
from dlt.common.pipeline import LoadInfo, NormalizeInfo
from dlt.common.storages.load_package import LoadPackageInfo
from dlt.extract import DltResource, DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import resources
from dlthub_project.errors import SourceUsedUp
from dlthub_project.runner.resume import finish_pending

if TYPE_CHECKING:
    import dlt
    from dlt.pipeline.trace import PipelineTrace


MakeData = Callable[[], Any]
RowCounts = dict[str, int]
"""Numbers of rows, by table."""


class Attempts:
    """Runs a pipeline. A second call continues the run that failed.

    Attributes:
        number: How many attempts there were.
        started_at: When the last one started, after it had loaded what an earlier run left pending.
        on_pending: Called when packages of an earlier run are finished, before the run itself.
    """

    def __init__(
        self,
        pipeline: dlt.Pipeline,
        make_data: MakeData,
        run_arguments: Mapping[str, Any],
        prepare: Callable[[], None] | None = None,
        *,
        is_extracted: bool = False,
    ) -> None:
        """Make the data, and run nothing yet.

        Args:
            pipeline: The pipeline.
            make_data: Makes the data: now, and again for every later attempt that extracts.
            run_arguments: Arguments of `dlt.Pipeline.run`.
            prepare: Called before the first step, until it succeeds once.
            is_extracted: Whether another process has extracted the data: none are made.
        """
        self.number = 0
        self.started_at = datetime.now(timezone.utc)
        self._pipeline = pipeline
        self._make_data = make_data
        self._arguments = run_arguments
        self._prepare = prepare
        self.on_pending: Callable[[], None] = lambda: None
        self._data = None if is_extracted else make_data()
        self._is_read, self._is_extracted = False, is_extracted
        self._loaded: LoadInfo | None = None
        self._failure: PipelineStepFailed | None = None

    def __call__(self) -> LoadInfo:
        """Load what is pending, and run the data that no attempt has extracted yet.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it.
            SourceUsedUp: The data must be extracted again and can be read only once.
        """
        self.number += 1
        self.started_at = datetime.now(timezone.utc)
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
        if self._is_read:
            self._make_data_again()
        try:
            is_of_earlier_run = self._pipeline.has_pending_data and not self._is_extracted
            finish_pending(self._pipeline)
            if is_of_earlier_run:
                self.on_pending()
                self.started_at = datetime.now(timezone.utc)
            info = self._resumed() if self._is_extracted else self._run()
        except PipelineStepFailed as error:
            self._failure = error
            if self._is_extracted and isinstance(error.step_info, LoadInfo):
                self._loaded = joined(self._loaded, error.step_info)
            raise
        # dlt returns None if there were no data at all
        return joined(self._loaded, info) if info else info

    def _make_data_again(self) -> None:
        try:
            self._data = self._make_data()
        except SourceUsedUp as used_up:
            raise used_up from self._failure
        self._is_read = False

    def _run(self) -> LoadInfo:
        try:
            return self._pipeline.run(self._data, **self._arguments)
        except PipelineStepFailed as error:
            self._is_read = error.step == "extract"
            self._is_extracted = error.step in ("normalize", "load")
            raise

    def _resumed(self) -> LoadInfo:
        trace = self._pipeline.last_trace
        step = trace.last_pipeline_step_trace("load") if trace else None
        info = step.step_info if step and step.started_at >= self.started_at else None
        # dlt keeps no trace: nothing is left to load, so this returns an empty info
        return info if isinstance(info, LoadInfo) else self._pipeline.load()


def repeatable(data: Any) -> MakeData:
    """Return a function that returns `data` first, and fresh copies of them at each later call.

    Sources and resources are copied before anybody reads them, because an attempt changes their
    schemas.

    Raises:
        SourceUsedUp: A later call of the function raises it if the data are, or hold, a generator
            or another iterator.
    """
    items = list(data) if isinstance(data, list | tuple) else [data]
    spares = [_copied(item) for item in items]
    calls = 0

    def make() -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            return data
        if name := next(filter(None, map(_read_only_once, items)), None):
            raise SourceUsedUp(
                f"Step extract is to be tried again, and {name} can be read only once: it is used "
                "up.",
                "Give the function that makes it, a resource made of that function, or a list.",
            )
        made = [_copied(spare) for spare in spares]
        return made if isinstance(data, list | tuple) else made[0]

    return make


def _copied(item: Any) -> Any:
    if isinstance(item, DltSource | DltResource):
        return resources.copy_extractables([item])[0]
    return item


def _read_only_once(item: Any) -> str | None:
    """Return a name for the part of `item` that can be read only once; None if there is none."""
    if isinstance(item, Iterator | AsyncIterator):
        return f"the {type(item).__name__} that is to be loaded"
    if not isinstance(item, DltSource | DltResource):
        return None
    selected = item.selected_resources if isinstance(item, DltSource) else None
    for resource in resources.resources_of([item]):
        if selected is not None and resource.name not in selected:
            continue
        for step in resources.steps_of(resource):
            if isinstance(step, Iterator | AsyncIterator):
                return f"the {type(step).__name__} of resource `{resource.name}`"
    return None


class Traced(Protocol):
    """An object with the trace of a run, such as a pipeline."""

    @property
    def last_trace(self) -> PipelineTrace | None:
        """The trace."""


def row_counts(
    pipeline: Traced, info: LoadInfo | None, untraced: Iterable[NormalizeInfo] = ()
) -> dict[str, int]:
    """Return how many rows were normalized for the packages that a run has just loaded, by table.

    Nested tables count. Tables without rows and dlt's own tables are left out. A run that had
    nothing to do has none: dlt's trace still has the steps of the run before.

    Args:
        pipeline: The pipeline, or what has kept the trace of its run.
        info: What its run returned.
        untraced: What `normalize` returned while the pipeline had no trace.
    """
    return _summed(info, _traced_counts(pipeline, untraced))


def known_row_counts(
    pipeline: Traced, info: LoadInfo | None, noted: Mapping[str, RowCounts] | None = None
) -> RowCounts | None:
    """Return `row_counts`; None if nobody has counted the rows of a package.

    They are not counted where tracing is off, or by a process that died.

    Args:
        pipeline: The pipeline.
        info: What its run returned.
        noted: What `counts_by_package` has returned in another process.
    """
    counted = {**(noted or {}), **_traced_counts(pipeline)}
    return _summed(info, counted) if counted.keys() >= set(info.loads_ids if info else ()) else None


def counts_by_package(step: NormalizeInfo) -> dict[str, RowCounts]:
    """Return how many rows were normalized for each package, by table."""
    return {
        load_id: {
            table: written.items_count
            for table, written in metrics[-1]["table_metrics"].items()
            if written.items_count and not table.startswith("_dlt_")
        }
        for load_id, metrics in step.metrics.items()
        # a step that has failed may have none
        if metrics
    }


def _traced_counts(
    pipeline: Traced, untraced: Iterable[NormalizeInfo] = ()
) -> dict[str, RowCounts]:
    trace = pipeline.last_trace
    counts: dict[str, RowCounts] = {}
    for step in [*(step.step_info for step in (trace.steps if trace else ())), *untraced]:
        if isinstance(step, NormalizeInfo):
            counts.update(counts_by_package(step))
    return counts


def _summed(info: LoadInfo | None, counted: Mapping[str, RowCounts]) -> RowCounts:
    counts: RowCounts = {}
    for load_id in info.loads_ids if info else ():
        for table, rows in counted.get(load_id, {}).items():
            counts[table] = counts.get(table, 0) + rows
    return counts


def schema_changes(info: LoadInfo | None) -> dict[str, list[str]]:
    """Return the columns that a load added at the destination, by data table.

    All columns of a new table were added.
    """
    changes: dict[str, list[str]] = {}
    for package in info.load_packages if info else ():
        for name, table in package.schema_update.items():
            if not name.startswith("_dlt_"):
                changes.setdefault(name, []).extend(table["columns"])
    return changes


def joined(earlier: LoadInfo | None, later: LoadInfo) -> LoadInfo:
    """Return `later` and, with it, the packages that an earlier attempt of the run loaded."""
    loaded = [] if earlier is None else [p for p in earlier.load_packages if p.state == "loaded"]
    kept = [package for package in loaded if package.load_id not in later.loads_ids]
    if earlier is None or not kept:
        return later
    ids = [package.load_id for package in kept]
    return later._replace(
        metrics={**{i: earlier.metrics[i] for i in ids if i in earlier.metrics}, **later.metrics},
        loads_ids=[*ids, *later.loads_ids],
        load_packages=[*kept, *later.load_packages],
    )


def with_packages(pipeline: dlt.Pipeline, info: LoadInfo, load_ids: Iterable[str]) -> LoadInfo:
    """Return `info` of these packages, and of no others.

    Those that it lacks are told from what is on disk: a process has loaded them that died before it
    had stored its trace.
    """
    packages = {package.load_id: package for package in info.load_packages}
    metrics = dict(info.metrics)
    for load_id in load_ids:
        if load_id not in packages:
            packages[load_id] = pipeline.get_load_package_info(load_id)
            metrics[load_id] = [_metrics_on_disk(pipeline, packages[load_id])]
    ordered = sorted(load_ids)
    return info._replace(
        metrics={load_id: metrics[load_id] for load_id in ordered if load_id in metrics},
        loads_ids=ordered,
        load_packages=[packages[load_id] for load_id in ordered],
    )


def _metrics_on_disk(pipeline: dlt.Pipeline, package: LoadPackageInfo) -> LoadMetrics:
    noted = pipeline.get_load_package_state(package.load_id).get("load_metrics", {})
    jobs = {job: LoadJobMetrics(**metrics) for job, metrics in noted.items()}
    return {
        "started_at": min((job.started_at for job in jobs.values()), default=package.completed_at),
        "finished_at": package.completed_at,
        "job_metrics": jobs,
        "dataset_name": pipeline.dataset_name,
        "outputs": [],
    }
