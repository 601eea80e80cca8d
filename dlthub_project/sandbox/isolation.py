"""One test's sandbox: switched on, and everything put back as it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dlthub_project.sandbox.settings import ENVIRONMENT_VARIABLE, Sandbox


@contextmanager
def isolated(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Run a block in `sandbox`: with folders of its own and no pipeline active.

    Afterwards environment, working directory, run context, its providers and the active pipeline
    are what they were before. While dlt is not imported this costs next to nothing.
    """
    environment = dict(os.environ)
    working_dir = os.getcwd()
    suspended = None
    if _is_dlt_imported():
        from dlthub_project import dlt_internals

        suspended = dlt_internals.suspend_contexts()
    os.environ[ENVIRONMENT_VARIABLE] = sandbox.to_environment()
    try:
        yield sandbox
    finally:
        _restore_environment(environment)
        os.chdir(working_dir)
        if _is_dlt_imported():
            from dlthub_project import dlt_internals

            nothing = dlt_internals.SuspendedContexts(None, None)
            dlt_internals.resume_contexts(suspended or nothing)


def _is_dlt_imported() -> bool:
    # the package alone says too little: its import may have failed half way
    return "dlt.common.configuration.container" in sys.modules


def _restore_environment(environment: dict[str, str]) -> None:
    """Set `os.environ` item by item, so that the process's own environment follows."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
