"""Which project a session tests, on which profile, and what that costs those without one."""

from __future__ import annotations

import datetime
import os
import shutil
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path

import freezegun
import pytest
import time_machine
from processes import python

from pytest_dlthub.session_folder import new_session_folder

RunTests = Callable[..., pytest.RunResult]

PYTEST = shutil.which("pytest", path=sysconfig.get_path("scripts")) or "pytest"

SHOWS_PROFILE = """
    def test_profile(dlt_project):
        print("profile:", dlt_project.config.current_profile, dlt_project.config.name)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    """A suite with an ini file of its own, that lies in no project."""
    folder = pytester.path.parent / f"{pytester.path.name}-suite"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(SHOWS_PROFILE.replace("\n    ", "\n"))
    return folder


@pytest.fixture
def beside(shop: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite beside the project's folder, which imports a source of it; where pytest starts."""
    project, tests = pytester.mkdir("shop"), pytester.mkdir("tests")
    for name in ("dlt.yml", "sources"):
        (shop / name).rename(project / name)
    imports = "from sources.shop import orders"
    (tests / "test_it.py").write_text(imports + SHOWS_PROFILE.replace("\n    ", "\n"))
    monkeypatch.chdir(tests)
    return tests


def test_plain_suite_does_not_import_dlt_and_sees_no_difference(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import os, sys

        def test_nothing_of_ours_is_there():
            heavy = ["dlt", "dlthub_project", "pandas", "pyarrow", "duckdb", "yaml", "pydantic"]
            # what imports syrupy is there
            heavy += ["pytest_dlthub.assertions"]
            assert [name for name in heavy if name in sys.modules] == []
            assert "WORKSPACE__PROFILE" not in os.environ
            assert "DLTHUB_PROJECT_SANDBOX" not in os.environ
            assert "RUNTIME__DLTHUB_TELEMETRY" not in os.environ
        """
    )

    # not in a fork, which has libraries
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")

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
        made_in = pipeline.working_dir
        project = dlt.hub.current.project.config()
        """
    )

    result = run_tests(
        """
        from pathlib import Path
        import conftest

        def test_it_is_in_the_sandbox():
            assert conftest.project.current_profile == "tests"
            assert "session" in Path(conftest.made_in).parts
            assert not Path("_data").exists()
        """,
        "-W",
        "error",
    )

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["dlt: project * (dlt.yml) · profile tests (default) · secrets all *"]
    )


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "mode", ["prepend", pytest.param("append", marks=pytest.mark.slow), "importlib"]
)
@pytest.mark.parametrize(
    "program", ["pytest", pytest.param("python -m pytest", marks=pytest.mark.slow)]
)
def test_sources_are_imported_in_every_import_mode(
    shop: Path, pytester: pytest.Pytester, program: str, mode: str
) -> None:
    tests = pytester.mkdir("tests")
    (tests / "test_it.py").write_text("from sources.shop import orders\ndef test_it(): orders()\n")
    # the program does not put the working directory on the path
    command = [*python(), "-m", "pytest"] if " " in program else [*python(), PYTEST]

    result = pytester.run(*command, f"--import-mode={mode}", "tests")

    result.assert_outcomes(passed=1)


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
    shop: Path, pytester: pytest.Pytester, run_pytest: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = shop / "quality" / "tests"
    tests.mkdir(parents=True)
    (tests / "test_it.py").write_text(SHOWS_PROFILE.replace("\n    ", "\n"))
    elsewhere = pytester.mkdir("elsewhere")
    (elsewhere / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(elsewhere)

    result = run_pytest("-s", str(tests))

    result.stdout.fnmatch_lines(["*profile: tests shop*"])


@pytest.mark.parametrize("above", ["rootdir", "working directory"])
def test_project_above_rootdir_or_the_working_directory_is_found(
    shop: Path,
    suite: Path,
    pytester: pytest.Pytester,
    run_pytest: RunTests,
    monkeypatch: pytest.MonkeyPatch,
    above: str,
) -> None:
    below = pytester.mkdir("below")
    monkeypatch.chdir(below if above == "working directory" else suite)
    rootdir = below if above == "rootdir" else suite

    result = run_pytest("-s", f"--rootdir={rootdir}", str(suite))

    result.stdout.fnmatch_lines(["*profile: tests shop*"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "ini"),
    [
        (["--dlt-project=../shop"], ""),
        ([], "dlt_project = ../shop"),
        ([], "dlt_tests_project_path = ../shop"),
        ([], "dlt_project = ../shop\ndlt_tests_project_path = ../shop"),
        (["--dlt-project=../shop"], "dlt_project = ../elsewhere"),
    ],
)
def test_project_beside_the_tests_is_named_by_option_or_ini(
    beside: Path, run_pytest: RunTests, arguments: list[str], ini: str
) -> None:
    (beside / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    result = run_pytest("-s", "--import-mode=importlib", *arguments)

    result.stdout.fnmatch_lines(["*profile: tests shop*"])
    result.assert_outcomes(passed=1)


def test_folder_in_the_ini_file_is_relative_to_that_file(
    beside: Path, pytester: pytest.Pytester, run_pytest: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    (beside / "pytest.ini").write_text("[pytest]\ndlt_project = ../shop\n")
    monkeypatch.chdir(pytester.mkdir("elsewhere"))

    result = run_pytest("-s", str(beside))

    result.stdout.fnmatch_lines(["*profile: tests shop*"])


def test_workspace_beside_the_tests_is_named_too(
    suite: Path, pytester: pytest.Pytester, run_pytest: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.mkdir(".dlt").joinpath(".workspace").touch()
    (pytester.path / "invoices.py").write_text("ROWS = [{'number': 1}]\n")
    (suite / "test_it.py").write_text(
        "from invoices import ROWS\n"
        "def test_it(dlt_run): assert dlt_run(ROWS, table_name='rows').rows('rows') == ROWS\n"
    )
    monkeypatch.chdir(suite)

    result = run_pytest(f"--dlt-project={pytester.path}")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dlt: workspace * (.dlt/.workspace) · profile tests*"])


def test_error_when_the_named_project_is_none(run_pytest: RunTests) -> None:
    result = run_pytest("--dlt-project=nowhere")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --dlt-project: there is no dlt.yml or .dlt/.workspace in */nowhere"]
    )


@pytest.mark.parametrize(
    ("name", "alias"),
    [("dlt_project", "dlt_tests_project_path"), ("dlt_profile", "dlt_tests_project_profile")],
)
def test_error_when_a_setting_and_its_old_name_say_different_things(
    shop: Path, run_tests: RunTests, name: str, alias: str
) -> None:
    (shop / "pytest.ini").write_text(f"[pytest]\n{name} = tests\n{alias} = ci\n")

    result = run_tests("def test_it(): pass")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{name} (tests) and {alias} (ci)*remove {alias}"])


def test_old_names_are_called_aliases_by_the_help(run_pytest: RunTests) -> None:
    result = run_pytest("--help")

    result.stdout.fnmatch_lines(
        [
            "*dlt_tests_project_path (string):",
            "*Alias of dlt_project.",
            "*dlt_tests_project_profile (string):",
            "*Alias of dlt_profile.",
        ]
    )


def test_error_when_tests_belong_to_two_projects(
    pytester: pytest.Pytester, run_pytest: RunTests
) -> None:
    for name in ("one", "two"):
        folder = pytester.mkdir(name)
        (folder / "dlt.yml").touch()
        (folder / "test_it.py").write_text("def test_it(): pass\n")

    result = run_pytest("one", "two")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*more than one dlt project*", "*/one: */one", "*/two: */two"])


@pytest.fixture
def two_projects(pytester: pytest.Pytester) -> None:
    """Two projects in one repository, each with a test that must not run."""
    pytester.makeini("[pytest]")
    for name in ("one", "two"):
        folder = pytester.mkdir(name)
        (folder / "dlt.yml").touch()
        (folder / f"test_{name}.py").write_text(f"def test_{name}(): raise RuntimeError('ran')\n")


@pytest.mark.parametrize("arguments", [[], ["--dlt-project=one"]])
@pytest.mark.usefixtures("two_projects")
def test_error_when_collected_tests_are_of_two_projects(
    run_pytest: RunTests, arguments: list[str]
) -> None:
    result = run_pytest(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*more than one dlt project*", "*/test_one.py: */one", "*/test_two.py: */two"]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-n", "2"], marks=pytest.mark.slow),
        ["two", "--dlt-project=one"],
        ["-k", "two"],
    ],
)
@pytest.mark.usefixtures("two_projects")
def test_a_test_of_a_project_that_the_session_does_not_test_is_an_error(
    run_pytest: RunTests, arguments: list[str]
) -> None:
    result = run_pytest(*arguments)

    result.assert_outcomes(errors=2 if "-n" in arguments else 1, deselected="-k" in arguments)
    result.stdout.fnmatch_lines(["*this test belongs to the dlt project */two*--dlt-project*"])
    result.stdout.no_fnmatch_line("*activation.py*")


@pytest.mark.usefixtures("two_projects")
def test_tests_of_two_projects_are_listed_and_each_project_is_tested_alone(
    run_pytest: RunTests,
) -> None:
    listed = run_pytest("--collect-only", "-q")
    alone = run_pytest("one")

    listed.stdout.fnmatch_lines(["one/test_one.py::test_one", "two/test_two.py::test_two"])
    assert listed.ret == 0
    alone.stdout.fnmatch_lines(["dlt: project one *", "*RuntimeError: ran*"])


@pytest.mark.parametrize("kind", ["plain", "workspace"])
def test_error_when_the_fixture_is_asked_for_without_a_project(
    pytester: pytest.Pytester, run_tests: RunTests, kind: str
) -> None:
    if kind == "workspace":
        pytester.mkdir(".dlt").joinpath(".workspace").touch()

    result = run_tests("def test_it(dlt_project): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*dlt_project: there is no dlt.yml*--dlt-project*dlt_run*"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "ini", "profile", "reason"),
    [
        ([], "", "tests", "default"),
        (["--dlt-profile=ci"], "", "ci", "--dlt-profile"),
        ([], "dlt_profile = ci", "ci", "ini dlt_profile"),
        ([], "dlt_tests_project_profile = ci", "ci", "ini dlt_profile"),
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

        for name in [name for name in os.environ if name.startswith(("PYTEST_C", "PYTEST_X"))]:
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
    shop: Path, run_tests_apart: RunTests
) -> None:
    (shop / "dlthub").mkdir()
    (shop / "dlthub" / "__init__.py").write_text("transformation = runner = None\n")
    (shop / "dlthub" / "current.py").touch()

    result = run_tests_apart("def test_it(): pass")

    result.stdout.fnmatch_lines(
        ["dlt: the package dlthub is installed: * is left to it · profile tests*"]
    )


def test_plugin_can_be_switched_off(shop: Path, run_tests: RunTests) -> None:
    code = """
        import os

        def test_it():
            assert "DLTHUB_PROJECT_SANDBOX" not in os.environ
    """

    result = run_tests(code, "-p", "no:dlthub")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("dlt:*")


@pytest.mark.slow
def test_workers_have_sandboxes_of_their_own(shop: Path, run_tests_apart: RunTests) -> None:
    code = """
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_rows(dlt_project, n, worker_id):
            run = dlt_project.run("load_orders")
            assert run.row_counts["items"] == 3
            assert f"{worker_id}-" in dlt_project.config.data_dir
    """

    run_tests_apart(code, "-n", "2").assert_outcomes(passed=4)


@pytest.mark.parametrize("clock", ["freezegun", "time_machine"])
def test_a_clock_that_a_test_has_set_makes_no_session_old(tmp_path: Path, clock: str) -> None:
    of_others = new_session_folder(tmp_path / "base")
    long_ago = new_session_folder(tmp_path / "base")
    os.utime(long_ago, (1, 1))
    future = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)

    with time_machine.travel(future) if clock == "time_machine" else freezegun.freeze_time(future):
        new_session_folder(tmp_path / "base")

    assert of_others.exists()
    assert not long_ago.exists()


def test_what_a_sandbox_imports_is_imported_before_the_first_test(
    pytester: pytest.Pytester, run_tests_apart: RunTests
) -> None:
    pytester.makeconftest(
        """
        import sys

        def pytest_runtest_protocol(item):
            item.config.imported = "dlthub_project.sandbox.patches" in sys.modules
        """
    )

    result = run_tests_apart(
        """
        import dlt

        def test_it(dlt_isolated, pytestconfig):
            assert pytestconfig.imported
        """
    )

    result.assert_outcomes(passed=1)
