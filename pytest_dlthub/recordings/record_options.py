"""What a session says of recordings, and where that of a test or of a mark is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dlthub_project.recordings import folder_beside
from pytest_dlthub.activation import SESSION

MARK = "dlt_recorded"


@dataclass(frozen=True)
class Settings:
    """What a session says of recordings.

    Attributes:
        mode: `new`, where none is there; `all`; `compare`; or nothing, to replay alone.
        pages: How many pages of each resource are recorded at most.
        masks: The fields whose values are replaced.
        profile: The profile that is tested; None for plain dlt code.
        command: What records the test.
    """

    mode: str = ""
    pages: int = 5
    masks: Sequence[str] = ()
    profile: str | None = None
    command: str = "pytest"

    @classmethod
    def of(cls, item: pytest.Item) -> Settings:
        """Return those of a test's session.

        Raises:
            UsageError: The limit is no number of pages.
        """
        config = item.config
        pages = config.getoption("dlt_record_limit")
        if pages < 1:
            raise pytest.UsageError(f"--dlt-record-limit: 1 or more is expected, not {pages}")
        session = config.stash[SESSION]
        return cls(
            mode=config.getoption("dlt_record"),
            pages=pages,
            masks=masks_of(config),
            profile=session.profile if session.root is not None else None,
            command=f"pytest {shlex.quote(item.nodeid)}",
        )


def masks_of(config: pytest.Config) -> list[str]:
    """Return the fields that the ini option names, whether by line, comma or blank."""
    lines: list[str] = config.getini("dlt_record_mask")
    return [name for line in lines for name in line.replace(",", " ").split()]


def folder_of_test(item: pytest.Item) -> Path:
    """Return the folder of a test's recording: `recordings/test_shop/test_orders` beside it."""
    name = ".".join((*_classes(item), item.name))
    return folder_beside(item.path, name)


def folder_of_load(node: pytest.Item | pytest.Collector, item: pytest.Item, load: str) -> Path:
    """Return the folder of what a mark `dlt_load` has recorded, by where the mark stands.

    Args:
        node: The module, class or test that is marked.
        item: A test that it holds for.
        load: The name of the pipeline.
    """
    parts = list(_classes(node))
    if isinstance(node, pytest.Class | pytest.Item):
        parts.append(node.name)
    name = ".".join((*parts, "dlt_load", load))
    return folder_beside(item.path, name)


def _classes(node: pytest.Item | pytest.Collector) -> list[str]:
    return [one.name for one in node.listchain()[:-1] if isinstance(one, pytest.Class)]


def records_transformers(item: pytest.Item) -> bool:
    """Tell whether the mark of a test asks for transformers to be recorded, too.

    Raises:
        UsageError: The mark says something else.
    """
    marker = item.get_closest_marker(MARK)
    if marker is None:
        return False
    if marker.args or marker.kwargs not in ({}, {"record": "transformers"}):
        raise pytest.UsageError(
            f'{MARK}: record="transformers" is expected of the mark, or nothing'
        )
    return bool(marker.kwargs)
