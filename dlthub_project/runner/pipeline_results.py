"""What became of pipelines: data alone, which travel between processes and machines."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import ProjectError, causes
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

Status = Literal["loaded", "failed", "interrupted", "skipped"]


@dataclass(frozen=True)
class PipelineFailure:
    """Why a pipeline did not load, as data; secrets are masked.

    Attributes:
        type: The name of the exception's class; empty for what was not started.
        message: Its text.
        step: The step that failed: `extract`, `normalize`, `load` or `sync`; None otherwise.
        causes: What the exception came from, the nearest first: class and text of each.
        traceback: The whole traceback.
    """

    type: str
    message: str
    step: str | None = None
    causes: tuple[tuple[str, str], ...] = ()
    traceback: str = field(default="", repr=False)

    @property
    def root(self) -> str:
        """The text of what it all came from, on one line."""
        kind, text = self.causes[-1] if self.causes else (self.type, self.message)
        first = next(iter(text.strip().splitlines()), "")
        return f"{kind}: {first}" if first and kind else first or kind

    def __str__(self) -> str:
        return f"{f'step {self.step}: ' if self.step else ''}{self.root}"


@dataclass(frozen=True)
class PipelineResult:
    """What became of a pipeline.

    Attributes:
        pipeline: Its name.
        status: `loaded`; `failed`; `interrupted`: it stopped at a signal, and its next run goes on;
            `skipped`: it was never started.
        load_info: What it loaded; None if it loaded nothing.
        error: Why it did not load; None if it did.
        row_counts: The rows that were normalized, by table.
        seconds: How long it ran, without waiting for its turn.
        waited: How long it waited for its turn at a database, in seconds.
        is_resumed: Whether it finished what a worker had begun that died.
    """

    pipeline: str
    status: Status
    load_info: LoadInfo | None = None
    error: PipelineFailure | None = None
    row_counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    is_resumed: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether everything was loaded."""
        return self.status == "loaded"

    @property
    def rows(self) -> int:
        """The number of rows that were normalized."""
        return sum(self.row_counts.values())


class PipelineResults(Mapping[str, PipelineResult]):
    """What became of each pipeline, by its name, in the order that was asked for."""

    def __init__(self, results: Mapping[str, PipelineResult]) -> None:
        self._results = dict(results)

    def __getitem__(self, pipeline: str) -> PipelineResult:
        return self._results[pipeline]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    @property
    def is_ok(self) -> bool:
        """Whether all pipelines have loaded everything."""
        return all(result.is_ok for result in self._results.values())

    def raise_for_failures(self) -> None:
        """Raise if a pipeline has not loaded everything.

        Raises:
            ProjectError: It names each of them, and why.
        """
        bad = [result for result in self._results.values() if not result.is_ok]
        if bad:
            lines = "\n".join(f"  {one.pipeline}: {one.status}: {one.error}" for one in bad)
            raise ProjectError(
                f"{len(bad)} of {len(self)} pipelines have not loaded:\n{lines}",
                "What has been extracted is loaded by their next run.",
            )

    def __repr__(self) -> str:
        states = ", ".join(f"{name}: {result.status}" for name, result in self._results.items())
        return f"<PipelineResults {states}>"


class PipelinesInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal, while many pipelines ran. Their next runs go on.

    Attributes:
        results: What became of each pipeline until then.
    """

    def __init__(self, results: PipelineResults) -> None:
        super().__init__(repr(results))
        self.results = results


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception came from a signal; dlt wraps that as the failure of a step."""
    return any(isinstance(one, KeyboardInterrupt) for one in causes(error))


def failure_of(error: BaseException) -> PipelineFailure:
    """Return an exception as data, with its chain; secrets are masked."""
    _, *chain = causes(error)
    return PipelineFailure(
        type=type(error).__name__,
        message=KNOWN.masked(str(error)),
        step=str(error.step) if isinstance(error, PipelineStepFailed) else None,
        causes=tuple((type(cause).__name__, KNOWN.masked(str(cause))) for cause in chain),
        traceback=KNOWN.masked("".join(traceback.format_exception(error))),
    )
