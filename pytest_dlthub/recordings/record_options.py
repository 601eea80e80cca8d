"""The options of a session for recordings, and the folder of a test's or mark's recording."""

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
    """The options of a session for recordings.

    Attributes:
        mode: `new` to record tests without a recording; `all`; `compare`; or empty to only replay.
        pages: The largest number of pages to record of each resource.
        masks: The fields whose values recordings replace.
        profile: The profile for tests; None for plain dlt code.
        command: The command that records the test.
    """

    mode: str = ""
    pages: int = 5
    masks: Sequence[str] = ()
    profile: str | None = None
    command: str = "pytest"

    @classmethod
    def of(cls, item: pytest.Item) -> Settings:
        """Return the options of a test's session.

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
    """Return the folder of the recording of a mark `dlt_load`, by the place of the mark.

    Args:
        node: The module, class or test that has the mark.
        item: A test to which the mark applies.
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
    """Tell whether the mark of a test asks to record transformers, too.

    Raises:
        UsageError: The mark has other arguments.
    """
    marker = item.get_closest_marker(MARK)
    if marker is None:
        return False
    if marker.args or marker.kwargs not in ({}, {"record": "transformers"}):
        raise pytest.UsageError(f'{MARK}: the mark takes record="transformers", or nothing')
    return bool(marker.kwargs)
