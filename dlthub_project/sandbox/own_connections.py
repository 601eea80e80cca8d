"""Connections that code opens itself: of a file that a sandbox has elsewhere, they open that one.

A test that loads by dlt and reads by `duckdb.connect(PATH)` would else read what production has
left at `PATH`, and be green whatever it has loaded.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

from dlthub_project.dlt_internals import python_state
from dlthub_project.sandbox import own_statements
from dlthub_project.sandbox.settings import Sandbox, active_sandbox, lasting_sandboxes, lies_in

_DRIVERS = ("duckdb", "sqlite3", "sqlite3.dbapi2")
_NO_FILES = (":", "md:", "motherduck:")
# of `sqlite3.connect`, counted from one
_POSITION_OF_FACTORY = 6
_wrapped: set[str] = set()


def lead_into_sandboxes() -> None:
    """Wrap `connect` of the drivers that are imported, once each."""
    for name in _DRIVERS:
        driver = sys.modules.get(name)
        if name not in _wrapped and hasattr(driver, "connect"):
            _wrapped.add(name)
            original = vars(driver)["connect"]
            vars(driver)["connect"] = led = _wrap(original, is_sqlite=name != "duckdb")
            replaced = {id(original): led}
            if name == "duckdb":
                replaced.update(own_statements.lead_duckdb(driver, _in_its_place))
            # and where a module has taken it by its name before
            python_state.replace_held(replaced)


def lead_program_into_sandbox() -> None:
    """Do so in a program that a test has started, and that may use dlt only by its files."""
    for name in _DRIVERS:
        importlib.import_module(name)
    lead_into_sandboxes()


def _wrap(original: Callable[..., Any], *, is_sqlite: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def connect(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if active_sandbox() is None:
            return original(*args, **named)
        if args:
            args = (_in_its_place(args[0]), *args[1:])
        elif "database" in named:
            named["database"] = _in_its_place(named["database"])
        if is_sqlite and len(args) < _POSITION_OF_FACTORY:
            named.setdefault("factory", _attaching_class())
        return original(*args, **named)

    return connect


@functools.cache
def _attaching_class() -> Any:
    return own_statements.lead_sqlite(_in_its_place)


def _in_its_place(database: Any) -> Any:
    """Return the file that dlt has made for a path, in a sandbox that lasts; else the path."""
    if not isinstance(database, str | os.PathLike):
        return database
    path = os.fsdecode(database)
    if path.startswith("file:"):
        # a URI of SQLite, with parameters
        written, mark, parameters = path.removeprefix("file:").partition("?")
        before = unquote(re.sub("^//(localhost)?(?=/)", "", written))
        here = _in_its_place(before)
        return database if here == before else f"file:{quote(here)}{mark}{parameters}"
    if not path or path.startswith(_NO_FILES) or "://" in path:
        return database
    # those of fixtures of wider scope stand behind that of the test, the newest last
    active, *others = lasting_sandboxes()
    sandboxes = (active, *reversed(others))
    if lies_in(path, *(sandbox.folder for sandbox in sandboxes)):
        return database
    from dlthub_project.sandbox import declared_files

    is_local = any(sandbox.is_local_path(path) for sandbox in sandboxes)
    declared = () if is_local else declared_files.declared_at(path)
    for each in sandboxes:
        for here in (*_places(path, each), *declared_files.places(declared, each)):
            if os.path.exists(here):
                return here
    if here := _brought_in(path, sandboxes):
        return here
    return declared_files.place_to_make(path, declared, active) if declared else database


def _places(path: str, sandbox: Sandbox) -> Iterator[str]:
    """Yield where in a sandbox dlt has the file of this path, if it has."""
    # with dlt, which this module does not import: a program may have no need of it
    from dlthub_project.sandbox.local_files import path_in

    relative = os.path.relpath(path)
    if sandbox.project is None and not relative.startswith(os.pardir):
        # dlt puts it into the folder of local files, which is the working directory in production
        yield sandbox.in_local_dir(relative)
    if not sandbox.is_local_path(path):
        yield path_in(sandbox, path)


def _brought_in(path: str, sandboxes: tuple[Sandbox, ...]) -> str:
    """Return where dlt has a file that it has loaded nothing into yet; else nothing."""
    from dlthub_project.sandbox.local_files import is_brought_in, path_in

    if not is_brought_in(path, *sandboxes):
        return ""
    here = path_in(sandboxes[0], path)
    os.makedirs(os.path.dirname(here), exist_ok=True)
    return here
