"""What `dlt project list` costs, as a multiple of `python -c "import dlt"`.

Each runs in a new process, the ways in turn, with byte code at hand: outside of any project, and in
the folder of one, which dlt's program opens before it looks at the command. dlt's own `--version`
is what its program costs without a command of ours. Processor time.

    python benchmarks/command_line.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Figure, main, ratio

_REACH = 1.3
_PROGRAM = str(Path(sys.executable).with_name("dlt"))
_MANIFEST = "sources: {orders: {type: shop.orders}}\npipelines: {load: {source: orders}}\n"
_WAYS = {
    "import dlt": ([sys.executable, "-c", "import dlt"], "empty"),
    "dlt --version": ([_PROGRAM, "--version"], "empty"),
    "dlt project list": ([_PROGRAM, "project", "list"], "empty"),
    "dlt project list, in a project": ([_PROGRAM, "project", "list"], "shop"),
}
_PLAIN, *_OURS = _WAYS
_PROMISED = ("dlt project list", "dlt project list, in a project")


def seconds(way: str, root: str) -> float:
    """Return the processor time of one process."""
    command, folder = _WAYS[way]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        cwd=Path(root, folder),
        env={**environment, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    timed: dict[str, list[float]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as root:
        for name in ("empty", "shop"):
            Path(root, name).mkdir()
        Path(root, "shop", "dlt.yml").write_text(_MANIFEST, encoding="utf-8")
        for way in _WAYS:
            # writes the byte code
            seconds(way, root)
        for number in range(rounds):
            for way in sorted(_WAYS, reverse=number % 2 == 0):
                timed[way].append(seconds(way, root))
    for way in _OURS:
        reach = _REACH if way in _PROMISED else None
        yield ratio(f"{way}, to import dlt", timed[way], timed[_PLAIN], reach)


if __name__ == "__main__":
    main(figures, rounds=20)
