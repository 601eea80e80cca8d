"""Which profile a session tests on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_dlthub.options import ini_by_either_name, option

# read by dlt and by the runtime (`dlthub_project.context`)
PROFILE_VARIABLE = "WORKSPACE__PROFILE"
_DEFAULT_PROFILE = "tests"
_PIN_FILE = Path(".dlt", "profile-name")


def chosen_profile(config: pytest.Config, project: Path | None) -> tuple[str, str]:
    """Return the profile to test on, and why this one.

    Raises:
        UsageError: The one that was asked for is not a test profile.
    """
    accepted: list[str] = config.getini("dlt_test_profiles")
    by_option = option(config, "dlt_profile")
    ini = ini_by_either_name(config, "dlt_profile", "dlt_tests_project_profile")
    environment = os.environ.get(PROFILE_VARIABLE) if project else None
    choices = (
        (by_option, "--dlt-profile"),
        (ini, "ini dlt_profile"),
        (environment, f"environment variable {PROFILE_VARIABLE}"),
        (_DEFAULT_PROFILE, "default"),
    )
    profile, reason = next((name, why) for name, why in choices if name)
    if profile not in accepted:
        raise pytest.UsageError(
            f"{reason}: `{profile}` is not a test profile. Accepted: {', '.join(accepted)}; "
            "the ini option dlt_test_profiles lists them. Name one with --dlt-profile."
        )
    reasons = [reason]
    pin = project / _PIN_FILE if project else None
    if (
        pin
        and pin.is_file()
        and (pinned := pin.read_text(encoding="utf-8", errors="replace").strip()) != profile
    ):
        reasons.append(f"pin {pinned} overridden")
    return profile, "; ".join(reasons)
