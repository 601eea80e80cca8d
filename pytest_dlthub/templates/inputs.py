"""The key of a template: a digest of everything that its data depend on."""

from __future__ import annotations

import inspect
import os
import random
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dlt
import pytest

from dlthub_project.context import ProjectRunContext
from dlthub_project.dlt_internals.configuration import configured_documents
from dlthub_project.dlt_internals.contexts import WorkspaceRunContext
from dlthub_project.dlt_internals.destinations import providers
from dlthub_project.sandbox import ENVIRONMENT_VARIABLE, Overrides, Sandbox, put_back_sources
from pytest_dlthub.hook_calls import called, of_others, refused
from pytest_dlthub.imports import Imports
from pytest_dlthub.templates import process_state
from pytest_dlthub.templates.code_parts import Difference
from pytest_dlthub.templates.digests import NoDigest, digest
from pytest_dlthub.templates.imported_code import Code
from pytest_dlthub.templates.load_marks import Load
from pytest_dlthub.templates.python_files import PythonFiles
from pytest_dlthub.templates.read_files import Build, file_digest

# raise it when templates or their keys are made in another way
_FORMAT = 8
_VERSIONS = ("dlt", "duckdb", "pytest-dlthub")

# variables that shells, terminals, CI and test runners set for each session, test or worker
_CHANGING = {
    *("PWD", "OLDPWD", "SHLVL", "_", "TERM", "COLUMNS", "LINES", "COLORTERM", "LS_COLORS"),
    *("WINDOWID", "DISPLAY", "HOSTNAME", "TMUX", "TMUX_PANE", "STY", "SSH_CLIENT", "SSH_TTY"),
    *("SSH_CONNECTION", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "INVOCATION_ID"),
    *("BUILD_ID", "BUILD_NUMBER", "BUILD_TAG", "BUILD_URL", "CI_JOB_ID", "CI_JOB_TOKEN"),
    # tox draws one for each run, as Python does for itself where there is none
    "PYTHONHASHSEED",
    *("CI_JOB_URL", "CI_JOB_STARTED_AT", "CI_JOB_JWT", "CI_PIPELINE_ID", "CI_PIPELINE_IID"),
    *("CI_PIPELINE_URL", "CI_PIPELINE_CREATED_AT", "CI_COMMIT_SHA", "CI_COMMIT_SHORT_SHA"),
    *("GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_RUN_ATTEMPT", "GITHUB_SHA", "GITHUB_ENV"),
    *("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY", "GITHUB_ACTION"),
    *("RUNNER_TRACKING_ID", "RUNNER_NAME", "CIRCLE_BUILD_NUM", "CIRCLE_SHA1"),
}
_CHANGING_GROUPS = (
    *("PYTEST_XDIST_", "COV_CORE_", "COVERAGE_", "TERM_PROGRAM", "VSCODE_", "XDG_SESSION_"),
    *("PYTEST_ADDOPTS", "PYTEST_DEBUG", "PYTEST_VERSION", "TERM_SESSION_ID"),
)
# hooks that decide where a build loads, and whether tests may use it
_HOOKS = ("pytest_dlt_replace_destination", "pytest_dlt_run_finished")
# these variables name the test
_OF_TEST = ("PYTEST_CURRENT_TEST", ENVIRONMENT_VARIABLE)


@dataclass(frozen=True)
class Key:
    """The key of a template.

    Attributes:
        text: Equal in all processes that would build equal data.
        incomparable: Names of replaced code that we cannot compare: only this test can use the
            template.
        differences: Code that differs from what was imported.
        group: Equal for tests whose marks ask for the same.
        parts: Digests of what may differ between those tests, by names that users know.
    """

    text: str
    incomparable: tuple[str, ...]
    differences: tuple[Difference, ...]
    group: str
    parts: Mapping[str, str]


class Inputs:
    """What the loads of a session depend on."""

    def __init__(
        self,
        root: Path,
        imports: Imports,
        *,
        lasting: Path | None,
        tests: Collection[str],
        own: Sequence[Path],
        asked: Any = None,
    ) -> None:
        """Make the inputs.

        Args:
            root: The folder of the project, workspace or plain dlt code.
            imports: Has noted modules when they were imported.
            lasting: If later sessions are to find templates by their keys, a folder for a cache
                about files; else None, and we read no Python files, as they do not change within
                one session.
            tests: The files whose tests were collected.
            own: Folders whose files are no inputs.
            asked: Options of the session that code may read.
        """
        self._asked = asked
        self._root = root
        self._imports = imports
        self._code = Code(imports, tests)
        self._lasting = lasting
        self._tests = tests
        self._own = [str(folder) for folder in own]
        self._settings = process_state.settings()
        self._changing = {n: v for n, v in os.environ.items() if _changes(n)}
        self._environment_at_start = self._environment()
        self._code.begin()
        imports.note_libraries()

    def key(self, loads: Sequence[Load], sandbox: Sandbox, item: pytest.Item) -> Key:
        """Return the key of the template for `loads`, in the active context.

        Args:
            loads: What the test asks for.
            sandbox: Its sandbox, which is active.
            item: The test.

        Raises:
            UsageError: An argument of a load, or a setting of the test, cannot be compared.
            HookFailed: A hook of a plugin raises, or returns something that we cannot compare.
        """
        # a build does not see what earlier runs have changed in its sources
        put_back_sources()
        parts = [load.digest() for load in loads]
        of_plugins = _inputs_of_plugins(item, loads, sandbox)
        differences = self._code.differences()
        incomparable = tuple(f"{d.name} ({d.kind})" for d in differences if d.digest is None)
        try:
            settings = {**self._settings_of(sandbox), **of_plugins}
            changed = [(d.name, d.digest) for d in differences]
            unlike = uuid4() if incomparable else None
            # all variables count, below: one process sets what another has from the start
            named = {name: digest(value) for name, value in settings.items()}
            others = {name: told for name, told in named.items() if not name.startswith("$")}
            text = digest(others, self._environment(), parts, changed, unlike, self._of_session)
        except NoDigest as error:
            raise pytest.UsageError(
                "dlt_load: a setting of this test, of dlt_config or dlt_destinations, cannot be "
                f"compared with that of another test: {error}"
            ) from error
        named |= {d.name: d.digest or uuid4().hex for d in differences}
        return Key(text, incomparable, tuple(differences), digest(parts), named)

    def _settings_of(self, sandbox: Sandbox) -> dict[str, Any]:
        """Return the settings of a test, by names that users know."""
        environment, context = self._environment(), self._of_context()
        started = self._environment_at_start
        changed = {name: environment.get(name) for name in {*environment, *started}}
        return {
            **{f"${n}": v for n, v in sorted(changed.items()) if v != started.get(n)},
            "the working folder": os.getcwd(),
            "the project or its settings files": context,
            # what code has set since dlt has read the files
            "dlt.config or dlt.secrets": [*configured_documents()],
            "dlt.config.register_provider()": _own_providers(),
            "dlt_config": Overrides(sandbox).described(),
            "dlt_destinations or dlt_allow_remote": (
                (sandbox.allowed, sandbox.destinations, sandbox.every_type),
                sandbox.loader_file_format,
                sandbox.secrets,
            ),
            **self._changed_settings(),
        }

    @contextmanager
    def recorded(self, loads: Collection[Load], key: Key, *own: Path) -> Iterator[Build]:
        """Note which files a build reads in the block, and what state it uses up.

        Args:
            loads: The loads of the build.
            key: Its key.
            *own: Folders whose files are no inputs.
        """
        build = Build(self._root, self._tests)
        before = self._code.states()
        sources = [file for load in loads if (file := _file_of(load.source))]
        folders = [*self._own, *map(str, own)]
        try:
            with build.recorded(self._imports.opened, sources, folders):
                yield build
        finally:
            after = self._code.states()
            used = {n: _digest(state) for n, state in before.items() if after[n] is not state}
            asked_here = process_state.servers_of_process(build.connected)
            build.conditions = replace(build.conditions, used=used, asked_here=asked_here)
            if "random" in used:
                # a test with a copy draws no random numbers for it
                random.setstate(cast("tuple[Any, ...]", before["random"]))
            self._code.accept(key.differences)

    def used_now(self, name: str) -> str:
        """Return the digest of state that a build has used up, such as a generator."""
        tokens = self._code.used_up.get(name)
        return _digest(tokens()["state"]) if tokens else ""

    def _of_context(self) -> tuple[Any, ...]:
        context = dlt.current.run_context()
        settings = {
            path.name: file_digest(path) for path in Path(context.settings_dir).glob("*.toml")
        }
        place: tuple[Any, ...] = (context.run_dir,)
        if isinstance(context, ProjectRunContext):
            project = context.project
            place = (*place, project.current_profile, project.manifest.merged)
        elif isinstance(context, WorkspaceRunContext):
            place = (*place, context.profile)
        if self._lasting is None or Path(context.run_dir) == self._root:
            return (settings, place)
        # code has changed into another project
        return (settings, place, PythonFiles(Path(context.run_dir), self._lasting).digest)

    def _changed_settings(self) -> dict[str, Any]:
        """Return the settings of the process that a test has changed."""
        now = process_state.settings()
        return {n: v for n, v in now.items() if n in self._settings and v != self._settings[n]}

    def _environment(self) -> Mapping[str, str]:
        """Return all variables, without those that change per session and that no test has set."""
        removed = dict.fromkeys(self._changing.keys() - os.environ.keys(), "")
        # variables with folders of the session are the plugin's own
        own = tuple(self._own)
        return {
            name: value
            for name, value in sorted({**os.environ, **removed}.items())
            if name not in _OF_TEST
            and not value.startswith(own)
            and not (_changes(name) and value == self._changing.get(name))
        }

    @cached_property
    def _of_session(self) -> str:
        if self._lasting is None:
            return ""
        versions = {name: version(name) for name in _VERSIONS}
        zone = (time.tzname, time.timezone)
        python = (sys.version_info[:2], sys.platform, zone, sys.flags.optimize, sys.flags.utf8_mode)
        started = {name: self._settings.get(name) for name in process_state.AT_START}
        files = PythonFiles(self._root, self._lasting).digest
        code = (str(self._root), files, self._code.at_start)
        return digest(
            _FORMAT, versions, _installed_versions(), python, started, code, _digest(self._asked)
        )


def _changes(name: str) -> bool:
    return name in _CHANGING or name.startswith(_CHANGING_GROUPS)


def _own_providers() -> list[str]:
    """Return digests of configuration providers that code of the user has added."""
    kinds = ("dlt", "dlthub_project", "pytest_dlthub")
    found = [p for p in providers() if str(type(p).__module__).partition(".")[0] not in kinds]
    return [_digest(provider) for provider in found]


def _digest(state: object) -> str:
    try:
        return digest(state)
    except NoDigest:
        # equal to none
        return uuid4().hex


def _installed_versions() -> list[str]:
    """Return the names of the distributions that are installed, with their versions."""
    found: set[str] = set()
    for folder in filter(os.path.isdir, sys.path):
        found.update(n for n in os.listdir(folder) if n.endswith((".dist-info", ".egg-info")))
    return sorted(found)


def _file_of(source: Any) -> str | None:
    """Return the file of the module that defines a source."""
    function = inspect.unwrap(source) if callable(source) else source
    name = getattr(function, "__module__", None) or type(source).__module__
    return getattr(sys.modules.get(name), "__file__", None)


def _inputs_of_plugins(
    item: pytest.Item, loads: Iterable[Load], sandbox: Sandbox
) -> dict[str, Any]:
    """Return what plugins add to a key, by names that users know.

    Args:
        item: The test; conftests beside it have hooks, too.
        loads: What it asks for.
        sandbox: Its sandbox, which is active.

    Raises:
        HookFailed: A hook raises, or returns something that we cannot compare.
    """
    hook = item.ihook.pytest_dlt_template_inputs
    answers = [called(hook, load=load) for load in loads]
    try:
        added: dict[str, Any] = {hook.name: digest(answers)}
    except NoDigest as error:
        problem = f"what it returns cannot be compared between processes: {error}"
        raise refused(hook, problem) from None
    plugins = [[*_digests_of_plugins(getattr(item.ihook, name))] for name in _HOOKS]
    if any(plugins):
        added["plugins with hooks of pytest-dlthub"] = plugins
    if sandbox.is_replaced_by_plugins:
        added[_HOOKS[0]] = [_replaced(load, sandbox) for load in loads]
    return added


def _replaced(load: Load, sandbox: Sandbox) -> Any:
    """Return the replacement that plugins choose for the destination of a load."""
    with suppress(Exception):
        # the look-up asks the plugins
        return sandbox.replaced.get(load.destination().destination_name)
    # its run will raise the error
    return None


def _digests_of_plugins(hook: Any) -> Iterator[tuple[str, str]]:
    """Yield plugin and digest of the file of each implementation that is not ours."""
    for implementation in of_others(hook):
        function = inspect.unwrap(implementation.function)
        file = inspect.getsourcefile(function) if inspect.isroutine(function) else None
        path = Path(file or "")
        # without a file: equal to nothing
        yield implementation.plugin_name, file_digest(path) if path.is_file() else uuid4().hex
