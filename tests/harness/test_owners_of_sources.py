"""Whose the sources of a session are: those that modules of the user hold, and no library's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dlt
import pytest

from pytest_dlthub.data_coverage.source_owners import Owners


@pytest.mark.parametrize(
    ("folder", "is_known"),
    [
        ("shop", True),
        ("my-site-packages", True),
        ("site-packages", False),
        ("dist-packages", False),
    ],
)
def test_a_source_is_known_unless_its_module_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_known: bool
) -> None:
    module: Any = ModuleType("orders_of_a_user")
    module.__file__ = str(tmp_path / folder / "orders_of_a_user.py")
    module.orders = dlt.resource([{"id": 1}], name="orders_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    session: Any = SimpleNamespace(test_files=set(), root=None)
    owners = Owners(session)

    owners.look_at_imported()

    names = {item[1].rpartition(".")[2] for item in owners.known().known}
    assert ("orders_of_a_user" in names) is is_known
