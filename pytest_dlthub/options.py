"""The plugin's options and ini names: which there are, and what they say at any time."""

from __future__ import annotations

import pytest


def register(parser: pytest.Parser) -> None:
    """Declare all options and ini names."""
    group = parser.getgroup("dlt", "dlt projects and pipelines")
    group.addoption(
        "--dlt-project",
        metavar="DIR",
        help="Folder of the dlt.yml to test; by default the nearest at or above the tests.",
    )
    group.addoption(
        "--dlt-profile",
        metavar="NAME",
        help="Test profile of the project; by default `tests`.",
    )
    group.addoption(
        "--dlt-reuse",
        action="store_true",
        help="Keep what `dlt_load` marks have loaded for later sessions, in your cache folder.",
    )
    parser.addini("dlt_project", "Folder of the dlt.yml to test, relative to this file.")
    parser.addini("dlt_profile", "Test profile of the project; by default `tests`.")
    parser.addini("dlt_tests_project_path", "Alias of dlt_project.")
    parser.addini("dlt_tests_project_profile", "Alias of dlt_profile.")
    parser.addini(
        "dlt_test_profiles",
        "Profiles that tests may run on.",
        type="args",
        default=["tests", "test", "ci"],
    )
    parser.addini(
        "dlt_keep",
        "Whose data are kept after a test: `failed`, `all` or `none`.",
        default="failed",
    )
    parser.addini(
        "dlt_allow_remote",
        "Remote destinations that tests may reach where they have configured them, by name, or "
        "places: `postgresql://host:port/database`, `s3://bucket`.",
        type="args",
        default=[],
    )
    parser.addini(
        "dlt_loader_file_format",
        "Format in which rows are loaded into temporary destinations and by `dlt_run`: "
        "`insert_values`, `jsonl` or `parquet`; by default what is fastest.",
        default="",
    )
    parser.addini(
        "dlt_secrets",
        "Which secrets a test sees: `all` that are configured; `tests`: those of the file "
        "`.dlt/tests.secrets.toml` of the test profile, of the environment and of `dlt_config`; "
        "or `none` but those of `dlt_config`.",
        default="all",
    )
    parser.addini(
        "dlt_isolation",
        "Have every test in a sandbox, also without a project or workspace.",
        type="bool",
        default=False,
    )


def option(config: pytest.Config, name: str) -> str | None:
    """Return an option; before and after pytest has parsed them all."""
    early = getattr(config.known_args_namespace, name, None)
    found: str | None = early or getattr(config.option, name, None)
    return found


def check_ini(config: pytest.Config, name: str, *accepted: str) -> None:
    """Make sure that an ini option has one of the values that it may have.

    Raises:
        UsageError: It has another.
    """
    value = config.getini(name)
    if value not in accepted:
        *first, last = filter(None, accepted)
        expected = f"{', '.join(first)} or {last}"
        raise pytest.UsageError(f"{name}: {expected} is expected, not {value!r}")


def ini_by_either_name(config: pytest.Config, name: str, alias: str) -> str:
    """Return an ini option that has an older name, too.

    Raises:
        UsageError: The two say different things.
    """
    value: str = config.getini(name)
    by_alias: str = config.getini(alias)
    if value and by_alias and value != by_alias:
        raise pytest.UsageError(
            f"the ini options {name} ({value}) and {alias} ({by_alias}) are one setting "
            f"by two names, and say different things; remove {alias}"
        )
    return value or by_alias
