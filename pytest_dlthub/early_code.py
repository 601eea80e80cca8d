"""Where plain code keeps its state that runs before a sandbox: modules, and fixtures of a test.

A pipeline writes its state when it is made, into dlt's global folder. In a suite that asks for
sandboxes, what is made while modules are imported, and by the fixtures that a test has before its
sandbox, goes to a folder of the session. A suite that asks for nothing is left alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from pytest_dlthub.plain import FIXTURES, asks_for_sandbox

_TELEMETRY_VARIABLE = "RUNTIME__DLTHUB_TELEMETRY"
# where dlt keeps what is made outside of sandboxes; the runtime, what no variable of dlt's moves
_FOLDER_VARIABLES = ("DLT_DATA_DIR", "DLTHUB_PROJECT_EARLY_CODE")


class EarlyCode:
    """What plain code finds in the environment before its sandboxes."""

    def __init__(self, config: pytest.Config, folder: Callable[[], Path]) -> None:
        """Take pytest's configuration, and what makes the folder."""
        self._config = config
        self._folder = folder
        self._before: dict[str, str | None] = {}
        self._ours: dict[str, str] = {}

    def begin_imports(self) -> None:
        """Look at the suite as soon as a module imports dlt: one that never does costs nothing."""
        if "dlt" in sys.modules:
            self._begin_if_asked()
        else:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing: others do. This is how an import of dlt is seen."""
        if name == "dlt" and self in sys.meta_path:
            sys.meta_path.remove(self)
            self._begin_if_asked()
        return None

    def _begin_if_asked(self) -> None:
        if asks_for_sandbox(self._config):
            self._begin()

    def _begin(self) -> None:
        self._ours = {_TELEMETRY_VARIABLE: "false"}
        self._ours.update(dict.fromkeys(_FOLDER_VARIABLES, str(self._folder())))
        self._before = {name: os.environ.get(name) for name in self._ours}
        os.environ.update(self._ours)

    def end(self) -> None:
        """Have plain code run as without this plugin; what others have set meanwhile stays."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, value in self._before.items():
            if os.environ.get(name) != self._ours[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self._before = {}

    @contextmanager
    def setup_of(self, item: pytest.Item) -> Iterator[None]:
        """Have the fixtures of a test that asks for a sandbox begin before it does."""
        if FIXTURES.intersection(getattr(item, "fixturenames", ())):
            self._begin()
        try:
            yield
        finally:
            self.end()
