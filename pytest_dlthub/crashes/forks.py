"""Forks of the process that runs the tests: each does one piece of work, and may be killed.

A fork has all objects of the test, also closures and generators, and costs some milliseconds. It
never returns into pytest: it always ends in this module.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlthub_project.errors import causes
from dlthub_project.secrets import hide_in_error

_POLL = 0.002
_is_child = False
_RESULT, _OUTPUT = "result.pickle", "output.txt"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child.

    Attributes:
        value: What its work has returned.
        error: The error of its work, in one line; None if there was none.
        exception: The error itself, if it can be pickled.
        is_killed: Whether it was killed; then there is nothing else.
    """

    value: Any = None
    error: str | None = None
    exception: BaseException | None = None
    is_killed: bool = False


Work = Callable[[], Any]
Steps = Generator["Child", Outcome, Any]
"""Yields children one after another, receives the outcome of each, and returns a result."""


def can_fork() -> bool:
    """Tell whether this platform has forks."""
    return hasattr(os, "fork")


def is_child() -> bool:
    """Tell whether this process is such a fork."""
    return _is_child


class Child:
    """A forked process."""

    def __init__(self, work: Work, folder: Path, longest: float) -> None:
        """Start it.

        Args:
            work: What it does. It returns a value that can be pickled.
            folder: The folder for its result and output; made if it does not exist.
            longest: After this number of seconds it is killed.
        """
        self._folder, self._ends = folder, time.monotonic() + longest
        self._longest = longest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _RESULT).unlink(missing_ok=True)
        self.outcome: Outcome | None = None
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; the child uses none of those that the test has
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            _work_and_end(work, folder)

    def poll(self) -> Outcome | None:
        """Return its outcome; None while it runs.

        Raises:
            TimeoutError: It has not ended in time, and is killed now.
        """
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            if time.monotonic() < self._ends:
                return None
            self.kill()
            raise TimeoutError(f"a run has not ended within {self._longest:.0f} s")
        result = self._folder / _RESULT
        # every child ends by SIGKILL; one without a result was killed before
        if result.exists():
            found: Outcome = pickle.loads(result.read_bytes())
            self.outcome = found
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.outcome = Outcome(is_killed=True)
        else:
            self.outcome = Outcome(error=f"the process ended with status {status}")
        return self.outcome

    def kill(self) -> None:
        """Kill the child, if it runs."""
        if self.outcome is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self.outcome = Outcome(is_killed=True)


def run_side_by_side(all_steps: Iterable[Steps], at_once: int) -> list[Any]:
    """Run generators of children, up to `at_once` at a time, and return their results in order.

    Raises:
        TimeoutError: A child has not ended in time. All children are killed.
    """
    waiting = list(enumerate(all_steps))
    results: dict[int, Any] = {}
    running: dict[int, tuple[Steps, Child]] = {}

    def go_on(number: int, steps: Steps, outcome: Outcome | None) -> None:
        try:
            running[number] = steps, next(steps) if outcome is None else steps.send(outcome)
        except StopIteration as done:
            results[number] = done.value

    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                go_on(*waiting.pop(0), None)
            ended = {number: child.poll() for number, (_, child) in running.items()}
            for number, outcome in ended.items():
                if outcome is not None:
                    go_on(number, running.pop(number)[0], outcome)
            if running and all(outcome is None for outcome in ended.values()):
                time.sleep(_POLL)
    finally:
        for _, child in running.values():
            child.kill()
    return [results[number] for number in sorted(results)]


def _work_and_end(work: Work, folder: Path) -> None:
    """Do the work in the new process, and end it."""
    global _is_child
    _is_child = True
    try:
        # the garbage collector ignores older objects, so that their pages need not be copied
        gc.freeze()
        # as in a new process: with another seed, and without warnings as errors
        random.seed()
        warnings.simplefilter("ignore")
        _write_into(folder / _OUTPUT)
        try:
            outcome = Outcome(value=work())
        except BaseException as error:
            outcome = _failed(error, folder)
        sys.stdout.flush()
        sys.stderr.flush()
        _save(outcome, folder)
    finally:
        # so that no `finally` and no exit handler of pytest runs here
        os.kill(os.getpid(), signal.SIGKILL)


def _failed(error: BaseException, folder: Path) -> Outcome:
    # here, as the test's process does not know the secrets that this one has looked up
    hide_in_error(error)
    *_, cause = causes(error)
    lines = str(cause).strip().splitlines() or [""]
    step = getattr(error, "step", None)
    where = f"step {step}: " if step else ""
    # without the folder, so that equal errors are equal
    words = f"{where}{type(cause).__name__}: {lines[0]}".replace(str(folder), "…")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of any class: each object fails to pickle in its own way
        return Outcome(error=words)
    return Outcome(error=words, exception=error)


def _save(outcome: Outcome, folder: Path) -> None:
    path = folder / _RESULT
    part = path.with_suffix(".part")
    try:
        part.write_bytes(pickle.dumps(outcome))
    except Exception as error:  # of any class, see above
        part.write_bytes(pickle.dumps(Outcome(error=f"what it returns cannot be pickled: {error}")))
    part.replace(path)


def _write_into(path: Path) -> None:
    """Write all output of this process into a file, not into pytest's captured output."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    captured = [1, 2]
    for stream in (sys.stdout, sys.stderr):
        # loggers keep streams that write into files of pytest; streams in memory have no number
        with suppress(Exception):
            captured.append(stream.fileno())
    for number in captured:
        os.dup2(file, number)
    sys.stdout, sys.stderr = (
        open(number, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  # as long as the process
        for number in (1, 2)
    )
