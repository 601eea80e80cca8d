"""The files of a new project, which runs, and whose first test passes, at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlthub_project.errors import ProjectError, known_names
from dlthub_project.manifest import FILE_NAME
from dlthub_project.manifest.editing import as_yaml
from dlthub_project.manifest.names import problem_of_name
from dlthub_project.scaffold.entry_types import (
    check_type,
    entry_of,
    is_embedded,
    requirement_of,
    secrets_file,
)
from dlthub_project.scaffold.source_templates import TEMPLATES, SourceTemplate, filled

_IGNORED = ("__pycache__/", "_data/", ".dlt/profile-name", ".dlt/*secrets.toml")
# files that others write to, too: lines are added to them
_SHARED = (".gitignore", "requirements.txt")
_DESTINATION = "warehouse"
_WITH_OWN_NAMES = ("weaviate",)


@dataclass(frozen=True)
class NewProject:
    """A project to be written.

    Attributes:
        name: Its name.
        source: The word for its source.
        destination: The type of its destination.
        is_package: Whether it is a Python package, which others install and import.
    """

    name: str
    source: str = "python"
    destination: str = "duckdb"
    is_package: bool = False

    def __post_init__(self) -> None:
        if problem := problem_of_name(self.name):
            raise ProjectError(f"The project {problem}.", "Give a name with --project-name.")
        if self.source not in TEMPLATES:
            raise ProjectError(
                f"There is no source `{self.source}` to begin with. "
                f"{known_names(self.source, TEMPLATES)}"
            )
        check_type(self.destination)
        if self.is_package and not self.module.isidentifier():
            raise ProjectError(
                f"A package cannot be called `{self.module}`.", "Give a name with --project-name."
            )

    @property
    def module(self) -> str:
        """The name of the package."""
        return re.sub(r"\W", "_", self.name).lower()

    @property
    def pipeline(self) -> str:
        """The name of its pipeline."""
        return f"load_{self._template.table}"

    @property
    def production(self) -> str:
        """The profile with the destination that was asked for; empty if it is that of all."""
        return "" if is_embedded(self.destination) else "prod"

    def files(self) -> dict[str, bytes]:
        """Return the content of its files, by their paths."""
        template, root = self._template, f"{self.module}/" if self.is_package else ""
        texts = {
            f"{root}{FILE_NAME}": self._manifest(),
            f"{root}.dlt/config.toml": _CONFIG,
            f"{root}sources/__init__.py": "",
            f"tests/test_{self.pipeline}.py": self._test(),
            ".gitignore": "".join(f"{root}{line}\n" for line in _IGNORED).replace(
                f"{root}__pycache__", "__pycache__"
            ),
        }
        if template.code:
            texts[f"{root}sources/{template.name}.py"] = template.code.replace(
                "NAME", template.name
            )
        if self.production:
            path = f"{root}.dlt/{self.production}.secrets.toml"
            texts[path] = secrets_file(_DESTINATION, self.destination)
        if self.is_package:
            texts[f"{root}__init__.py"] = _INIT
            texts["pyproject.toml"] = self._pyproject()
        else:
            texts["pytest.ini"] = _PYTEST
            texts["requirements.txt"] = "".join(f"{line}\n" for line in self._requirements)
        data = {f"{root}{filled(p, template.name)}": make() for p, make in template.data.items()}
        return {**{path: text.encode() for path, text in texts.items()}, **data}

    @property
    def _template(self) -> SourceTemplate:
        return TEMPLATES[self.source]

    @property
    def _requirements(self) -> list[str]:
        needed = (requirement_of(self.destination), *self._template.requires)
        return ["pytest-dlthub", *(line for line in needed if line)]

    def _manifest(self) -> str:
        template, dataset = self._template, f"{self._template.table}_data"
        everywhere = entry_of("duckdb" if self.production else self.destination)
        sections: dict[str, Mapping[str, object]] = {
            "project": {"name": self.name},
            "sources": {template.name: filled(template.entry, template.name)},
            "destinations": {_DESTINATION: everywhere},
            "datasets": {dataset: {"destination": [_DESTINATION]}},
            "pipelines": {
                self.pipeline: {
                    "source": template.name,
                    "destination": _DESTINATION,
                    "dataset_name": dataset,
                }
            },
            "profiles": {"dev": {}, "tests": {}},
        }
        if self.production:
            there = {"destinations": {_DESTINATION: entry_of(self.destination)}}
            # what production could not do is an error in a test. Its names of tables would be those
            # of the test, too
            has_own_names = self.destination in _WITH_OWN_NAMES
            tests = {} if has_own_names else {"extends": self.production}
            sections["profiles"] = {"dev": {}, self.production: there, "tests": tests}
        parts = [as_yaml({name: section}) for name, section in sections.items()]
        return f"{_HEAD}\n" + "\n\n".join(parts) + "\n"

    def _test(self) -> str:
        template = self._template
        given = ""
        if template.given:
            given = f", given={{{template.table!r}: ROWS}}".replace("'", '"')
        rows = f"ROWS = {template.given}\n\n" if template.given else ""
        columns = ", ".join(f'"{column}"' for column in template.columns)
        return (
            f'"""What pipeline `{self.pipeline}` loads; in a sandbox, whatever it loads to."""\n\n'
            f"{rows}\n"
            f"def test_{self.pipeline}(dlt_project):\n"
            f'    run = dlt_project.run("{self.pipeline}"{given})\n\n'
            f'    assert run.row_counts == {{"{template.table}": {template.rows}}}\n'
            f'    assert {{{columns}}} <= set(run.rows("{template.table}")[0])\n\n\n'
            "def test_what_every_profile_declares_can_be_built(dlt_project):\n"
            "    for profile in dlt_project.config.profiles:\n"
            "        dlt_project.check(profile)\n"
        )

    def _pyproject(self) -> str:
        needed = ", ".join(f'"{line}"' for line in self._requirements)
        entry = self.module.replace("_", "-")
        return _PYPROJECT.format(module=self.module, entry=entry, needed=needed)


def write_project(project: NewProject, folder: Path, *, force: bool = False) -> list[str]:
    """Write the files of a new project into a folder, and return their paths.

    `.gitignore` and `requirements.txt` get the lines that they lack.

    Args:
        project: The project.
        folder: The folder.
        force: Overwrite files that are there.

    Raises:
        ProjectError: Files are there already; nothing is written.
    """
    files = project.files()
    there = [p for p in files if p not in _SHARED and (folder / p).exists() and files[p]]
    if there and not force:
        raise ProjectError(
            f"{folder} has files of this name already: {', '.join(there)}. Nothing was written.",
            "Take an empty folder, or overwrite them with --force.",
        )
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in _SHARED and target.exists():
            content = _with_lines(target.read_bytes(), content)
        elif target.exists() and not content:
            continue
        target.write_bytes(content)
    return list(files)


def _with_lines(before: bytes, content: bytes) -> bytes:
    there = before.splitlines()
    more = [line for line in content.splitlines() if line not in there]
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    return before + gap + b"".join(line + b"\n" for line in more)


_HEAD = """\
# A dltHub Project: what is loaded, from where, and where to. Code lives in `sources/`.
"""

_CONFIG = """\
# Settings of all profiles; those of one profile stand in <profile>.config.toml, secrets in
# secrets.toml and <profile>.secrets.toml.
[runtime]
log_level = "WARNING"
"""

_PYTEST = """\
[pytest]
testpaths = tests
dlt_secrets = tests
"""

_INIT = """\
from dlthub_project import PackagedProject

access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)
"""

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{entry}"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [{needed}]

[project.entry-points.dlt_package]
{entry} = "{module}"

[tool.hatch.build]
packages = ["{module}"]
exclude = ["_data", "profile-name", "*secrets.toml"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = "."
dlt_project = "{module}"
dlt_secrets = "tests"
"""
