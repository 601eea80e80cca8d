"""A plugin that measures coverage in the first case of each slow test alone.

Coverage slows all Python code down, dlt's too, by some 80 %. Further cases of a slow test, and
tests with the marker `unmeasured`, run what others have run, under other circumstances; they run
without it.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Generator
from typing import Any

import coverage
import pytest

# what takes longer, in seconds, is measured once
_SLOW = 0.3
# how new processes are told to measure
_FOR_CHILDREN = "COVERAGE_PROCESS_CONFIG"
_SECONDS = pytest.StashKey[dict[tuple[str, ...], float]]()


def pytest_configure() -> None:
    """Have dlt look for settings unmeasured: most of the calls of a small run are for that.

    It takes 38 % of the processor time of tests that run pipelines.
    """
    if coverage.Coverage.current() is None:
        return
    from dlt.common.configuration import resolve

    look_up = resolve._resolve_config_field

    @functools.wraps(look_up)
    def unmeasured(*args: Any, **kwargs: Any) -> Any:
        tracing = sys.gettrace()
        if tracing is None:
            return look_up(*args, **kwargs)
        sys.settrace(None)
        try:
            return look_up(*args, **kwargs)
        finally:
            sys.settrace(tracing)

    resolve._resolve_config_field = unmeasured


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop measuring for a test that is not measured, in processes that it starts too."""
    measurement = coverage.Coverage.current()
    if measurement is None:
        return (yield)
    seconds = item.config.stash.setdefault(_SECONDS, {})
    name = item.originalname if isinstance(item, pytest.Function) else item.name
    test = (*(node.name for node in item.listchain()[:-1]), name)
    if seconds.get(test, 0) < _SLOW and not item.get_closest_marker("unmeasured"):
        started = time.monotonic()
        try:
            return (yield)
        finally:
            seconds[test] = max(time.monotonic() - started, seconds.get(test, 0))
    for_children = os.environ.pop(_FOR_CHILDREN, None)
    measurement.stop()
    # it looks at all modules otherwise, and stumbles over what tests have put among them
    measurement._warn_preimported_source = False
    try:
        return (yield)
    finally:
        measurement.start()
        if for_children is not None:
            os.environ[_FOR_CHILDREN] = for_children
