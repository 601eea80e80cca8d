"""A sandbox for a forked process: it starts with a copy of the test's sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dlthub_project.sandbox import extraction, pipelines
from dlthub_project.sandbox.isolation import isolated
from dlthub_project.sandbox.overrides import Overrides
from dlthub_project.sandbox.settings import Sandbox


def branch_of(sandbox: Sandbox, folder: str) -> Sandbox:
    """Return a sandbox in another folder, which alone is local, without allowed destinations."""
    return replace(sandbox, folder=folder, local_roots=(), allowed=(), process=os.getpid())


@contextmanager
def continued(sandbox: Sandbox, folder: str) -> Iterator[Sandbox]:
    """Run a block of a forked process in a copy of the sandbox of the process above.

    Settings of the test hold in it, and what is recorded of it is replayed. Pipelines that the test
    has made are made anew when they are used, with the folders and the state of the copy.

    Args:
        sandbox: That of the process above.
        folder: The copy, which is there.
    """
    here = branch_of(sandbox, folder)
    with isolated(here):
        Overrides(here).copy_from(Overrides(sandbox))
        pipelines.leave_behind(sandbox.folder)
        extraction.hand_on(sandbox.folder, folder)
        yield here
