"""`dlt profile`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]

MANIFEST = """
    project: {default_profile: staging}
    profiles:
      # what production has, with data of nobody
      staging: {extends: prod}
      prod: {}
"""


def test_list_says_which_are_declared_which_implicit_and_which_is_active(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project(MANIFEST, {".dlt/qa.secrets.toml": "", ".dlt/profile-name": "prod"})
    shown = dlt_main("profile", "list")
    document = json.loads(dlt_main("profile", "list", "--format", "json").stdout)

    lines = [line.split() for line in shown.stdout.splitlines()[1:]]
    assert lines == [
        ["dev", "implicit", "-", "-", "-"],
        ["tests", "implicit", "-", "-", "-"],
        ["access", "implicit", "-", "-", "-"],
        ["staging", "declared", "prod", "-", "default"],
        ["prod", "declared", "-", "-", "active,", "pinned"],
        ["qa", "in", ".dlt", "-", "qa.secrets.toml", "-"],
    ]
    assert document[-1] == {
        "name": "qa",
        "declared": False,
        "files": ["qa.secrets.toml"],
        "extends": [],
        "active": False,
        "default": False,
        "pinned": False,
    }


def test_info_shows_the_active_or_another_profile(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(MANIFEST)
    active = dlt_main("profile", "info").stdout.splitlines()
    other = json.loads(dlt_main("profile", "prod", "info", "--format", "json").stdout)

    assert active[0].split() == ["profile", "staging"]
    assert active[2].endswith("the manifest, prod, staging")
    assert other["data_dir"] == str(root / "_data" / "prod")
    unknown = dlt_main("profile", "prd", "info")
    assert unknown.returncode == 3
    assert "Did you mean `prod`?" in unknown.stderr


def test_add_declares_a_profile_and_pin_makes_it_the_active_one(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(MANIFEST)
    before = (root / "dlt.yml").read_text()
    added = dlt_main("profile", "ci", "add", "--extends", "staging,prod")
    pinned = dlt_main("profile", "ci", "pin")
    info = dlt_main("project", "info")
    unpinned = dlt_main("profile", "unpin")

    assert added.stdout == f"Added profile ci: {root / 'dlt.yml'}:7.\n"
    assert (
        root / "dlt.yml"
    ).read_text() == before + "  ci:\n    extends:\n      - staging\n      - prod\n"
    assert pinned.returncode == unpinned.returncode == 0
    assert "profile          ci" in info.stdout.splitlines()
    assert not (root / ".dlt" / "profile-name").exists()
    assert "no longer pinned" in unpinned.stdout


def test_what_cannot_be_added_or_pinned_changes_nothing(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(MANIFEST)
    before = (root / "dlt.yml").read_text()

    for arguments, status, message in [
        (("prod", "add"), 1, "`profiles.prod` is there already"),
        (("ci", "add", "--extends", "prd"), 1, "Did you mean `prod`?"),
        (("a/b", "add"), 1, "has a name with `/`"),
        (("add",), 1, "Name the profile: dlt profile NAME add."),
        (("prd", "pin"), 3, "Did you mean `prod`?"),
        (("prod", "unpin"), 1, "Profile prod is not pinned; none is."),
    ]:
        refused = dlt_main("profile", *arguments)
        assert (arguments, refused.returncode) == (arguments, status)
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    assert (root / "dlt.yml").read_text() == before
    assert not (root / ".dlt").exists()


def test_a_pin_that_leads_nowhere_can_be_taken_away_or_replaced(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(MANIFEST, {".dlt/profile-name": "gone"})
    refused = dlt_main("project", "info")
    pinned = dlt_main("profile", "prod", "pin", WORKSPACE__PROFILE="staging")
    unpinned = dlt_main("profile", "unpin")

    assert refused.returncode == 3
    assert "profile-name pins it" in refused.stderr
    assert "WORKSPACE__PROFILE still names staging" in pinned.stdout
    assert unpinned.returncode == 0
    assert not (root / ".dlt" / "profile-name").exists()
