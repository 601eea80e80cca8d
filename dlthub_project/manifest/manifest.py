"""The manifest of one project under one profile."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import profiles, settings
from dlthub_project.manifest.document import Document, EntryPath, Mistake
from dlthub_project.manifest.reading import read_document
from dlthub_project.manifest.settings import Settings


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
        return settings.substitute(written, lambda name: f"{{{name}}}", os.environ)
    except settings.MissingVariable as error:
        path = ("project", "default_profile")
        raise ManifestError([document.problem(path, str(error))]) from None


class Manifest:
    """A `dlt.yml` with one profile laid over it.

    Entries keep their variables until they are asked for, so that a variable which is not set
    matters only to those who use it.

    Attributes:
        document: The file, as written.
        profile: The active profile.
        folders: The folders that were given instead of the declared ones.
        layers: The profiles whose sections are laid over the base, lowest first.
        merged: What comes of it, variables as written.
        settings: The section `project`, with defaults and variables filled in.
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
        from dlthub_project.manifest.validation import check

        self.document = document
        self.profile = profile
        self.folders = dict(folders or {})
        checked = check(document, profile, folders or {})
        if checked.mistakes or checked.settings is None:
            raise document.error(checked.mistakes)
        self.merged = checked.merged
        self.settings: Settings = checked.settings
        self.layers = tuple(checked.layers)

    @classmethod
    def open(cls, path: Path, profile: str) -> Manifest:
        """Read, merge and validate the manifest at `path`."""
        return cls(read_document(path), profile)

    def names(self, section: str) -> Collection[str]:
        """Return the names of the entries of a merged section."""
        entries: Mapping[str, Any] = self.merged.get(section) or {}
        return entries.keys()

    def entry(self, section: str, name: str) -> dict[str, Any] | None:
        """Return a copy of an entry, variables as written; None if it is not declared."""
        entries: Mapping[str, Any] = self.merged.get(section) or {}
        return copy.deepcopy(entries[name] or {}) if name in entries else None

    def section(self, name: str) -> dict[str, Any]:
        """Return a copy of all of a section, variables as written; `entry` costs less."""
        return {key: self.entry(name, key) for key in self.names(name)}

    def fill(self, value: Any, path: EntryPath, *, unset: str | None = None) -> Any:
        """Return `value`, which stands at `path`, with its variables filled in.

        Args:
            value: The value, as written.
            path: Where it stands.
            unset: What to have for a text that uses an environment variable which is not set;
                None to refuse it.

        Raises:
            ManifestError: Environment variables that it uses are not set.
        """
        missing: list[Mistake] = []

        def fill_one(text: str, at: tuple[Hashable, ...]) -> str:
            try:
                return settings.substitute(text, self._setting, os.environ)
            except settings.MissingVariable as error:
                if unset is not None:
                    return unset
                missing.append(Mistake(self._path_in_document(at), str(error)))
                return text

        filled = settings.substitute_all(value, fill_one, path)
        if missing:
            raise self.document.error(missing)
        return filled

    def fill_known(self, value: Any) -> Any:
        """Return `value` with its variables filled in; those that are not set stay as written."""

        def fill_one(text: str, _at: tuple[Hashable, ...]) -> str:
            try:
                return settings.substitute(text, self._setting, os.environ)
            except settings.MissingVariable:
                return text

        return settings.substitute_all(value, fill_one)

    def problem(self, path: EntryPath, message: str) -> Problem:
        """Describe a mistake at `path` of the merged manifest, where the winning layer has it."""
        return self.document.problem(self._path_in_document(path), message)

    def _path_in_document(self, path: EntryPath) -> EntryPath:
        return profiles.path_in_document(self.document, self._origins, path)

    @cached_property
    def _origins(self) -> dict[EntryPath, str]:
        return profiles.origins(self.document, list(self.layers))

    def _setting(self, name: str) -> str:
        return str(getattr(self.settings, name))
