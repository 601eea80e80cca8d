"""What is otherwise on macOS and Windows, as far as it can be had here.

Functions of the system are taken away, or do what they do there.
"""

from __future__ import annotations

import ctypes
import getpass
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import platformdirs
import pytest
from sessions import run_session

from dlthub_project import current
from dlthub_project.catalog.journals import Journal
from dlthub_project.entities import destination_places
from dlthub_project.entities.destination_places import Storage
from dlthub_project.runner import worker_processes
from dlthub_project.runner.locks import folder_of_locks
from dlthub_project.sandbox import Sandbox, isolated
from dlthub_project.sandbox.local_files import path_in
from pytest_dlthub import report_section
from pytest_dlthub.imports import Opened
from pytest_dlthub.sandbox_copies import copy_file, spellings
from pytest_dlthub.session_folder import new_session_folder
from pytest_dlthub.templates import process_state
from pytest_dlthub.templates.read_files import Build

WriteProject = Callable[..., Path]

# --- paths ---

WINDOWS = PureWindowsPath(r"C:\Users\Jörg Ü\shop")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(str, id="as it is"),
        pytest.param(PureWindowsPath.as_posix, id="with slashes"),
        pytest.param(PureWindowsPath.as_uri, id="URL"),
        pytest.param(lambda path: json.dumps(str(path)), id="JSON in ASCII"),
        pytest.param(lambda path: json.dumps(str(path), ensure_ascii=False), id="JSON"),
    ],
)
def test_copies_of_templates_have_no_path_of_windows_left(
    write: Callable[[PureWindowsPath], str],
) -> None:
    content, moved = write(WINDOWS / "a.json").encode(), PureWindowsPath(r"D:\Ä")

    for old, new in zip(spellings(WINDOWS), spellings(moved), strict=True):
        content = content.replace(old, new)

    assert content == write(moved / "a.json").encode()


def test_a_path_is_within_a_folder_of_another_case_where_case_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = Sandbox(str(tmp_path / "Box"), None, str(tmp_path))
    assert not sandbox.is_local_path(str(tmp_path / "box" / "a.duckdb"))

    monkeypatch.setattr(os.path, "normcase", lambda path: os.fspath(path).lower())

    assert sandbox.is_local_path(str(tmp_path / "box" / "a.duckdb"))
    assert not sandbox.is_local_path(str(tmp_path / "boxes" / "a.duckdb"))


def test_the_root_of_a_drive_may_be_allowed(tmp_path: Path) -> None:
    sandbox = Sandbox(str(tmp_path / "box"), None, str(tmp_path), allowed=("/",))

    assert sandbox.is_local_path("/somewhere/else.duckdb")


def test_a_file_from_outside_has_a_short_path_in_the_sandbox_and_its_name(tmp_path: Path) -> None:
    sandbox = Sandbox(str(tmp_path / "box"), None, str(tmp_path))
    far = os.path.join("/data", *["a" * 200] * 6)

    one, other = (path_in(sandbox, f"{far}/{name}/shop.duckdb") for name in ("x", "y"))

    assert sandbox.is_local_path(one)
    assert one != other
    assert os.path.basename(one) == os.path.basename(other) == "shop.duckdb"
    assert len(one) < len(sandbox.local_dir) + 50
    assert path_in(sandbox, "/data/shop.duckdb").endswith(os.path.join("outside/data/shop.duckdb"))


def test_a_bucket_given_as_url_is_the_folder_that_the_url_means(
    write_project: WriteProject, tmp_path: Path
) -> None:
    lake = tmp_path / "mein See ü"
    write_project(
        f"""
        destinations:
          lake: {{type: filesystem, bucket_url: {json.dumps(lake.as_uri())}}}
        """
    )

    found = destination_places.storage_of(current.entities(), "lake")

    assert found == Storage("files", os.path.realpath(lake))


class WindowsFiles:
    """As much of a file system with paths of Windows as a journal uses."""

    def __init__(self) -> None:
        self.folders = {"C:"}

    def exists(self, path: str) -> bool:
        return path in self.folders

    def makedirs(self, path: str) -> None:
        parts = path.split("\\")
        self.folders |= {"\\".join(parts[: n + 1]) for n in range(len(parts))}

    def rmdir(self, path: str) -> None:
        self.folders.remove(path)

    def _other(self, *_: Any) -> None:
        """Do nothing."""

    put_file = write_text = pipe_file = touch = rm_file = rm = invalidate_cache = _other


def test_folders_that_a_failed_save_has_made_go_again_with_backslashes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = WindowsFiles()
    client: Any = SimpleNamespace(fs_client=files)
    journal = Journal(tmp_path / "journal")
    journal.join(client)

    def save() -> None:
        with journal.begun(client):
            client.fs_client.makedirs("C:\\lake\\shop\\items")
            raise ValueError("failed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "sep", "\\")
        with pytest.raises(ValueError, match="failed"):
            save()

    assert files.folders == {"C:"}


def test_a_command_to_open_data_is_one_of_the_shell_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "duckdb" else None)
    path: Any = PureWindowsPath(r"C:\a b\shop.duckdb")

    assert report_section.command_to_open(Path("/a b/shop.duckdb")) == "duckdb '/a b/shop.duckdb'"
    monkeypatch.setattr(sys, "platform", "win32")
    assert report_section.command_to_open(path) == r'duckdb "C:\a b\shop.duckdb"'


# --- functions of the system ---


def test_a_question_that_no_code_of_python_asks_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asks_itself = type("exists", (), {"__call__": lambda self, path, ask=os.stat: _is(ask, path)})()
    # as `os.path.exists` of Windows is, from Python 3.12 on
    monkeypatch.setattr(os.path, "exists", asks_itself)
    build = Build(tmp_path, ())

    with build.recorded(Opened(), [], []):
        assert not os.path.exists("flag")

    assert os.path.exists is asks_itself
    assert [*build.conditions.changed(lambda name: "")] == []
    Path("flag").touch()
    assert [*build.conditions.changed(lambda name: "")] == [str(tmp_path / "flag")]


def _is(ask: Callable[[str], object], path: str) -> bool:
    try:
        ask(path)
    except OSError:
        return False
    return True


def test_a_machine_that_has_slept_has_no_other_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # that of macOS
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    started = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    monkeypatch.setattr(process_state, "_STARTED", started)
    monkeypatch.setattr(time, "monotonic", lambda: time.clock_gettime(time.CLOCK_MONOTONIC) - 3600)

    assert process_state.settings()["the clock"] is None


@pytest.mark.parametrize("name", [None, "SHOP\\jörg", "a/b"])
def test_the_folder_of_sessions_is_named_after_any_user(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_user() -> str:
        if name is None:
            # Python 3.12 on Windows, without variables that name a user
            raise ImportError("No module named 'pwd'")
        return name

    monkeypatch.setattr(getpass, "getuser", of_user)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    folder = new_session_folder(None)

    assert folder.is_dir()
    assert folder.parent.parent == tmp_path
    assert "\\" not in folder.parent.name


def test_locks_have_a_folder_where_nothing_tells_the_number_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("USERNAME", "ada")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # some versions ask for it when they are imported, where they are not on Windows
    platformdirs.user_state_path("any")
    monkeypatch.delattr(os, "getuid")

    assert folder_of_locks("turns") == tmp_path / "dlthub_project_ada"


def test_files_are_copied_where_no_blocks_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x" * 600_000)
    monkeypatch.setattr(sys, "platform", "darwin")

    copy_file(str(tmp_path / "a"), str(tmp_path / "b"))

    assert (tmp_path / "b").read_bytes() == b"x" * 600_000


def test_an_orphaned_worker_stops_at_a_safe_point_where_kill_would_end_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: heard.set())
    monkeypatch.setattr(worker_processes, "os", SimpleNamespace(name="nt"))
    try:
        thread = threading.Thread(target=worker_processes.interrupt_oneself)
        thread.start()
        thread.join()
        assert heard.wait(10)
    finally:
        signal.signal(signal.SIGINT, before)


def test_variables_that_c_alone_has_are_taken_back_where_c_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p

    def no_library(name: object) -> None:
        # as on Windows
        raise TypeError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    with isolated(Sandbox(str(tmp_path / "box"), None, str(tmp_path))):
        os.putenv("OF_C_ALONE", "1")
        assert getenv(b"OF_C_ALONE") == b"1"

    assert getenv(b"OF_C_ALONE") is None


# --- files that are open ---


@pytest.fixture
def keeps_open_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A system that deletes, and moves, no file that this process has open: as Windows.

    Gives the paths that it has refused.
    """
    refused: list[str] = []

    def refusing(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(path: Any, *arguments: Any, **named: Any) -> Any:
            text = os.path.realpath(path)
            if any(is_open == text or is_open.startswith(text + "/") for is_open in _open_files()):
                refused.append(text)
                raise PermissionError(13, "The process cannot access the file", text)
            return do(path, *arguments, **named)

        return done

    monkeypatch.setattr(shutil, "_use_fd_functions", False)
    for name in ("unlink", "remove", "rename", "replace", "rmdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    return refused


def _open_files() -> list[str]:
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    # that of the folder itself is closed by now
    return [os.readlink(link) for link in links if os.path.lexists(link)]


OPEN = """
import contextlib

import dlt
import pytest

KEPT = []


@dlt.resource
def users():
    yield [{"id": n} for n in range(30)]


def test_run(dlt_run):
    run = dlt_run(users, dataset_name="shop")
    dataset = run.dataset.__enter__()
    rows = dataset["users"].iter_fetch(chunk_size=10)
    assert len(next(rows)) == 10
    client = run.pipeline.sql_client().__enter__()
    KEPT.extend([dataset, rows, client])


@pytest.mark.dlt_load(source=users)
@pytest.mark.parametrize("n", range(2))
def test_copy(dlt_dataset, n):
    KEPT.append(dlt_dataset.__enter__())
    assert len(dlt_dataset["users"].fetchall()) == 30
"""

USERS_OWN = """
import dlt
import duckdb

KEPT = []


def test_own(dlt_run):
    run = dlt_run([{"id": 1}], table_name="users", dataset_name="shop")
    KEPT.append(duckdb.connect(str(run.database_path)))


def test_after(dlt_run):
    assert dlt_run([{"id": 1}], table_name="users").row_counts == {"users": 1}
    KEPT.pop().close()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
def test_nothing_of_ours_is_open_when_the_data_of_a_test_are_deleted(
    pytester: pytest.Pytester, keeps_open_files: list[str]
) -> None:
    pytester.makepyfile(test_it=OPEN)

    result = run_session(pytester.path, "-p", "no:cacheprovider")

    result.assert_outcomes(passed=3)
    assert keeps_open_files == []
    assert [*pytester.path.glob("runpytest-*-dlt/*/*")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
def test_data_that_a_test_has_left_open_are_deleted_at_the_end(
    pytester: pytest.Pytester, keeps_open_files: list[str]
) -> None:
    pytester.makepyfile(test_it=USERS_OWN)

    result = run_session(pytester.path, "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)
    assert keeps_open_files
    assert [*pytester.path.glob("runpytest-*-dlt/*/*")] == []


# --- text ---


@pytest.mark.parametrize("form", ["text", "json"])
def test_commands_print_what_their_output_has_no_letters_for(
    form: str, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlt._workspace.cli import _dlt

    write_project("project: {name: läden}", folder="läden ü")
    printed = io.BytesIO()
    with io.TextIOWrapper(printed, encoding="ascii", write_through=True) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "argv", ["dlt", "project", "info", "--format", form])
        status = _dlt.main()
        monkeypatch.undo()
        text = printed.getvalue().decode("ascii")

    assert not status
    if form == "json":
        assert json.loads(text)["name"] == "läden"
    else:
        assert "l\\xe4den" in text
