"""Notes the files that a build reads, and tells later whether they have changed."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_dlthub.imports import Opened, is_library_file, is_ours, recorded
from pytest_dlthub.templates.inotify import opened_below
from pytest_dlthub.templates.python_files import INSTALLED, may_have_code

# files of the system; the version says what is in an installed package
_OF_SYSTEM = ("/proc/", "/sys/", "/dev/", "/run/", "/etc/", "/usr/lib", "/usr/share/")
# except these, which may hold temporary files of users
_OF_USERS = ("/dev/shm/", "/run/user/")
# files beside modules that are no data, unless a build opens them
_NOT_DATA = (".pyc", ".pyi", ".so", ".pth", ".py", ".md", ".rst", ".log", "~")
# names that tools keep in folders
_OF_TOOLS = (
    *(".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".cache", ".pytest_cache", ".mypy_cache"),
    *(".ruff_cache", ".hypothesis", ".coverage", ".idea", ".vscode", ".DS_Store", ".nfs"),
)


# by path: size, time of change and inode, and the digest then
_known: dict[str, tuple[tuple[int, int, int], str]] = {}


@dataclass(frozen=True)
class Conditions:
    """What a build has read beyond its key, which we know only after the build.

    Attributes:
        files: Digests of files; empty for a file that does not exist.
        folders: Digests of the names in folders that the build has listed.
        beside: Digests of all files in the folders of modules, except Python files.
        written: Files that the build has written to, which are no inputs.
        asked: Whether there was a file, by path, if the build asked only that.
        looked_at: The same with size and times.
        used: Digests of state that the build has used up, such as a random number generator.
        asked_here: Servers in this process that the build has asked. The test decides what they
            answer, which we cannot compare: only this test can use the template.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    written: Collection[str] = ()
    asked: Mapping[str, str] = field(default_factory=dict)
    looked_at: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)
    asked_here: Collection[str] = ()

    def changed(self, used_now: Callable[[str], str]) -> Iterator[str]:
        """Yield the names of inputs that have changed since the build.

        Args:
            used_now: Returns the current digest of state that a build has used up, by name.
        """
        yield from self.asked_here
        yield from (n for n, known in self.used.items() if used_now(n) != known)
        yield from (path for path, known in self.files.items() if _digest_of(path) != known)
        yield from (path for path, known in self.asked.items() if _kind_of(path) != known)
        yield from (path for path, known in self.looked_at.items() if _looks_of(path) != known)
        written = self.written
        yield from (path for path, d in self.folders.items() if _names_in(path, written) != d)
        yield from (path for path, d in self.beside.items() if _data_in(path, written) != d)

    def hold(self, used_now: Callable[[str], str]) -> bool:
        """Tell whether no input has changed since the build."""
        return next(self.changed(used_now), None) is None

    def to_json(self) -> dict[str, Any]:
        """Return what `Conditions(**...)` takes."""
        return {**asdict(self), "written": sorted(self.written)}


@dataclass
class Build:
    """Notes the files that a build opens, and the addresses it connects to; empty until it ends."""

    root: Path
    tests: Collection[str]
    conditions: Conditions = field(default_factory=Conditions)
    connected: Collection[Any] = ()
    hosts: Collection[tuple[Any, Any]] = ()

    @contextmanager
    def recorded(self, also: Opened, sources: Iterable[str], own: Iterable[str]) -> Iterator[None]:
        """Note what the block opens.

        Args:
            also: What modules have opened when they were imported.
            sources: Files that define the sources of the loads, perhaps beside tests.
            own: Folders whose files are no inputs: those of sandboxes and templates.
        """
        started = time.time_ns()
        opened = Opened()
        counts = _Filter(self.root, own)
        try:
            with (
                opened_below(str(self.root), counts.has_inputs) as below,
                recorded(opened),
            ):
                yield
        finally:
            self.connected, self.hosts = opened.connected, opened.hosts
            # the build may have opened these for writing, and only read them
            read = {path for path in opened.written if _is_older(path, started)}
            written = (opened.written | also.written) - read
            modules = _own_modules()
            files = {p for p in opened.files | also.files | read | below.files if counts.file(p)}
            # of editable installs, and of packages on PYTHONPATH
            files |= {file for file in modules if not counts.is_in_key(file)}
            files -= written
            code = {f for f in modules if f not in self.tests and not f.endswith("conftest.py")}
            beside = {os.path.dirname(file) for file in {*code, *sources}}
            for folder in beside:
                written |= {f.path for f in _files_in(folder) if f.stat().st_mtime_ns >= started}
            # an entry of `os.scandir` has size and times: the build may have read them
            entries = {path for folder in opened.scanned for path in _paths_in(folder)}
            looked_at = _counting(counts, {*opened.looked_at, *also.looked_at, *entries}) - written
            asked = _counting(counts, {*opened.asked, *also.asked}) - looked_at - {*files, *written}
            # a new module in one of these could be found first
            places = {os.path.abspath(p) for p in sys.path} | {os.path.dirname(f) for f in code}
            places = {path for path in places if not counts.is_below_root(_as_folder(path))}
            listed = opened.folders | also.folders | places
            self.conditions = Conditions(
                {path: _digest_of(path) for path in sorted(files)},
                {path: _names_in(path, written) for path in sorted(listed) if counts.folder(path)},
                {path: _data_in(path, written) for path in sorted(beside)},
                sorted(path for path in written if counts.file(path)),
                {path: _kind_of(path) for path in sorted(asked)},
                {path: _looks_of(path) for path in sorted(looked_at)},
            )


@dataclass
class _Filter:
    """Tells which of the files that were opened count."""

    root: Path
    own: Iterable[str]

    def __post_init__(self) -> None:
        self._root = _as_folder(self.root)
        self._in_key: dict[str, bool] = {}
        self._own = [_as_folder(path) for path in self.own]
        self._python = tuple(_as_folder(path) for path in (sys.prefix, sys.base_prefix))
        self._own += [path for path in self._python if path.startswith(self._root)]

    def file(self, path: str) -> bool:
        is_code = path.endswith(".py") and (self.is_in_key(path) or is_ours(path))
        return not is_code and not path.endswith(".pyc") and self.folder(path)

    def folder(self, path: str) -> bool:
        if not {*INSTALLED}.isdisjoint(path.split(os.sep)):
            return False
        if _as_folder(path).startswith(tuple(self._own)):
            return False
        is_of_system = path.startswith(_OF_SYSTEM) and not path.startswith(_OF_USERS)
        is_elsewhere = is_of_system or path.startswith(self._python)
        return self.is_below_root(path) or not is_elsewhere

    def has_inputs(self, folder: str) -> bool:
        """Tell whether files of a folder below the root may be inputs."""
        if os.path.basename(folder).startswith("."):
            return False
        return may_have_code(folder) and self.folder(folder)

    def is_in_key(self, path: str) -> bool:
        """Tell whether `PythonFiles` has a Python file, so that the key of a template counts it."""
        folder = os.path.dirname(path)
        if folder not in self._in_key:
            is_root = _as_folder(folder) == self._root
            self._in_key[folder] = is_root or (
                self.is_below_root(folder)
                and may_have_code(folder)
                and not os.path.islink(folder)
                and self.is_in_key(folder)
            )
        return self._in_key[folder]

    def is_above_root(self, path: str) -> bool:
        return self._root.startswith(_as_folder(path))

    def is_below_root(self, path: str) -> bool:
        return path.startswith(self._root)


def _as_folder(path: str | Path) -> str:
    return os.path.join(os.path.abspath(path), "")


def file_digest(path: Path) -> str:
    """Return a digest of a file, or of the names and contents of all files in a folder.

    Raises:
        OSError: A file cannot be read.
    """
    state = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                state.update(f"{file.relative_to(path)}\0{file_digest(file)}\0".encode())
    else:
        with path.open("rb") as opened:
            while block := opened.read(1 << 20):
                state.update(block)
    return state.hexdigest()


def _digest_of(path: str) -> str:
    """Return the digest of a file, from memory if size and time are the same; empty for no file."""
    try:
        found = os.stat(path)
        version = (found.st_size, found.st_mtime_ns, found.st_ino)
        known = _known.get(path)
        if known is None or known[0] != version:
            if not os.path.isfile(path):
                return "not a file"
            known = _known[path] = version, file_digest(Path(path))
    except OSError:
        return ""
    return known[1]


def _counting(counts: _Filter, paths: Iterable[str]) -> set[str]:
    return {path for path in paths if counts.file(path) and not counts.is_above_root(path)}


def _kind_of(path: str) -> str:
    """Return the type of a file and the target of a link; empty if there is no file."""
    try:
        found = os.lstat(path).st_mode
        target = os.readlink(path) if stat.S_ISLNK(found) else ""
        kind = stat.S_IFMT(os.stat(path).st_mode) if target else stat.S_IFMT(found)
    except OSError:
        return ""
    return f"{kind:o} {target}"


def _looks_of(path: str) -> str:
    """Return the same with permissions, and of a file with size and time of change."""
    try:
        found = os.stat(path)
    except OSError:
        return _kind_of(path)
    looks = f"{_kind_of(path)} {found.st_mode:o}"
    if stat.S_ISDIR(found.st_mode):
        return looks
    return f"{looks} {found.st_size} {found.st_mtime_ns}"


def _names_in(folder: str, written: Collection[str]) -> str:
    try:
        with os.scandir(folder) as entries:
            names = [
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in entries
                if entry.path not in written
            ]
    except OSError:
        return ""
    return "/".join(sorted(n for n in names if not n.startswith((*_OF_TOOLS, *INSTALLED))))


def _paths_in(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def _is_older(path: str, time_ns: int) -> bool:
    """Tell whether a file exists, and nobody has written to it since."""
    try:
        return os.stat(path).st_mtime_ns < time_ns
    except OSError:
        return False


def _data_in(folder: str, written: Collection[str]) -> str:
    paths = sorted(file.path for file in _files_in(folder) if file.path not in written)
    state = hashlib.blake2b(digest_size=16)
    for path in paths:
        state.update(f"{path}\0{_digest_of(path)}\0".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _files_in(folder: str) -> list[os.DirEntry[str]]:
    """Return the files beside modules that may be data: those with a suffix."""
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in entries
                if "." in entry.name[1:]
                and not entry.name.startswith(".")
                and not entry.name.endswith(_NOT_DATA)
                and entry.is_file()
            ]
    except OSError:
        return []


def _own_modules() -> set[str]:
    """Return the files of the modules that are not installed."""
    modules = [*sys.modules.values()]
    files = {getattr(module, "__file__", None) or "" for module in modules}
    return {file for file in files if not is_library_file(file)}
