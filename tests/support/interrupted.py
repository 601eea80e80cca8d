"""Load packages as a process leaves them that dies between a commit and its mark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt


@contextmanager
def committed_and_not_marked(pipeline: dlt.Pipeline, *tables: str) -> Iterator[None]:
    """Load in a block, and have it forgotten that jobs of `tables` are done: all, if none is named.

    The package is as it was before, but for its tables, which are made, and its jobs, which are
    started, or done.
    """
    (package,) = packages(pipeline)
    copy = package.parents[2] / "copy"
    shutil.copytree(package, copy)
    yield
    shutil.rmtree(package.parents[1] / "loaded" / package.name)
    shutil.move(copy, package)
    (package / "schema_updates.json").unlink()
    for job in list((package / "new_jobs").iterdir()):
        forgotten = not tables or job.name.partition(".")[0] in tables
        job.rename(package / ("started_jobs" if forgotten else "completed_jobs") / job.name)


def packages(pipeline: dlt.Pipeline) -> list[Path]:
    """Return the folders of the packages that are to be loaded."""
    return sorted((Path(pipeline.working_dir) / "load" / "normalized").iterdir())
