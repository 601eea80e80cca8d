"""What `--dlt-cov` costs: whole pytest processes, with it and without, in turn.

The suites are those of `with_plugin/`: tests on loaded data, and tests that each run a pipeline.

    python benchmarks/data_coverage.py [ROUNDS] [--tests 20]
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness_speed import Suite, Times
from measuring import Figure, main, ratio

_SUITES = {
    "tests on loaded data": "test_users.py",
    "tests that each run a pipeline": "test_runs.py",
}


def figures(rounds: int, tests: int) -> Iterator[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as name:
        suite = Suite("with_plugin", Path(name))
        for what, file in _SUITES.items():
            ways = {"plain": ("-n", "0"), "covered": ("-n", "0", "--dlt-cov")}
            timed: dict[str, list[Times]] = {way: [] for way in ways}
            for number in range(rounds + 1):
                for way in random.Random(number).sample(list(ways), len(ways)):
                    taken = suite.run(file, tests, *ways[way])
                    # the first writes byte code
                    timed[way] += [taken] if number else []
                print(f"{what}: round {number} of {rounds}", file=sys.stderr)
            for clock in ("wall", "processor"):
                covered, plain = (
                    [getattr(times, clock) for times in timed[way]] for way in ("covered", "plain")
                )
                yield ratio(f"`--dlt-cov`, {tests} {what}, {clock}", covered, plain, 1.05)


if __name__ == "__main__":
    main(figures, rounds=7, tests=20)
