"""`dlt project config`: what the manifest says, where it comes from, what is wrong with it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import activate, add_format_argument, folder_of
from dlthub_project.cli.command import Operation, operations_of
from dlthub_project.cli.output import Table, is_json, show
from dlthub_project.errors import ProjectError

if TYPE_CHECKING:
    from dlthub_project.context import Findings, Project
    from dlthub_project.context.explanation import Explanation


def _show(args: argparse.Namespace) -> None:
    from dlthub_project.context import masked_config
    from dlthub_project.context.explanation import explain
    from dlthub_project.manifest.editing import as_yaml

    project = activate(args).project
    if args.origins:
        explanations = [
            explain(project.manifest, path, is_for_others=True)
            for path in _explained_paths(project, args.section)
        ]
        show(args, [_as_document(one) for one in explanations], *map(str, explanations))
        return
    config = masked_config(project.manifest, args.section)
    if is_json(args):
        show(args, config)
    elif isinstance(config, dict):
        print(as_yaml(config))
    else:
        # a list, or one value
        print(as_yaml({args.section: config}))


def _explained_paths(project: Project, section: str) -> list[str]:
    if section:
        return [section]
    sections = project.manifest.merged
    return ["project", *(name for name in sections if sections[name] and name != "project")]


def _as_document(explanation: Explanation) -> dict[str, Any]:
    winner = explanation.winner
    return {
        "path": explanation.path,
        "value": winner.value if winner else None,
        "layers": [
            {
                "source": layer.source,
                "location": layer.location,
                "key": layer.key,
                "value": layer.value,
                "wins": layer is winner,
                "remark": layer.remark,
            }
            for layer in explanation.layers
        ],
        "below": [_as_document(one) for one in explanation.below],
    }


def _configure_show(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser, ("yaml", "json"))
    parser.add_argument(
        "--section", default="", metavar="PATH", help="Only this part, such as destinations."
    )
    parser.add_argument(
        "--origins",
        action="store_true",
        help="Tell which file, profile or variable each value comes from, and what it hides.",
    )


def _validate(args: argparse.Namespace) -> None:
    from dlthub_project.context import validate_project

    folder, _ = folder_of(args)
    found = validate_project(folder, getattr(args, "profile", None))
    document = {
        "profiles": list(found.profiles),
        "errors": [
            {"location": p.location, "path": p.path, "message": p.message} for p in found.problems
        ],
        "missing_variables": [
            {
                "name": variable.name,
                "profiles": list(variable.profiles),
                "uses": [{"path": path, "location": where} for path, where in variable.uses],
            }
            for variable in found.missing
        ],
    }
    show(args, document, *_shown_findings(found))
    if found.problems or (args.require_variables and found.missing):
        raise ProjectError(_summary(found))


def _shown_findings(found: Findings) -> list[str | Table]:
    told: list[str | Table] = [*map(str, found.problems)]
    if found.missing:
        rows = [
            (variable.name, variable.profiles, path, where)
            for variable in found.missing
            for path, where in variable.uses
        ]
        columns = ("variable", "profiles", "used by", "place")
        told.append(Table(columns, rows, "Environment variables that are not set:"))
    if not found.problems:
        told.append(f"No mistake under the profiles {', '.join(found.profiles)}.")
    return told


def _summary(found: Findings) -> str:
    counts = [(len(found.problems), "mistake"), (len(found.missing), "variable that is not set")]
    words = [f"{n} {word}{'s' if n > 1 and word == 'mistake' else ''}" for n, word in counts if n]
    return f"Found: {', '.join(words)}."


def _configure_validate(parser: argparse.ArgumentParser) -> None:
    add_format_argument(parser)
    parser.add_argument(
        "--require-variables",
        action="store_true",
        help="End with status 1 also if environment variables are not set.",
    )


def _schema(args: argparse.Namespace) -> None:
    from dlthub_project.manifest import json_schema

    print(json.dumps(json_schema(), indent=2))


CONFIG = operations_of(
    "config",
    "Show and check the configuration of the project",
    (
        Operation(
            "show", "Show the merged manifest of a profile, without secrets", _show, _configure_show
        ),
        Operation(
            "validate",
            "Tell every mistake of every profile, and every variable that is not set",
            _validate,
            _configure_validate,
        ),
        Operation("schema", "Print the JSON Schema of a dlt.yml, for editors", _schema),
    ),
)
