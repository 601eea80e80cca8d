"""Files that the configuration declares for destinations: a test has its own in their places.

On all profiles, since a test that opens the file of `prod` by its path writes to production. A
destination has another file in the sandbox, by its name, before anything is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dlthub_project.context import open_project, read_toml_files, settings_files, settings_folder
from dlthub_project.dlt_internals import contexts
from dlthub_project.dlt_internals import destinations as dlt_destinations
from dlthub_project.errors import ProjectError
from dlthub_project.manifest import FILE_NAME
from dlthub_project.sandbox import destinations, local_files, replacements
from dlthub_project.sandbox.settings import ENVIRONMENT_VARIABLE, Sandbox, active_sandbox

_OF_EACH_TEST = (ENVIRONMENT_VARIABLE, "PYTEST_CURRENT_TEST")
# of a path; a secret may be longer
_LONGEST = 1_000


@dataclass(frozen=True)
class Declared:
    """A file or folder of a destination, as the configuration has it.

    Attributes:
        name: The destination; empty where the configuration is that of all.
        path: Where it is, with links resolved.
        kind: `duckdb`, `sqlite` or `folder`.
    """

    name: str
    path: str
    kind: str

    def is_at(self, real: str) -> bool:
        if self.kind != "sqlite" or real == self.path:
            return real == self.path
        # dlt has a file for each dataset beside it
        stem, suffix = os.path.splitext(self.path)
        return real.startswith(f"{stem}__") and real.endswith(suffix)


def declared_at(path: str) -> tuple[Declared, ...]:
    """Return what is declared for destinations at a path."""
    real = os.path.realpath(path)
    return tuple(found for found in _all_declared() if found.is_at(real))


def places(declared: tuple[Declared, ...], sandbox: Sandbox) -> Iterator[str]:
    """Yield where a sandbox has the files of destinations that are declared at one path."""
    provider = destinations.temporary_destinations() if sandbox == active_sandbox() else None
    for name in {found.name for found in declared if found.kind == "duckdb"}:
        if provider is not None:
            settings = provider.decide(name).settings
            credentials, kind = settings.get("credentials"), settings.get(replacements.TYPE)
            if kind == "duckdb" and (here := dlt_destinations.duckdb_path(credentials)):
                yield here
        else:
            yield replacements.files_of(sandbox, name, "duckdb")["credentials"]


def place_to_make(path: str, declared: tuple[Declared, ...], sandbox: Sandbox) -> str:
    """Return where the file is made that a sandbox has in the place of a declared one."""
    here = next(places(declared, sandbox), None) or local_files.path_in(sandbox, path)
    os.makedirs(os.path.dirname(here), exist_ok=True)
    return here


def is_declared(path: str) -> bool:
    """Tell whether a file, or a folder around it, is declared for a destination."""
    real = os.path.realpath(path)
    in_folders = (
        real.startswith(os.path.join(found.path, ""))
        for found in _all_declared()
        if found.kind == "folder"
    )
    return any(in_folders) or bool(declared_at(path))


def _all_declared() -> tuple[Declared, ...]:
    sandbox = active_sandbox()
    if sandbox is None:
        return ()
    root = sandbox.project or sandbox.working_dir
    stated = []
    for file in _files(root, sandbox.folder):
        with suppress(OSError):
            stat = os.stat(file)
            stated.append((file, stat.st_mtime_ns, stat.st_size))
    variables = [item for item in os.environ.items() if item[0] not in _OF_EACH_TEST]
    return _read(root, tuple(stated), tuple(variables))


# 3 ms, once for each sandbox
@lru_cache(maxsize=4)
def _files(root: str, _folder: str) -> tuple[str, ...]:
    """Return the files that may declare destinations: those of the user, too."""
    folders = (Path(root, settings_folder()), Path(contexts.global_folder()))
    settings = [str(file) for folder in folders for file in settings_files(folder)]
    return (os.path.join(root, FILE_NAME), *settings)


# asked for each connection that leads out of the sandbox
@lru_cache(maxsize=4)
def _read(
    root: str, files: tuple[tuple[str, int, int], ...], variables: tuple[tuple[str, str], ...]
) -> tuple[Declared, ...]:
    paths = [path for path, *_ in files if not path.endswith(FILE_NAME)]
    sections = [
        *(section for file in read_toml_files(paths) for section in _sections(file.data)),
        *_sections(_nested(variables)),
    ]
    found: dict[Declared, None] = {}
    if len(paths) == len(files):
        for section in sections:
            found.update(dict.fromkeys(_of_section(section, root)))
        return tuple(found)
    for profile in open_project(Path(root)).profiles:
        try:
            project = open_project(Path(root), profile)
        except ProjectError:
            # nobody can run on it as it is
            continue
        for section in (project.destinations, *sections):
            found.update(dict.fromkeys(_of_section(section, project.local_dir)))
    return tuple(found)


def _nested(variables: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for variable, value in variables:
        *above, key = variable.lower().split("__")
        if "destination" not in above:
            continue
        section = nested
        for part in above:
            inner = section.get(part)
            section[part] = section = dict(inner) if isinstance(inner, dict) else {}
        section[key] = value
    return nested


def _sections(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the sections of destinations: that of all pipelines, and those of single ones."""
    for above in (document, *document.values()):
        section = above.get("destination") if isinstance(above, Mapping) else None
        if isinstance(section, Mapping):
            yield section


def _of_section(section: Mapping[str, Any], local_dir: str) -> Iterator[Declared]:
    for name, entry in (("", section), *section.items()):
        if not isinstance(entry, Mapping):
            continue
        if isinstance(bucket := entry.get("bucket_url"), str):
            folder = dlt_destinations.local_bucket(bucket)
            if folder is not None and _may_be_path(folder):
                yield Declared(name, os.path.realpath(os.path.join(local_dir, folder)), "folder")
        credentials = entry.get("credentials")
        kind = str(entry.get("type") or entry.get(replacements.TYPE) or name)
        if credentials is None and kind == "duckdb" and name:
            credentials = f"{name}.duckdb"
        if (file := _file(credentials)) is not None:
            path, of_kind = file
            yield Declared(name, os.path.realpath(os.path.join(local_dir, path)), of_kind)


def _file(credentials: Any) -> tuple[str, str] | None:
    if isinstance(credentials, Mapping):
        written = credentials.get("database")
        if credentials.get("host"):
            return None
        if credentials.get("drivername") and (path := dlt_destinations.sqlite_path(credentials)):
            return path, "sqlite"
    else:
        written = credentials
    if not isinstance(written, str) or not _may_be_path(written):
        return None
    if written.startswith("sqlite"):
        path = dlt_destinations.sqlite_path(written) or ""
        return (path, "sqlite") if path else None
    if "://" in written and not written.startswith("duckdb:"):
        return None
    path = dlt_destinations.duckdb_path(written) or ""
    return (path, "duckdb") if path else None


def _may_be_path(text: str) -> bool:
    return 0 < len(text) < _LONGEST and text.isprintable()
