"""What dlt loads of this distribution: the hooks that plug projects in.

dlt loads it with the first use of context or configuration in any dlt program, so it imports
nothing of its own before it is needed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Generator

    from dlt import Pipeline
    from dlt.common.configuration.plugins import SupportsCliCommand
    from dlt.common.configuration.specs.pluggable_run_context import RunContextBase

    from dlthub_project.errors import ProjectError
    from dlthub_project.sandbox import Sandbox

_CONTEXT_CLASS = "ProjectRunContext"
_WITHOUT_CONTEXT = ("project list", "project init", "profile", "source", "destination")
_OF_PROJECTS = (
    "project",
    "profile",
    "source",
    "destination",
    "dataset",
    "pipeline",
    "transformation",
    "cache",
)


# before dlt's hook for workspaces: without `tryfirst` the order is an accident
@hookimpl(specname="plug_run_context", tryfirst=True)
def plug_run_context(
    run_dir: str | None, runtime_kwargs: dict[str, Any] | None
) -> RunContextBase | None:
    """Return the run context of a sandbox or a project, or None to leave the folder to dlt.

    Args:
        run_dir: The folder that was asked for; None to find the project as `find_project_dir`.
        runtime_kwargs: dlt's own: `profile`, and the name of a class that is `_required`.

    Raises:
        ProjectRunContextNotAvailable: A project is required and there is none.
    """
    from dlthub_project.hub_finder import is_dlthub_installed
    from dlthub_project.sandbox import active_sandbox

    arguments = runtime_kwargs or {}
    required = arguments.get("_required")
    sandbox = active_sandbox()
    if sandbox is None and required not in (None, _CONTEXT_CLASS):
        return None
    if sandbox is None and is_dlthub_installed():
        return None if required else _open_early(run_dir, arguments.get("profile"))
    is_first_of_program = runtime_kwargs is None and _is_dlt_program()
    if is_first_of_program and sandbox is None and _needs_no_context():
        _left_to_command()
        return None
    from dlthub_project.errors import ProjectError

    try:
        context = _open(sandbox, run_dir, arguments)
    except ProjectError as error:
        # the first look-up of the `dlt` program stands outside of its own error handling
        if is_first_of_program:
            if _words()[0] in _OF_PROJECTS:
                _left_to_command()
                return None
            raise SystemExit(str(error)) from None
        raise
    if required and type(context).__name__ != required:
        if required != _CONTEXT_CLASS or is_dlthub_installed():
            return None
        from dlthub_project.context.run_context import not_found

        raise not_found(run_dir)
    return context


def _open(
    sandbox: Sandbox | None, run_dir: str | None, arguments: dict[str, Any]
) -> RunContextBase | None:
    profile: str | None = arguments.get("profile")
    if sandbox:
        from dlthub_project.sandbox.contexts import open_sandboxed
        from dlthub_project.sandbox.runs import find_losses_with

        find_losses_with(_losses_of)
        return open_sandboxed(sandbox, run_dir, arguments)
    from dlthub_project.context import ProjectRunContext, find_project_dir, open_project

    folder = find_project_dir(run_dir)
    if folder:
        return ProjectRunContext(str(folder), open_project(folder, profile))
    return _open_early(run_dir, profile)


def _open_early(run_dir: str | None, profile: str | None) -> RunContextBase | None:
    # for plain code alone, whether projects are ours or those of an installed `dlthub`
    from dlthub_project.sandbox.before_sandboxes import open_early

    return open_early(run_dir, profile)


def _losses_of(pipeline: Pipeline) -> list[ProjectError]:
    # the room of sandboxes must not import the catalog, so the function is handed to it here
    from dlthub_project.catalog.losses import losses_of_arrow

    return losses_of_arrow(pipeline)


@hookimpl(specname="plug_cli", wrapper=True)
def add_commands(
    host: str,
) -> Generator[None, list[type[SupportsCliCommand]], list[type[SupportsCliCommand]]]:
    """Add the commands of projects, and `--project` and `--profile` to dlt's `dlt pipeline`."""
    commands = yield
    if host != "dlt" or _is_left_to_dlthub():
        return commands
    from dlthub_project.cli import commands_beside

    return commands_beside(commands)


def _left_to_command() -> None:
    """Leave the folder to dlt: the command opens a project itself.

    The command may open another project or profile, or repair this project, which cannot be opened.
    """
    # telemetry starts only once, and the project, which may switch it off, is not read yet
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")


def _needs_no_context() -> bool:
    """Tell whether the `dlt` program is called for a command that runs nothing.

    To open the project costs a third of the time of `dlt project list`, and makes its data folder.
    """
    word, operation = _words()
    return word in _WITHOUT_CONTEXT or f"{word} {operation}" in _WITHOUT_CONTEXT


def _is_dlt_program() -> bool:
    # `dlt`, `dlt.exe`, or `python -m dlt`
    program = Path(sys.argv[0])
    return program.stem == "dlt" or program.parts[-2:] == ("dlt", "__main__.py")


def _words() -> tuple[str, str]:
    """Return the command that the `dlt` program is called for, and its operation; empty if none."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return (*words, "", "")[0], (*words, "", "")[1]


def _is_left_to_dlthub() -> bool:
    from dlthub_project.hub_finder import is_dlthub_installed

    return is_dlthub_installed()
