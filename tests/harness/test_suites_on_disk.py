"""Suites as users write them, in tests/projects: their outcomes, and that they leave nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot
from neighbours import without_neighbours
from sessions import run_session_apart

from pytest_dlthub import fixtures as fixtures_of_plugin

SUITES = Path(__file__).parents[1] / "projects"
PASSWORD = "password-of-production"

RunSuite = Callable[..., pytest.RunResult]


@pytest.fixture
def run_suite(pytester: pytest.Pytester, home: Path, monkeypatch: pytest.MonkeyPatch) -> RunSuite:
    """Run a suite in a copy: `run_suite("plain", "-n", "2")`; `pin` pins a profile there.

    In the environment are credentials, as on the machine of somebody who deploys. Whatever the
    suite writes to the copy, the home or the global folder is an error.
    """
    monkeypatch.setenv("DESTINATION__BIGQUERY__CREDENTIALS__PROJECT_ID", "prod")
    monkeypatch.setenv("DESTINATION__BIGQUERY__CREDENTIALS__PRIVATE_KEY", PASSWORD)
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD", PASSWORD)
    monkeypatch.setenv("DESTINATION__CREDENTIALS", f"postgresql://u:{PASSWORD}@db.invalid/prod")
    monkeypatch.setenv("DESTINATION__CHAT__URL", f"http://127.0.0.1:9/{PASSWORD}")

    def run(name: str, *arguments: str, pin: str | None = None) -> pytest.RunResult:
        project = pytester.path / name
        shutil.copytree(SUITES / name, project, ignore=shutil.ignore_patterns(".*_cache", "__py*"))
        if pin:
            (project / ".dlt" / "profile-name").write_text(pin)
        monkeypatch.chdir(project)
        before = snapshot(project, home, Path("/var/dlt"))

        result = run_session_apart(pytester, "-p", "no:cacheprovider", *arguments)

        assert snapshot(project, home, Path("/var/dlt")) == before
        assert PASSWORD not in result.stdout.str() + result.stderr.str()
        return result

    return run


EACH_WAY = [
    (),
    pytest.param(("-n", "2"), marks=pytest.mark.slow),
    pytest.param(("--import-mode=importlib",), marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", EACH_WAY)
def test_plain_suite_passes_and_leaves_nothing(
    run_suite: RunSuite, arguments: tuple[str, ...]
) -> None:
    result = run_suite("plain", "--strict-markers", *arguments)

    result.assert_outcomes(passed=15)
    result.stdout.no_fnmatch_line("dlt:*")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("arguments", [(), ("-p", "no:dlthub")], ids=["with", "without"])
def test_those_of_its_tests_that_ask_for_nothing_pass_with_and_without_the_plugin(
    run_suite: RunSuite, arguments: tuple[str, ...]
) -> None:
    run_suite("plain", "tests/test_cents.py", *arguments).assert_outcomes(passed=3)


@pytest.mark.parametrize("arguments", EACH_WAY)
def test_workspace_suite_passes_on_its_test_profile_and_leaves_nothing(
    run_suite: RunSuite, arguments: tuple[str, ...]
) -> None:
    result = run_suite("workspace", "--strict-markers", *arguments, pin="prod")

    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(
        ["dlt: workspace workspace (.dlt/.workspace) · profile tests (default; pin prod overridde*"]
    )


def test_typed_suite_passes(run_suite: RunSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    # with syrupy
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("syrupy",)))
    result = run_suite("typed", "--strict-markers")

    result.assert_outcomes(passed=15)
    result.stdout.fnmatch_lines(["dlt: project typed (dlt.yml) · profile tests (default)*"])


def test_typed_suite_uses_every_public_name() -> None:
    import dlthub_project
    import pytest_dlthub

    code = "\n".join(path.read_text() for path in (SUITES / "typed").rglob("*.py"))
    fixtures = re.findall(
        r"^def (dlt_\w+)", Path(fixtures_of_plugin.__file__).read_text(), flags=re.MULTILINE
    )

    public = (*dlthub_project.__all__, *pytest_dlthub.__all__, *fixtures)
    assert [name for name in public if not re.search(rf"\b{name}\b", code)] == []
