"""The manifest of one project under one profile, read from its `dlt.yml`."""

from __future__ import annotations

import copy
import gc
import os
import re
from collections.abc import Collection, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import profiles, settings
from dlthub_project.manifest.document import Document, EntryPath, Mistake, Position
from dlthub_project.manifest.nodes import TOO_DEEP, Loader, NotAManifest, Walk
from dlthub_project.manifest.settings import SETTINGS, Settings
from dlthub_project.secrets import is_secret_name, may_name_secret, names_secret_variable

# ten times a manifest of 1,000 sources and 1,000 pipelines
_MOST_BYTES = 4_000_000
_OURS = rf"env\.|project\.|(?:{'|'.join(SETTINGS)})\}}"
_UNQUOTED = re.compile(
    rf"(?:^|[:,\[-]\s)\s*(?P<value>[^\s:,\[{{\"']*\{{+(?:{_OURS})[^\s}}]*\}}*)|"
    rf"[:,\[-]\s*(?P<variable>\{{+(?:{_OURS})[^\s}}]*\}}*)"
)

# keys of entries whose values are names, and no secrets
_NAMING = ("type", "source", "destination", "dataset_name", "staging", "after")


def default_profile(document: Document) -> str:
    """Return the profile that the manifest declares as default.

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
            folders: `data_dir`, `local_dir` and `tmp_dir` to use instead of the declared ones.

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

    def declares(self, setting: str) -> bool:
        """Tell whether the manifest has a project setting, instead of its default."""
        return (self.merged.get("project") or {}).get(setting) is not None

    def depends_on_profile(self, setting: str) -> bool:
        """Tell whether another profile may have another value of a project setting."""
        declared = self.document.data.get("profiles") or {}
        of_profiles = ((declared.get(layer) or {}).get("project") or {} for layer in self.layers)
        section = self.merged.get("project") or {}
        return any(setting in each for each in of_profiles) or (
            "current_profile" in settings.used_variables(section, setting)
        )

    def uses_variable(self, setting: str, variable: str) -> bool:
        """Tell whether a project setting is made of an environment variable."""
        section = self.merged.get("project") or {}
        return f"env.{variable}" in settings.used_variables(section, setting)

    def names(self, section: str) -> Collection[str]:
        """Return the names of the entries of a merged section."""
        entries: Mapping[str, Any] = self.merged.get(section) or {}
        return entries.keys()

    def words(self) -> set[str]:
        """Return the names of all entries, and their types: words that messages need unmasked."""
        found: set[str] = set()
        for entries in self.merged.values():
            for name, entry in entries.items() if isinstance(entries, Mapping) else ():
                found.add(str(name))
                if isinstance(entry, Mapping):
                    found |= {v for k, v in entry.items() if k in _NAMING and isinstance(v, str)}
        return found

    def entry(self, section: str, name: str) -> dict[str, Any] | None:
        """Return a copy of an entry, variables as written; None if it is not declared."""
        entries: Mapping[str, Any] = self.merged.get(section) or {}
        return copy.deepcopy(entries[name] or {}) if name in entries else None

    def section(self, name: str) -> dict[str, Any]:
        """Return a copy of all of a section, variables as written; `entry` costs less."""
        return {key: self.entry(name, key) for key in self.names(name)}

    def fill(
        self, value: Any, path: EntryPath, *, unset: str | None = None, refusal: str = ""
    ) -> Any:
        """Return `value`, which stands at `path`, with its variables filled in.

        Args:
            value: The value, as written.
            path: Where it stands.
            unset: What to have for a text that uses an environment variable which is not set;
                None to refuse it.
            refusal: Why secrets of the environment are not filled in; empty where they are.

        Raises:
            ManifestError: Environment variables that it uses are not set, or refused.
        """
        missing: list[Mistake] = []

        def fill_one(text: str, at: tuple[Hashable, ...]) -> str:
            is_secret = "{" in text and (
                is_secret_name(map(str, at)) or names_secret_variable(text)
            )
            environ = {} if is_secret and refusal else os.environ
            try:
                filled = settings.substitute(text, self._setting, environ)
            except settings.MissingVariable as error:
                if unset is not None:
                    return unset
                reason = refusal if is_secret and refusal else str(error)
                missing.append(Mistake(self._path_in_document(at), reason))
                return text
            if is_secret:
                settings.learn_variables(text, environ)
            return filled

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


def read_document(path: Path) -> Document:
    """Read the manifest file at `path`.

    Raises:
        ManifestError: The file cannot be read, or is not a YAML mapping with unique keys that
            unfolds to a reasonable size. Whatever else is wrong in it is reported, too.
    """
    document = Document(path, {}, _read_text(path), {})
    try:
        data, walk = _parse(document.text)
    except NotAManifest as error:
        raise document.error([Mistake((), error.message, error.position)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line, mark.column) if mark else (0, 0)
        # without its cause, which quotes the file
        raise document.error(
            [Mistake((), _in_plain_words(error, document, position), position)]
        ) from None
    except yaml.reader.ReaderError as error:
        message = f"is not valid YAML: {error.reason}"
        position = _position_after(document.text.encode()[: error.position])
        raise document.error([Mistake((), message, position)]) from None
    document = Document(path, data, document.text, walk.positions)
    if walk.mistakes:
        raise document.error(walk.mistakes + _further_mistakes(document, walk.mistakes))
    return document


def _read_text(path: Path) -> str:
    """Return the text of the file.

    Raises:
        ManifestError: It cannot be read.
    """
    found = b""
    try:
        with path.open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
        if len(found) > _MOST_BYTES:
            message = f"has more than {_MOST_BYTES // 1_000_000} MB; a manifest is smaller"
            raise _unreadable(path, message)
        return found.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        message = f"cannot be read: it is not UTF-8 ({error.reason})"
        mistake = Mistake((), message, _position_after(found[: error.start]))
        document = Document(path, {}, found.decode(errors="replace"), {})
        raise document.error([mistake]) from None


def _unreadable(path: Path, message: str) -> ManifestError:
    return Document(path, {}, "", {}).error([Mistake((), message)])


def _position_after(before: bytes) -> Position:
    """Return the position behind the text `before`."""
    lines = Document(Path(), {}, before.decode("utf-8-sig", errors="replace"), {}).lines
    return len(lines) - 1, len(lines[-1])


def _parse(text: str) -> tuple[dict[str, Any], Walk]:
    loader = Loader(text)
    walk = Walk(loader)
    # looking for circles among the nodes takes longer than making them (86 of 136 ms)
    collects = gc.isenabled()
    gc.disable()
    try:
        root = loader.get_single_node()
        if root is None:
            return {}, walk
        if not isinstance(root, yaml.MappingNode):
            raise NotAManifest((0, 0), "must be a mapping of sections, such as `sources:`")
        data, _size = walk.visit(root, ())
    finally:
        loader.dispose()
        if collects:
            gc.enable()
    return data if isinstance(data, dict) else {}, walk


def _further_mistakes(document: Document, found: list[Mistake]) -> list[Mistake]:
    """Return the mistakes in the sections under every profile that `found` does not have."""
    # here, and not above: pydantic is slow to import
    from dlthub_project.manifest.validation import mistakes_of_all_profiles

    explained = {mistake.path for mistake in found}
    further = mistakes_of_all_profiles(document)
    return [mistake for mistake in further if mistake.path not in explained]


def _in_plain_words(error: yaml.MarkedYAMLError, document: Document, position: Position) -> str:
    line = document.lines[position[0]] if position[0] < len(document.lines) else ""
    if line[position[1] : position[1] + 1] == "\t":
        return "YAML does not take a tab here; indent with spaces"
    if error.problem == "exceeded maximum nesting depth":
        # libyaml 0.2.6 looks ahead, and sees a thousand levels before we count a hundred
        return TOO_DEEP
    if error.problem == "but found another document":
        return "a second document begins here; a manifest is one document"
    if variable := unquoted_variable(line):
        return f"quote the value that begins with {variable}; YAML reads it as a mapping"
    context = f" ({error.context})" if error.context else ""
    return f"is not valid YAML: {error.problem}{context}"


def unquoted_variable(line: str) -> str | None:
    """Return the variable without quotes that a value of `line` begins with."""
    match = _UNQUOTED.search(line)
    if not match:
        return None
    found = match["value"] or match["variable"]
    name, colon, _default = found.partition(":")
    if (colon and may_name_secret(line)) or len(found) > 80:
        # a default is a value, and may be a secret
        return f"{name[:79]}:…"
    return found
