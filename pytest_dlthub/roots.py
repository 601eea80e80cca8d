"""Which project or workspace a session tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pytest_dlthub.options import ini_by_either_name, option

MANIFEST = "dlt.yml"
_WORKSPACE = Path(".dlt", ".workspace")


def chosen_root(config: pytest.Config) -> Path | None:
    """Return the project or workspace that was asked for, else the nearest one, or None.

    Raises:
        UsageError: There is none where one was asked for, or there are several.
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
    """Return the project or workspace at or above the collected paths, rootdir or here."""
    found = {root_above(path): path for path in collected_paths(config)}
    found.pop(None, None)
    check_is_one(found)
    if found:
        return next(iter(found))
    return root_above(config.rootpath) or root_above(Path.cwd())


def check_is_one(found: Mapping[Path | None, Path]) -> None:
    """Make sure that there is one project at most.

    Args:
        found: A path of each project.

    Raises:
        UsageError: There are several; all are listed.
    """
    if len(found) > 1:
        listed = "".join(f"\n  {path}: {project}" for project, path in found.items())
        raise pytest.UsageError(
            f"the tests belong to more than one dlt project; run them one by one:{listed}"
        )


def collected_paths(config: pytest.Config) -> Iterator[Path]:
    """Yield the files and folders that this session collects: its arguments, or `testpaths`."""
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
