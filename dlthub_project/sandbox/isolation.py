"""Switches one test's sandbox on, for its subprocesses, too, and restores everything afterwards."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dlthub_project.sandbox import at_import, background_work, process_state
from dlthub_project.sandbox.settings import (
    ENVIRONMENT_VARIABLE,
    SETTINGS,
    Sandbox,
    active_sandbox,
    enter,
    forget,
    is_of_others,
    leave,
    with_sandbox,
)

# the run contexts of sandboxes that last, by their folders
_contexts: dict[str, Any] = {}
_wrapped = False
# behind `args`
_INDEX_OF_ENV = 9


@contextmanager
def isolated(sandbox: Sandbox, *, goes_on: bool = False) -> Iterator[Sandbox]:
    """Run a block in `sandbox`: with folders of its own and no pipeline active.

    Afterwards environment, working directory, run context with its providers, active pipeline,
    registries of sources and destinations, dlt's loggers and buckets in memory are what they were
    before, and datasets that the block made at an allowed remote destination are gone. While dlt is
    not imported this costs next to nothing.

    Args:
        sandbox: The sandbox.
        goes_on: Whether it is entered again: its settings and its remote data stay.
    """
    restore = process_state.save()
    outer = active_sandbox() if goes_on else None
    _hand_on_to_children()
    background_work.hand_on_to_pools()
    suspended = _take_contexts()
    _wrap_dlt()
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    enter(sandbox)
    try:
        yield sandbox
    finally:
        try:
            if not goes_on:
                end(sandbox)
            elif outer is not None and _is_imported("dlthub_project.sandbox.report_notes"):
                from dlthub_project.sandbox import report_notes

                report_notes.add_to_outer(sandbox.folder, outer.folder)
                if _is_imported("dlthub_project.sandbox.runs"):
                    from dlthub_project.sandbox import runs

                    runs.add_to_outer(sandbox.folder, outer.folder)
        finally:
            leave(sandbox)
            restore()
            if _is_imported("dlt.common.configuration.container"):
                _give_contexts(suspended)
                # the context that goes on has set up its logger
                restore()


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
    # imported here: they need dlt
    from dlthub_project.sandbox import extract_and_normalize, pipelines
    from dlthub_project.sandbox.overrides import Overrides

    here = branch_of(sandbox, folder)
    with isolated(here):
        Overrides(here).copy_from(Overrides(sandbox))
        pipelines.leave_behind(sandbox.folder)
        extract_and_normalize.copy_seams(sandbox.folder, folder)
        yield here


@contextmanager
def visited(sandbox: Sandbox) -> Iterator[None]:
    """Run a block in a sandbox that lasts; between such visits other code runs.

    What the block sets in the environment stays. The run context with its providers is the one of
    the last visit, and afterwards the one from before.
    """
    outer = _take_contexts()
    if sandbox.folder in _contexts:
        _give_contexts(_contexts.pop(sandbox.folder))
    _wrap_dlt()
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    enter(sandbox)
    try:
        yield
    finally:
        leave(sandbox)
        if before is not None:
            os.environ[ENVIRONMENT_VARIABLE] = before
        else:
            os.environ.pop(ENVIRONMENT_VARIABLE, None)
        _contexts[sandbox.folder] = _take_contexts()
        _give_contexts(outer)


def _wrap_dlt() -> None:
    """Wrap dlt, if it is imported: the first pipeline to run may be one of a module."""
    if _is_imported("dlt.pipeline.pipeline"):
        from dlthub_project.sandbox import patches

        patches.install()


def _begin_anew() -> None:
    """Make this process look for its run context anew, because it enters another sandbox."""
    _take_contexts()
    _wrap_dlt()


background_work.before_entering(_begin_anew)


def _take_contexts() -> Any:
    if not _is_imported("dlt.common.configuration.container"):
        return None
    from dlthub_project.dlt_internals import contexts

    return contexts.suspend_contexts(), at_import.count()


def _give_contexts(taken: Any) -> None:
    if _is_imported("dlt.common.configuration.container"):
        from dlthub_project.dlt_internals import contexts

        nothing = contexts.SuspendedContexts(None, None, None), at_import.count()
        suspended, earlier = taken or nothing
        contexts.resume_contexts(suspended)
        if suspended.run_context is not None:
            # a module may have been imported meanwhile
            at_import.apply_since(earlier, suspended.run_context.providers)


def end(sandbox: Sandbox) -> None:
    """Forget the settings of an active sandbox that ends now, and drop what it loaded remotely."""
    forget(sandbox)
    _contexts.pop(sandbox.folder, None)
    if _is_imported("dlthub_project.sandbox.patches"):
        from dlthub_project.sandbox import (
            lasting_sources,
            local_files,
            pipelines,
            report_notes,
            runs,
        )

        lasting_sources.put_back(sandbox.folder)
        report_notes.forget(sandbox.folder)
        local_files.forget(sandbox.folder)
        runs.forget(sandbox.folder)
        pipelines.leave_behind(sandbox.folder)
        if _is_imported("dlthub_project.sandbox.contexts"):
            from dlthub_project.sandbox import allowed_places, overrides

            overrides.forget(sandbox)
            allowed_places.forget(sandbox.folder)
    # a test may leave all use of dlt to subprocesses
    elif not os.path.isdir(sandbox.remote_dir):
        return
    from dlthub_project.sandbox import clients, lasting_data

    clients.close(sandbox.folder)
    try:
        lasting_data.restore_in_memory(sandbox)
    finally:
        lasting_data.drop_remote(sandbox)


def _is_imported(module: str) -> bool:
    # a look at the package is not enough: its import may have failed half way
    return module in sys.modules


def _hand_on_to_children() -> None:
    """Wrap the way in which Python starts a program, once.

    A child with `env={"PATH": ...}`, or of a test that has cleared its environment, would
    otherwise run outside: on the default profile, and into the real destinations.
    """
    global _wrapped
    if _wrapped:
        return
    _wrapped = True
    _wrap_programs()
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


def _with_sandbox(env: Any) -> Any:
    """Return the environment of a child; as it is outside of a sandbox, or where it has one."""
    sandbox = active_sandbox()
    environment = os.environ if env is None else env
    if sandbox is None:
        return env
    value = environment.get(ENVIRONMENT_VARIABLE)
    # code may have kept the environment of an earlier test
    return env if value and not is_of_others(value) else with_sandbox(environment, sandbox)


def _wrap_programs() -> None:
    """Wrap the other ways in which Python starts a program: `os.spawn*` and joblib end in these."""
    for name in ("posix_spawn", "posix_spawnp", "execve"):
        if hasattr(os, name):
            setattr(os, name, _with_its_environment(getattr(os, name)))
    for name in ("system", "execv"):
        setattr(os, name, _with_that_of_process(getattr(os, name)))


def _with_its_environment(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def wrapped(path: Any, argv: Any, env: Any, *args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        return start(path, argv, _with_sandbox(env), *args, **named)

    return wrapped


def _with_that_of_process(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def wrapped(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        environment = dict(os.environ)
        missing = {k: v for k, v in _with_sandbox(environment).items() if environment.get(k) != v}
        # the child has what C knows; a test that has cleared its environment does not see it
        for variable, value in missing.items():
            os.putenv(variable, value)
        try:
            return start(*args, **named)
        finally:
            for variable in missing:
                if variable in environment:
                    os.putenv(variable, environment[variable])
                else:
                    os.unsetenv(variable)

    return wrapped
