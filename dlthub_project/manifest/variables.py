"""Fills `{env.NAME}` and the project's own settings into strings; all other braces stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

PATH_SETTINGS = ("project_dir", "data_dir", "local_dir")
SETTINGS = (*PATH_SETTINGS, "current_profile", "default_profile")
PROJECT_SETTINGS = (*SETTINGS, "name")
"""Those that `{project.…}` names everywhere, and `{…}` in the section `project`."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def _pattern(settings: tuple[str, ...]) -> re.Pattern[str]:
    plain = "|".join(settings)
    qualified = "|".join(PROJECT_SETTINGS)
    ours = rf"env\.{_NAME}(?::[^{{}}]*)?|project\.(?:{qualified})|{plain}"
    # a doubled brace is the way to write one of ours literally
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


def unset_names(value: Any, environ: Mapping[str, str]) -> set[str]:
    """Return the environment variables without a default that `value` uses and that are not set."""
    names: set[str] = set()

    def note(text: str, _at: tuple[Hashable, ...]) -> str:
        for match in _EVERYWHERE.finditer(text):
            variable = match["variable"] or ""
            if variable.startswith("env.") and ":" not in variable:
                names.add(variable.removeprefix("env."))
        return text

    substitute_all(value, note)
    return names - set(environ)
