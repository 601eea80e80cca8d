"""Notes what Python imports and opens while modules are imported and pipelines run.

It imports nothing heavy, since it begins before the first conftest.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

_INSTALLED = ("site-packages", "dist-packages")
# packages whose versions are in the key
_OURS = tuple(str(Path(__file__).parents[1] / n) for n in ("dlthub_project", "pytest_dlthub"))
# Python 3.10 on Windows spells it in one way in its settings, and in another in its modules
_LIBRARY = (
    *(p for n in ("stdlib", "platstdlib") if (p := sysconfig.get_path(n))),
    os.path.dirname(os.__file__),
)
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class Opened:
    """The files, folders, sockets and hosts that a block has used.

    It has read `files`, written to `written`, and listed `folders`. For `scanned` it has got
    entries, which hold more than names. It has checked whether `asked` exist, and read the metadata
    of `looked_at`. `connected` are addresses of sockets, as Python returns them, and `hosts` are
    names and ports that it has looked up.
    """

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    scanned: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)
    connected: set[Any] = field(default_factory=set)
    hosts: set[tuple[Any, Any]] = field(default_factory=set)

    @property
    def read(self) -> set[str]:
        """The files that existed before: read, and not written to."""
        return self.files - self.written


_OF_ENTRIES = ("folders", "scanned")
_QUESTIONS = ("stat", "lstat", "access", "readlink")
# functions of `os.path` that call the system themselves on Windows, since Python 3.12
_QUESTIONS_OF_PATHS = ("exists", "lexists", "isfile", "isdir", "islink")
# functions of `os.path` and methods of paths that only check whether a path exists
_WHETHER_THERE = {
    *("exists", "lexists", "isfile", "isdir", "islink", "ismount", "realpath", "_joinrealpath"),
    *("is_file", "is_dir", "is_symlink", "is_mount", "resolve", "samefile", "makedirs", "mkdir"),
}
# the sets in which `os` lists its functions' abilities; `shutil` acts by them
_ABILITIES = (
    "supports_dir_fd",
    "supports_effective_ids",
    "supports_fd",
    "supports_follow_symlinks",
)
# each wrapped question: its module, its name there, the wrapper, and the original function
_asking: list[tuple[Any, str, Callable[..., Any], Callable[..., Any]]] = []

# the blocks that record now; Python has no way to remove an audit hook
_recordings: list[Opened] = []
_has_hook = False


class Imports:
    """Notes the contents of modules when their code has run; later, a test may replace them."""

    def __init__(self) -> None:
        """Create it, with nothing noted."""
        self.opened = Opened()
        self._noted: WeakKeyDictionary[ModuleType, dict[str, Any]] = WeakKeyDictionary()
        self._end: list[Callable[[], None]] = []
        self._notes_files = False
        self._notes_libraries = False
        self._notes_variables = False

    def begin(self, *loaders: Any, files: bool = False) -> None:
        """Note what is imported from now on.

        Args:
            *loaders: Loaders of modules besides Python's own.
            files: Also note the files that modules open. It costs 0.1 µs for each audit event.
        """
        self._notes_files = files
        for loader in (SourceFileLoader, *(x for x in loaders if hasattr(x, "exec_module"))):
            before = loader.exec_module
            was_own = "exec_module" in vars(loader)
            loader.exec_module = self._noting(before, is_of_tests=loader is not SourceFileLoader)
            self._end.append(functools.partial(_restore, loader, before if was_own else None))

    def note_libraries(self) -> None:
        """From now on, also note the modules of libraries."""
        self._notes_libraries = True

    def at_end(self, forget: Callable[[], None]) -> None:
        """Call a function at the end.

        DuckDB crashes when Python exits and something still refers to the contents of its module.
        """
        self._end.append(forget)

    def end(self) -> None:
        """Stop, and forget everything noted."""
        while self._end:
            self._end.pop()()
        self._noted.clear()

    def _noting(self, load: Callable[..., None], *, is_of_tests: bool) -> Callable[..., None]:
        def exec_module(*arguments: Any) -> None:
            __tracebackhide__ = True
            module: ModuleType = arguments[-1]
            if is_library_file(getattr(module, "__file__", None)):
                load(*arguments)
                if self._notes_libraries:
                    self.noted(module)
                return
            before = dict(os.environ)
            with recorded(self.opened) if self._notes_files else nullcontext():
                load(*arguments)
            if not is_of_tests and before != os.environ and not _is_of_tests(module):
                self._note_variables(before)
            # only the first time: others have imported the contents of the first load
            self.noted(module)

        return exec_module

    def _note_variables(self, before: Mapping[str, str]) -> None:
        """Note the destinations' places that a module of production has set in the environment."""
        # imported here, since most suites have no such module
        from dlthub_project.sandbox import placed_variables

        if not self._notes_variables:
            self._notes_variables = True
            self._end.append(
                functools.partial(placed_variables.forget_since, placed_variables.count())
            )
        placed_variables.note(before, os.environ)

    def noted(self, module: ModuleType) -> Mapping[str, Any]:
        """Return the contents of a module after its import; its contents now if we missed that."""
        if module not in self._noted:
            self._noted[module] = dict(vars(module))
        return self._noted[module]


@contextmanager
def recorded(opened: Opened) -> Iterator[Opened]:
    """Add what a block opens through Python, in any thread, but not in C or in child processes."""
    _add_hook()
    is_new = not any(other is opened for other in _recordings)
    if is_new:
        _recordings.append(opened)
    if is_new and len(_recordings) == 1:
        _watch_questions()
    try:
        yield opened
    finally:
        if is_new:
            _forget(opened)
        if not _recordings:
            _leave_questions()


def _is_of_tests(module: ModuleType) -> bool:
    """Tell whether a module belongs to tests, when pytest rewrites none (`--assert=plain`)."""
    name = module.__name__.rpartition(".")[2]
    return name == "conftest" or name.startswith("test_") or name.endswith("_test")


def is_library(name: str) -> bool:
    """Tell whether a module belongs to an installed package, to Python or to us."""
    module = sys.modules.get(name)
    return is_library_file(getattr(module, "__file__", None))


@functools.lru_cache(maxsize=8192)
def is_library_file(file: Any) -> bool:
    """Tell whether a file belongs to one of these; a module without a file is Python's."""
    if not isinstance(file, str) or not file.endswith(".py"):
        return True
    parts = file.split(os.sep)
    return any(name in parts for name in _INSTALLED) or file.startswith((*_OURS, *_LIBRARY, "<"))


def is_pythons(name: str) -> bool:
    """Tell whether a module belongs to Python's library."""
    return name.partition(".")[0] in sys.stdlib_module_names


def is_ours(file: str) -> bool:
    """Tell whether a file belongs to this package."""
    return file.startswith(_OURS)


def _restore(loader: Any, before: Any) -> None:
    if before is None:
        del loader.exec_module
    else:
        loader.exec_module = before


def _forget(opened: Opened) -> None:
    # by identity: two equal ones may record
    _recordings[:] = [other for other in _recordings if other is not opened]


def _add_hook() -> None:
    global _has_hook
    if not _has_hook:
        _has_hook = True
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recordings:
        return
    if event == "socket.connect":
        for recording in _recordings[:]:
            recording.connected.add(arguments[1])
        return
    if event == "socket.getaddrinfo":
        for recording in _recordings[:]:
            recording.hosts.add(arguments[:2])
        return
    for path, *kinds in _paths_of(event, arguments):
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        if not isinstance(path, str):
            # the number of an open file
            continue
        path = os.path.abspath(path)
        for recording in _recordings[:]:
            for kind in kinds:
                getattr(recording, kind).add(path)


def _paths_of(event: str, arguments: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of an event, each with the names of the sets to note it in."""
    if event == "open":
        path, mode, flags = arguments
        yield path, "written" if _writes(mode, flags) else "files"
    elif event in ("os.listdir", "os.scandir"):
        if not _is_of_imports():
            kinds = ("folders",) if event == "os.listdir" or _is_of_python() else _OF_ENTRIES
            yield _folder_of(arguments[0]), *kinds
    elif event == "sqlite3.connect":
        path = _file_of_sqlite(arguments[0])
        yield path, "files"
        if isinstance(path, str):
            # data that are not yet in the file
            yield f"{path}-wal", "files"


def _folder_of(path: Any) -> Any:
    if isinstance(path, int):
        # the number of an open folder
        with suppress(OSError):
            return os.readlink(f"/proc/self/fd/{path}")
    return "." if path is None else path


def _file_of_sqlite(database: Any) -> Any:
    """Return the path of a database, whose name may be a URI."""
    if isinstance(database, str) and database.startswith("file:"):
        return unquote(database.removeprefix("file:").partition("?")[0].removeprefix("//"))
    return database


def _watch_questions() -> None:
    """Also note which files code asks about without opening them: they have no audit event."""
    of_paths = [name for name in _QUESTIONS_OF_PATHS if _asks_the_system(name)]
    for owner, names in ((os, _QUESTIONS), (os.path, of_paths)):
        for name in names:
            # by name, since a test may have put anything there
            if (ask := getattr(owner, name, None)) is not None:
                noting = _noting_questions(ask, is_of_paths=owner is os.path)
                _asking.append((owner, name, noting, ask))
                setattr(owner, name, noting)
                for able in _functions_with_abilities():
                    if ask in able:
                        able.add(noting)


def _asks_the_system(name: str) -> bool:
    """Tell whether a function of `os.path` is written in C; Python code would ask through `os`."""
    return not hasattr(getattr(os.path, name, None), "__code__")


def _leave_questions() -> None:
    for owner, name, noting, ask in _asking:
        # something may have replaced it meanwhile
        if getattr(owner, name) is noting:
            setattr(owner, name, ask)
        for able in _functions_with_abilities():
            able.discard(noting)
    _asking.clear()


def _functions_with_abilities() -> Iterator[set[Callable[..., Any]]]:
    for name in _ABILITIES:
        yield getattr(os, name)


def _noting_questions(ask: Callable[..., Any], *, is_of_paths: bool) -> Callable[..., Any]:
    @functools.wraps(ask)
    def noting(path: Any, *arguments: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        # a number is an open file, and no path
        if _recordings and isinstance(path, str | bytes | os.PathLike) and not _is_of_imports():
            asked = os.path.abspath(os.fsdecode(path))
            kind = "asked" if is_of_paths or _asks_whether_there() else "looked_at"
            for recording in _recordings[:]:
                getattr(recording, kind).add(asked)
        return ask(path, *arguments, **named)

    return noting


def _asks_whether_there() -> bool:
    """Tell whether `os.path` or a path object asks, and only whether the path exists."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(("<frozen", *_LIBRARY)):
        if frame.f_code.co_name in _WHETHER_THERE:
            return True
        frame = frame.f_back
    return False


def _is_of_python() -> bool:
    """Tell whether Python's library lists a folder: `glob` and others use only the names."""
    frame = _asking_frame()
    return frame is not None and frame.f_code.co_filename.startswith(("<frozen", *_LIBRARY))


def _asking_frame() -> FrameType | None:
    """Return the frame that asks: the first that is not in this file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _is_of_imports() -> bool:
    """Tell whether Python lists a folder to find a module, or the plugin to find the project."""
    frame = _asking_frame()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(("<frozen importlib", *_OURS)):
            return True
        if not file.startswith(("<frozen", *_LIBRARY)):
            return False
        frame = frame.f_back
    return False


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)
