"""`dlt source` and `dlt destination`: the entries of a project, and what may be added to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import (
    add_format_argument,
    checked,
    folder_of,
    names_to_list,
    opened,
    several,
)
from dlthub_project.cli.command import EntityCommand, Operation
from dlthub_project.cli.output import Table, show
from dlthub_project.errors import ProjectError, ProjectRunContextNotAvailable
from dlthub_project.secrets import is_secret_name, uses_variable

if TYPE_CHECKING:
    from dlthub_project.context import Project


def _list_sources(args: argparse.Namespace) -> None:
    project = opened(args)
    found = []
    for name, entry in _declared(args, project, "sources").items():
        used = [p for p, e in project.pipelines.items() if name in several((e or {}).get("source"))]
        found.append({"name": name, "type": (entry or {}).get("type"), "pipelines": used})
    rows = [(one["name"], one["type"], one["pipelines"]) for one in found]
    show(args, found, Table(("source", "type", "pipelines"), rows, empty="No source is declared."))


def _list_destinations(args: argparse.Namespace) -> None:
    project = opened(args)
    found = []
    for name, entry in _declared(args, project, "destinations").items():
        used = [p for p, e in project.pipelines.items() if (e or {}).get("destination") == name]
        held = [
            d for d, e in project.datasets.items() if name in several((e or {}).get("destination"))
        ]
        kind = (entry or {}).get("type", name)
        found.append({"name": name, "type": kind, "datasets": held, "pipelines": used})
    rows = [(one["name"], one["type"], one["datasets"], one["pipelines"]) for one in found]
    columns = ("destination", "type", "datasets", "pipelines")
    show(args, found, Table(columns, rows, empty="No destination is declared."))


def _declared(args: argparse.Namespace, project: Project, section: str) -> Mapping[str, Any]:
    entries: Mapping[str, Any] = getattr(project, section)
    return {name: entries[name] for name in names_to_list(args, args.command, entries)}


def _available_sources(args: argparse.Namespace) -> None:
    from dlthub_project.scaffold import TEMPLATES

    found = [{"type": word, "is": template.help} for word, template in TEMPLATES.items()]
    _show_available(args, found, "sources")


def _available_destinations(args: argparse.Namespace) -> None:
    from dlthub_project.scaffold import destination_types, is_embedded

    kinds = {True: "files on this machine", False: "a service"}
    found = [{"type": name, "is": kinds[is_embedded(name)]} for name in destination_types()]
    _show_available(args, found, "destinations")


def _show_available(args: argparse.Namespace, found: list[dict[str, str]], package: str) -> None:
    from dlthub_project.scaffold import references_in_code

    try:
        project_dir = Path(opened(args).project_dir)
    except ProjectRunContextNotAvailable:
        # `init` needs the list where there is no project yet
        if hasattr(args, "project"):
            raise
    else:
        found += [
            {"type": r, "is": "code of this project"}
            for r in references_in_code(project_dir, package)
        ]
    show(args, found, Table(("type", "is"), [(one["type"], one["is"]) for one in found]))


def _add_source(args: argparse.Namespace) -> None:
    from dlthub_project.scaffold import TEMPLATES, filled

    name, folder = _name(args), folder_of(args)[0]
    template = TEMPLATES.get(args.type)
    if template is None and "." not in args.type:
        from dlthub_project.errors import EntityReferenceError, known_names

        raise EntityReferenceError(
            f"There is no source `{args.type}` to add. {known_names(args.type, TEMPLATES)}",
            "Take one of them, or give the dotted path of a function with @dlt.source.",
        )
    if template is None:
        _add(args, "sources", name, {"type": args.type})
        return
    if template.code and not name.isidentifier():
        raise ProjectError(
            f"The source would be the Python module `{name}`, and `{name}` cannot be one.",
            "Take another name, of letters, digits and `_`, with no digit first.",
        )
    project_dir = Path(opened(args).project_dir)
    files = {Path(folder, filled(p, name)): make for p, make in template.data.items()}
    if template.code:
        code = template.code.replace("NAME", name).encode()
        files[project_dir / "sources" / f"{name}.py"] = lambda: code
    if there := [str(path) for path in files if path.exists()]:
        raise ProjectError(f"{', '.join(there)} is there already.", "Take another name.")
    _add(args, "sources", name, filled(template.entry, name))
    for path, make in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
        print(f"Wrote {path}.")
    if template.requires:
        print(f"It needs: pip install {' '.join(map(repr, template.requires))}")


def _add_destination(args: argparse.Namespace) -> None:
    from dlthub_project.context import settings_folder
    from dlthub_project.scaffold import (
        check_type,
        entry_of,
        is_embedded,
        secrets_file,
        settings_file,
    )

    name, folder = _name(args), folder_of(args)[0]
    check_type(args.type)
    _add(args, "destinations", name, entry_of(args.type))
    if is_embedded(args.type) or "." in args.type:
        return
    profile: str | None = getattr(args, "profile", None)
    settings_dir = folder / settings_folder()
    path = settings_file(settings_dir, profile) if profile else settings_dir / "secrets.toml"
    text = secrets_file(name, args.type)
    if path.exists():
        print(f"Add to {path}:\n{text}", end="")
        return
    settings_dir.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"Wrote {path}: fill it in, and keep it out of git.")


def _add(args: argparse.Namespace, section: str, name: str, entry: Mapping[str, Any]) -> None:
    from dlthub_project.manifest import FILE_NAME
    from dlthub_project.manifest.editing import add_entries

    path = folder_of(args)[0] / FILE_NAME
    profile: str | None = getattr(args, "profile", None)
    at = ("profiles", profile, section, name) if profile else (section, name)
    document = add_entries(path, {at: {**entry, **dict(args.set)}})
    line, _column = document.position(at) or (0, 0)
    under = f" under profile {profile}" if profile else ""
    print(f"Added {args.command} {name}{under}: {path}:{line + 1}.")
    for key, value in args.set:
        if is_secret_name([key]) and not uses_variable(value):
            print(
                f"`{key}` may be a secret, and stands in {path.name} now. Keep a secret in "
                '.dlt/secrets.toml, or write a variable: "{env.NAME}".',
                file=sys.stderr,
            )


def _name(args: argparse.Namespace) -> str:
    name: str | None = args.name
    if name is None:
        raise ProjectError(f"Name the {args.command}: dlt {args.command} NAME add TYPE.")
    return name


def _setting(text: str) -> tuple[str, Any]:
    """Return a key and its value, as YAML reads it, for `argparse`."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, not {key}")
    if value.startswith("{env."):
        return key, value
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        # without its cause, which may quote a secret
        raise argparse.ArgumentTypeError(f"the value of {key} is no YAML") from None


def _configure_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "type", metavar="TYPE", help="A word of `list-available`, or the dotted path of code."
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help='A value of the entry, such as --set "token={env.TOKEN}"; as often as you like. '
        "With --profile the entry stands below that profile.",
    )


def _check(kind: str) -> Callable[[argparse.Namespace], None]:
    def check(args: argparse.Namespace) -> None:
        profile, built = checked(args, kind, args.name)
        document = {"profile": profile, "built": built}
        told = [f"{what}: can be built." for what in built] or [f"No {kind} is declared."]
        show(args, document, *told)

    return check


def _operations(
    kind: str,
    list_: Callable[[argparse.Namespace], None],
    available: Callable[[argparse.Namespace], None],
    add: Callable[[argparse.Namespace], None],
) -> tuple[Operation, ...]:
    return (
        Operation("list", f"List the {kind}s of the project", list_, add_format_argument),
        Operation(
            "list-available", f"List what may be added as a {kind}", available, add_format_argument
        ),
        Operation("add", f"Add a {kind} to dlt.yml", add, _configure_add),
        Operation(
            "check",
            f"Build the {kind}s of a profile, without secrets and connections",
            _check(kind),
            add_format_argument,
        ),
    )


class SourceCommand(EntityCommand):
    """Adds `dlt source`."""

    command = "source"
    help_string = "List, add and check the sources of a dltHub Project"
    takes_name = True
    operations = _operations("source", _list_sources, _available_sources, _add_source)


class DestinationCommand(EntityCommand):
    """Adds `dlt destination`."""

    command = "destination"
    help_string = "List, add and check the destinations of a dltHub Project"
    takes_name = True
    operations = _operations(
        "destination", _list_destinations, _available_destinations, _add_destination
    )
