"""What one sandbox is, and how subprocesses inherit it: through one environment variable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType
from typing import Any

ENVIRONMENT_VARIABLE = "DLTHUB_PROJECT_SANDBOX"


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
        allowed: The names of remote destinations that may be reached.
        destinations: What named destinations are here, in place of a temporary DuckDB: their
            configuration by name, with the type as `destination_type`.
        every_type: The type that all other replaced destinations have here; None for DuckDB.
        process: The process that ends it, and drops what was loaded remotely.
        owned: The names of destinations in databases of the sandbox's own, which are dropped as
            wholes. They are there also where code gave their place.
        loader_file_format: The format that rows are loaded in; None for what is fastest. Not for
            a declared DuckDB, and not where a resource or run names its own.
    """

    folder: str
    project: str | None
    working_dir: str
    local_roots: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    # not shown: there may be passwords in it
    destinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    every_type: str | None = None
    process: int = field(default_factory=os.getpid)
    loader_file_format: str | None = None
    owned: tuple[str, ...] = ()

    def to_environment(self) -> str:
        """Return the value of the environment variable that switches this sandbox on."""
        # once for every test: `asdict` would take most of the time
        return json.dumps(vars(self))

    def is_local_path(self, path: str) -> bool:
        """Tell whether a file lies in the sandbox, or in another folder that counts as local."""
        real = os.path.realpath(path)
        roots = (os.path.realpath(root) for root in (self.folder, *self.local_roots))
        return any(real == root or real.startswith(root + os.sep) for root in roots)

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


def active_sandbox() -> Sandbox | None:
    """Return the sandbox that this process runs in, or None."""
    value = os.environ.get(ENVIRONMENT_VARIABLE)
    return _from_environment(value) if value else None


# asked on every use of a destination, and in one test always the same
@lru_cache(maxsize=8)
def _from_environment(value: str) -> Sandbox:
    fields = json.loads(value)
    for name in ("local_roots", "allowed", "owned"):
        fields[name] = tuple(fields.get(name, ()))
    return Sandbox(**fields)


def is_import_running() -> bool:
    """Tell whether a module is being imported; pytest imports test modules by a way of its own."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "exec_module":
            return True
        frame = frame.f_back
    return False
