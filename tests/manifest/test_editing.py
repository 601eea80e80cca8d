"""Adding entries to a `dlt.yml`: nothing else of it changes."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlthub_project.errors import ProjectError
from dlthub_project.manifest import read_document
from dlthub_project.manifest.editing import add_entries

NEW = {("sources", "new"): {"type": "shop.new"}}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "dlt.yml"


def added(manifest: Path, text: str, entries: Any = None) -> str:
    """Return what `text` is with the entries, and make sure that nothing is left beside it."""
    manifest.write_bytes(textwrap.dedent(text).encode())
    add_entries(manifest, entries or NEW)
    assert [path.name for path in manifest.parent.iterdir()] == ["dlt.yml"]
    return manifest.read_bytes().decode()


BLOCK = "new:\n    type: shop.new\n"


@pytest.mark.parametrize(
    "after",
    [
        f"«sources:\n  {BLOCK}»",
        f"# a shop\n«\nsources:\n  {BLOCK}»",
        f"---\nz: 1\n«\nsources:\n  {BLOCK}»",
        f"sources:\n«  {BLOCK}»z: 1\n",
        f"sources:  # none yet\n  # github: {{type: x}}\n«  {BLOCK}»z: 1\n",
        f"sources:\n  a:\n    type: x\n    text: |\n      long\n«  {BLOCK}»\nz: 1\n",
        f"sources:\n  a:\n    type: x\n    b:\n    - one\n    - two\n«  {BLOCK}»z: 1\n",
        f"sources:\n  a: {{type: x}}\n\n  # of b\n  b:\n    type: y\n«\n  {BLOCK}»\n\nz: 1\n",
        "sources:\n    a:\n        type: x\n«    new:\n        type: shop.new\n»z: 1\n",
        "sources:\n  a:    {type:   'x'}  # odd\n  # b\n«  new: {type: shop.new}\n»\n# Z\nz: 1\n",
        "sources:\n  a: {type: x}«\n  new: {type: shop.new}\n»",
        "sources: {a: {type: x}«, new: {type: shop.new}»}",
        "{sources: {«new: {type: shop.new}»}}\n",
        "{z: 1«, sources: {new: {type: shop.new}}»}\n",
        "sources: {a: {type: x},  # 1\n  b: {type: y}«, new: {type: shop.new}»,  # 2\n  }\n",
        "x: &x {type: y}\nsources:\n  a: *x\n  b: *x  # 2\n«  new: {type: shop.new}\n»z: 1\n",
        '"sources":\r\n  a: {type: x}\r\n«  new: {type: shop.new}\r\n»z: 1\r\n',
        f"\ufeffsources:\n«  {BLOCK}»",
    ],
)
def test_an_entry_is_added_and_nothing_else_changes(manifest: Path, after: str) -> None:
    before = re.sub("«.*?»", "", after, flags=re.DOTALL)

    assert added(manifest, before) == re.sub("[«»]", "", after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sources: {}  # none\n", f"sources:  # none\n  {BLOCK}"),
        ("sources: null\nz: 1\n", f"sources:\n  {BLOCK}z: 1\n"),
    ],
)
def test_an_entry_takes_the_place_of_nothing(manifest: Path, before: str, after: str) -> None:
    assert added(manifest, before) == after


def test_several_entries_are_added_at_once_also_to_a_profile(manifest: Path) -> None:
    entries = {
        ("destinations", "warehouse"): {"type": "duckdb"},
        ("profiles", "prod", "destinations", "warehouse"): {"type": "postgres"},
        ("profiles", "ci"): {},
    }

    assert added(manifest, "profiles:\n  prod: {}\n", entries) == textwrap.dedent(
        """\
        profiles:
          prod:
            destinations:
              warehouse:
                type: postgres
          ci: {}

        destinations:
          warehouse:
            type: duckdb
        """
    )


@pytest.mark.parametrize(
    "value",
    [
        "{env.TOKEN}",
        "a: b",
        "on",
        "0123",
        "1.5",
        "null",
        "",
        "a # b",
        "*",
        "two\nlines\n",
        "'",
        '"',
    ],
)
def test_every_text_reads_back_as_it_was_given(manifest: Path, value: str) -> None:
    for text in ("", "sources:\n  a: {type: x}\n"):
        found = yaml.safe_load(added(manifest, text, {("sources", "n"): {"type": "x", "v": value}}))

        assert found["sources"]["n"]["v"] == value
    assert added(manifest, "", {("sources", "on"): {"type": "x"}}).splitlines()[1] == '  "on":'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources:\n  new: {type: x}\n", r"`sources.new` is there already: .*dlt.yml:2:3"),
        (
            "sources: {a: {type: x}}\n...\n",
            "Add this by hand:\nruntime:\n  more: {}\nsources:\n  new:\n    type: shop.new",
        ),
        ("x: &x {a: {type: x}}\nsources: *x\n", "Add this by hand:"),
        ("sources:\n  a:\n    type: x\n    t: |+\n      long\n\n\nz: 1\n", "Add this by hand:"),
    ],
)
def test_a_file_that_nothing_can_be_added_to_stays_as_it_is(
    manifest: Path, text: str, message: str
) -> None:
    manifest.write_text(text)

    with pytest.raises(ProjectError, match=message):
        add_entries(manifest, {("runtime", "more"): {}, **NEW})

    assert manifest.read_text() == text
    assert os.listdir(manifest.parent) == ["dlt.yml"]


def test_an_entry_that_is_a_mistake_is_refused_and_older_mistakes_are_not_its_fault(
    manifest: Path,
) -> None:
    text = "pipelines:\n  load: {sauce: a}\n"
    manifest.write_text(text)

    with pytest.raises(ProjectError, match=r"dlt.yml:3:\d+: pipelines.more.destinatio") as refused:
        add_entries(manifest, {("pipelines", "more"): {"destinatio": "x"}})

    assert "pipelines.load.sauce" not in str(refused.value)
    assert "stays as it is" in str(refused.value)
    assert manifest.read_text() == text
    assert "new" in added(manifest, text)


def test_a_link_stays_a_link_and_a_mode_a_mode(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    real = folder / "real.yml"
    real.write_text("")
    real.chmod(0o640)
    manifest.symlink_to(real)
    document = add_entries(manifest, NEW)

    assert manifest.is_symlink()
    assert "new" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
    assert document.data == read_document(manifest).data
    assert document.position(("sources", "new")) == (1, 2)


def test_a_file_that_changes_meanwhile_keeps_the_change(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest.write_text("z: 1\n")
    fsync = os.fsync

    def change_meanwhile(number: int) -> None:
        manifest.write_text("z: 2\n")
        fsync(number)

    monkeypatch.setattr(os, "fsync", change_meanwhile)

    with pytest.raises(ProjectError, match="has changed while it was read"):
        add_entries(manifest, NEW)
    assert manifest.read_text() == "z: 2\n"
