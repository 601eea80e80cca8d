"""Builds the documentation's site: `python docs/site/docs_site.py FOLDER` has it in FOLDER/html.

The pages are the README, those below `docs/` and what these link to, each where it is in the
repository, so that a link leads to the same on both. The lists of `docs/README.md` are the
navigation. Pages of the public names, errors and fixtures are made of their docstrings.
"""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeGuard

import griffe
import tomlkit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ("dlthub_project", "pytest_dlthub")
API = "docs/reference/api"

Navigation: TypeAlias = "list[dict[str, str | Navigation]]"

_ERRORS = "dlthub_project.errors"
_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
_CODE = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)
_PART = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", flags=re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(r"^::: (\S+)$", flags=re.MULTILINE)
_ENTRY = re.compile(r"^- \[(.+?)\]\(([^)]+\.md)\)", flags=re.MULTILINE)


def build(folder: Path) -> None:
    """Build the site in `folder`, which is made anew.

    Raises:
        ValueError: A link leads to no file, a page is in no list, or a docstring is not read.
        CalledProcessError: Something else is wrong with a page; the program has said what.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    texts = {f"{API}/{name}.md": text for name, text in api_pages().items()}
    files = linked_files([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    for path in files:
        target = pages / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name, text in texts.items():
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(text, encoding="utf-8")
    named = {path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".md"}
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    write_html(folder, navigation(index, named, {p: _title(t) for p, t in texts.items()}))


def write_html(folder: Path, order: Navigation) -> None:
    """Write the HTML of the pages in FOLDER/pages.

    Raises:
        CalledProcessError: There is a mistake in a page; the program has said which.
    """
    shutil.copyfile(HERE / "style.css", folder / "pages" / "style.css")
    settings = tomlkit.parse((HERE / "zensical.toml").read_text(encoding="utf-8"))
    settings["project"]["nav"] = order
    # where docstrings are read from
    settings["project"]["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    (folder / "zensical.toml").write_text(tomlkit.dumps(settings), encoding="utf-8")
    program = Path(sys.executable).with_name("zensical")
    subprocess.run([program, "build", "--strict"], cwd=folder, check=True)


def linked_files(pages: Iterable[Path]) -> set[Path]:
    """Return pages, and all that links lead to from there.

    Raises:
        ValueError: A link leads to no file.
    """
    found: set[Path] = set()
    new = {*pages}
    while new:
        found |= new
        new = {file for page in new if page.suffix == ".md" for file in _linked(page)} - found
    return found


def _linked(page: Path) -> Iterator[Path]:
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        path = (page.parent / link).resolve()
        if not path.is_file():
            raise ValueError(f"{page}: the link `{link}` leads to no file")
        yield path


def navigation(index: str, pages: Iterable[str], of_api: dict[str, str]) -> Navigation:
    """Return the order of pages: a tab for each list of the index.

    Args:
        index: The text of `docs/README.md`.
        pages: The pages in the repository, as paths below its root.
        of_api: The titles of the pages that are made of docstrings, by path.

    Raises:
        ValueError: A page is in no list.
    """
    tabs: Navigation = [{"Home": "README.md"}]
    for title, text in _PART.findall(index):
        below: Navigation = [{n.replace("`", ""): f"docs/{p}"} for n, p in _ENTRY.findall(text)]
        if title == "To look up":
            below.append({"API": [{title: path} for path, title in of_api.items()]})
        if below:
            tabs.append({title: below})
    project: Navigation = [
        {"All pages": "docs/README.md"},
        {"Example project": "example_project/README.md"},
        {"Changelog": "CHANGELOG.md"},
        {"Contributing": "CONTRIBUTING.md"},
    ]
    tabs.append({"Project": project})
    if left := {*pages} - {*_listed(tabs)}:
        raise ValueError(f"no list of docs/README.md has {', '.join(sorted(left))}: add a line")
    return tabs


def _listed(entries: Navigation) -> Iterator[str]:
    for entry in entries:
        for below in entry.values():
            yield from [below] if isinstance(below, str) else _listed(below)


def api_pages() -> dict[str, str]:
    """Return the pages of what users import, catch and ask for, by name, as Markdown.

    Raises:
        ValueError: A docstring describes what is not there.
    """
    loader = griffe.GriffeLoader(search_paths=[str(ROOT)])
    packages = {name: loader.load(name) for name in PACKAGES}
    errors: dict[str, None] = {}
    pages = {}
    for name, package in packages.items():
        public = {n: package[n].canonical_path for n in importlib.import_module(name).__all__}
        own = [f"{name}.{n}" for n, path in public.items() if not path.startswith(_ERRORS)]
        errors |= dict.fromkeys(path for path in public.values() if path.startswith(_ERRORS))
        pages[name] = _page(f"`{name}`", package, own)
    plugin = packages["pytest_dlthub"]["plugin"]
    ours = (path for path in plugin.imports.values() if path.startswith(PACKAGES))
    fixtures = filter(_is_fixture, (loader.modules_collection[path] for path in ours))
    pages["fixtures"] = _page_of_fixtures(sorted(fixtures, key=lambda fixture: fixture.name))
    pages["errors"] = _page("Errors", packages["dlthub_project"]["errors"], sorted(errors))
    shown = (path for text in pages.values() for path in _SHOWN.findall(text))
    if mistakes := mistakes_in(loader.modules_collection[path] for path in shown):
        raise ValueError("\n".join(mistakes))
    return pages


def _is_fixture(member: griffe.Object | griffe.Alias) -> TypeGuard[griffe.Function]:
    if not isinstance(member, griffe.Function) or member.name.startswith("_"):
        return False
    return any(decorator.callable_path == "pytest.fixture" for decorator in member.decorators)


def _title(text: str) -> str:
    return text.partition("\n")[0].strip("# `")


def _page(title: str, module: griffe.Object | griffe.Alias, names: list[str]) -> str:
    docstring = module.docstring.value if module.docstring else ""
    return "\n\n".join([f"# {title}", docstring, *(f"::: {name}" for name in names)]) + "\n"


def _page_of_fixtures(fixtures: Iterable[griffe.Function]) -> str:
    parts = ["# Fixtures", "A test has each of these as an argument of its name."]
    for fixture in fixtures:
        # its arguments are those that pytest gives it, and say nothing to a test
        given = re.sub(r"^Iterator\[(.+)\]$", r"\1", str(fixture.returns))
        parts += [f"## `{fixture.name}`", f"`{given}`"]
        parts.append(f"::: {fixture.path}\n    options: {{show_root_heading: false}}")
    return "\n\n".join(parts) + "\n"


def mistakes_in(shown: Iterable[griffe.Object | griffe.Alias]) -> list[str]:
    """Return what griffe says of docstrings, which Zensical keeps to itself."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, listener = logging.getLogger("griffe"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        for found in shown:
            whole = found.final_target if isinstance(found, griffe.Alias) else found
            own = (m for m in whole.members.values() if not isinstance(m, griffe.Alias))
            for member in (whole, *own):
                if member.docstring:
                    member.docstring.parse("google")
    finally:
        logger.removeHandler(listener)
    return told


if __name__ == "__main__":
    build(Path(sys.argv[1]))
