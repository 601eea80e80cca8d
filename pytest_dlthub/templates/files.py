"""The files that loads are made from: the project's code, and what a build may read."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_dlthub.imports import Opened, is_library_file, recorded

# of the system; what is installed is known by its version
_OF_SYSTEM = ("/proc/", "/sys/", "/dev/", "/run/", "/etc/", "/usr/lib", "/usr/share/")
# but these, where temporary files of users may be
_OF_USERS = ("/dev/shm/", "/run/user/")
_OF_PYTHON = (".pyc", ".pyi", ".so", ".pth")
_NOT_DATA = (*_OF_PYTHON, ".py", ".md", ".rst", ".log", "~")
_INSTALLED = ("site-packages", "dist-packages", "__pycache__")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# by path: size, time of change and inode, with the digest of that
_known: dict[str, tuple[tuple[int, int, int], str]] = {}


@dataclass(frozen=True)
class Conditions:
    """What a template was built under beyond what its key says: known only after the build.

    Attributes:
        files: Digests of files; empty for one that is not there.
        folders: Digests of the names in folders that were listed.
        beside: Digests of all files in the folders of modules, but for Python files.
        written: Files that the build writes to: none of its inputs.
        asked: What there was, of what the build asked for without opening it.
        looked_at: The same, with size and times of it.
        used: Digests of what the build took from, such as generators of random numbers.
        asked_here: Servers of this very process that the build has asked. What they answer is
            the test's to say, and cannot be compared: the template is of one test.
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
        """Yield the names of what a build would meet otherwise now.

        Args:
            used_now: Returns the digest of what builds take from.
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
        """Tell whether a build would meet the same now."""
        return next(self.changed(used_now), None) is None

    def to_json(self) -> dict[str, Any]:
        """Return what `Conditions(**...)` takes."""
        return {**asdict(self), "written": sorted(self.written)}


@dataclass
class Build:
    """Notes what a build opens, and which addresses it asks; empty until it ends."""

    root: Path
    tests: Collection[str]
    conditions: Conditions = field(default_factory=Conditions)
    connected: Collection[Any] = ()
    hosts: Collection[tuple[Any, Any]] = ()

    @contextmanager
    def recorded(self, also: Opened, sources: Iterable[str], own: Iterable[str]) -> Iterator[None]:
        """Note, until the block ends, what it opens.

        Args:
            also: What modules opened when they were imported.
            sources: Files that the loads are defined in, perhaps beside tests.
            own: Folders whose files are no inputs: those of sandboxes and templates.
        """
        started = time.time_ns()
        opened = Opened()
        try:
            with recorded(opened):
                yield
        finally:
            self.connected, self.hosts = opened.connected, opened.hosts
            written = opened.written | also.written
            counts = _Filter(self.root, own)
            modules = _own_modules()
            files = {path for path in opened.files | also.files if counts.file(path)} - written
            # of packages that are installed to be edited, or found through PYTHONPATH
            files |= {file for file in modules if not counts.is_below_root(file)}
            code = {f for f in modules if f not in self.tests and not f.endswith("conftest.py")}
            beside = {os.path.dirname(file) for file in {*code, *sources}}
            for folder in beside:
                written |= {f.path for f in _files_in(folder) if f.stat().st_mtime_ns >= started}
            looked_at = _counting(counts, {*opened.looked_at, *also.looked_at}) - written
            asked = _counting(counts, {*opened.asked, *also.asked}) - looked_at - {*files, *written}
            self.conditions = Conditions(
                {path: _digest_of(path) for path in sorted(files)},
                {
                    path: _names_in(path, written)
                    for path in sorted(opened.folders | also.folders)
                    if counts.folder(path)
                },
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
        self._own = [_as_folder(path) for path in self.own]
        self._python = tuple(_as_folder(path) for path in (sys.prefix, sys.base_prefix))
        self._own += [path for path in self._python if path.startswith(self._root)]

    def file(self, path: str) -> bool:
        if path.endswith(".py") and self.is_below_root(path):
            # the key has them
            return False
        return self.folder(path) and not path.endswith(_OF_PYTHON)

    def folder(self, path: str) -> bool:
        if any(f"{os.sep}{name}" in path for name in _INSTALLED):
            return False
        if _as_folder(path).startswith(tuple(self._own)):
            return False
        is_of_system = path.startswith(_OF_SYSTEM) and not path.startswith(_OF_USERS)
        is_elsewhere = is_of_system or path.startswith(self._python)
        return self.is_below_root(path) or not is_elsewhere

    def is_above_root(self, path: str) -> bool:
        return self._root.startswith(_as_folder(path))

    def is_below_root(self, path: str) -> bool:
        return path.startswith(self._root)


def _as_folder(path: str | Path) -> str:
    return os.path.join(os.path.abspath(path), "")


class PythonFiles:
    """The Python files below a folder, less its tests."""

    def __init__(self, root: Path, known: Path) -> None:
        """Make it.

        Args:
            root: The folder.
            known: A folder to keep what is known of test files, by content: to parse one takes ms.
        """
        self._root = root
        self._known = known / "test_files.json"

    @property
    def digest(self) -> str:
        """A digest of all of them, and of their names."""
        plain: dict[str, str] = {}
        tests: dict[str, bytes] = {}
        for path in sorted(_python_files(self._root)):
            with contextlib.suppress(OSError):
                content = Path(path).read_bytes()
                plain[path] = hashlib.blake2b(content, digest_size=16).hexdigest()
                # whether they are collected or not: another session may collect others
                if os.path.basename(path).startswith("test_") or path.endswith("_test.py"):
                    tests[path] = content
        parsed = self._parsed({plain[path]: content for path, content in tests.items()})
        # a source may be called like a test
        used = {name for path in tests for name in parsed[plain[path]]["names"]}
        state = hashlib.blake2b(digest_size=16)
        for path, digest in plain.items():
            parts = [digest]
            if path in tests:
                found = parsed[digest]
                bodies = (text for name, text in found["bodies"].items() if name in used)
                parts = [found["digest"], *bodies]
            state.update("\0".join([path, *parts, ""]).encode("utf-8", "surrogateescape"))
        return state.hexdigest()

    def _parsed(self, contents: Mapping[str, bytes]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        # not there yet, or half written
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._known.read_text(encoding="utf-8"))
        new = {d: _without_tests(c) for d, c in contents.items() if d not in found}
        found = {**{d: f for d, f in found.items() if d in contents}, **new}
        if new:
            with contextlib.suppress(OSError):
                self._known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                written = self._known.with_name(f"{os.getpid()}-{self._known.name}")
                written.write_text(json.dumps(found), encoding="utf-8")
                written.replace(self._known)
        return found


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if _may_have_code(os.path.join(folder, name))]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".py"))


def _may_have_code(folder: str) -> bool:
    name = os.path.basename(folder)
    if name.startswith(".") or name in (*_INSTALLED, "_data", "node_modules"):
        return False
    return not os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _without_tests(code: bytes) -> dict[str, Any]:
    """Return of a test file: a digest without its tests, those of tests, and the names used."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return {"digest": hashlib.blake2b(code).hexdigest(), "bodies": {}, "names": []}
    names: set[str] = set()
    bodies: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, _FUNCTIONS) and is_test(node):
            bodies[node.name] = bodies.get(node.name, "") + _digest_of_tree(node)
    # what decorators of tests say is in their marks, and shows in what fixtures do
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [n for n in body if not (isinstance(n, _FUNCTIONS) and is_test(n))]
    return {"digest": _digest_of_tree(tree), "bodies": bodies, "names": sorted(names)}


def is_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is a test: no fixture, and nothing that a source is made of."""
    marks = all(".mark." in ast.unparse(decorator) for decorator in node.decorator_list)
    return marks and node.name.startswith("test_")


def _digest_of_tree(tree: ast.AST) -> str:
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return a digest of a file; of a folder, that of all files in it and of their names.

    Raises:
        OSError: It cannot be read.
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
    """Return the digest of a file, read again when its size or time is another; empty for none."""
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
    """Return what is at a path, and what it is a link to; empty for nothing."""
    try:
        found = os.lstat(path).st_mode
        target = os.readlink(path) if stat.S_ISLNK(found) else ""
        kind = stat.S_IFMT(os.stat(path).st_mode) if target else stat.S_IFMT(found)
    except OSError:
        return ""
    return f"{kind:o} {target}"


def _looks_of(path: str) -> str:
    """Return the same with size, time of change and rights; of a folder, with the rights alone."""
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
        names = [n for n in os.listdir(folder) if os.path.join(folder, n) not in written]
    except OSError:
        return ""
    return "/".join(sorted(n for n in names if not n.startswith(".") and n not in _INSTALLED))


def _data_in(folder: str, written: Collection[str]) -> str:
    paths = sorted(file.path for file in _files_in(folder) if file.path not in written)
    state = hashlib.blake2b(digest_size=16)
    for path in paths:
        state.update(f"{path}\0{_digest_of(path)}\0".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _files_in(folder: str) -> list[os.DirEntry[str]]:
    """Return what may be data beside modules: no output of a session that has no suffix."""
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
