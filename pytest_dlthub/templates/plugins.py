"""What the key of a template has of plugins: what they say of loads, and what their hooks do."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dlthub_project.sandbox import Sandbox
from pytest_dlthub.hook_calls import called, of_others, refused
from pytest_dlthub.templates.digests import NoDigest, digest
from pytest_dlthub.templates.files import file_digest
from pytest_dlthub.templates.loads import Load

# these decide what a build loads, where, and whether it may be used
_HOOKS = ("pytest_dlt_replace_destination", "pytest_dlt_run_finished")


def inputs_of_plugins(item: pytest.Item, loads: Iterable[Load], sandbox: Sandbox) -> dict[str, Any]:
    """Return what plugins add to a key, by the name that a user knows it by.

    Args:
        item: The test; conftests beside it have hooks, too.
        loads: What it asks for.
        sandbox: Its sandbox, which is active.

    Raises:
        HookFailed: A hook raises, or what it returns cannot be compared.
    """
    hook = item.ihook.pytest_dlt_template_inputs
    answers = [called(hook, load=load) for load in loads]
    try:
        added: dict[str, Any] = {hook.name: digest(answers)}
    except NoDigest as error:
        problem = f"what it returns cannot be compared between processes: {error}"
        raise refused(hook, problem) from None
    plugins = [[*_digests_of(getattr(item.ihook, name))] for name in _HOOKS]
    if any(plugins):
        added["plugins with hooks of pytest-dlthub"] = plugins
    if sandbox.is_replaced_by_plugins:
        added[_HOOKS[0]] = [_replaced(load, sandbox) for load in loads]
    return added


def _replaced(load: Load, sandbox: Sandbox) -> Any:
    """Return what plugins say of the destination of a load."""
    with suppress(Exception):
        # whoever looks it up asks them
        return sandbox.replaced.get(load.destination().destination_name)
    # its run will tell what is wrong with it
    return None


def _digests_of(hook: Any) -> Iterator[tuple[str, str]]:
    """Yield, of each implementation that is not ours, its plugin and the content of its file."""
    for implementation in of_others(hook):
        function = inspect.unwrap(implementation.function)
        file = inspect.getsourcefile(function) if inspect.isroutine(function) else None
        path = Path(file or "")
        # what cannot be known is equal to none
        yield implementation.plugin_name, file_digest(path) if path.is_file() else uuid4().hex
