"""A sandbox for each example of a test with Hypothesis' `@given`.

Hypothesis calls the function of one test many times. Without this, an example would find what those
before it have loaded.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

# they have one state for the whole test
_OF_WHOLE_TEST = ("dlt_config", "dlt_dataset", "dlt_loaded")


@contextmanager
def isolated_examples(item: pytest.Item) -> Iterator[None]:
    """Have each example of a test that runs in a block start with an empty sandbox.

    Raises:
        UsageError: The test has a fixture that cannot be made anew for each example.
    """
    handle: Any = getattr(getattr(item, "obj", None), "hypothesis", None)
    inner = getattr(handle, "inner_test", None)
    if inner is None:
        yield
        return
    for name in getattr(item, "fixturenames", ()):
        if name in _OF_WHOLE_TEST:
            raise pytest.UsageError(
                f"{name}: Hypothesis runs this test many times, and {name} is made once: an "
                "example would find what those before it did. Use dlt_run or dlt_project: each "
                "example starts with an empty sandbox. Set variables of the environment in the "
                "test itself."
            )
    handle.inner_test = _in_sandboxes(inner)
    try:
        yield
    finally:
        handle.inner_test = inner


def _in_sandboxes(test: Any) -> Any:
    from dlthub_project.sandbox import active_sandbox, isolated

    numbers = count(1)
    # Hypothesis runs the smallest example that fails last: its data are kept
    failed: list[Path] = []

    @functools.wraps(test)
    def example(*args: Any, **kwargs: Any) -> Any:
        outer = active_sandbox()
        if outer is None:
            return test(*args, **kwargs)
        while failed:
            shutil.rmtree(failed.pop(), ignore_errors=True)
        folder = Path(outer.folder, f"example-{next(numbers)}")
        failed.append(folder)
        with isolated(replace(outer, folder=str(folder))):
            outcome = test(*args, **kwargs)
        failed.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return outcome

    return example
