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
import importlib.machinery
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = Path(__file__).parents[3]
_PACKAGES = ("dlthub_project", "pytest_dlthub")
_REWRITING = "_pytest.assertion.rewrite"


class _BeforePytest:
    """Keeps pytest, which would rewrite the assertions of its plugin, from loading the plugin."""

    def __init__(self) -> None:
        if rewriting := sys.modules.get(_REWRITING):
            self._leave_out(rewriting)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _REWRITING:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._leave_out(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _leave_out(self, rewriting: Any) -> None:
        hook = rewriting.AssertionRewritingHook
        find, warn = hook.find_spec, hook._warn_already_imported

        def find_spec(self: Any, name: str, path: Any = None, target: Any = None) -> Any:
            return None if _is_ours(name) else find(self, name, path, target)

        def warn_already_imported(self: Any, name: str) -> None:
            if not _is_ours(name):
                warn(self, name)

        hook.find_spec, hook._warn_already_imported = find_spec, warn_already_imported


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in _PACKAGES


def measure(folder: str) -> None:
    """Measure what this process imports from now on."""
    import slipcover

    # pytest warns of plugins that were imported before it
    slipcover.__doc__ = "PYTEST_DONT_REWRITE"
    if sys.version_info < (3, 12):
        import probed_code

        probed_code.keep_in(Path(folder, "code"))
    # probes stay where they are: taking them out replaces the code of functions
    measured = slipcover.Slipcover(branch=True, d_miss_threshold=-1, exclude_lines=[])
    sources = [str(_ROOT / package) for package in _PACKAGES]
    slipcover.ImportManager(measured, slipcover.FileMatcher(sources=sources)).__enter__()
    sys.meta_path.insert(0, _BeforePytest())

    def write() -> None:
        # a process may end in a folder that is gone
        os.chdir(_ROOT)
        run = {
            os.path.relpath(name, _ROOT): [*found] for name, found in measured.newly_seen.items()
        }
        file, _ = tempfile.mkstemp(suffix=".json", dir=folder)
        with open(file, "w") as text:
            json.dump(run, text)

    at_once, kill = os._exit, os.kill

    def exit_at_once(status: int) -> None:
        write()
        at_once(status)

    def kill_and_write(process: int, number: int) -> None:
        if process == os.getpid() and number == getattr(signal, "SIGKILL", None):
            write()
        kill(process, number)

    atexit.register(write)
    # forked processes end so, and those that test what a kill leaves
    os._exit, os.kill = exit_at_once, kill_and_write  # type: ignore[assignment]


if os.environ.get("MEASURE_INTO"):
    # another virtual environment has it not
    with contextlib.suppress(ModuleNotFoundError):
        measure(os.environ["MEASURE_INTO"])
