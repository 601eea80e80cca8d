"""`dlt profile`: which profiles there are, and which one is active."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import add_format_argument, folder_of, names, opened, several
from dlthub_project.cli.command import EntityCommand, Operation
from dlthub_project.cli.output import Facts, Table, show
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlthub_project.context import Project


def profiles_of(project: Project) -> list[dict[str, Any]]:
    """Return what is known of each profile that can be active."""
    from dlthub_project.context import read_pin, settings_files
    from dlthub_project.manifest import declared_profiles

    settings_dir = Path(project.settings_dir)
    declared = declared_profiles(project.manifest.document)
    sections = project.manifest.document.data.get("profiles") or {}
    pin = read_pin(settings_dir)
    files: dict[str, list[str]] = {}
    for path in settings_files(settings_dir):
        files.setdefault(path.name.rpartition(".")[0].rpartition(".")[0], []).append(path.name)
    return [
        {
            "name": name,
            "declared": name in declared,
            "files": files.get(name, []),
            "extends": several((sections.get(name) or {}).get("extends")),
            "active": name == project.current_profile,
            "default": name == project.default_profile,
            "pinned": name == pin,
        }
        for name in project.profiles
    ]


def where_from(profile: Mapping[str, Any]) -> str:
    """Say why a profile is there."""
    if profile["declared"]:
        return "declared"
    return "in .dlt" if profile["files"] else "implicit"


def _list(args: argparse.Namespace) -> None:
    found = profiles_of(opened(args))
    rows = [(p["name"], where_from(p), p["extends"], p["files"], _marks(p)) for p in found]
    show(args, found, Table(("profile", "is", "extends", "files", ""), rows))


def _marks(profile: Mapping[str, Any]) -> list[str]:
    return [mark for mark in ("active", "default", "pinned") if profile[mark]]


def _info(args: argparse.Namespace) -> None:
    if args.name is not None:
        args.profile = args.name
    project = opened(args)
    found = next(p for p in profiles_of(project) if p["active"])
    document = {
        **{key: value for key, value in found.items() if key != "active"},
        "layers": list(project.manifest.layers),
        "data_dir": project.data_dir,
        "local_dir": project.local_dir,
    }
    facts = {
        "profile": found["name"],
        "is": [where_from(found), *(m for m in ("default", "pinned") if found[m])],
        "sections of": ["the manifest", *project.manifest.layers],
        "files": found["files"],
        "data folder": project.data_dir,
        "local folder": project.local_dir,
    }
    show(args, document, Facts(facts))


def _add(args: argparse.Namespace) -> None:
    from dlthub_project.manifest import FILE_NAME
    from dlthub_project.manifest.editing import add_entries

    name = _required(args, "add")
    folder, _ = folder_of(args)
    extends = args.extends or ()
    entry: dict[str, Any] = {}
    if extends:
        entry["extends"] = extends[0] if len(extends) == 1 else extends
    document = add_entries(folder / FILE_NAME, {("profiles", name): entry})
    line, _column = document.position(("profiles", name)) or (0, 0)
    print(f"Added profile {name}: {document.path}:{line + 1}.")


def _configure_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extends", type=names, metavar="A,B", help="Profiles whose sections it begins with."
    )


def _pin(args: argparse.Namespace) -> None:
    from dlthub_project.context import (
        PIN_FILE,
        PROFILE_VARIABLE,
        available_profiles,
        settings_folder,
    )
    from dlthub_project.errors import ProfileNotFound, known_names
    from dlthub_project.manifest import FILE_NAME, read_document

    name = _required(args, "pin")
    folder, _ = folder_of(args)
    settings_dir = folder / settings_folder()
    known = available_profiles(read_document(folder / FILE_NAME), settings_dir)
    if name not in known:
        raise ProfileNotFound(
            f"There is no profile `{name}` in {folder / FILE_NAME}. {known_names(name, known)}",
            f"Add it: dlt profile {name} add.",
        )
    settings_dir.mkdir(exist_ok=True)
    (settings_dir / PIN_FILE).write_text(f"{name}\n", encoding="utf-8")
    print(f"Pinned profile {name}: {settings_dir / PIN_FILE}.")
    if (other := os.environ.get(PROFILE_VARIABLE)) and other != name:
        print(
            f"The environment variable {PROFILE_VARIABLE} still names {other}, and it goes first."
        )


def _unpin(args: argparse.Namespace) -> None:
    from dlthub_project.context import PIN_FILE, read_pin, settings_folder

    # no project is opened: the pin may name a profile that does not exist any more
    folder, _ = folder_of(args)
    settings_dir = folder / settings_folder()
    pinned = read_pin(settings_dir)
    if args.name is not None and args.name != pinned:
        raise ProjectError(f"Profile {args.name} is not pinned; {pinned or 'none'} is.")
    (settings_dir / PIN_FILE).unlink(missing_ok=True)
    print(f"Profile {pinned} is no longer pinned." if pinned else "No profile was pinned.")


def _required(args: argparse.Namespace, operation: str) -> str:
    name: str | None = args.name
    if name is None:
        raise ProjectError(f"Name the profile: dlt profile NAME {operation}.")
    return name


class ProfileCommand(EntityCommand):
    """Adds `dlt profile`."""

    command = "profile"
    help_string = "Show, add and pin the profiles of a dltHub Project"
    takes_name = True
    operations = (
        Operation("info", "Show a profile, by default the active one", _info, add_format_argument),
        Operation("list", "List the profiles, and why they are there", _list, add_format_argument),
        Operation("add", "Declare a profile in dlt.yml", _add, _configure_add),
        Operation("pin", "Make a profile the active one, until it is unpinned", _pin),
        Operation("unpin", "Go back to the default profile", _unpin),
    )
