"""Decides which project a session tests, on which profile, and activates its sandbox."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dlthub.destination_settings import is_replaced_by_plugins, replacement_by
from pytest_dlthub.imports import Imports
from pytest_dlthub.options import (
    MANIFEST,
    check_ini,
    check_is_one,
    checks_runs,
    chosen_root,
    ini_by_either_name,
    option,
    root_above,
)
from pytest_dlthub.plain_suites import EarlyCode, take_over_earlier_code
from pytest_dlthub.session_folder import new_session_folder, readable

if TYPE_CHECKING:
    from dlthub_project.sandbox import Sandbox

# the runtime reads the first (`dlthub_project.sandbox`), dlt the second
SANDBOX_VARIABLE = "DLTHUB_PROJECT_SANDBOX"
_AT_IMPORT = "dlthub_project.sandbox.at_import"
_TELEMETRY_VARIABLE = "RUNTIME__DLTHUB_TELEMETRY"
# the formats of DuckDB that dlt can write rows in
_LOADER_FILE_FORMATS = ("insert_values", "jsonl", "parquet")

SESSION = pytest.StashKey["Session"]()


# read by dlt and by the runtime (`dlthub_project.context`)
PROFILE_VARIABLE = "WORKSPACE__PROFILE"
_DEFAULT_PROFILE = "tests"
_PIN_FILE = Path(".dlt", "profile-name")


@dataclass
class Session:
    """What the plugin decided for one pytest session.

    Attributes:
        root: The folder of the project or workspace under test; None for plain dlt code.
        profile: The profile for tests.
        profile_reason: Why it is this profile, for the header.
        isolates_all: Whether every test has a sandbox, even if it asks for none.
        allowed: The names of the remote destinations that tests may reach.
        loader_file_format: The format in which dlt loads rows; None for the fastest.
        secrets: Which secrets tests see: `all`, `none`, or those of one file, by its name.
        checks: Whether the runs of tests are checked.
        working_dir: The folder in which pytest was started.
        test_files: The files of the tests that pytest has collected, selected or not.
        imports: Notes modules when they are imported.
        installed_options: The `dest` of options that exist before pytest reads a conftest.
    """

    root: Path | None
    profile: str
    profile_reason: str
    isolates_all: bool
    allowed: tuple[str, ...]
    loader_file_format: str | None
    secrets: str
    checks: bool
    working_dir: Path
    basetemp: Path | None
    test_files: set[str] = field(default_factory=set)
    imports: Imports = field(default_factory=Imports)
    installed_options: frozenset[str] = frozenset()
    _folder: Path | None = None
    _restore: dict[str, str | None] = field(default_factory=dict)
    sandbox: Sandbox | None = None
    _path_entry: str | None = None
    _early: EarlyCode | None = None
    _tests: int = 0
    _left: list[Path] = field(default_factory=list)
    _set_before: tuple[int, int] = (0, 0)
    _roots: dict[Path, Path | None] = field(default_factory=dict)

    @classmethod
    def start(cls, config: pytest.Config) -> Session:
        """Find the project; if there is one, activate it. Imports neither dlt nor the runtime.

        Raises:
            UsageError: The project or profile that was asked for cannot be tested on.
        """
        root = chosen_root(config)
        profile, reason = chosen_profile(config, root)
        basetemp = option(config, "basetemp")
        check_ini(config, "dlt_keep", "failed", "all", "none")
        check_ini(config, "dlt_loader_file_format", "", *_LOADER_FILE_FORMATS)
        check_ini(config, "dlt_schema_snapshot_fails_on", "any", "breaking")
        check_ini(config, "dlt_secrets", "all", "tests", "none")
        chosen = config.getini("dlt_secrets")
        session = cls(
            root=root,
            profile=profile,
            profile_reason=reason,
            isolates_all=root is not None or config.getini("dlt_isolation"),
            allowed=tuple(config.getini("dlt_allow_remote")),
            loader_file_format=config.getini("dlt_loader_file_format") or None,
            secrets=f"{profile}.secrets.toml" if chosen == "tests" else chosen,
            checks=checks_runs(config),
            working_dir=Path.cwd(),
            basetemp=Path(basetemp).absolute() if basetemp else None,
            installed_options=frozenset(vars(config.known_args_namespace)),
        )
        if _AT_IMPORT in sys.modules:
            session._set_before = sys.modules[_AT_IMPORT].count()
        if session.isolates_all:
            session._activate()
        else:
            session._early = EarlyCode(
                config, session.secrets, lambda: session.folder / "session" / "early"
            )
            session._early.begin_imports()
        rewriting = getattr(config.pluginmanager, "rewrite_hook", None)
        session.imports.begin(rewriting, files=bool(option(config, "dlt_reuse")))
        return session

    @property
    def observes_all(self) -> bool:
        """Whether we observe the runs of every test, from its setup to its teardown."""
        return self.isolates_all or self.checks

    @property
    def is_project(self) -> bool:
        """Whether the session tests a `dlt.yml`, and not a workspace or plain dlt code."""
        return self.root is not None and (self.root / MANIFEST).is_file()

    @cached_property
    def is_left_to_dlthub(self) -> bool:
        """Whether the session tests a `dlt.yml`, and a real package `dlthub` is there to run it."""
        if not self.is_project:
            return False
        from dlthub_project import hub_finder

        return hub_finder.is_dlthub_installed()

    def check_has_project(self, asked: str) -> None:
        """Make sure that there is a project, for a fixture or mark that needs one.

        Raises:
            UsageError: There is no project, or the package `dlthub` runs it.
        """
        instead = "dlt_run, dlt_runs, dlt_items or dlt_load(source=...)"
        if not self.is_project:
            raise pytest.UsageError(
                f"{asked}: there is no dlt.yml at or above the tests, rootdir or the working "
                "directory; name its folder with --dlt-project or the ini option dlt_project. "
                f"Workspaces and plain dlt code are tested with {instead}."
            )
        if self.is_left_to_dlthub:
            raise pytest.UsageError(
                f"{asked}: the package dlthub is installed, and {self.root} is left to it. Its "
                f"code is tested with {instead}; or uninstall dlthub."
            )

    def check_belongs(self, test: Path) -> None:
        """Make sure that a test belongs to no other project: it would run on the wrong profile.

        Raises:
            Failed: It does.
        """
        root = self._project_of(test)
        if root not in (None, self.root):
            # this session may shorten no traceback: the message alone is of use
            raise pytest.fail.Exception(
                f"this test belongs to the dlt project {root}, which this session does not test. "
                f"Run `pytest {root}`, or name the project: --dlt-project, ini option dlt_project.",
                pytrace=False,
            )

    def check_belong_to_one(self, tests: Iterable[Path]) -> None:
        """Make sure that collected tests do not belong to several projects.

        Raises:
            UsageError: They do.
        """
        found = {self._project_of(test): test for test in tests}
        found.pop(None, None)
        check_is_one(found)

    def _project_of(self, test: Path) -> Path | None:
        folder = test.parent
        if folder not in self._roots:
            root = root_above(folder)
            self._roots[folder] = root if root and (root / MANIFEST).is_file() else None
        return self._roots[folder]

    def check_manifest(self) -> None:
        """Make sure that the manifest of the project, if there is one, is valid.

        Raises:
            UsageError: It is not; the message has the errors of the manifest.
        """
        if not self.is_project or self.root is None or self.is_left_to_dlthub:
            return
        from dlthub_project.errors import ProjectError
        from dlthub_project.manifest import Manifest
        from dlthub_project.secrets import KNOWN

        try:
            manifest = Manifest.open(self.root / MANIFEST, self.profile)
        except ProjectError as error:
            raise pytest.UsageError(str(error)) from error
        KNOWN.exempt(manifest.words())

    def stop(self) -> None:
        """Restore the environment and `sys.path`, and delete folders that no failed test needs."""
        self.imports.end()
        try:
            self._end_sandbox()
        except Exception as error:
            # without its text: there may be credentials in it
            print(f"dlt: cannot remove the remote data of this session ({type(error).__name__})")
        self.end_early_code()
        if self.sandbox is not None:
            from dlthub_project.sandbox import leave

            leave(self.sandbox)
        for name, value in self._restore.items():
            _set_variable(name, value)
        if _AT_IMPORT in sys.modules:
            # what this session has set: a session in the test's own process is not the last
            sys.modules[_AT_IMPORT].forget_since(self._set_before)
        if self._path_entry in sys.path:
            sys.path.remove(self._path_entry)
        if self._folder is not None:
            for folder in (self._folder / "session", *self._left):
                shutil.rmtree(folder, ignore_errors=True)
            # not empty if it keeps data of failed tests
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    @property
    def folder(self) -> Path:
        """The folder of all sandboxes of this session; made on first use."""
        if self._folder is None:
            self._folder = new_session_folder(self.basetemp)
        return self._folder

    def new_test_folder(self, test_name: str) -> Path:
        """Return a new path for the sandbox of a test; does not make the folder."""
        self._tests += 1
        return self.folder / f"{self._tests:04}-{readable(test_name)}"

    def delete(self, folder: Path) -> None:
        """Delete the folder of a sandbox that has ended.

        Windows cannot delete a file that a test has left open: then the folder goes at the end.
        """
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            self._left.append(folder)

    def ask_plugins(self, node: pytest.Session) -> None:
        """Ask plugins for replacements of destinations, and read which ones they allow."""
        self.allowed = tuple(node.config.getini("dlt_allow_remote"))
        if self.sandbox is None:
            return
        from dlthub_project.sandbox import move_destinations

        self.sandbox = replace(
            self.sandbox,
            allowed=self.allowed,
            replacement=replacement_by(node),
            is_replaced_by_plugins=is_replaced_by_plugins(node),
        )
        move_destinations(self.sandbox)

    def end_early_code(self) -> None:
        """Let plain code run as without this plugin from now on."""
        if self._early is not None:
            self._early.end()

    def setup_of(self, item: pytest.Item) -> AbstractContextManager[None]:
        """Keep files of fixtures that run before the test's sandbox out of the home folder."""
        return nullcontext() if self._early is None else self._early.setup_of(item)

    def _end_sandbox(self) -> None:
        """Drop what fixtures of wider scope have loaded into remote destinations."""
        if self._folder is None or not (self._folder / "session").exists():
            return
        from dlthub_project.sandbox import end

        if self.sandbox is not None:
            end(self.sandbox)

    def _activate(self) -> None:
        self._set(_TELEMETRY_VARIABLE, "false")
        # without its `.pth` line (`python -S`) `import dlt` would not find dlt.hub
        from dlthub_project import hub_finder

        hub_finder.install()
        # this imports no dlt
        from dlthub_project.sandbox import Sandbox, enter, note_threads

        note_threads()
        take_over_earlier_code()
        self.sandbox = Sandbox(
            folder=str(self.folder / "session"),
            project=str(self.root) if self.root else None,
            working_dir=str(self.working_dir),
            allowed=self.allowed,
            loader_file_format=self.loader_file_format,
            profile=self.profile if self.root else None,
            secrets=self.secrets,
        )
        # for subprocesses; this process has it in memory
        self._set(SANDBOX_VARIABLE, self.sandbox.to_environment())
        enter(self.sandbox)
        if self.root is not None:
            self._set(PROFILE_VARIABLE, self.profile)
            # so that `from sources.x import y` works in tests, in every import mode
            path_entry = _module_root(self.root, self.profile)
            if path_entry not in sys.path:
                sys.path.insert(0, path_entry)
                self._path_entry = path_entry

    def _set(self, name: str, value: str) -> None:
        self._restore.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def _module_root(project: Path, profile: str) -> str:
    """Return the folder of the project's modules: its own, unless the manifest names another."""
    manifest = project / MANIFEST
    if not manifest.is_file():
        return str(project)
    if "project_dir:" not in manifest.read_text(encoding="utf-8", errors="replace"):
        return str(project)
    # rare, and worth the import: only the runtime reads a manifest correctly
    from dlthub_project.errors import ProjectError
    from dlthub_project.manifest import Manifest

    try:
        return Manifest.open(manifest, profile).settings.project_dir
    except ProjectError:
        # whoever uses the project gets the error
        return str(project)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def chosen_profile(config: pytest.Config, project: Path | None) -> tuple[str, str]:
    """Return the profile to test on, and the reason for it.

    Raises:
        UsageError: The chosen profile is not a test profile.
    """
    accepted: list[str] = config.getini("dlt_test_profiles")
    by_option = option(config, "dlt_profile")
    ini = ini_by_either_name(config, "dlt_profile", "dlt_tests_project_profile")
    environment = os.environ.get(PROFILE_VARIABLE) if project else None
    choices = (
        (by_option, "--dlt-profile"),
        (ini, "ini dlt_profile"),
        (environment, f"environment variable {PROFILE_VARIABLE}"),
        (_DEFAULT_PROFILE, "default"),
    )
    profile, reason = next((name, why) for name, why in choices if name)
    if profile not in accepted:
        raise pytest.UsageError(
            f"{reason}: `{profile}` is not a test profile. Accepted: {', '.join(accepted)}; "
            "the ini option dlt_test_profiles lists them. Name one with --dlt-profile."
        )
    reasons = [reason]
    pin = project / _PIN_FILE if project else None
    if (
        pin
        and pin.is_file()
        and (pinned := pin.read_text(encoding="utf-8", errors="replace").strip()) != profile
    ):
        reasons.append(f"pin {pinned} overridden")
    return profile, "; ".join(reasons)
