"""Subprocesses of a test: they find its sandbox, also with an environment of their own."""

from __future__ import annotations

import functools
import os
import subprocess
from typing import Any

from dlthub_project.sandbox.settings import ENVIRONMENT_VARIABLE, SETTINGS, active_sandbox

_PROFILE_VARIABLE = "WORKSPACE__PROFILE"
_installed = False


def install() -> None:
    """Wrap the way in which Python starts a program, once.

    A child with `env={"PATH": ...}`, or of a test that has cleared its environment, would
    otherwise run outside: on the default profile, and into the real destinations.
    """
    global _installed
    if _installed:
        return
    _installed = True
    original = subprocess.Popen.__init__

    @functools.wraps(original)
    def start(self: Any, args: Any, *positional: Any, **named: Any) -> None:
        __tracebackhide__ = True
        # `env` is the eleventh argument, and given by name by whoever wants to be understood
        if len(positional) > _INDEX_OF_ENV:
            before, after = positional[:_INDEX_OF_ENV], positional[_INDEX_OF_ENV + 1 :]
            positional = (*before, _with_sandbox(positional[_INDEX_OF_ENV]), *after)
        else:
            named["env"] = _with_sandbox(named.get("env"))
        original(self, args, *positional, **named)

    subprocess.Popen.__init__ = start  # type: ignore[method-assign]  # as it is done to dlt's


# behind `args`
_INDEX_OF_ENV = 9


def _with_sandbox(env: Any) -> Any:
    """Return the environment of a child; as it is outside of a sandbox, or where it has one."""
    sandbox = active_sandbox()
    environment = os.environ if env is None else env
    if sandbox is None or ENVIRONMENT_VARIABLE in environment:
        return env
    added = {**SETTINGS, ENVIRONMENT_VARIABLE: sandbox.to_environment()}
    if sandbox.profile is not None:
        added[_PROFILE_VARIABLE] = sandbox.profile
    # what the child's own environment says of these goes first, but for the sandbox
    return {**added, **environment}
