"""What "load once, copy per test" saves, and what workers do: whole pytest processes.

The suites are plain code beside this file, for the reader to judge: `by_hand/` is what a careful
engineer writes today, `with_plugin/` has the same tests, and both load `crm.py`. By hand runs
without this plugin (`-p no:dlthub`). Every way runs once a round, in another order each time.

Prints wall time as median, least and most, and the ratios of the medians: of wall time, and of
processor time, which varies less on a busy machine but tells nothing of workers. Then how often
the source was run.

    python benchmarks/harness_speed.py [ROUNDS] [--few 20] [--many 200] [--small-runs 40]
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import Figure, main, speed_up

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Times:
    """What one pytest process took with its workers, in seconds, and how often the source ran."""

    wall: float
    processor: float
    runs: int = 0


class Suite:
    """One of the suites, in a folder of its own."""

    def __init__(self, name: str, root: Path, *arguments: str) -> None:
        self._folder = root / name
        self._runs = self._folder / "runs.txt"
        self._arguments = arguments
        shutil.copytree(_HERE / name, self._folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_HERE / "crm.py", self._folder)
        (self._folder / "pytest.ini").write_text("[pytest]\n")
        (self._folder / "temporary").mkdir()

    def run(self, file: str, tests: int, *arguments: str) -> Times:
        """Run a file of tests in one pytest process; end all if one of them fails."""
        self._runs.write_text("")
        before, start = _processor_seconds(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", file, *self._arguments, *arguments],
            cwd=self._folder,
            env={
                # byte code is at hand, as it is for users
                **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
                "CRM_TESTS": str(tests),
                # read while a template is built, and so a part of its key: always the same
                "CRM_RUNS": str(self._runs),
                "XDG_CACHE_HOME": str(self._folder / "cache"),
                "TMPDIR": str(self._folder / "temporary"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        wall, processor = time.perf_counter() - start, _processor_seconds() - before
        if f"{tests} passed" not in done.stdout:
            sys.exit(done.stdout + done.stderr)
        return Times(wall, processor, len(self._runs.read_text().split()))


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(rounds: int, few: int, many: int, small_runs: int) -> dict[str, list[Times]]:
    """Run every way once in each round."""
    with tempfile.TemporaryDirectory() as name:
        by_hand = Suite("by_hand", Path(name), "-p", "no:dlthub")
        plugin = Suite("with_plugin", Path(name))
        ways: dict[str, Callable[[], Times]] = {
            "few by hand": lambda: by_hand.run("test_users.py", few),
            "many by hand": lambda: by_hand.run("test_users.py", many),
            "few": lambda: plugin.run("test_users.py", few),
            "many": lambda: plugin.run("test_users.py", many),
            "many again": lambda: plugin.run("test_users.py", many, "--dlt-reuse"),
            "one process": lambda: plugin.run("test_runs.py", small_runs, "-n", "0"),
            "two workers": lambda: plugin.run("test_runs.py", small_runs, "-n", "2"),
        }
        # not counted: byte code is written, and the template that `many again` finds
        by_hand.run("test_users.py", 2)
        plugin.run("test_users.py", many, "--dlt-reuse")
        plugin.run("test_runs.py", 2, "-n", "2")
        timed: dict[str, list[Times]] = {way: [] for way in ways}
        for number in range(rounds):
            for way in random.Random(number).sample(list(ways), len(ways)):
                timed[way].append(ways[way]())
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return timed


def figures(rounds: int, few: int, many: int, small_runs: int) -> Iterator[Figure]:
    """Measure; and see how often the source ran."""
    timed = measure(rounds, few, many, small_runs)

    def of(clock: str, way: str) -> list[float]:
        return [getattr(times, clock) for times in timed[way]]

    def one_more(clock: str, way: str) -> list[float]:
        pairs = zip(of(clock, f"few{way}"), of(clock, f"many{way}"), strict=True)
        return [(more - less) / (many - few) for less, more in pairs]

    tests = f"{many} tests on loaded data"
    for clock in ("wall", "processor"):
        by_hand = of(clock, "many by hand")
        more = one_more(clock, ""), one_more(clock, " by hand")
        yield speed_up(f"one more test on loaded data, {clock} time", *more, 10)
        yield speed_up(f"{tests}, {clock} time", of(clock, "many"), by_hand, 8)
        again = of(clock, "many again")
        yield speed_up(f"{tests}, with `--dlt-reuse`, {clock} time", again, by_hand, None)
    workers = of("wall", "two workers"), of("wall", "one process")
    yield speed_up(f"{small_runs} tests that each run a pipeline, `-n 2`, wall time", *workers, 1.6)
    runs = [float(times.runs) for times in timed["many again"]]
    yield Figure(
        f"runs of the source, {tests}, with `--dlt-reuse`", max(runs), min(runs), max(runs), "", 0
    )


if __name__ == "__main__":
    main(figures, rounds=2, few=20, many=200, small_runs=40)
