"""Faults that a test asks for one by one, each for a number of times; the test fails otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from dlthub_project.dlt_internals.fault_points import Place, PlaceName, Startable
from dlthub_project.errors import known_names
from dlthub_project.faults.striking import InjectedFault, full_disk, lost_connection

Step = Literal["sync", "extract", "normalize", "load"]
Raised = BaseException | Callable[[], BaseException]

# an extract without rows writes no item
_PLACES: dict[Step, tuple[PlaceName, ...]] = {
    "sync": ("sync",),
    "extract": ("item written", "before package"),
    "normalize": ("before normalized package",),
    "load": ("before load",),
}
_OF_TRACES = "_trace_"


@dataclass(eq=False)
class Fault:
    """One fault, which happens a number of times.

    Attributes:
        asked: How the test has asked for it.
        times: How often it is to happen; None for always.
        happened: How often it has.
    """

    asked: str
    times: int | None
    make: Callable[[], BaseException] = field(repr=False)
    places: tuple[PlaceName, ...]
    pipeline: str | None
    table: str | None
    happened: int = 0
    passed: set[str] = field(default_factory=set, repr=False)

    def problem(self) -> str | None:
        """Return what is wrong with it at the end of the test; None if it happened as asked."""
        if self.happened >= (1 if self.times is None else self.times):
            return None
        if self.happened:
            return f"{self.asked} happened {self.happened} of {self.times} times"
        where = ""
        if self.table is not None:
            where = f". {known_names(self.table, self.passed)}" if self.passed else ", no job ran"
        return f"{self.asked} never happened{where}"

    def fits(self, place: Place) -> bool:
        """Tell whether it can happen at a place."""
        if place.name not in self.places:
            return False
        is_of_traces = place.pipeline.startswith(_OF_TRACES)
        if is_of_traces if self.pipeline is None else place.pipeline != self.pipeline:
            return False
        if self.table is not None and place.table is not None and not place.is_followup:
            self.passed.add(place.table)
        return self.table is None or (place.table == self.table and not place.is_followup)


class Faults:
    """The faults of one test, in the process of the test.

    A fault that has not happened as often as it was asked for when the test ends fails the test:
    code that recovers from nothing would be green.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def lose(
        self,
        table: str,
        *,
        after_commit: bool = True,
        times: int | None = 1,
        pipeline: str | None = None,
    ) -> Fault:
        """Lose the connection to the destination while a job of a table is loaded.

        Args:
            table: The table, as the destination has it.
            after_commit: The destination has committed the job, and its answer is lost. Otherwise
                it has never heard of it.
            times: How often; None for always.
            pipeline: The name of the pipeline; None for any.

        Returns:
            The fault: `happened` counts.

        Raises:
            ValueError: `times` is less than one.
        """
        name: PlaceName = "job committed" if after_commit else "before job"
        asked = f"lose({table!r}, after_commit={after_commit})"
        return self._add(asked, times, lambda: lost_connection("job"), (name,), pipeline, table)

    def fail(
        self,
        step: Step,
        *,
        times: int | None = 1,
        error: Raised | None = None,
        pipeline: str | None = None,
    ) -> Fault:
        """Have a step of a run fail.

        Args:
            step: `sync`, before the destination is asked; `extract`, after the first page;
                `normalize`, before its package is there; or `load`, before the first job.
            times: How often; None for always.
            error: What is raised, or a function that makes it; an `InjectedFault` by default.
            pipeline: The name of the pipeline; None for any.

        Raises:
            ValueError: There is no such step, or `times` is less than one.
        """
        default = InjectedFault(f"{step} fails, as this test asks")
        given = default if error is None else error
        make = (lambda: given) if isinstance(given, BaseException) else given
        return self._add(f"fail({step!r})", times, make, _places(step), pipeline)

    def disconnect(
        self, step: Step = "load", *, times: int | None = 1, pipeline: str | None = None
    ) -> Fault:
        """Break a connection: in `extract` that to the source, else that to the destination.

        Both faults are transient for dlt: a runner that retries the step tries it again.

        Args:
            step: `sync`, `extract` or `load`.
            times: How often; None for always.
            pipeline: The name of the pipeline; None for any.

        Raises:
            ValueError: There is no such step, `normalize` connects to nothing, or `times` is less
                than one.
        """
        if step == "normalize":
            raise ValueError("dlt_faults.disconnect: normalize connects to nothing")
        asked = f"disconnect({step!r})"
        return self._add(asked, times, lambda: lost_connection(step), _places(step), pipeline)

    def fill_disk(self, step: Step, *, times: int | None = 1, pipeline: str | None = None) -> Fault:
        """Fill the disk in a step: a write of dlt raises `OSError`, "No space left".

        Raises:
            ValueError: There is no such step, or `times` is less than one.
        """
        return self._add(f"fill_disk({step!r})", times, full_disk, _places(step), pipeline)

    def problems(self) -> list[str]:
        """Return what is wrong with the faults that have not happened as asked."""
        return [problem for fault in self._faults if (problem := fault.problem())]

    @property
    def awaits_sync(self) -> bool:
        """Whether a fault is to happen when a run asks its destination for its state."""
        return any("sync" in fault.places for fault in self._faults)

    def reached(self, place: Place) -> None:
        """Let a fault happen; see `fault_points.Listener`.

        Raises:
            BaseException: What the fault raises.
        """
        with self._lock:
            fault = next((f for f in self._faults if f.fits(place) and _is_left(f)), None)
            if fault is None:
                return
            fault.happened += 1
        raise fault.make()

    def chosen(self, jobs: Startable) -> Sequence[str] | None:
        """Let dlt start all jobs."""
        return None

    def _add(
        self,
        asked: str,
        times: int | None,
        make: Callable[[], BaseException],
        places: tuple[PlaceName, ...],
        pipeline: str | None,
        table: str | None = None,
    ) -> Fault:
        if times is not None and times < 1:
            raise ValueError(f"dlt_faults.{asked}: times={times} is no fault at all")
        told = f"dlt_faults.{asked}"
        fault = Fault(told, times, make, places, pipeline, table)
        self._faults.append(fault)
        return fault


def _is_left(fault: Fault) -> bool:
    return fault.times is None or fault.happened < fault.times


def _places(step: Step) -> tuple[PlaceName, ...]:
    if step not in _PLACES:
        raise ValueError(
            f"dlt_faults: there is no step `{step}`. {known_names(step, get_args(Step))}"
        )
    return _PLACES[step]
