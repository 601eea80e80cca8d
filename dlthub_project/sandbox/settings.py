"""What one sandbox is, which one this process is in, and how subprocesses inherit it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dlthub_project.sandbox.held_for_children import held_above, hold

ENVIRONMENT_VARIABLE = "DLTHUB_PROJECT_SANDBOX"
SPEED_VARIABLE = "DLTHUB_PROJECT_SPEED"
_PROFILE_VARIABLE = "WORKSPACE__PROFILE"

SETTINGS = {
    # starts with the first look at the configuration
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # dlt otherwise takes the first Ctrl-C for itself, and forgets it where the run succeeds
    "RUNTIME__INTERCEPT_SIGNALS": "false",
    # extract otherwise sleeps twice for 10 ms
    "EXTRACT__FUTURES_POLL_INTERVAL": "0.0005",
    # tries to import airflow for every context
    "PROVIDERS__ENABLE_AIRFLOW_SECRETS": "false",
}
"""What a sandbox sets, where the environment does not."""


@dataclass(frozen=True)
class Sandbox:
    """A folder that takes everything dlt would write elsewhere.

    Attributes:
        folder: The root of the data, pipeline and global folders; made on first use.
        project: The folder of the `dlt.yml` or workspace that tests run against; None for plain
            dlt code.
        working_dir: Where the session was started: as long as it stays the working directory,
            `project` is the project. Code that changes into another project gets that one.
        local_roots: Further folders whose files are local, such as those of `tmp_path`.
        allowed: The names of remote destinations that may be reached where tests have configured
            them; with `://`, or as an absolute path, a place that may be reached by any of them.
        destinations: What named destinations are here, in place of a temporary DuckDB: their
            configuration by name, with the type as `destination_type`.
        every_type: The type that all other replaced destinations have here; None for DuckDB.
        process: The process that ends it, and drops what was loaded remotely.
        owned: The names of destinations in databases of the sandbox's own, which are dropped as
            wholes. They are there also where code gave their place.
        profile: The profile that the tests are on, should the environment not say; None for plain
            dlt code.
        secrets: Which secrets there are: `all` that are configured; those of the environment and of
            the file of this name beside `secrets.toml`; or `none` but what a test sets.
        loader_file_format: The format that rows are loaded in; None for what is fastest. Not for
            a declared DuckDB, and not where a resource or run names its own.
        replacement: Returns the configuration of what stands for a destination, by its name and
            declared type. None for a temporary one; subprocesses do not have it.
        is_replaced_by_plugins: Whether plugins of users may change the answers of `replacement`.
        replaced: The answers of `replacement`, by name and declared type.
    """

    folder: str
    project: str | None
    working_dir: str
    local_roots: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    # not in the `repr`: it may hold passwords
    destinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    every_type: str | None = None
    process: int = field(default_factory=os.getpid)
    loader_file_format: str | None = None
    owned: tuple[str, ...] = ()
    profile: str | None = None
    secrets: str = "all"
    replacement: Callable[[str, str], Mapping[str, Any]] | None = field(
        default=None, repr=False, compare=False
    )
    is_replaced_by_plugins: bool = False
    # it may hold passwords, too
    replaced: dict[str, dict[str, Mapping[str, Any]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def to_environment(self) -> str:
        """Return the value of the environment variable that switches this sandbox on."""
        # once for every test: `asdict` would take most of the time
        return json.dumps(self.__getstate__())

    def __getstate__(self) -> dict[str, Any]:
        # plugins of this session cannot be asked in another process
        return {**vars(self), "replacement": None}

    def is_local_path(self, path: str) -> bool:
        """Tell whether a file lies in the sandbox, or in another folder that counts as local."""
        allowed = (place for place in self.allowed if os.path.isabs(place))
        return lies_in(path, self.folder, *self.local_roots, *allowed)

    def in_local_dir(self, path: str) -> str:
        """Return the path of a file that dlt puts into the local folder when it is relative."""
        return os.path.join(self.local_dir, path)

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a subprocess of the one that ends this sandbox."""
        return self.process != os.getpid()

    @property
    def global_dir(self) -> str:
        """Stands for `~/.dlt` or `/var/dlt`."""
        return os.path.join(self.folder, "global")

    @property
    def remote_dir(self) -> str:
        """Holds what subprocesses note of the remote datasets that they make."""
        return os.path.join(self.folder, "remote")

    @property
    def data_dir(self) -> str:
        """Holds the pipelines' working folders."""
        return os.path.join(self.folder, "data")

    @property
    def local_dir(self) -> str:
        """Holds the files of the destinations."""
        return os.path.join(self.data_dir, "local")


def lies_in(path: str, *folders: str) -> bool:
    """Tell whether a path is that of one of some folders or leads into it, through links too."""
    # Windows knows no case
    real, *roots = (os.path.normcase(os.path.realpath(each)) for each in (path, *folders))
    return any(real == root or real.startswith(os.path.join(root, "")) for root in roots)


# the sandboxes that this process has entered, the innermost last. Not the environment: a test may
# clear or replace that, and is still in its sandbox
_entered: list[Sandbox] = []
# by folder: fixtures of wider scope have sandboxes beside those of tests
_lasting: dict[str, Sandbox] = {}
# their folders, whether they have ended or not
_ever_entered: set[str] = set()


def active_sandbox() -> Sandbox | None:
    """Return the sandbox that this process runs in, or None.

    It is held in memory. The environment variable is how a subprocess finds that of the process
    above, with the first use of dlt.
    """
    if _entered:
        return _entered[-1]
    value = os.environ.get(ENVIRONMENT_VARIABLE)
    if not value and not _ever_entered and (value := _started_with().get(ENVIRONMENT_VARIABLE)):
        os.environ.update(with_sandbox(os.environ, from_environment(value)))
    if not value:
        return None
    sandbox = from_environment(value)
    if sandbox.is_inherited:
        # this process never leaves it
        _entered.append(sandbox)
    return sandbox


@lru_cache(maxsize=1)
def _started_with() -> Mapping[str, str]:
    """Return the environment that this process was started with; code may have cleared it since."""
    try:
        # once in each process that has dlt and no sandbox
        with open("/proc/self/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0")]
    except OSError:
        # no Linux
        return {}
    found = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    # a program in between may have taken the variable away; a fork has entered what is above
    if ENVIRONMENT_VARIABLE not in found and not _ever_entered and (value := held_above()):
        found[ENVIRONMENT_VARIABLE] = value
    return found


def given_by_tests() -> Mapping[str, str] | None:
    """Return the environment that a test has started this process with; None in the test's own."""
    active, started_with = active_sandbox(), _started_with()
    if active is None or not active.is_inherited:
        return None
    value = started_with.get(ENVIRONMENT_VARIABLE)
    # a fork has that of the process above
    is_new = value is not None and from_environment(value).folder == active.folder
    return started_with if is_new else None


def with_sandbox(environment: Mapping[str, str], sandbox: Sandbox) -> dict[str, str]:
    """Return an environment, for a child that is to be in a sandbox.

    What it says of the settings of a sandbox goes first.
    """
    added = dict(SETTINGS)
    if sandbox.profile is not None:
        added[_PROFILE_VARIABLE] = sandbox.profile
    return {**added, **environment, ENVIRONMENT_VARIABLE: sandbox.to_environment()}


def enter(sandbox: Sandbox) -> None:
    """Put this process, and the subprocesses that it starts, into a sandbox."""
    _entered.append(sandbox)
    _lasting[sandbox.folder] = sandbox
    _ever_entered.add(sandbox.folder)
    _tell_children(sandbox)


def lasting_sandboxes() -> list[Sandbox]:
    """Return those that this process has entered and that have not ended: their files are local."""
    active = active_sandbox()
    others = [s for s in _lasting.values() if active is None or s.folder != active.folder]
    return others if active is None else [active, *others]


def has_ended(sandbox: Sandbox) -> bool:
    """Tell whether this process had entered a sandbox whose data are gone by now."""
    is_entered = any(entered.folder == sandbox.folder for entered in _entered)
    return not is_entered and sandbox.folder not in _lasting


def forget(sandbox: Sandbox) -> None:
    """Drop a sandbox that has ended."""
    _lasting.pop(sandbox.folder, None)


def is_of_others(value: str) -> bool:
    """Tell whether a value of the variable is of a sandbox of this process that is not active.

    Code may have kept an environment, and start subprocesses with it.
    """
    active = active_sandbox()
    try:
        folder = json.loads(value)["folder"]
    except (ValueError, KeyError, TypeError):
        return False
    return active is not None and folder != active.folder and folder in _ever_entered


def adopt(sandbox: Sandbox) -> None:
    """Put this process, a child of the one that ends it, into a sandbox alone."""
    _entered[:] = [sandbox]
    _tell_children(sandbox)


def leave(sandbox: Sandbox) -> None:
    """Take this process out of a sandbox; the environment is restored by whoever has changed it."""
    for index in reversed(range(len(_entered))):
        if _entered[index].folder == sandbox.folder:
            del _entered[index]
            hold(_entered[-1].to_environment() if _entered else "")
            return


def _tell_children(sandbox: Sandbox) -> None:
    value = sandbox.to_environment()
    os.environ[ENVIRONMENT_VARIABLE] = value
    hold(value)


def move_destinations(sandbox: Sandbox) -> None:
    """Make this copy the active sandbox: its destinations are moved for a while."""
    if _entered and _entered[-1].folder == sandbox.folder:
        _entered[-1] = sandbox
    _tell_children(sandbox)


def tell_subprocesses(sandbox: Sandbox) -> None:
    """Let later subprocesses know what stands for destinations in the active sandbox.

    Args:
        sandbox: The sandbox that has learned a replacement.
    """
    if _entered and _entered[-1].folder == sandbox.folder:
        _tell_children(_entered[-1])


# asked on every use of a destination, and in one test always the same
@lru_cache(maxsize=8)
def from_environment(value: str) -> Sandbox:
    """Return the sandbox that `to_environment` has told."""
    fields = json.loads(value)
    for name in ("local_roots", "allowed", "owned"):
        fields[name] = tuple(fields.get(name, ()))
    return Sandbox(**fields)
