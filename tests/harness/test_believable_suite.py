"""One suite of every kind of test: the same outcomes in each order, alone and on workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot

RunTests = Callable[..., pytest.RunResult]
Outcomes = Callable[..., dict[str, str]]

SUITE = Path(__file__).parents[1] / "projects" / "believable"
# items in the order of a seed, and outcomes into a file
CONFTEST = """
import json
import os
import random
from pathlib import Path

outcomes = {}


def pytest_addoption(parser):
    parser.addoption("--seed")


def pytest_collection_modifyitems(config, items):
    if seed := config.getoption("seed"):
        random.Random(int(seed)).shuffle(items)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        Path("outcomes.json").write_text(json.dumps(outcomes))
"""


@pytest.fixture
def outcomes_of(pytester: pytest.Pytester, run_pytest: RunTests, home: Path) -> Outcomes:
    """Run the suite, which must leave nothing: `outcomes_of("--seed", "1")`."""
    shutil.copytree(SUITE, pytester.path, dirs_exist_ok=True)
    pytester.makeconftest(CONFTEST)

    def run(*arguments: str) -> dict[str, str]:
        before = snapshot(pytester.path, home, Path("/var/dlt"))
        run_pytest("-p", "no:cacheprovider", "-q", *arguments)
        file = pytester.path / "outcomes.json"
        outcomes: dict[str, str] = json.loads(file.read_text())
        file.unlink()
        # Hypothesis keeps what it has found in code
        shutil.rmtree(pytester.path / ".hypothesis", ignore_errors=True)
        assert snapshot(pytester.path, home, Path("/var/dlt")) == before
        return outcomes

    return run


@pytest.mark.parametrize(
    ("kind", "orders"),
    [
        # test_suites_on_disk.py has one of plain code
        pytest.param("plain", 1, marks=pytest.mark.slow),
        # the workers below have it
        pytest.param("project", 1, marks=pytest.mark.slow),
        # half a minute each, beside all modules of this process
        pytest.param("project", 10, marks=pytest.mark.slow),
        pytest.param("plain", 10, marks=pytest.mark.slow),
    ],
)
def test_outcomes_are_the_same_in_each_order(
    outcomes_of: Outcomes, pytester: pytest.Pytester, kind: str, orders: int
) -> None:
    of_project: tuple[str, ...] = ()
    if kind == "plain":
        (pytester.path / "dlt.yml").unlink()
        of_project = ("-k", "not of_production and not of_the_project")

    seen = [outcomes_of("--seed", str(seed), *of_project) for seed in range(orders)]

    assert set(seen[0].values()) == {"passed"}
    assert len(seen[0]) > 40
    assert [outcomes == seen[0] for outcomes in seen] == [True] * len(seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distribution", "seed"),
    [("load", 1), pytest.param("loadscope", 2, marks=pytest.mark.slow)],
)
def test_outcomes_are_the_same_on_two_workers(
    outcomes_of: Outcomes, distribution: str, seed: int
) -> None:
    outcomes = outcomes_of("-n", "2", "--dist", distribution, "--seed", str(seed))

    assert set(outcomes.values()) == {"passed"}
    assert len(outcomes) > 40


@pytest.mark.slow
def test_each_test_passes_alone(outcomes_of: Outcomes, pytester: pytest.Pytester) -> None:
    """Every eighth of the test functions, in a session of its own."""
    names = [
        name
        for file in sorted((pytester.path / "tests").glob("test_*.py"))
        for name in _names_of_tests(file)
    ]
    assert len(names) > 30
    for name in names[::8]:
        assert set(outcomes_of("-k", name).values()) == {"passed"}, name


def _names_of_tests(file: Path) -> list[str]:
    lines = file.read_text().splitlines()
    return [line.split("(")[0].split()[-1] for line in lines if line.startswith("def test_")]
