"""Says of a contract with dlt that is broken where the code of dlt is that it leans on."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

MARK = "leans_on"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add it to the report of a test with the mark `leans_on` that fails."""
    report = yield
    mark = item.get_closest_marker(MARK)
    if report.failed and mark is not None:
        report.sections.append(("leans on", "\n".join(map(place_of, mark.args))))
    return report


def place_of(name: str) -> str:
    """Return `dlt/load/load.py:640 Load.run` for `dlt.load.load:Load.run`.

    Raises:
        AttributeError: dlt has none of this name.
    """
    found: Any = pkgutil.resolve_name(name)
    found = inspect.unwrap(getattr(found, "fget", None) or found)
    file = Path(inspect.getsourcefile(found) or "")
    root = Path(sys.modules["dlt"].__path__[0]).parent
    line = inspect.getsourcelines(found)[1]
    return f"{file.relative_to(root).as_posix()}:{line} {name.partition(':')[2]}"
