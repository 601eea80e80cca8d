"""Measures which lines and branches of both packages a process runs.

`make test` puts this folder on `PYTHONPATH` and names a folder in `MEASURE_INTO`. Each process
writes there at its end what it ran; `coverage_report.py` puts that together.

SlipCover writes probes into the byte code of the two packages. A tracer, which coverage.py needs
before Python 3.14 for branches, slows down all code, and most of what tests run is dlt's: 94 s of
processor time for 119 tests; 59 s with SlipCover, and without any.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_PACKAGES = ("dlthub_project", "pytest_dlthub")


def measure(folder: str) -> None:
    """Measure what this process imports from now on."""
    import slipcover

    # pytest warns of plugins that were imported before it
    slipcover.__doc__ = "PYTEST_DONT_REWRITE"
    # probes stay where they are: taking them out replaces the code of functions
    measured = slipcover.Slipcover(branch=True, d_miss_threshold=-1, exclude_lines=[])
    sources = [str(_ROOT / package) for package in _PACKAGES]
    slipcover.ImportManager(measured, slipcover.FileMatcher(sources=sources)).__enter__()

    def write() -> None:
        # a process may end in a folder that is gone
        os.chdir(_ROOT)
        files = measured.get_coverage()["files"]
        kept = ("executed_lines", "executed_branches")
        run = {name: {kind: found[kind] for kind in kept} for name, found in files.items()}
        file, _ = tempfile.mkstemp(suffix=".json", dir=folder)
        with open(file, "w") as text:
            json.dump(run, text)

    at_once = os._exit

    def exit_at_once(status: int) -> None:
        write()
        at_once(status)

    atexit.register(write)
    # forked processes end so
    os._exit = exit_at_once  # type: ignore[assignment]


if os.environ.get("MEASURE_INTO"):
    # another virtual environment has it not
    with contextlib.suppress(ModuleNotFoundError):
        measure(os.environ["MEASURE_INTO"])
