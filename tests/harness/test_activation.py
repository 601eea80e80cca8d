"""Which project a session tests, on which profile, and what that costs those without one."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

SHOWS_PROFILE = """
    def test_profile(dlt_project):
        print("profile:", dlt_project.config.current_profile, dlt_project.config.name)
"""


def test_plain_suite_does_not_import_dlt_and_sees_no_difference(
    pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    result = run_tests(
        """
        import os, sys

        def test_nothing_of_ours_is_there():
            heavy = ["dlt", "dlthub_project", "pandas", "pyarrow", "duckdb", "yaml", "pydantic"]
            assert [name for name in heavy if name in sys.modules] == []
            assert "WORKSPACE__PROFILE" not in os.environ
            assert "DLTHUB_PROJECT_SANDBOX" not in os.environ
            assert "RUNTIME__DLTHUB_TELEMETRY" not in os.environ
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("dlt:*")


def test_project_is_active_before_its_conftest_is_imported(
    shop: Path, pytester: pytest.Pytester, run_tests: RunTests
) -> None:
    pytester.makeconftest(
        """
        import dlt
        from sources.shop import orders

        pipeline = dlt.pipeline("made_in_conftest", destination="warehouse")
        project = dlt.hub.current.project.config()
        """
    )

    result = run_tests(
        """
        from pathlib import Path
        import conftest

        def test_it_is_in_the_sandbox():
            assert conftest.project.current_profile == "tests"
            assert "session" in Path(conftest.pipeline.working_dir).parts
            assert not Path("_data").exists()
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dlt: project * (dlt.yml) · profile tests (default) · sandbox *"])


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_sources_are_imported_in_every_import_mode(
    shop: Path, run_tests: RunTests, mode: str
) -> None:
    code = """
        from sources.shop import orders

        def test_rows(dlt_run):
            assert dlt_run(orders()).row_counts["items"] == 3
    """

    run_tests(code, f"--import-mode={mode}").assert_outcomes(passed=1)


def test_sources_are_imported_from_the_project_dir_of_the_manifest(
    shop: Path, run_tests: RunTests
) -> None:
    (shop / "src").mkdir()
    (shop / "sources").rename(shop / "src" / "sources")
    manifest = (shop / "dlt.yml").read_text()
    (shop / "dlt.yml").write_text(manifest.replace("{name: shop}", "{project_dir: src}"))
    code = """
        from sources.shop import orders

        def test_rows(dlt_project):
            assert dlt_project.run("load_orders").row_counts["items"] == 3
    """

    run_tests(code).assert_outcomes(passed=1)


def test_project_above_the_collected_paths_is_found(
    shop: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = shop / "quality" / "tests"
    tests.mkdir(parents=True)
    (tests / "test_it.py").write_text(SHOWS_PROFILE.replace("\n    ", "\n"))
    elsewhere = pytester.mkdir("elsewhere")
    (elsewhere / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(elsewhere)

    result = pytester.runpytest_subprocess("-s", str(tests))

    result.stdout.fnmatch_lines(["*profile: tests shop*"])


@pytest.mark.parametrize("by", ["option", "ini"])
def test_project_elsewhere_is_named_by_option_or_ini(
    shop: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    suite = pytester.path.parent / f"{pytester.path.name}-suite"
    suite.mkdir()
    (suite / "test_it.py").write_text(SHOWS_PROFILE.replace("\n    ", "\n"))
    ini = f"dlt_project = {shop}\n" if by == "ini" else ""
    (suite / "pytest.ini").write_text(f"[pytest]\n{ini}")
    monkeypatch.chdir(suite)
    arguments = [f"--dlt-project={shop}"] if by == "option" else []

    result = pytester.runpytest_subprocess("-s", *arguments)

    result.stdout.fnmatch_lines(["*profile: tests shop*"])


def test_error_when_the_named_project_is_none(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--dlt-project=nowhere")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --dlt-project: there is no dlt.yml in */nowhere"])


def test_error_when_tests_belong_to_two_projects(pytester: pytest.Pytester) -> None:
    for name in ("one", "two"):
        folder = pytester.mkdir(name)
        (folder / "dlt.yml").touch()
        (folder / "test_it.py").write_text("def test_it(): pass\n")

    result = pytester.runpytest_subprocess("one", "two")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*more than one dlt project*", "*/one: */one", "*/two: */two"])


def test_error_when_the_fixture_is_asked_for_without_a_project(run_tests: RunTests) -> None:
    result = run_tests("def test_it(dlt_project): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*dlt_project: there is no dlt.yml*--dlt-project*dlt_run*"])


@pytest.mark.parametrize(
    ("arguments", "ini", "profile", "reason"),
    [
        ([], "", "tests", "default"),
        (["--dlt-profile=ci"], "", "ci", "--dlt-profile"),
        ([], "dlt_profile = ci", "ci", "ini dlt_profile"),
        (["--dlt-profile=tests"], "dlt_profile = ci", "tests", "--dlt-profile"),
        (["--dlt-profile=prod"], "dlt_test_profiles = prod", "prod", "--dlt-profile"),
    ],
)
def test_profile_is_chosen_by_option_then_ini_then_default(
    shop: Path,
    run_tests: RunTests,
    arguments: list[str],
    ini: str,
    profile: str,
    reason: str,
) -> None:
    (shop / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    result = run_tests(SHOWS_PROFILE, "-s", *arguments)

    result.stdout.fnmatch_lines([f"*profile {profile} ({reason})*", f"*profile: {profile} shop*"])


def test_pin_is_overridden_and_the_header_says_so(shop: Path, run_tests: RunTests) -> None:
    (shop / ".dlt").mkdir()
    (shop / ".dlt" / "profile-name").write_text("prod")

    result = run_tests(SHOWS_PROFILE, "-s")

    result.stdout.fnmatch_lines(["*tests (default; pin prod overridden)*", "*profile: tests*"])


def test_error_when_the_environment_asks_for_production(
    shop: Path, run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKSPACE__PROFILE", "prod")

    refused = run_tests(SHOWS_PROFILE)
    accepted = run_tests(SHOWS_PROFILE, "--dlt-profile=tests")

    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["ERROR: *WORKSPACE__PROFILE*`prod`*not a test profile*tests, test, ci*--dlt-profile*"]
    )
    accepted.assert_outcomes(passed=1)


def test_environment_and_path_are_restored_after_the_session(
    shop: Path, pytester: pytest.Pytester
) -> None:
    code = f"""
        import os, sys
        import pytest

        for name in [name for name in os.environ if name.startswith("PYTEST")]:
            del os.environ[name]
        before = dict(os.environ), list(sys.path)
        pytest.main(["-q", "--import-mode=importlib", {str(shop)!r}])
        print("restored:", (dict(os.environ), list(sys.path)) == before)
    """
    pytester.makepyfile(test_it="def test_it(): pass")
    script = pytester.path / "run.py"
    script.write_text(textwrap.dedent(code))

    pytester.runpython(script).stdout.fnmatch_lines(["restored: True"])


def test_header_says_that_an_installed_dlthub_has_the_project(
    shop: Path, run_tests: RunTests
) -> None:
    (shop / "dlthub").mkdir()
    (shop / "dlthub" / "__init__.py").write_text("transformation = runner = None\n")
    (shop / "dlthub" / "current.py").touch()

    result = run_tests("def test_it(): pass")

    result.stdout.fnmatch_lines(["dlt: the package dlthub is installed: * is left to it"])


def test_plugin_can_be_switched_off(shop: Path, run_tests: RunTests) -> None:
    code = """
        import os

        def test_it():
            assert "DLTHUB_PROJECT_SANDBOX" not in os.environ
    """

    result = run_tests(code, "-p", "no:dlthub")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("dlt:*")


def test_workers_have_sandboxes_of_their_own(shop: Path, run_tests: RunTests) -> None:
    code = """
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_rows(dlt_project, n, worker_id):
            run = dlt_project.run("load_orders")
            assert run.row_counts["items"] == 3
            assert f"{worker_id}-" in dlt_project.config.data_dir
    """

    run_tests(code, "-n", "2").assert_outcomes(passed=4)
