"""The points of a run at which a crash matters, in the order in which a run reaches them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dlthub_project.dlt_internals.fault_points import PlaceName
from dlthub_project.errors import known_names

Kind = Literal["kill", "exception", "disconnect", "full_disk"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OF_KILL: tuple[Kind, ...] = ("kill", "exception")


@dataclass(frozen=True)
class Point:
    """A point of a run.

    Attributes:
        name: How a test names it.
        where: The end of a message, behind the words for the kind of fault.
        place: The place of dlt that it is.
        kinds: The kinds of faults that can happen there.
        first: The place that stands for `place` in a run that never reaches it: an extract without
            a row.
        is_held: Whether all running jobs wait at the place first, so that dlt has marked none.
        of_followups: Whether it is about jobs that move staged rows.
        of_traces: Whether it is about the pipeline that stores traces.
    """

    name: str
    where: str
    place: PlaceName
    kinds: tuple[Kind, ...] = _OF_KILL
    first: PlaceName | None = None
    is_held: bool = False
    of_followups: bool = False
    of_traces: bool = False


POINTS: tuple[Point, ...] = (
    Point("extract", "in extract", "item written", KINDS, first="before package"),
    Point(
        "extracted",
        "between the extracted package and its state",
        "after package",
        (*_OF_KILL, "full_disk"),
    ),
    Point("before_normalize", "between extract and normalize", "before normalize"),
    Point(
        "normalize",
        "in normalize",
        "before normalized package",
        (*_OF_KILL, "full_disk"),
    ),
    Point("normalized", "at the end of normalize", "after normalized package"),
    Point("before_job", "before a job", "before job", KINDS),
    Point("commit", "between commit and mark", "job committed", KINDS, is_held=True),
    Point(
        "merge_commit",
        "between commit and mark of a merge or replace",
        "job committed",
        KINDS,
        is_held=True,
        of_followups=True,
    ),
    Point("between_jobs", "between jobs", "job completed"),
    Point("before_state", "between data and state", "state is next"),
    Point("after_jobs", "after the last job", "before entry", (*_OF_KILL, "disconnect")),
    Point(
        "entered",
        "between the entry of the load and the end of its package",
        "after entry",
        (*_OF_KILL, "full_disk"),
    ),
    Point("trace", "while dlt's trace is stored", "before trace", (*_OF_KILL, "full_disk")),
    Point(
        "stored_trace",
        "while the runner stores the trace",
        "before load",
        (*_OF_KILL, "disconnect"),
        of_traces=True,
    ),
)
"""All points."""

_WORDS: dict[Kind, str] = {
    "kill": "a kill",
    "exception": "an exception",
    "disconnect": "a lost connection",
    "full_disk": "a full disk",
}


def words_of(kind: Kind) -> str:
    """Return the words for a kind, with their article."""
    return _WORDS[kind]


def chosen_points(names: str | Sequence[str] | None, kind: Kind) -> tuple[Point, ...]:
    """Return the points at which a kind of fault can happen, in the order of a run.

    Args:
        names: The names of the points; None for all.
        kind: The kind of fault.

    Raises:
        ValueError: There is no such kind or point, a fault of the kind cannot happen at a point
            that is named, or none is named.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no kind of fault `{kind}`. {known_names(kind, KINDS)}")
    possible = {point.name: point for point in POINTS if kind in point.kinds}
    asked: Collection[str] = (names,) if isinstance(names, str) else possible
    if names is not None and not isinstance(names, str):
        asked = names
    known = [point.name for point in POINTS]
    for name in asked:
        if name not in known:
            raise ValueError(f"There is no point `{name}` of a run. {known_names(name, known)}")
        if name not in possible:
            raise ValueError(
                f"points: {words_of(kind)} cannot happen at `{name}`; "
                f"those where it can: {', '.join(possible)}"
            )
    if not asked:
        raise ValueError(f"points: name at least one of {', '.join(possible)}")
    return tuple(point for name, point in possible.items() if name in asked)
