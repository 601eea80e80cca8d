"""The sandbox of a process is held in memory: what a test does to its environment leaves it on."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import dlt
import pytest

from dlthub_project.errors import ProjectError, RemoteDestinationBlocked
from dlthub_project.sandbox import (
    ENVIRONMENT_VARIABLE,
    active_sandbox,
    held_for_children,
    isolated,
    pipelines,
)
from dlthub_project.sandbox.settings import adopt

if TYPE_CHECKING:
    from conftest import Listener, MakeSandbox, WriteProject


def cleared() -> Any:
    return mock.patch.dict(os.environ, {"PATH": "/usr/bin:/bin"}, clear=True)


def replaced() -> Any:
    return mock.patch.object(os, "environ", {"PATH": "/usr/bin:/bin"})


def with_an_earlier_one() -> Any:
    """Put back an environment that was saved in another sandbox, as a module at import would."""
    earlier = {**os.environ, ENVIRONMENT_VARIABLE: '{"folder": "/nowhere", "project": null}'}
    return mock.patch.dict(os.environ, earlier, clear=True)


def deleted() -> Any:
    left = {name: value for name, value in os.environ.items() if "DLT" not in name}
    return mock.patch.dict(os.environ, left, clear=True)


WAYS = [cleared, replaced, with_an_earlier_one, deleted]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("change", WAYS)
def test_guard_and_folders_are_there_whatever_the_environment_is(
    make_sandbox: MakeSandbox, listener: Listener, home: Path, change: Callable[[], Any]
) -> None:
    url = f"postgresql://u:p@127.0.0.1:{listener.port}/prod"

    with isolated(make_sandbox()) as sandbox, change():
        assert active_sandbox() == sandbox
        with pytest.raises(RemoteDestinationBlocked):
            dlt.pipeline("p", destination=dlt.destinations.postgres(url)).run(
                [{"id": 1}], table_name="rows"
            )
        pipeline = dlt.pipeline("local", destination="duckdb", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="rows")
        assert pipeline.working_dir.startswith(sandbox.folder)
        assert dlt.current.run_context().global_dir == sandbox.global_dir

    assert listener.connections == 0
    assert not list(home.iterdir())
    assert active_sandbox() is None


@pytest.mark.parametrize("change", WAYS)
def test_threads_are_in_the_sandbox_whatever_the_environment_is(
    make_sandbox: MakeSandbox, change: Callable[[], Any]
) -> None:
    with isolated(make_sandbox()) as sandbox, change(), ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: active_sandbox(), range(4)))

    assert found == [sandbox] * 4


def test_the_environment_is_restored_where_it_was_replaced(make_sandbox: MakeSandbox) -> None:
    before, environ = dict(os.environ), os.environ

    with isolated(make_sandbox()):
        os.environ = {"ONLY": "mine"}  # type: ignore[assignment]  # noqa: B003  # as some tests do

    assert os.environ is environ
    assert dict(os.environ) == before


def test_telemetry_stays_off_and_the_profile_that_of_the_tests(
    make_sandbox: MakeSandbox, write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project("profiles: {tests: {}, dev: {}}", {".dlt/profile-name": "dev"})
    monkeypatch.delenv("WORKSPACE__PROFILE", raising=False)

    with isolated(make_sandbox(project=project, profile="tests")), cleared():
        context: Any = dlt.current.run_context()
        assert context.profile == "tests"
        assert context.runtime_config.dlthub_telemetry is False


@pytest.mark.parametrize("env", [{"PATH": os.environ["PATH"]}, None])
def test_subprocess_with_an_environment_of_its_own_is_in_the_sandbox(
    make_sandbox: MakeSandbox, tmp_path: Path, env: Any
) -> None:
    code = "import dlt; print(dlt.pipeline('sub', destination='duckdb').working_dir)"
    python = [sys.executable, "-c", code]

    with isolated(make_sandbox()) as sandbox, cleared():
        done = subprocess.run(python, env=env, cwd=tmp_path, capture_output=True, text=True)

    assert done.stdout.strip() == f"{sandbox.data_dir}/pipelines/sub", done.stderr


def test_subprocess_with_the_environment_of_an_earlier_test_is_in_the_sandbox(
    make_sandbox: MakeSandbox,
) -> None:
    shown = ["sh", "-c", f'printf %s "${ENVIRONMENT_VARIABLE}"']
    with isolated(make_sandbox("session")):
        kept = [dict(os.environ)]
        with isolated(make_sandbox("first")):
            kept.append(dict(os.environ))
        with isolated(make_sandbox("second")) as sandbox:
            for env in kept:
                assert subprocess.check_output(shown, env=env).decode() == sandbox.to_environment()
                with mock.patch.dict(os.environ, env):
                    printed = subprocess.check_output(shown).decode()
                assert printed == sandbox.to_environment()


def spawned(*command: str) -> None:
    _, status = os.waitpid(os.posix_spawn(command[0], command, {"PATH": "/bin"}), 0)
    assert status == 0


# by which Python starts a program without `subprocess`
WAYS: dict[str, Callable[..., Any]] = {
    "system": lambda *command: os.system(shlex.join(command)),
    "posix_spawn": spawned,
    "spawnv": lambda *command: os.spawnv(os.P_WAIT, command[0], command),
    "spawnve": lambda *command: os.spawnve(os.P_WAIT, command[0], command, {"PATH": "/bin"}),
    "spawnlp": lambda *command: os.spawnlp(os.P_WAIT, command[0], *command),
}


@pytest.mark.parametrize("start", WAYS.values(), ids=WAYS)
def test_program_that_is_started_without_an_environment_is_in_the_sandbox(
    make_sandbox: MakeSandbox, tmp_path: Path, start: Callable[..., Any]
) -> None:
    file = tmp_path / "seen"
    show = f'printf %s "${ENVIRONMENT_VARIABLE}" > {shlex.quote(str(file))}'

    with isolated(make_sandbox()) as sandbox, mock.patch.dict(os.environ, {}, clear=True):
        os.environ["PATH"] = "/bin:/usr/bin"
        start("/bin/sh", "-c", show)
        assert [*os.environ] == ["PATH"]

    assert file.read_text() == sandbox.to_environment()
    file.unlink()
    start("/bin/sh", "-c", show)
    assert file.read_text() == ""


CHILD = "from dlthub_project.sandbox.settings import active_sandbox; print(active_sandbox().folder)"
WITHOUT_THE_VARIABLE = {
    "env": ["/usr/bin/env", "-i"],
    "shell": ["/bin/sh", "-c", 'unset DLTHUB_PROJECT_SANDBOX; "$@"; true', "sh"],
    "python": [
        sys.executable,
        "-c",
        "import subprocess, sys; subprocess.run(sys.argv[1:], env={}, check=True)",
    ],
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
@pytest.mark.parametrize("between", WITHOUT_THE_VARIABLE.values(), ids=WITHOUT_THE_VARIABLE)
def test_a_program_between_that_takes_the_variable_away_leaves_its_children_in_the_sandbox(
    make_sandbox: MakeSandbox, between: list[str]
) -> None:
    command = [*between, sys.executable, "-c", CHILD]
    with isolated(make_sandbox("outer")):
        with isolated(make_sandbox("inner")) as inner:
            assert subprocess.check_output(command, text=True).strip() == inner.folder
        # and what is longer than there is room for
        with isolated(make_sandbox("long" * 40, allowed=("warehouse",) * 9_000)) as long:
            assert held_for_children._held is not None
            assert long.folder.encode() in held_for_children._held.memory[:]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
def test_a_fork_in_another_sandbox_does_not_change_that_of_the_process_above(
    make_sandbox: MakeSandbox,
) -> None:
    command = ["/usr/bin/env", "-i", sys.executable, "-c", CHILD]
    with isolated(make_sandbox("above")) as above:
        fork = os.fork()
        if not fork:
            adopt(make_sandbox("below"))
            child = subprocess.run(command, check=False, capture_output=True, text=True)
            os._exit(0 if child.stdout.strip().endswith("below") else 1)
        assert os.waitpid(fork, 0)[1] == 0
        assert subprocess.check_output(command, text=True).strip() == above.folder


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells it")
def test_subprocess_that_clears_its_environment_first_of_all_is_in_the_sandbox(
    make_sandbox: MakeSandbox,
) -> None:
    code = (
        "import os; os.environ.clear()\n"
        "from dlthub_project.sandbox import active_sandbox\n"
        "print(active_sandbox().folder, os.environ['WORKSPACE__PROFILE'])\n"
        "os.environ.clear(); print(active_sandbox().folder)"
    )

    with isolated(make_sandbox(profile="tests")) as sandbox:
        printed = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert printed.split() == [sandbox.folder, "tests", sandbox.folder]


def test_subprocess_that_clears_its_environment_stays_in_the_sandbox(
    make_sandbox: MakeSandbox, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    code = """
        import os
        import dlt

        os.environ.clear()
        print(dlt.pipeline("sub", destination="duckdb").working_dir)
    """

    with isolated(make_sandbox()) as sandbox:
        printed = run_python(code, tmp_path)

    assert printed.strip() == f"{sandbox.data_dir}/pipelines/sub"


def test_a_worker_that_outlives_its_test_makes_no_pipeline_where_no_test_would_see_it(
    make_sandbox: MakeSandbox,
) -> None:
    # of another process: this one would never leave it
    of_parent = make_sandbox(process=os.getpid() + 1)
    folder = Path(of_parent.folder)
    # not made yet
    pipelines.check_is_there(of_parent)

    folder.mkdir()
    pipelines.check_is_there(of_parent)
    # as its process does when the test has ended
    folder.rmdir()

    with pytest.raises(ProjectError, match="belongs to a test that has ended"):
        pipelines.check_is_there(of_parent)


def test_bucket_in_memory_is_empty_for_the_next_test(make_sandbox: MakeSandbox) -> None:
    def load(number: int) -> list[Any]:
        destination = dlt.destinations.filesystem("memory://lake")
        pipeline = dlt.pipeline(f"p{number}", destination=destination, dataset_name="data")
        pipeline.run([{"id": number}], table_name="rows")
        return sorted(pipeline.dataset().table("rows").select("id").fetchall())

    with isolated(make_sandbox("outer")):
        assert load(1) == [(1,)]
        with isolated(make_sandbox("inner")):
            # what a fixture of wider scope has loaded is there to read
            assert load(2) == [(1,), (2,)]
        assert load(3) == [(1,), (3,)]

    with isolated(make_sandbox("next")):
        assert load(4) == [(4,)]


def test_logger_of_dlt_is_as_before(make_sandbox: MakeSandbox) -> None:
    logger = logging.getLogger("dlt")
    level, handlers = logger.level, list(logger.handlers)

    with isolated(make_sandbox("first")):
        dlt.pipeline("p", destination="duckdb").run([{"id": 1}], table_name="rows")
        logger.setLevel(logging.CRITICAL)
        logger.disabled = True
        logger.addHandler(logging.NullHandler())
        logger.addFilter(lambda _record: False)

    assert (logger.level, logger.handlers) == (level, handlers)
    assert not logger.disabled
    assert not logger.filters


def test_what_the_sandbox_sets_stays_in_a_cleared_environment(make_sandbox: MakeSandbox) -> None:
    with isolated(make_sandbox()), cleared():
        assert dlt.current.run_context().runtime_config.dlthub_telemetry is False
