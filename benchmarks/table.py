"""Runs every benchmark beside this file, and prints one table of what they measured.

Each runs in a process of its own, one after another. Those that take ten minutes by themselves run
only where they are named.

    python benchmarks/table.py [NAME ...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from measuring import Figure, machine, table

_HERE = Path(__file__).parent
_failed: list[str] = []
_NOT_BENCHMARKS = ("conftest", "crm", "measuring", "table")
_LONG = ("many_pipelines",)


def figures_of(script: Path) -> list[Figure]:
    """Return what one benchmark measures, as far as it came."""
    # byte code is at hand, as it is for users
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(script), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        _failed.append(script.stem)
    return [Figure(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def main(names: list[str]) -> None:
    """Measure and print."""
    scripts = [p for p in sorted(_HERE.glob("*.py")) if p.stem not in _NOT_BENCHMARKS]
    if unknown := set(names) - {script.stem for script in scripts}:
        known = ", ".join(script.stem for script in scripts)
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}. Known: {known}.")
    measured = []
    for script in scripts:
        if script.stem in names or (not names and script.stem not in _LONG):
            start = time.perf_counter()
            measured += figures_of(script)
            print(f"{script.stem}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(f"{machine()}\n\n{table(measured)}")
    missed = sum(figure.is_reached is False for figure in measured)
    print(f"\n{missed} of {len(measured)} figures missed their reach.")
    if not names:
        print(f"Left out, unless named: {', '.join(_LONG)}.")
    if _failed:
        sys.exit(f"failed: {', '.join(_failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
