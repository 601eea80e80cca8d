"""What one sandbox is, and how subprocesses inherit it: through one environment variable."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ENVIRONMENT_VARIABLE = "DLTHUB_PROJECT_SANDBOX"


@dataclass(frozen=True)
class Sandbox:
    """A folder that takes everything dlt would write elsewhere.

    Attributes:
        folder: The root of the data, pipeline and global folders; made on first use.
        project: The folder of the `dlt.yml` that tests run against; None for plain dlt code.
        working_dir: Where the session was started: as long as it stays the working directory,
            `project` is the project. Code that changes into another project gets that one.
    """

    folder: str
    project: str | None
    working_dir: str

    def to_environment(self) -> str:
        """Return the value of the environment variable that switches this sandbox on."""
        return json.dumps(asdict(self))

    def in_folder(self, folder: Path) -> Sandbox:
        """Return a sandbox for the same project in another folder."""
        return Sandbox(str(folder), self.project, self.working_dir)

    @property
    def global_dir(self) -> str:
        """Stands for `~/.dlt` or `/var/dlt`."""
        return os.path.join(self.folder, "global")

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
    return Sandbox(**json.loads(value)) if value else None
