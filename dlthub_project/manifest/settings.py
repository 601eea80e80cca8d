"""The section `project`: defaults, settings that use each other, absolute folders."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlthub_project.errors import known_names
from dlthub_project.manifest.document import Mistake
from dlthub_project.manifest.names import problem_of_name, problem_of_path
from dlthub_project.secrets import KNOWN

# no path is longer, and settings made of each other many times would be gigabytes
_LONGEST = 4_096


PATH_SETTINGS = ("project_dir", "data_dir", "local_dir", "tmp_dir")
SETTINGS = (*PATH_SETTINGS, "current_profile", "default_profile")
PROJECT_SETTINGS = (*SETTINGS, "name")
"""Those that `{project.…}` names everywhere, and `{…}` in the section `project`."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DEFAULTS: Mapping[str, Any] = {
    "project_dir": ".",
    "data_dir": "{project_dir}/_data/{current_profile}",
    "local_dir": "{data_dir}/local",
    "tmp_dir": "{data_dir}/tmp",
    "default_profile": "dev",
    "allow_undefined_entities": True,
}


@dataclass(frozen=True)
class Settings:
    """The section `project`, with defaults and variables filled in and paths made absolute."""

    name: str
    project_dir: str
    data_dir: str
    local_dir: str
    tmp_dir: str
    current_profile: str
    default_profile: str
    allow_undefined_entities: bool


def read_settings(
    section: Mapping[str, Any], root: Path, profile: str, folders: Mapping[str, str]
) -> tuple[Settings | None, list[Mistake]]:
    """Return the settings of a manifest, or None and what is wrong with them.

    Args:
        section: The section `project` of the merged manifest.
        root: The folder of the manifest.
        profile: The active profile.
        folders: Settings to use instead of the declared ones, as they are.
    """
    reader = _Reader(section, root, profile, folders)
    values = {name: reader.value_or_mistake(name) for name in PROJECT_SETTINGS}
    allowed = reader.flag_or_mistake("allow_undefined_entities")
    if reader.mistakes:
        return None, reader.mistakes
    return Settings(**values, allow_undefined_entities=allowed), []


class _SettingMistake(Exception):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.mistake = Mistake(("project", name), message)


class _Reader:
    """Resolves settings, which may use each other, and collects what is wrong with them."""

    def __init__(
        self, section: Mapping[str, Any], root: Path, profile: str, folders: Mapping[str, str]
    ) -> None:
        declared = {key: value for key, value in section.items() if value is not None}
        self.mistakes: list[Mistake] = []
        self._root = str(root)
        self._declared = declared
        self._written: dict[str, Any] = {"name": root.name, **_DEFAULTS, **declared}
        self._given = {"current_profile": profile, **folders}
        self._open: list[str] = []
        self._known: dict[str, str] = {}

    def value_or_mistake(self, name: str) -> str:
        """Return setting `name`; if it is wrong, note why and return an empty text."""
        try:
            return self._value(name)
        except _SettingMistake as error:
            self._note(error.mistake)
            return ""

    def flag_or_mistake(self, name: str) -> bool:
        """Return setting `name` as true or false; when it is neither, note that."""
        try:
            text = self._fill(name).lower()
            if text not in ("true", "false"):
                raise _SettingMistake(name, "must be true or false")
        except _SettingMistake as error:
            self._note(error.mistake)
            return False
        return text == "true"

    def _note(self, mistake: Mistake) -> None:
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def _value(self, name: str) -> str:
        if name in self._given:
            return self._given[name]
        if name in self._known:
            return self._known[name]
        if name in self._open:
            raise self._circle(self._open[self._open.index(name) :])
        self._open.append(name)
        try:
            filled = self._fill(name)
            unknown = unknown_variable(str(self._written[name])) if name in PATH_SETTINGS else ""
            if unknown:
                raise _SettingMistake(name, unknown)
            check = problem_of_path if name in PATH_SETTINGS else problem_of_name
            # the default name is that of the folder, which exists and so is valid
            problem = check(filled) if name in self._declared else ""
            if problem:
                raise _SettingMistake(name, problem)
            if name in PATH_SETTINGS:
                filled = self._absolute(name, filled)
            self._known[name] = filled
            return filled
        finally:
            self._open.pop()

    def _fill(self, name: str) -> str:
        filled = str(self._written[name])
        try:
            if len(filled) <= _LONGEST:
                filled = substitute(filled, self._value, os.environ, in_project_section=True)
        except MissingVariable as error:
            raise _SettingMistake(name, str(error)) from None
        if len(filled) > _LONGEST:
            raise _SettingMistake(name, f"is longer than {_LONGEST:,} characters")
        return filled

    def _absolute(self, name: str, folder: str) -> str:
        folder = os.path.expanduser(folder)
        if not os.path.isabs(folder):
            base = self._root if name == "project_dir" else self._value("project_dir")
            folder = os.path.join(base, folder)
        return os.path.abspath(folder)

    def _circle(self, names: list[str]) -> _SettingMistake:
        # the same circle for each of its settings: it begins at the first that the file declares
        first = next(name for name in self._declared if name in names)
        start = names.index(first)
        circle = " -> ".join((*names[start:], *names[:start], first))
        return _SettingMistake(first, f"settings refer to each other: {circle}")


def _pattern(settings: tuple[str, ...]) -> re.Pattern[str]:
    plain = "|".join(settings)
    qualified = "|".join(PROJECT_SETTINGS)
    ours = rf"env\.{_NAME}(?::[^{{}}]*)?|project\.(?:{qualified})|{plain}"
    # doubled braces write one of our names literally
    return re.compile(rf"\{{\{{(?P<literal>{ours})\}}\}}|\{{(?P<variable>{ours})\}}")


_EVERYWHERE = _pattern(SETTINGS)
_IN_PROJECT = _pattern(PROJECT_SETTINGS)


class MissingVariable(LookupError):
    """An environment variable without a default is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"the environment variable {self.name} is not set; set it, or give a default: "
            f"{{env.{self.name}:default}}"
        )


def unknown_variable(text: str, *, least_likeness: float = 0.0) -> str:
    """Return what is wrong with the first variable in `text` that does not exist; else nothing.

    Args:
        text: A path or URL, as written.
        least_likeness: How like one of ours a name must be, from 0 to 1: `{table_name}` of a layout
            belongs to dlt.
    """
    for name in re.findall(rf"(?<!\{{)\{{((?:project\.)?{_NAME})\}}(?!\}})", text):
        plain = name.removeprefix("project.")
        known = PROJECT_SETTINGS if name != plain or not least_likeness else SETTINGS
        if plain in known:
            continue
        if name != plain or difflib.get_close_matches(plain, known, 1, least_likeness):
            return f"there is no variable {{{name}}}. {known_names(plain, known)}"
    return ""


def substitute(
    text: str,
    setting: Callable[[str], str],
    environ: Mapping[str, str],
    *,
    in_project_section: bool = False,
) -> str:
    """Return `text` with the variables that are ours filled in.

    Args:
        text: Any string of the manifest.
        setting: Gives the value of a project setting by its plain name.
        environ: Where `{env.NAME}` is looked up.
        in_project_section: Whether `{name}` is ours; elsewhere it may belong to a URL.

    Raises:
        MissingVariable: An environment variable without a default is not set.
    """

    def replacement(match: re.Match[str]) -> str:
        literal = match["literal"]
        if literal is not None:
            return f"{{{literal}}}"
        variable = match["variable"]
        if not variable.startswith("env."):
            return setting(variable.removeprefix("project."))
        name, colon, default = variable.removeprefix("env.").partition(":")
        if name in environ:
            return environ[name]
        if colon:
            return default
        raise MissingVariable(name)

    pattern = _IN_PROJECT if in_project_section else _EVERYWHERE
    return pattern.sub(replacement, text) if "{" in text else text


def learn_variables(text: str, environ: Mapping[str, str]) -> None:
    """Remember the environment variables in `text` as secrets: it stands where one is kept."""
    for match in _EVERYWHERE.finditer(text):
        variable = (match["variable"] or "").removeprefix("env.").partition(":")[0]
        KNOWN.learn(environ.get(variable), is_secret=True)


def substitute_all(
    value: Any, fill: Callable[[str, tuple[Hashable, ...]], str], path: tuple[Hashable, ...] = ()
) -> Any:
    """Return a copy of `value` in which every string, also in mappings and lists, is filled.

    Args:
        value: Any value of the manifest.
        fill: Gives the new text of a string and its path.
        path: Where `value` stands.
    """
    if isinstance(value, str):
        return fill(value, path)
    if isinstance(value, Mapping):
        return {key: substitute_all(item, fill, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute_all(item, fill, (*path, i)) for i, item in enumerate(value)]
    return value


def used_variables(section: Mapping[str, Any], name: str) -> set[str]:
    """Return the variables that a setting is made of: settings, and `env.NAME`.

    Args:
        section: The section `project` of the merged manifest.
        name: The setting. What the settings that it uses are made of counts, too.
    """
    used: set[str] = set()
    to_read = [name]
    while to_read:
        setting = to_read.pop()
        declared = section.get(setting)
        text = _DEFAULTS.get(setting, "") if declared is None else declared
        for match in _IN_PROJECT.finditer(str(text)):
            variable = (match["variable"] or "").removeprefix("project.").partition(":")[0]
            if variable and variable not in used:
                used.add(variable)
                to_read.append(variable)
    return used


def unset_names(value: Any, environ: Mapping[str, str]) -> set[str]:
    """Return the environment variables without a default that `value` uses and that are not set."""
    return {name for _, names in unset_uses(value, environ) for name in names}


def unset_uses(
    value: Any, environ: Mapping[str, str]
) -> list[tuple[tuple[Hashable, ...], set[str]]]:
    """Return the path of each text in `value` that uses such variables, and their names."""
    uses: list[tuple[tuple[Hashable, ...], set[str]]] = []

    def note(text: str, at: tuple[Hashable, ...]) -> str:
        used = (match["variable"] or "" for match in _EVERYWHERE.finditer(text))
        names = {v.removeprefix("env.") for v in used if v.startswith("env.") and ":" not in v}
        if names := names - set(environ):
            uses.append((at, names))
        return text

    substitute_all(value, note)
    return uses
