"""The manifest of one project under one profile."""

from __future__ import annotations

import copy
import os
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import profiles, variables
from dlthub_project.manifest.document import Document, Mistake, read_document
from dlthub_project.manifest.positions import EntryPath
from dlthub_project.manifest.settings import Settings, read_settings


def default_profile(document: Document) -> str:
    """Return the profile that the manifest names for when nobody else names one.

    Raises:
        ManifestError: An environment variable that it uses is not set.
    """
    project = document.data.get("project")
    written = project.get("default_profile") if isinstance(project, Mapping) else None
    if not isinstance(written, str):
        return "dev"
    try:
        return variables.substitute(written, lambda name: f"{{{name}}}", os.environ)
    except variables.MissingVariable as error:
        place = ("project", "default_profile")
        raise ManifestError([document.problem(place, str(error))]) from None


class Manifest:
    """A `dlt.yml` with one profile laid over it.

    Entries keep their variables until they are asked for, so that a variable which is not set
    matters only to those who use it.
    """

    def __init__(
        self, document: Document, profile: str, folders: Mapping[str, str] | None = None
    ) -> None:
        """Merge and validate `document` for `profile`.

        Args:
            document: The file, as written.
            profile: The active profile; one that is not declared adds nothing.
            folders: `data_dir` and `local_dir` to use instead of the declared ones.

        Raises:
            ManifestError: With every mistake of the merged manifest.
        """
        # here, and not above: pydantic is slow to import
        from dlthub_project.manifest.validation import validate

        self.document = document
        self.profile = profile
        self._layers, mistakes = profiles.layers(document, profile)
        self.merged = profiles.merged_for(document, self._layers)
        mistakes += validate({**self.merged, "profiles": document.data.get("profiles")})
        settings = None
        if not any(mistake.path[0] == "project" for mistake in mistakes):
            section = self.merged.get("project") or {}
            root = document.path.parent.absolute()
            settings, wrong = read_settings(section, root, profile, folders or {})
            mistakes += wrong
        if mistakes or settings is None:
            raise ManifestError(self._problems(mistakes))
        self.settings: Settings = settings

    @classmethod
    def open(cls, path: Path, profile: str) -> Manifest:
        """Read, merge and validate the manifest at `path`."""
        return cls(read_document(path), profile)

    def section(self, name: str) -> dict[str, Any]:
        """Return a copy of the merged section `name`, variables as written."""
        return {
            key: {} if entry is None else copy.deepcopy(entry)
            for key, entry in (self.merged.get(name) or {}).items()
        }

    def fill(self, value: Any, path: EntryPath) -> Any:
        """Return `value`, which stands at `path`, with its variables filled in.

        Raises:
            ManifestError: Environment variables that it uses are not set.
        """
        missing: list[Mistake] = []

        def fill_one(text: str, at: tuple[Hashable, ...]) -> str:
            try:
                return variables.substitute(text, self._setting, os.environ)
            except variables.MissingVariable as error:
                missing.append(Mistake(at, str(error)))
                return text

        filled = variables.substitute_all(value, fill_one, path)
        if missing:
            raise ManifestError(self._problems(missing))
        return filled

    def fill_known(self, value: Any) -> Any:
        """Return `value` with its variables filled in; those that are not set stay as written."""

        def fill_one(text: str, _at: tuple[Hashable, ...]) -> str:
            try:
                return variables.substitute(text, self._setting, os.environ)
            except variables.MissingVariable:
                return text

        return variables.substitute_all(value, fill_one)

    def problem(self, path: EntryPath, message: str) -> Problem:
        """Describe a mistake at `path` of the merged manifest, where the winning layer has it."""
        return self.document.problem(self._path_in_document(path), message)

    def _problems(self, mistakes: Iterable[Mistake]) -> list[Problem]:
        """Describe mistakes in the order of the file."""
        located = [(self._path_in_document(path), message) for path, message in mistakes]
        located.sort(key=lambda found: self.document.place(found[0]) or (0, 0))
        return [self.document.problem(path, message) for path, message in located]

    def _path_in_document(self, path: EntryPath) -> EntryPath:
        """Return where the document has `path`, or as much of it as there is."""
        for length in range(len(path), 0, -1):
            for layer in reversed(self._layers):
                if ("profiles", layer, *path[:length]) in self.document.positions:
                    return ("profiles", layer, *path)
            if path[:length] in self.document.positions:
                break
        return path

    def _setting(self, name: str) -> str:
        return str(getattr(self.settings, name))
