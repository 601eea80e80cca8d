"""The runs that a test gets for its `dlt_load` marks, on its own copy of the loaded data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dlt.common.schema import Schema

from dlthub_project.dlt_internals.datasets import HeldDataset
from dlthub_project.sandbox import observe_runs
from pytest_dlthub.pipeline_run import PipelineRun, RowCounts
from pytest_dlthub.templates.load_marks import MARK, Load
from pytest_dlthub.templates.template import LoadRecord, Template

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo
    from dlt.pipeline.trace import PipelineTrace

    from pytest_dlthub.templates.twins import TwinOfCopy


class LoadedRun(PipelineRun):
    """The run that has loaded a template, on a test's own copy of its data.

    Row counts, load info and trace are those of the build. Pipeline and dataset open on first use.
    """

    def __init__(
        self, load: Load, record: LoadRecord, template: Template, twin: TwinOfCopy | None
    ) -> None:
        self._load = load
        self._twin = twin
        self._record = record
        self._template = template
        self._again = self._run_again
        self.row_counts = RowCounts(record.row_counts)

    def _run_again(self, **changes: Any) -> PipelineRun:
        return self._load.run(self.pipeline, **changes)

    @cached_property
    def pipeline(self) -> dlt.Pipeline:
        """The pipeline, with the state that it had after the run."""
        return self._load.open_pipeline()

    @property
    def load_info(self) -> LoadInfo | None:
        """What `dlt.Pipeline.run` returned; None if there was nothing to load."""
        return self._results[0]

    @property
    def trace(self) -> PipelineTrace | None:
        """dlt's trace of the run."""
        return self._results[1]

    @property
    def sent(self) -> dict[str, list[Any]]:
        """The items that a custom destination would have received, in the load and since."""
        sent = {table: list(items) for table, items in self._results[2].items()}
        for table, items in super().sent.items():
            sent.setdefault(table, []).extend(items)
        return sent

    @cached_property
    def _results(
        self,
    ) -> tuple[LoadInfo | None, PipelineTrace | None, dict[str, list[Any]]]:
        return self._template.results_of(self._load.name)

    @cached_property
    def dataset(self) -> HeldDataset:
        """The loaded dataset. Its connection stays open from the first query on."""
        schemas = [
            Schema.from_dict(dict(schema), validate_schema=False) for schema in self._record.schemas
        ]
        dataset = HeldDataset(self._load.destination(), self._record.dataset_name, schemas)
        dataset.twin = self._twin
        return dataset

    @property
    def database_path(self) -> Path | None:
        """The DuckDB file of the copy; None for others. No connection to it is open."""
        self.release()
        return super().database_path

    def release(self) -> None:
        """Close the connection; the next query opens it again."""
        if "dataset" in self.__dict__:
            self.dataset.release()

    def refresh(self) -> None:
        """Close the connection, and read the schemas again, after a run of a pipeline."""
        if "dataset" in self.__dict__:
            self.dataset.refresh()


class LoadedRuns(Mapping[str, LoadedRun]):
    """The loaded runs of one test, by pipeline."""

    def __init__(
        self, loads: Mapping[str, Load], template: Template, twin: TwinOfCopy | None
    ) -> None:
        self._runs = {
            name: LoadedRun(load, template.loads[name], template, twin)
            for name, load in loads.items()
        }

    @classmethod
    @contextmanager
    def of(
        cls, loads: Mapping[str, Load], template: Template, twin: TwinOfCopy | None
    ) -> Iterator[LoadedRuns]:
        """Yield the runs, and close their connections when the block ends."""
        runs = cls(loads, template, twin)
        with observe_runs(lambda *_: runs.refresh()):
            yield runs
        runs.release()

    @property
    def only(self) -> LoadedRun:
        """The one run.

        Raises:
            UsageError: There are several runs.
        """
        if len(self) > 1:
            raise pytest.UsageError(
                f"dlt_dataset: this test has several marks {MARK}; "
                f'use dlt_loaded["{next(iter(self))}"].dataset'
            )
        return next(iter(self._runs.values()))

    def release(self) -> None:
        """Close every connection."""
        for run in self._runs.values():
            run.release()

    def refresh(self) -> None:
        """Close every connection, and read schemas again."""
        for run in self._runs.values():
            run.refresh()

    def __getitem__(self, pipeline: str) -> LoadedRun:
        return self._runs[pipeline]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)
