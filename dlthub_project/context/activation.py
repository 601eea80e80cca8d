"""Activates projects and profiles: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dlthub_project.context.discovery import find_project_dir, where_it_was_looked_for
from dlthub_project.context.run_context import ProjectRunContext
from dlthub_project.dlt_internals import contexts
from dlthub_project.errors import ProjectRunContextNotAvailable
from dlthub_project.hub.finder import is_dlthub_installed

_HOW_TO_MAKE_ONE = (
    "Put an empty file dlt.yml into the root folder of your project, or name the folder: "
    "`--project DIR` at the command line, `ensure_project(run_dir=...)` in code, or the "
    "environment variable DLT_PROJECT_DIR."
)


def active_context() -> ProjectRunContext:
    """Return the run context of the active project.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
    """
    context = contexts.active_run_context()
    if isinstance(context, ProjectRunContext):
        return context
    folder = find_project_dir()
    if folder and not is_dlthub_installed():
        raise ProjectRunContextNotAvailable(
            f"No dltHub Project is active: dlt was first used outside of {folder}, and keeps the "
            "context that it found there.",
            "Activate the project: `ensure_project()`.",
        )
    raise not_found(None)


def not_found(run_dir: str | None) -> ProjectRunContextNotAvailable:
    """Return the error for a folder without a project."""
    if is_dlthub_installed():
        return ProjectRunContextNotAvailable(
            "The package dlthub is installed, and projects are left to it.",
            "Use its own interface, or uninstall one of the two packages.",
        )
    where = where_it_was_looked_for(run_dir)
    return ProjectRunContextNotAvailable(f"No dltHub Project: {where}.", _HOW_TO_MAKE_ONE)


def ensure_project(run_dir: str | None = None, profile: str | None = None) -> ProjectRunContext:
    """Activate a project and return its run context.

    Args:
        run_dir: The folder of its `dlt.yml`; None to find it as dlt does.
        profile: The profile; None for the one that is active by environment, pin or default.

    Raises:
        ProjectRunContextNotAvailable: There is no project.
        ProfileNotFound: The project does not have the profile.
        ManifestError: The manifest is not valid under the profile.
    """
    return _activate(run_dir, profile)


def switch_profile(name: str) -> ProjectRunContext:
    """Activate another profile of the active project and return the new run context.

    Raises:
        ProjectRunContextNotAvailable: dlt runs outside of a project.
        ProfileNotFound: The project does not have the profile.
        ManifestError: The manifest is not valid under the profile. In each case the earlier
            context stays active.
    """
    return _activate(active_context().run_dir, name)


@contextmanager
def kept_context() -> Iterator[None]:
    """Run a block that may activate other projects; the earlier context comes back in any case."""
    earlier = contexts.save_run_context()
    try:
        yield
    finally:
        contexts.restore_run_context(earlier)


@contextmanager
def switched_profile(name: str) -> Iterator[ProjectRunContext]:
    """Activate another profile for a while; the earlier context comes back in any case."""
    with kept_context():
        yield switch_profile(name)


def _activate(run_dir: str | None, profile: str | None) -> ProjectRunContext:
    earlier = contexts.save_run_context()
    try:
        context = contexts.plug_new_run_context(
            run_dir, profile, required=ProjectRunContext.__name__
        )
        if not isinstance(context, ProjectRunContext):
            raise not_found(run_dir)
    except BaseException:
        contexts.restore_run_context(earlier)
        raise
    return context
