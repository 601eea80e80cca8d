"""Runs sessions of pytest in this process, each of them from a state as of a new process.

A process of its own costs a session two seconds for imports alone. What a session of pytest, the
plugin and dlt change in a process is put back here: environment, working directory, path, modules,
warnings, dlt's run context, active pipeline, registries and logger. What cannot be had again are
a Python that has not imported dlt, and a dlt whose methods no sandbox has wrapped; the wrappers do
nothing outside of one. Tests of either, of signals, of exit and of workers start a process.
"""

from __future__ import annotations

import functools
import gc
import importlib
import io
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TextIO

import pytest
from dlt._workspace.cli import _debug, _dlt, echo
from pages import run_program
from processes import python

from dlthub_project.dlt_internals import contexts
from dlthub_project.secrets import KNOWN

_TESTS = Path(__file__).parent.parent
_OURS = ("dlthub_project", "pytest_dlthub")
_Cached = type(functools.lru_cache(len))

# what sessions were the first to import
_imported: dict[str, ModuleType] = {}
# modules of libraries: they lie in no folder of a test
_libraries: dict[str, ModuleType] = {}
_OF_LIBRARIES = (sys.prefix, os.path.dirname(os.__file__))


def run_session(folder: Path, *arguments: str) -> pytest.RunResult:
    """Run `python -m pytest` with `arguments` in the working directory.

    As with `runpytest_subprocess` of pytester, sessions have folders for their temporary files:
    `runpytest-0` the first, and so on.

    Args:
        folder: Where the session's files are, or above; modules below it are forgotten afterwards.
        arguments: Those of the program.
    """
    basetemp = _new_basetemp(folder)
    out, err, started = io.StringIO(), io.StringIO(), time.perf_counter()
    with new_state(folder.parent, on_path=os.getcwd()), redirect_stdout(out), redirect_stderr(err):
        code = pytest.main([f"--basetemp={basetemp}", *arguments])
    # for whoever reads why a test fails
    print(out.getvalue(), err.getvalue(), sep="\n")
    lines = out.getvalue().splitlines(), err.getvalue().splitlines()
    return pytest.RunResult(code, *lines, time.perf_counter() - started)


def run_session_apart(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Do the same in a new process, and so in the processes of its workers.

    Args:
        pytester: What has the session's files.
        arguments: Those of the program.
    """
    return pytester.run(
        *python(),
        *("-m", "pytest", f"--basetemp={_new_basetemp(pytester.path)}"),
        *_with_workers_in_forks(arguments),
    )


def _new_basetemp(folder: Path) -> Path:
    basetemp = folder / f"runpytest-{len(list(folder.glob('runpytest-*[0-9]')))}"
    basetemp.mkdir()
    return basetemp


def _with_workers_in_forks(arguments: Iterable[str]) -> Iterator[str]:
    """Yield arguments of pytest, with `-n` in the words that say what workers are started with."""
    given = iter(arguments)
    for argument in given:
        if argument == "-n" and len(python()) > 1:
            yield from ("--dist=load", f"--tx={next(given)}*popen//python={shlex.join(python())}")
        else:
            yield argument


def run_program_here(
    words: list[str], folder: Path, environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program with its arguments in `folder`: `dlt`, and `pytest` without workers, in here.

    Returns:
        Its exit code and output.
    """
    mains: dict[str, Callable[[list[str]], int]] = {"pytest": pytest.main, "dlt": dlt_main}
    if words[0] not in mains or has_workers(words):
        return run_program(_in_fork(words), folder, environment)
    out = io.StringIO()
    with new_state(folder, environment=environment), redirect_stdout(out), redirect_stderr(out):
        os.chdir(folder)
        code = mains[words[0]](words[1:])
    return int(code), out.getvalue()


def dlt_main(arguments: list[str], stdin: TextIO | None = None) -> int:
    """Run the main function of dlt's program, in a pipe unless there is a `stdin`.

    Returns:
        The status that the program ends with.
    """
    answers = ("ALWAYS_CHOOSE_DEFAULT", "ALWAYS_CHOOSE_VALUE", "ALWAYS_CONFIRM")
    before = {name: getattr(echo, name) for name in answers}
    argv, path, streams = list(sys.argv), list(sys.path), sys.stdin
    sys.argv[:] = ["dlt", *arguments]
    try:
        with open(os.devnull, encoding="utf-8") as nothing:
            sys.stdin = stdin or nothing
            _dlt._main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code & 0xFF if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.argv[:], sys.path[:], sys.stdin = argv, path, streams
        _debug.disable_debug()
        for name, answer in before.items():
            setattr(echo, name, answer)
    return 0


def _in_fork(words: list[str]) -> list[str]:
    """Return the words that run a program of this Python in a new process; others as they are."""
    if words[0] == "python":
        return [*python(), *words[1:]]
    program = Path(sys.executable).with_name(words[0])
    return [*python(), str(program), *words[1:]] if words[0] == "pytest" else words


def has_workers(arguments: Iterable[str]) -> bool:
    """Tell whether arguments of pytest ask for workers of pytest-xdist."""
    return bool(re.search(r"(^| )-n ?[1-9]", " ".join(arguments)))


@contextmanager
def new_state(
    folder: Path, *, on_path: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a block as in a new process, as far as dlt, pytest and this project can see.

    Args:
        folder: Modules that are imported from below it are forgotten afterwards.
        on_path: The first entry of the path, as a program or `python -m` has it.
        environment: All variables; those of this process, if they are not given.
    """
    with ExitStack() as stack:
        stack.callback(os.chdir, os.getcwd())
        stack.enter_context(_environment(environment))
        stack.enter_context(_path(on_path))
        stack.enter_context(_modules(folder))
        stack.enter_context(_default_warnings())
        stack.enter_context(_logger())
        stack.callback(contexts.resume_contexts, contexts.suspend_contexts())
        _forget_what_is_computed_once()
        KNOWN.forget()
        # what is there before a session cannot be its garbage: to look through it takes 0.1 s
        gc.freeze()
        stack.callback(gc.unfreeze)
        # connections that tests have left open: no later test is to be told of them
        stack.callback(gc.collect)
        yield


@contextmanager
def imports_kept() -> Iterator[None]:
    """Have modules that sessions in a block have imported stay imported after it.

    Libraries in C cannot be imported twice, nor what has wrapped dlt's methods. pytester forgets
    whatever was imported since it began: put this around it.
    """
    yield
    for name, module in _imported.items():
        sys.modules.setdefault(name, module)


@contextmanager
def _environment(variables: Mapping[str, str] | None) -> Iterator[None]:
    before = dict(os.environ)
    temporary = tempfile.tempdir
    _set_environment(before if variables is None else variables)
    # looked up once, in TMPDIR
    tempfile.tempdir = None
    try:
        yield
    finally:
        tempfile.tempdir = temporary
        _set_environment(before)


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in variables]:
        del os.environ[name]
    os.environ.update(variables)


@contextmanager
def _path(on_path: str | None) -> Iterator[None]:
    arguments, path, finders = list(sys.argv), list(sys.path), list(sys.meta_path)
    sys.argv[:] = [pytest.__file__]
    sys.path[:] = [entry for entry in sys.path if not _is_in(entry, _TESTS)]
    if on_path is not None:
        sys.path.insert(0, on_path)
    try:
        yield
    finally:
        sys.argv[:], sys.path[:], sys.meta_path[:] = arguments, path, finders


@contextmanager
def _modules(folder: Path) -> Iterator[None]:
    hidden = {name: m for name, m in _of_no_library() if lies_in(m, _TESTS, folder)}
    for name in hidden:
        del sys.modules[name]
    before, writes_bytecode = dict(sys.modules), sys.dont_write_bytecode
    # a file that is written again within a second would be taken for the one before
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        new = {name: m for name, m in sys.modules.items() if name not in before}
        # before any is forgotten: a package without a file looks for the one around it
        own = {name for name, module in new.items() if lies_in(module, _TESTS, folder)}
        for name in own:
            del sys.modules[name]
        _imported.update({name: m for name, m in new.items() if name not in own})
        sys.modules.update({**before, **hidden})


def _of_no_library() -> Iterator[tuple[str, ModuleType]]:
    """Yield modules that may lie in a folder of tests: to look at all takes a session 20 ms."""
    for name, module in sys.modules.items():
        if _libraries.get(name) is module:
            continue
        file = (getattr(module, "__dict__", None) or {}).get("__file__")
        if isinstance(file, str) and file.startswith(_OF_LIBRARIES):
            _libraries[name] = module
        else:
            yield name, module


@contextmanager
def _default_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        # as Python itself, which does not know what pytest shows
        for category in (PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield


@contextmanager
def _logger() -> Iterator[None]:
    logger = logging.getLogger("dlt")
    before = list(logger.handlers), logger.level, logger.propagate
    # they write to what was stderr when they were made
    logger.handlers.clear()
    try:
        yield
    finally:
        logger.handlers[:], logger.level, logger.propagate = before


def _forget_what_is_computed_once() -> None:
    importlib.invalidate_caches()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OURS:
            for value in list(vars(module).values()):
                if isinstance(value, _Cached) and value.__module__ == name:
                    value.cache_clear()


def lies_in(module: ModuleType | None, *folders: Path) -> bool:
    """Tell whether a module, or a package without a file, lies below one of the folders."""
    # not by attribute: some modules answer for any name; None is what may not be imported, and
    # tests put other objects among the modules
    names = getattr(module, "__dict__", None) or {}
    file, places = names.get("__file__"), names.get("__path__")
    try:
        found = [file, *places] if isinstance(places, Iterable) else [file]
    except KeyError:
        # a package without a file, and the one around it is forgotten already
        return True
    return any(_is_in(str(place), folder) for place in found for folder in folders)


def _is_in(place: str, folder: Path) -> bool:
    return place.startswith(f"{folder}{os.sep}")
