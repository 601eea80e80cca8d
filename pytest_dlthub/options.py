"""The plugin's options and ini options, and the project or workspace that they choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

MANIFEST = "dlt.yml"
_WORKSPACE = Path(".dlt", ".workspace")

_RECORD = {
    "new": "Record what the sources of tests yield that are marked dlt_recorded, or run with "
    'given="recorded", and that have no recording.',
    "all": "Record them all, also those that have a recording.",
    "compare": "Run their sources, and fail where these have changed since; no file is changed.",
}


_CHECKS = {
    "": "Check what every run of a test has loaded; a check that fails, fails the test. With "
    "--collect-only: list the checks that no test has ever failed.",
    "on": "The same.",
    "off": "Check nothing, whatever the ini option dlt_checks says.",
}


def register(parser: pytest.Parser) -> None:
    """Declare all options and ini options."""
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
    # flags of their own: after `--dlt-record`, pytest would take a path for its value
    for word, told in _RECORD.items():
        group.addoption(
            f"--dlt-record={word}" if word != "new" else "--dlt-record",
            action="store_const",
            const=word,
            default="",
            dest="dlt_record",
            help=told,
        )
    group.addoption(
        "--dlt-record-limit",
        type=int,
        default=5,
        metavar="PAGES",
        help="How many pages of each resource are recorded at most; by default 5.",
    )
    group.addoption(
        "--dlt-record-check",
        action="store_true",
        help="Check that the recordings in the collected folders show no secret and no person.",
    )
    # flags of their own, for the same reason
    for word, told in _CHECKS.items():
        group.addoption(
            f"--dlt-checks={word}" if word else "--dlt-checks",
            action="store_const",
            const=word or "on",
            default="",
            dest="dlt_checks",
            help=told,
        )
    parser.addini(
        "dlt_checks",
        "Have every run of a test checked (on), by the checks that its resources and its project "
        "bring; one that fails, fails the test.",
        type="bool",
        default=False,
    )
    group.addoption(
        "--dlt-cov",
        action="store_true",
        help="Measure which pipelines, resources, tables and columns the tests cover.",
    )
    group.addoption(
        "--dlt-cov-report",
        action="append",
        metavar="TYPE",
        help="How it is told, with --dlt-cov: `term`, `term-missing`, `json[:PATH]`, "
        "`markdown[:PATH]` or `markdown-append[:PATH]`; may be given several times, and empty for "
        "none. By default `term`.",
    )
    group.addoption(
        "--dlt-cov-fail-under",
        type=float,
        metavar="MIN",
        help="Fail if less is covered, of a hundred, with --dlt-cov; what is unknown is not.",
    )
    parser.addini(
        "dlt_record_mask",
        "Fields whose values recordings replace by stand-ins: `email`, `customers.name`, "
        "`*.phone`; `!products.name` looks personal, and is shown.",
        type="linelist",
        default=[],
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
        "dlt_schema_snapshot_fails_on",
        "Which changes of a schema fail a comparison with `dlt_schema_snapshot`: `any` or "
        "`breaking`.",
        default="any",
    )
    parser.addini(
        "dlt_isolation",
        "Have every test in a sandbox, also without a project or workspace.",
        type="bool",
        default=False,
    )


def option(config: pytest.Config, name: str) -> str | None:
    """Return an option, before or after pytest has parsed the command line."""
    early = getattr(config.known_args_namespace, name, None)
    found: str | None = early or getattr(config.option, name, None)
    return found


def checks_runs(config: pytest.Config) -> bool:
    """Tell whether to check the runs of tests: by the option, else by the ini option."""
    by_option = option(config, "dlt_checks")
    return by_option == "on" if by_option else bool(config.getini("dlt_checks"))


def measures_data(config: pytest.Config) -> bool:
    """Tell whether to measure the coverage of data.

    Raises:
        UsageError: There is no `--dlt-cov`, but an option for it: nobody would check a minimum.
    """
    if config.getoption("dlt_cov"):
        return True
    for name in ("dlt_cov_report", "dlt_cov_fail_under"):
        if config.getoption(name) is not None:
            raise pytest.UsageError(f"--{name.replace('_', '-')} is of no use without --dlt-cov")
    return False


def check_ini(config: pytest.Config, name: str, *accepted: str) -> None:
    """Make sure that an ini option has a valid value.

    Raises:
        UsageError: It has another value.
    """
    value = config.getini(name)
    if value not in accepted:
        *first, last = filter(None, accepted)
        expected = f"{', '.join(first)} or {last}"
        raise pytest.UsageError(f"{name}: {expected} is expected, not {value!r}")


def schema_changes_that_fail(item: pytest.Item) -> str:
    """Return `any` or `breaking`: the value of the test's mark, else of the ini option.

    Raises:
        UsageError: The mark has another value.
    """
    marker = item.get_closest_marker("dlt_schema_snapshot")
    if marker is None:
        return str(item.config.getini("dlt_schema_snapshot_fails_on"))
    if marker.args or marker.kwargs not in ({"fails_on": "any"}, {"fails_on": "breaking"}):
        raise pytest.UsageError(
            'dlt_schema_snapshot: fails_on="any" or fails_on="breaking" is expected of the mark'
        )
    return str(marker.kwargs["fails_on"])


def ini_by_either_name(config: pytest.Config, name: str, alias: str) -> str:
    """Return an ini option that also has an older name.

    Raises:
        UsageError: The two names have different values.
    """
    value: str = config.getini(name)
    by_alias: str = config.getini(alias)
    if value and by_alias and value != by_alias:
        raise pytest.UsageError(
            f"the ini options {name} ({value}) and {alias} ({by_alias}) are one setting "
            f"by two names, and say different things; remove {alias}"
        )
    return value or by_alias


def chosen_root(config: pytest.Config) -> Path | None:
    """Return the project or workspace that an option names, else the nearest one, or None.

    Raises:
        UsageError: There is none in the folder that the option names, or there are several.
    """
    return _asked_project(config) or _nearest_root(config)


def _asked_project(config: pytest.Config) -> Path | None:
    by_option = option(config, "dlt_project")
    ini = ini_by_either_name(config, "dlt_project", "dlt_tests_project_path")
    if not by_option and not ini:
        return None
    base = Path.cwd() if by_option or not config.inipath else config.inipath.parent
    folder = Path(base, by_option or ini).resolve()
    if not _is_root(folder):
        name = "--dlt-project" if by_option else "ini option dlt_project"
        raise pytest.UsageError(f"{name}: there is no {MANIFEST} or {_WORKSPACE} in {folder}")
    return folder


def _nearest_root(config: pytest.Config) -> Path | None:
    """Return the project or workspace at or above the collected paths, rootdir or this folder."""
    found = {root_above(path): path for path in collected_paths(config)}
    found.pop(None, None)
    check_is_one(found)
    if found:
        return next(iter(found))
    return root_above(config.rootpath) or root_above(Path.cwd())


def check_is_one(found: Mapping[Path | None, Path]) -> None:
    """Make sure that there is at most one project.

    Args:
        found: A collected path for each project.

    Raises:
        UsageError: There are several; the message lists all.
    """
    if len(found) > 1:
        listed = "".join(f"\n  {path}: {project}" for project, path in found.items())
        raise pytest.UsageError(
            f"the tests belong to more than one dlt project; run them one by one:{listed}"
        )


def collected_paths(config: pytest.Config) -> Iterator[Path]:
    """Yield the files and folders that pytest collects: its arguments, or `testpaths`."""
    arguments = getattr(config.known_args_namespace, "file_or_dir", None)
    if not arguments:
        import glob

        patterns: list[str] = config.getini("testpaths")
        arguments = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    for argument in arguments or ["."]:
        path = Path(str(argument).partition("::")[0]).absolute()
        if path.exists():
            yield path


def root_above(path: Path) -> Path | None:
    """Return the nearest project or workspace at or above `path`, or None."""
    for folder in (path, *path.parents):
        if _is_root(folder):
            return folder
    return None


def _is_root(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / _WORKSPACE).is_file()


def has_workers(config: pytest.Config) -> bool:
    """Tell whether workers of pytest-xdist collect and run the tests."""
    return not hasattr(config, "workerinput") and getattr(config.option, "dist", "no") != "no"


def runs_tests(session: pytest.Session) -> bool:
    """Tell whether this process runs tests or sends them to workers; false if it only lists."""
    telling = ("collectonly", "showfixtures", "show_fixtures_per_test")
    asked = session.config.option
    is_worker = hasattr(session.config, "workerinput")
    return not is_worker and not any(getattr(asked, name, None) for name in telling)
