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

import argparse
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Times:
    """What one pytest process took with its workers, in seconds, and how often the source ran."""

    wall: float
    processor: float
    runs: int = 0

    @classmethod
    def of_one_more(cls, few: Times, many: Times, tests: int) -> Times:
        """Return what each of `tests` more tests took."""
        wall, processor = many.wall - few.wall, many.processor - few.processor
        return cls(wall / tests, processor / tests)


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


def lines(timed: dict[str, list[Times]], few: int, many: int, small_runs: int) -> Iterator[str]:
    """Yield what is printed: the machine, the table, the runs of the source."""

    def one_more(way: str) -> list[Times]:
        pairs = zip(timed[f"few{way}"], timed[f"many{way}"], strict=True)
        return [Times.of_one_more(f, m, many - few) for f, m in pairs]

    versions = ", ".join(f"{name} {version(name)}" for name in ("dlt", "duckdb", "pytest"))
    yield (
        f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{versions}; median (least to most) of {len(timed['many'])} rounds\n"
    )
    yield "| | by hand | with the plugin | wall time | processor time | reach |"
    yield "|---|---|---|---|---|---|"
    by_hand = timed["many by hand"]
    yield _row("one more test on loaded data", one_more(" by hand"), one_more(""), "10 x", "ms")
    yield _row(f"{many} such tests", by_hand, timed["many"], "8 x")
    yield _row("the same, second session with `--dlt-reuse`", by_hand, timed["many again"], "")
    yield "\n| | `-n 0` | `-n 2` | wall time | processor time | reach |"
    yield "|---|---|---|---|---|---|"
    label = f"{small_runs} tests that each run a small pipeline"
    yield _row(label, timed["one process"], timed["two workers"], "1.6 x")
    yield "\nRuns of the source in one session:\n"
    labels = {
        "many by hand": f"{many} tests by hand",
        "many": f"{many} tests with the plugin",
        "many again": "the same, second session with `--dlt-reuse` (reach: 0)",
    }
    for way, label in labels.items():
        yield f"- {label}: {', '.join(map(str, sorted({t.runs for t in timed[way]})))}"


def _row(label: str, slow: list[Times], fast: list[Times], reach: str, unit: str = "s") -> str:
    def spread(times: list[Times]) -> str:
        values = sorted(1000 * t.wall if unit == "ms" else t.wall for t in times)
        shown = (statistics.median(values), values[0], values[-1])
        return "{} {unit} ({} to {})".format(*(f"{v:.3g}" for v in shown), unit=unit)

    def ratio(clock: str) -> str:
        of_slow, of_fast = ([getattr(t, clock) for t in times] for times in (slow, fast))
        return f"{statistics.median(of_slow) / statistics.median(of_fast):.1f} x"

    cells = (label, spread(slow), spread(fast), ratio("wall"), ratio("processor"), reach)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Whole pytest processes, by hand and with us.")
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--few", type=int, default=20, help="tests at the slope's lower end")
    parser.add_argument("--many", type=int, default=200, help="tests at its upper end")
    parser.add_argument("--small-runs", type=int, default=40, help="tests that run a pipeline")
    given = parser.parse_args()
    sizes = (given.few, given.many, given.small_runs)
    for line in lines(measure(given.rounds, *sizes), *sizes):
        print(line)


if __name__ == "__main__":
    main()
