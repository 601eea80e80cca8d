"""The report of `crashed`: the points, what is wrong after a crash there, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dlthub_project.faults import Kind, Point
from dlthub_project.faults.points import words_of
from pytest_dlthub.crashes.problems import Cause, Problem

Runner = str
"""`dlt`, `project`, or `test` for the code of the test itself."""

_TO_MERGE = (
    'a `primary_key` with `write_disposition="merge"`, or a cursor (`dlt.sources.incremental`)'
)
_BY_RUNNER = (
    "the runner of projects finishes pending loads, each row once: run the pipeline with "
    '`dlt.hub.runner(pipeline).run(...)`, and test that with `runner="project"`'
)
_BY_POLICY = (
    "dlt itself has retried the job within one load: with a `retry_policy`, the runner of projects "
    "removes the rows of the first attempt"
)
_HELP: dict[Cause, str] = {
    "loaded twice": "dlt had not marked the job as done, and so has loaded it again, although the "
    "destination had committed its rows",
    "extracted twice": "the run after the crash has extracted these rows again, but the rows of "
    f"the first extraction are loaded too: give the resource {_TO_MERGE}. If the source yields "
    "each row only once, as a queue does, say so: `again=[]`",
    "without ids": "these rows have no `_dlt_id` (rows of frames and Arrow tables have none), so "
    "it is unknown whether a job has loaded them twice or a run has extracted them twice: set "
    "`normalize.parquet_normalizer.add_dlt_load_id = true`, with the runner of projects, or merge",
    "lost": "dlt's run has dropped rows that an earlier run had extracted and not loaded, or the "
    "source does not yield them again",
    "fails": "the run after the crash fails on what the crash has left",
    "other": "",
}
# what the runner of projects mends
_MENDED: tuple[Cause, ...] = ("loaded twice", "lost", "fails")


@dataclass(frozen=True)
class Crash:
    """The outcome of one fault at one point.

    Attributes:
        point: The point.
        is_reached: Whether the fault has happened.
        tables: The tables of the jobs that it has hit.
        problems: What is wrong afterwards.
    """

    point: Point
    is_reached: bool
    tables: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Crashes:
    """The crashes that a pipeline has survived. `crashed` returns it, and raises if one is fatal.

    Attributes:
        pipeline: The name of the pipeline.
        kind: What has happened at each point.
        runner: Who has run the pipeline.
        crashes: The outcome at each point, in the order of a run.
        loads: How many loads a whole run has. The fault hits the first load that reaches a point,
            or a table there.
    """

    pipeline: str
    kind: Kind
    runner: Runner
    crashes: tuple[Crash, ...] = field(repr=False)
    loads: int = 1

    @property
    def reached(self) -> list[str]:
        """The names of the points that the run has reached."""
        return list(dict.fromkeys(c.point.name for c in self.crashes if c.is_reached))

    @property
    def unreached(self) -> list[str]:
        """The names of the points that the run has not reached, and that prove nothing."""
        names = dict.fromkeys(crash.point.name for crash in self.crashes)
        return [name for name in names if name not in self.reached]

    @property
    def summary(self) -> str:
        """The result in one line."""
        count = len(self.reached)
        noun = "point" if count == 1 else "points"
        told = f"{self.pipeline}: {words_of(self.kind)} at {count} {noun}"
        if self.loads > 1:
            told = f"{told}, each in the first of {self.loads} loads that reaches it"
        missed = ", ".join(self.unreached)
        return f"{told}; never reached: {missed}" if missed else told

    def text(self) -> str:
        """Return the problems, one line for each kind; empty if there are none."""
        lines = list(self._lines())
        if not lines:
            return ""
        return "\n".join([*lines, *self._help(), self.summary])

    def _lines(self) -> Iterator[str]:
        alike: dict[Problem, list[Point]] = {}
        for crash in self.crashes:
            for problem in crash.problems:
                alike.setdefault(problem, []).append(crash.point)
        for problem, points in alike.items():
            where = f"after {words_of(self.kind)} {points[0].where}"
            rows = f" ({problem.rows})" if problem.rows else ""
            yield f"{problem.subject}: {problem.words} {where}{rows}"
            yield from (f"  {line}" for line in problem.more)
            if others := list(dict.fromkeys(point.where for point in points[1:])):
                yield f"  and {', and '.join(others)}"

    def _help(self) -> Iterator[str]:
        causes = [p.cause for crash in self.crashes for p in crash.problems]
        for cause in dict.fromkeys(causes):
            if text := _HELP[cause]:
                more = f"; {_BY_RUNNER}" if cause in _MENDED and self.runner != "project" else ""
                if cause == "loaded twice" and self.runner == "project" and self.kind != "kill":
                    more = f"; {_BY_POLICY}"
                yield f"help: {text}{more}"


def joined(crashes: Sequence[Crash]) -> Crash:
    """Join the crashes at one point, in jobs of several tables, into one."""
    problems = dict.fromkeys(problem for crash in crashes for problem in crash.problems)
    tables = dict.fromkeys(table for crash in crashes for table in crash.tables)
    return Crash(
        crashes[0].point,
        any(crash.is_reached for crash in crashes),
        tuple(tables),
        tuple(problems),
    )
