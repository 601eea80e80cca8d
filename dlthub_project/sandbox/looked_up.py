"""Notes the names of the secrets that subprocesses of a sandbox have looked up, without values.

The process that has started a subprocess shows its output. By these names it can look the values
up, and mask them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from dlthub_project.dlt_internals import configuration
from dlthub_project.sandbox.settings import active_sandbox

_FOLDER = "looked-up"

_noted: set[tuple[str, ...]] = set()


def note_in_subprocesses() -> None:
    """Have a subprocess note the names of the secrets that it looks up from now on."""
    if _note not in configuration.secret_listeners:
        configuration.secret_listeners.append(_note)


def _note(path: tuple[str, ...]) -> None:
    sandbox = active_sandbox()
    if sandbox is None or not sandbox.is_inherited or (sandbox.folder, *path) in _noted:
        return
    _noted.add((sandbox.folder, *path))
    folder = Path(sandbox.folder, _FOLDER)
    os.makedirs(folder, exist_ok=True)
    with open(folder / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(path) + "\n")


def secrets_of_subprocesses(folder: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the secrets that subprocesses in the sandbox in `folder` looked up."""
    for file in sorted(Path(folder, _FOLDER).glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield tuple(json.loads(line))
