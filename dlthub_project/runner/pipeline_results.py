"""The results of pipelines: plain data, which can travel between processes and machines."""

from __future__ import annotations

import pickle
import traceback
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dlt.common.schema import Schema
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import LoadFailedChecks, ProjectError, causes
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from dlt.common.pipeline import LoadInfo

    from dlthub_project.data_quality import CheckResult

Status = Literal["loaded", "failed", "interrupted", "skipped"]


@dataclass(frozen=True)
class PipelineFailure:
    """Why a pipeline did not load, as data; secrets are masked.

    Attributes:
        type: The name of the exception's class; empty if the pipeline was not started.
        message: Its text.
        step: The step that failed: `extract`, `normalize`, `load` or `sync`; None otherwise.
        causes: The exceptions that it came from, the nearest first: class and text of each.
        traceback: The whole traceback.
    """

    type: str
    message: str
    step: str | None = None
    causes: tuple[tuple[str, str], ...] = ()
    traceback: str = field(default="", repr=False)

    @property
    def root(self) -> str:
        """The text of the first cause, on one line."""
        kind, text = self.causes[-1] if self.causes else (self.type, self.message)
        first = next(iter(text.strip().splitlines()), "")
        return f"{kind}: {first}" if first and kind else first or kind

    def __str__(self) -> str:
        return f"{f'step {self.step}: ' if self.step else ''}{self.root}"


@dataclass(frozen=True)
class _Packed:
    """A `LoadInfo` as bytes.

    It can be pickled any number of times. A `LoadInfo` cannot: a pickled schema of dlt lacks its
    naming convention. A thousand of them take a tenth of the memory.
    """

    content: bytes

    @staticmethod
    def of(info: LoadInfo) -> _Packed:
        plain: Any = info
        packages = [one._replace(schema=one.schema.to_dict()) for one in plain.load_packages]
        return _Packed(zlib.compress(pickle.dumps(plain._replace(load_packages=packages))))

    def unpacked(self) -> LoadInfo:
        plain: Any = pickle.loads(zlib.decompress(self.content))
        packages = [
            one._replace(schema=Schema.from_dict(one.schema)) for one in plain.load_packages
        ]
        info: LoadInfo = plain._replace(load_packages=packages)
        return info


@dataclass(frozen=True)
class PipelineResult:
    """The result of a pipeline.

    Attributes:
        pipeline: Its name.
        status: `loaded`; `failed`; `interrupted`: it stopped at a signal, and its next run goes on;
            `skipped`: it was never started.
        error: Why it did not load; None if it did.
        row_counts: The rows that were normalized, by table; None if they are not known: tracing is
            off, or a worker died while it counted them.
        seconds: How long it ran, without waiting for its turn.
        waited: How long it waited for its turn at a database, in seconds.
        is_resumed: Whether it finished the work of a worker that died.
        checks: The results of checks of what it has loaded, without samples.
        is_stopping: Whether nothing runs after it, since checks have failed.
    """

    pipeline: str
    status: Status
    _load_info: LoadInfo | _Packed | None = field(default=None, repr=False, compare=False)
    error: PipelineFailure | None = None
    row_counts: Mapping[str, int] | None = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    is_resumed: bool = False
    checks: tuple[CheckResult, ...] = ()
    is_stopping: bool = False

    @property
    def load_info(self) -> LoadInfo | None:
        """What it loaded; None if it loaded nothing. Its pipeline has just a name and a folder."""
        info = self._load_info
        return info.unpacked() if isinstance(info, _Packed) else info

    def __getstate__(self) -> dict[str, Any]:
        info = self._load_info
        packed = info if info is None or isinstance(info, _Packed) else _Packed.of(info)
        return {**self.__dict__, "_load_info": packed}

    @property
    def is_ok(self) -> bool:
        """Whether everything was loaded."""
        return self.status == "loaded"

    @property
    def has_loaded(self) -> bool:
        """Whether everything was loaded, even if checks of it have failed."""
        by_checks = self.error is not None and self.error.type == LoadFailedChecks.__name__
        return self.is_ok or by_checks

    @property
    def rows(self) -> int | None:
        """The number of rows that were normalized; None if it is not known."""
        return None if self.row_counts is None else sum(self.row_counts.values())


class PipelineResults(Mapping[str, PipelineResult]):
    """The result of each pipeline, by its name, in the order of the call."""

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
        """Whether all pipelines have loaded everything, and none has failed by checks."""
        return all(result.is_ok for result in self._results.values())

    def raise_for_failures(self) -> None:
        """Raise if a pipeline has not loaded everything.

        Raises:
            ProjectError: It names each such pipeline, and its error.
        """
        bad = [result for result in self._results.values() if not result.is_ok]
        if bad:
            lines = "\n".join(f"  {one.pipeline}: {one.status}: {one.error}" for one in bad)
            is_pending = any(not one.has_loaded for one in bad)
            what = "not loaded" if is_pending else "failed"
            raise ProjectError(
                f"{len(bad)} of {len(self)} pipelines have {what}:\n{lines}",
                "What has been extracted is loaded by their next run." if is_pending else "",
            )

    def __repr__(self) -> str:
        states = ", ".join(f"{name}: {result.status}" for name, result in self._results.items())
        return f"<PipelineResults {states}>"


class PipelinesInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal, while many pipelines ran. Their next runs go on.

    Attributes:
        results: The result of each pipeline until then.
    """

    def __init__(self, results: PipelineResults) -> None:
        super().__init__(repr(results))
        self.results = results


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception came from a signal; dlt wraps a signal as the failure of a step."""
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
