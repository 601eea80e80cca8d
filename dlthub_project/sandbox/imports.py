"""Whether code runs as part of an import: what it makes then belongs to no test."""

from __future__ import annotations

import sys
from types import FrameType


def is_import_running() -> bool:
    """Tell whether a module is being imported; pytest imports test modules by a way of its own."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "exec_module":
            return True
        frame = frame.f_back
    return False
