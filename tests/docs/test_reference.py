"""The reference pages: their sessions print what they show, and no public name is missing."""

from __future__ import annotations

import doctest
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from pages import File, Reader, read_page, session_of
from sessions import new_state

from dlthub_project import (
    Catalog,
    EntityFactory,
    PackagedProject,
    Project,
    ProjectRunContext,
    WritableDataset,
    current,
)
from dlthub_project.entities import DatasetLocation, Datasets, ProjectSourceFactory
from dlthub_project.runner import PipelineManager, PipelineRunner
from dlthub_project.transformations import (
    Cache,
    CacheInfo,
    Flushed,
    Transformation,
    TransformationInfo,
)
from pytest_dlthub import fixtures, options

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "reference").glob("*.md"))

DESCRIBED = {
    "catalog.md": (Catalog, WritableDataset),
    "context.md": (current, Project, ProjectRunContext),
    "entities.md": (EntityFactory, ProjectSourceFactory, Datasets, DatasetLocation),
    "packages.md": (PackagedProject,),
    "runner.md": (PipelineManager, PipelineRunner),
    "transformations.md": (Transformation, Cache, Flushed, TransformationInfo, CacheInfo),
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.stem == "runner" else [], id=page.stem)
        for page in PAGES
    ],
)
def test_a_session_of_a_page_prints_what_is_shown(page: Path, reader: Reader) -> None:
    for step in read_page(page):
        if isinstance(step, File):
            step.write(reader.folder)
    session = reader.temporary / page.name
    session.write_text(session_of(page), encoding="utf-8")
    environment = {**reader.environment, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    with new_state(reader.folder, on_path=str(reader.folder), environment=environment):
        os.chdir(reader.folder)
        options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        failed = doctest.testfile(str(session), module_relative=False, optionflags=options).failed

    # pytest shows which
    assert not failed
    assert reader.left_at_home == []


def public_names(described: type | ModuleType) -> Iterator[str]:
    """Yield what users may call or read of a class of ours, or of a module."""
    if isinstance(described, ModuleType):
        yield from described.__all__
        return
    for cls in described.__mro__:
        if cls.__module__.startswith("dlthub_project"):
            yield from (n for n in (*vars(cls), *inspect.get_annotations(cls)) if n[0] != "_")


@pytest.mark.parametrize("page", DESCRIBED)
def test_every_block_of_a_page_is_run(page: str) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    files = [step for step in read_page(DOCS / "reference" / page) if isinstance(step, File)]

    assert text.count("\n```pycon\n") + len(files) == text.count("\n```") // 2


@pytest.mark.parametrize("page", DESCRIBED)
def test_every_heading_has_a_session(page: str) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    described = [part for part in text.split("\n## ") if part.startswith("`")]

    assert [part.splitlines()[0] for part in described if "```pycon" not in part] == []


@pytest.mark.parametrize("page", DESCRIBED)
def test_every_public_name_is_on_its_page(page: str) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    described = set(re.findall(r"`(?:\w+\.)*(\w+)[(`]", text))

    missing = {
        f"{thing.__name__}.{name}"
        for thing in DESCRIBED[page]
        for name in public_names(thing)
        if name not in described
    }
    assert missing == set()


class Names(list[str]):
    """Takes the place of a parser of pytest, and keeps the names of options and ini options."""

    def getgroup(self, *_: str) -> Names:
        return self

    def addoption(self, name: str, **_: object) -> None:
        # one option that may have words behind it
        self.append(name.partition("=")[0])

    def addini(self, name: str, *_: object, **__: object) -> None:
        self.append(name)


def test_every_fixture_mark_and_option_is_on_its_page(pytestconfig: pytest.Config) -> None:
    names = Names()
    options.register(cast("pytest.Parser", names))
    names += [name for name in vars(fixtures) if name.startswith("dlt_")]
    marks = map(str, pytestconfig.getini("markers"))
    names += [re.split("[(:]", mark)[0] for mark in marks if mark.startswith(("dlt_", "no_load"))]
    text = (DOCS / "reference" / "fixtures-and-options.md").read_text(encoding="utf-8")

    assert {"dlt_run", "dlt_crash", "--dlt-cov", "dlt_keep"} <= {*names}
    assert [name for name in names if f"`{name}" not in text] == []
