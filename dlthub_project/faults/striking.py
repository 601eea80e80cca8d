"""One fault at one point of a run, and the trail of places that a run has reached."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from dlthub_project.dlt_internals.fault_points import Place, Startable, unreachable
from dlthub_project.faults.points import Kind, Point

# how often held jobs are looked at, in seconds, and for how many looks they must be the same
_LOOKS_EVERY, _SAME = 0.005, 5
# a job that has begun and never commits is not waited for
_LONGEST_HOLD = 5.0
_LOST_AFTER_COMMIT = "the answer is lost"


class InjectedFault(Exception):
    """The fault of a test that names no error: code fails for an unforeseen reason."""


def lost_connection(place: str) -> Exception:
    """Return the error of a connection that breaks at a place.

    Args:
        place: `extract` for a connection to a source, which is not one of dlt's.
    """
    if place == "extract":
        return ConnectionError("the source has closed the connection")
    return unreachable("a test", "the dataset", _LOST_AFTER_COMMIT)


def full_disk() -> OSError:
    """Return the error of a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Trail:
    """The places that the runs of this process have reached.

    It can be pickled, and says afterwards where a fault could have happened.

    Attributes:
        awaits_sync: No.
    """

    awaits_sync = False

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._state_of: set[str] = set()

    def reached(self, place: Place) -> None:
        """Note a place."""
        self._places.append(place)

    def chosen(self, jobs: Startable) -> Sequence[str] | None:
        """Note whether the state comes with data; let dlt start all jobs."""
        tables = {*jobs.new.values()}
        if jobs.state_table in tables and tables != {jobs.state_table}:
            self._state_of.add(jobs.pipeline)
        return None

    def has_extracted(self, pipeline: str) -> bool:
        """Tell whether an extract of a pipeline has come to its end."""
        return any(p.pipeline == pipeline and p.name == "after package" for p in self._places)

    def loads(self, pipeline: str) -> int:
        """Return how many loads of a pipeline have been entered."""
        return sum(p.pipeline == pipeline and p.name == "after entry" for p in self._places)

    def tables(self, pipeline: str, *, of_followups: bool) -> set[str]:
        """Return the tables of the jobs that were run, without dlt's own."""
        return {
            str(place.table)
            for place in self._places
            if place.name == "job committed"
            and place.pipeline == pipeline
            and place.is_followup == of_followups
            and not str(place.table).lower().startswith("_dlt_")
        }

    def has(self, point: Point, pipeline: str) -> bool:
        """Tell whether runs of a pipeline have such a point."""
        own = [p for p in self._places if (p.pipeline == pipeline) is not point.of_traces]
        if point.name == "before_state":
            return pipeline in self._state_of
        if point.name == "between_jobs":
            return sum(place.name == "job completed" for place in own) > 1
        if point.is_held:
            return bool(self.tables(pipeline, of_followups=point.of_followups))
        return any(place.name in (point.place, point.first) for place in own)


class Strike:
    """Lets a fault happen once, at one point of the runs of one pipeline.

    A kill ends the process by SIGKILL. At a point where jobs have committed and are not marked, all
    running jobs wait there first, and `tell` hears of their tables.

    Attributes:
        awaits_sync: No.
    """

    awaits_sync = False

    def __init__(
        self,
        point: Point,
        kind: Kind,
        pipeline: str,
        tell: Callable[[Collection[str]], None],
        passed: Collection[str] = (),
    ) -> None:
        """Wait for the point.

        Args:
            point: Where it happens.
            kind: What happens.
            pipeline: The name of the pipeline; of others only what stores its traces is struck.
            tell: Is called with the tables of the jobs that are struck, before it happens.
            passed: Tables whose jobs are left alone.
        """
        self._point, self._kind, self._pipeline = point, kind, pipeline
        self._tell, self._passed = tell, passed
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        self._held: dict[str, str] = {}
        self._struck: set[str] = set()
        self._is_loaded = False
        is_marked = kind == "full_disk" and point.is_held
        self._places = {"job is to be marked"} if is_marked else {point.place, point.first}

    def reached(self, place: Place) -> None:
        """Let it happen, if this is the place.

        Raises:
            InjectedFault: An exception was asked for.
            OSError: A full disk was asked for, or a lost connection in extract.
            DestinationConnectionError: A lost connection was asked for.
        """
        if (place.pipeline == self._pipeline) is self._point.of_traces:
            return
        self._is_loaded = self._is_loaded or place.name == "after entry"
        if self._point.is_held:
            self._reached_by_job(place)
        elif place.name in self._places and self._is_it(place) and self._is_first():
            self._happen([place.table] if place.table else [])

    def chosen(self, jobs: Startable) -> Sequence[str] | None:
        """Start jobs one after another, or the state last, if the point is between them."""
        if jobs.pipeline != self._pipeline or self._struck:
            return None
        others = [file for file, table in jobs.new.items() if table != jobs.state_table]
        if self._point.name == "between_jobs":
            in_order = [*others, *(file for file in jobs.new if file not in others)]
            return [] if jobs.started else in_order[:1]
        if self._point.name == "before_state" and (others or jobs.started):
            return others
        return None

    def _is_it(self, place: Place) -> bool:
        if place.name == "job completed":
            return bool(place.waiting)
        # each step that code calls by itself has a trace of its own
        return place.name != "before trace" or self._is_loaded

    def _is_first(self) -> bool:
        with self._lock:
            is_first = not self._struck
            self._struck.add("")
            return is_first

    def _reached_by_job(self, place: Place) -> None:
        if place.table is None or place.table in self._passed or place.job is None:
            return
        if place.is_followup is not self._point.of_followups:
            return
        if place.name == "before job":
            self._begun.add(place.job)
        elif place.name in self._places and self._kind == "kill":
            self._hold(place.table, place.job)
        elif place.name in self._places:
            with self._lock:
                is_first = place.job not in self._struck
                self._struck.add(place.job)
            if is_first:
                self._happen([place.table])

    def _hold(self, table: str, job: str) -> NoReturn:
        """Wait until all running jobs have come here, then be killed."""
        with self._lock:
            watches = not self._held
            self._held[job] = table
        ends, same, before = time.monotonic() + _LONGEST_HOLD, 0, -1
        while watches and same < _SAME and time.monotonic() < ends:
            time.sleep(_LOOKS_EVERY)
            is_whole = self._begun <= {*self._held} and len(self._held) == before
            same, before = same + 1 if is_whole else 0, len(self._held)
        if watches:
            self._happen({*self._held.values()})
        threading.Event().wait()
        raise AssertionError("the process is killed")

    def _happen(self, tables: Collection[str]) -> None:
        self._tell(tables)
        if self._kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._kind == "disconnect":
            raise lost_connection(self._point.name)
        if self._kind == "full_disk":
            raise full_disk()
        raise InjectedFault(f"a fault {self._point.where}, as this test asks")
