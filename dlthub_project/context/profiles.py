"""Which profiles a project has, and which of them is active."""

from __future__ import annotations

import os
from pathlib import Path

from dlthub_project.errors import ProfileNotFound, known_names
from dlthub_project.manifest import (
    IMPLICIT_PROFILES,
    Document,
    declared_profiles,
    default_profile,
)

PROFILE_VARIABLE = "WORKSPACE__PROFILE"
PIN_FILE = "profile-name"
_TOML_FILES = ("config.toml", "secrets.toml")


def available_profiles(document: Document, settings_dir: Path) -> list[str]:
    """Return the profiles that can be activated: implicit, declared, or with a TOML file."""
    return list(dict.fromkeys((*IMPLICIT_PROFILES, *configured_profiles(document, settings_dir))))


def configured_profiles(document: Document, settings_dir: Path) -> list[str]:
    """Return the profiles that say something: declared, or with a TOML file."""
    found = dict.fromkeys(declared_profiles(document))
    for suffix in _TOML_FILES:
        for file in sorted(settings_dir.glob(f"?*.{suffix}")):
            found.setdefault(file.name.removesuffix(f".{suffix}"))
    return list(found)


def read_pin(settings_dir: Path) -> str | None:
    """Return the profile that the pin file names, or None."""
    try:
        return (settings_dir / PIN_FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def choose_profile(document: Document, settings_dir: Path, explicit: str | None) -> str:
    """Return the active profile: explicit, else environment, pin file, manifest, `dev`.

    Raises:
        ProfileNotFound: The project does not have it.
    """
    candidates = (
        (explicit, "it was asked for"),
        (os.environ.get(PROFILE_VARIABLE), f"{PROFILE_VARIABLE} names it"),
        (read_pin(settings_dir), f"{settings_dir / PIN_FILE} pins it"),
        (default_profile(document), f"it is the default profile of {document.path}"),
    )
    profile, reason = next((name, why) for name, why in candidates if name)
    known = available_profiles(document, settings_dir)
    if profile not in known:
        raise ProfileNotFound(
            f"There is no profile `{profile}` in {document.path} ({reason}). "
            f"{known_names(profile, known)}",
            f"Declare it below `profiles:`, or add {settings_dir / profile}.config.toml.",
        )
    return profile
