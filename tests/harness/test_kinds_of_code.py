"""Projects, workspaces and plain dlt code: each cell of the page's table says what happens."""

from __future__ import annotations

import ast
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot
from neighbours import without_neighbours
from processes import with_forks
from sessions import run_session, run_session_apart

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "tests" / "projects" / "kinds"
PAGE = ROOT / "docs" / "reference" / "where-fixtures-work.md"
STAND_IN = ROOT / "tests" / "support" / "stand_in_dlthub"
SECRETS = """
[sources.shop]
token = "of-production"

[destination.warehouse]
credentials = "postgresql://u:of-production@db.invalid/prod"
"""

# what a cell says, and what an error says then
REASONS = {
    "no `dlt.yml`": "there is no dlt.yml",
    "left to `dlthub`": "is left to it",
    "no profiles": "WORKSPACE__PROFILE",
}
ISOLATION = "with `dlt_isolation = on`"

# the rows that a session of each kind in `make test` has; slow ones have all
QUICK = (
    "project or factory or load_pipeline or given or items or config or isolated or unasked or "
    "wider or profile or secrets or destinations or blocked"
)
ALL = ""
OF_STAND_IN = "project or load_source or given or isolated or unasked or blocked or theirs"
# code of a project that uses that package
THEIRS = """
import pickle

import dlt


def test_theirs(dlt_isolated):
    context = dlt.hub.current.project.context()
    assert (context.profile, type(context).__module__) == ("tests", "dlthub.project")
    for folder in (context.data_dir, context.local_dir, context.get_data_entity("pipelines")):
        assert folder.startswith(dlt_isolated.folder)
    again = pickle.loads(pickle.dumps(context))
    assert (type(again), again.data_dir) == (type(context), context.data_dir)
"""

Outcomes = dict[str, str | None]
RunKind = Callable[..., Outcomes]


def suite() -> dict[str, str]:
    """Return the tests of the suite: the first cell of its row by the name of each."""
    tree = ast.parse((SUITE / "test_kinds.py").read_text(encoding="utf-8"))
    tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return {test.name: str(ast.get_docstring(test)) for test in tests}


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the page: by kind, then by their row's first cell."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    (_, *kinds), *cells = rows
    return {kind: {row[0]: row[n] for row in cells} for n, kind in enumerate(kinds, 1)}


@pytest.fixture
def run_kind(pytester: pytest.Pytester, home: Path, monkeypatch: pytest.MonkeyPatch) -> RunKind:
    """Run the suite as one kind of code: `run_kind("workspace", "-k", "given")`.

    Returns what each of its tests has failed with, None if it has passed. What it writes to the
    copy, the home or the global folder is an error, and so is a secret in what it prints.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("syrupy",)))

    def run(kind: str, *arguments: str, dlthub: bool = False) -> Outcomes:
        folder = pytester.path / kind
        if not folder.exists():
            shutil.copytree(SUITE, folder, ignore=shutil.ignore_patterns("__py*", "README.md"))
            code = folder / "test_kinds.py"
            code.write_text(with_forks(code.read_text()))
            (folder / ".dlt" / "secrets.toml").write_text(SECRETS)
            if kind != "project":
                (folder / "dlt.yml").unlink()
            if kind == "workspace":
                (folder / ".dlt" / ".workspace").touch()
        monkeypatch.chdir(folder)
        if dlthub:
            monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
        if dlthub and kind == "project":
            (folder / "test_theirs.py").write_text(THEIRS)
        before = snapshot(folder, home, Path("/var/dlt"))
        report = pytester.path / "report.xml"
        options = ("-p", "no:cacheprovider", "--snapshot-update", f"--junitxml={report}")
        if dlthub:
            result = run_session_apart(pytester, *options, *arguments)
        else:
            result = run_session(pytester.path, *options, *arguments)
        shutil.rmtree(folder / "__snapshots__", ignore_errors=True)
        assert snapshot(folder, home, Path("/var/dlt")) == before
        assert "of-production" not in result.stdout.str()
        return dict(map(_outcome, ET.parse(report).iter("testcase")))

    return run


def _outcome(case: ET.Element) -> tuple[str, str | None]:
    texts = [f"{part.get('message')} {part.text}" for part in case if part.tag != "properties"]
    return case.attrib["name"].partition("[")[0], "\n".join(texts) or None


def as_cell(error: str | None) -> str:
    """Return the cell that a test's outcome belongs to; the error itself if it is unforeseen."""
    if error is None:
        return "yes"
    return next((f"no: {cell}" for cell, says in REASONS.items() if says in error), error)


def test_each_row_of_the_page_has_a_test_and_each_test_a_row() -> None:
    assert [*table()["project"]] == [*suite().values()]
    assert [*table()] == ["project", "project, `dlthub` installed", "workspace", "plain dlt"]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        pytest.param(kind, rows, marks=pytest.mark.slow if rows is ALL or kind == "project" else [])
        for kind in ("project", "workspace", "plain dlt")
        for rows in (QUICK, ALL)
        if (kind, rows) != ("project", QUICK)
    ],
    ids=lambda value: {QUICK: "quick", ALL: "all"}.get(value, value),
)
def test_a_cell_says_what_happens(run_kind: RunKind, kind: str, rows: str) -> None:
    expected, found = table()[kind], run_kind(kind.partition(" ")[0], "-k", rows)
    cells = {suite()[test]: as_cell(error) for test, error in found.items()}
    isolated = [test for test in found if expected[suite()[test]] == ISOLATION]
    if isolated:
        names = [f"test_kinds.py::{test}" for test in isolated]
        again = run_kind("plain", "-o", "dlt_isolation=on", *names)
        assert {test: found[test] is None for test in again} == dict.fromkeys(isolated, False)
        cells |= {suite()[test]: error or ISOLATION for test, error in again.items()}

    assert cells == {row: expected[row] for row in cells}
    assert len(cells) >= 12
    assert rows is QUICK or [*cells] == [*expected]


@pytest.mark.parametrize(
    "kind",
    [
        "project",
        pytest.param("workspace", marks=pytest.mark.slow),
        pytest.param("plain dlt", marks=pytest.mark.slow),
    ],
)
def test_with_dlthub_installed_only_the_runtime_is_silent(run_kind: RunKind, kind: str) -> None:
    column = kind if kind != "project" else "project, `dlthub` installed"
    chosen = ("-k", OF_STAND_IN) if kind == "project" else ()
    found = run_kind(kind.partition(" ")[0], *chosen, dlthub=True)
    theirs = found.pop("test_theirs", None)
    # what a suite without `dlt_isolation = on` does not have, it does not have here either
    cells = {test: table()[column][suite()[test]] for test in found}
    expected = {test: cell for test, cell in cells.items() if cell != ISOLATION}

    assert {test: as_cell(found[test]) for test in expected} == expected
    assert theirs is None
    assert len(expected) >= 6
