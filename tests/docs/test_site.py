"""The documentation's site: what it shows, in which order, and what stops it from being built."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

import pytest_dlthub.plugin

griffe = pytest.importorskip("griffe", reason="the group `docs` is not installed")
docs_site = importlib.import_module("docs_site")

ROOT = Path(__file__).parents[2]
INDEX = """# Documentation

## To learn

- [A tutorial](tutorial/a.md): with [a link](tutorial/b.md)

## To look up

- [`Rows`](reference/rows.md): rows

## Elsewhere

The [README](../README.md).
"""
OWN = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/README.md"}


@pytest.fixture(scope="module")
def api_pages() -> dict[str, str]:
    pages: dict[str, str] = docs_site.api_pages()
    return pages


def test_each_list_of_the_index_is_a_tab() -> None:
    pages = {*OWN, "docs/tutorial/a.md", "docs/reference/rows.md"}

    tabs = docs_site.navigation(INDEX, pages, {"api/errors.md": "Errors"})

    assert tabs[:3] == [
        {"Home": "README.md"},
        {"To learn": [{"A tutorial": "docs/tutorial/a.md"}]},
        {
            "To look up": [
                {"Rows": "docs/reference/rows.md"},
                {"API": [{"Errors": "api/errors.md"}]},
            ]
        },
    ]
    assert [title for tab in tabs for title in tab] == ["Home", "To learn", "To look up", "Project"]


def test_links_of_our_pages_lead_to_files_and_lists_have_every_page() -> None:
    files = docs_site.linked_files([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    pages = {path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".md"}
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")

    tabs = docs_site.navigation(index, pages, {})

    # Diátaxis' four, between home and project
    assert [len(below) > 1 for tab in tabs[1:-1] for below in tab.values()] == [True] * 4
    assert {"docs/how-to/load-once.md", "example_project/README.md"} <= pages


def test_a_page_that_no_list_has_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no list of docs/README\.md has docs/new\.md: add"):
        docs_site.navigation(INDEX, {*OWN, "docs/new.md"}, {})


def test_a_link_that_leads_to_no_file_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[there](other.md#part) [site](https://a.invalid) [here](#part)\n")
    (tmp_path / "other.md").write_text("```md\n[code](is-no-link.md)\n```\n[gone](gone.md)\n")

    with pytest.raises(ValueError, match=r"other\.md: the link `gone\.md` leads to no file"):
        docs_site.linked_files([page])


def test_files_that_pages_link_to_are_on_the_site(tmp_path: Path) -> None:
    page, other, code = (tmp_path / name for name in ("page.md", "other.md", "code.py"))
    page.write_text("[other](other.md)")
    other.write_text("[back](page.md) [code](code.py)")
    code.write_text("x = '[no](link.md)'")

    assert docs_site.linked_files([page]) == {page, other, code}


@pytest.mark.parametrize("package", ["dlthub_project", "pytest_dlthub"])
def test_every_public_name_is_on_the_site(package: str, api_pages: dict[str, str]) -> None:
    shown = re.findall(r"^::: \S*\b(\w+)$", "\n".join(api_pages.values()), flags=re.MULTILINE)

    assert {*importlib.import_module(package).__all__} - {*shown} == set()


def test_every_fixture_is_on_the_site(api_pages: dict[str, str]) -> None:
    fixtures = {name for name in vars(pytest_dlthub.plugin) if name.startswith("dlt_")}

    assert "dlt_project" in fixtures
    assert {*re.findall(r"^::: \S*\b(\w+)$", api_pages["fixtures"], re.MULTILINE)} == fixtures


def test_a_docstring_that_describes_another_argument_is_a_mistake(tmp_path: Path) -> None:
    code = 'def load(rows: int) -> None:\n    """Load.\n\n    Args:\n        row: Each.\n    """\n'
    module = griffe.visit("orders", filepath=tmp_path / "orders.py", code=code)

    assert docs_site.mistakes_in([module["load"]]) == [
        "orders.py:5: No type or annotation for parameter 'row'",
        "orders.py:5: Parameter 'row' does not appear in the function signature",
    ]


def test_pages_without_a_mistake_become_a_site(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    page = "# Rows\n\n[here](#rows)\n\n::: pytest_dlthub.table_rows\n"
    (tmp_path / "pages" / "README.md").write_text(page)

    docs_site.write_html(tmp_path, [{"Home": "README.md"}])

    html = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert "Return the rows of" in html
    # nothing of another host but links
    assert re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="?(?:https?:)?//[^>]*', html) == []


@pytest.mark.parametrize("mistake", ["[here](#columns)", "::: pytest_dlthub.table_row"])
def test_a_mistake_in_a_page_stops_the_build(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "README.md").write_text(f"# Rows\n\n{mistake}\n")

    with pytest.raises(subprocess.CalledProcessError):
        docs_site.write_html(tmp_path, [{"Home": "README.md"}])
