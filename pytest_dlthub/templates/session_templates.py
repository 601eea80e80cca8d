"""Finds, builds and copies the templates that the tests of a session ask for."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dlthub_project.dlt_internals import configuration, contexts, datasets, destinations
from dlthub_project.errors import ProjectError, RemoteDestinationBlocked, causes
from dlthub_project.sandbox import (
    Overrides,
    Sandbox,
    isolated,
    reads_through_twins,
    unobserved,
)
from pytest_dlthub.activation import SESSION
from pytest_dlthub.data_coverage import reads
from pytest_dlthub.finished_runs import tell
from pytest_dlthub.pipeline_run import PipelineRun
from pytest_dlthub.report import RECORDED, USES, TemplateUses
from pytest_dlthub.templates import build_coverage
from pytest_dlthub.templates.decorators import decorated
from pytest_dlthub.templates.inputs import Inputs, Key
from pytest_dlthub.templates.load_marks import MARK, Load, Marks, check_destination, check_run
from pytest_dlthub.templates.loaded_runs import LoadedRuns
from pytest_dlthub.templates.postgres_databases import Databases
from pytest_dlthub.templates.process_state import servers_elsewhere
from pytest_dlthub.templates.read_files import Build, Conditions
from pytest_dlthub.templates.store import (
    BuildFailed,
    FailedBefore,
    TemplateStore,
    cache_folder,
    session_identity,
    template_folders,
)
from pytest_dlthub.templates.template import Damaged, Template
from pytest_dlthub.templates.twins import OpenTemplates, TwinOfCopy
from pytest_dlthub.tracebacks import is_interrupt, told

TEMPLATES = pytest.StashKey["Templates"]()

# how often we replace a damaged template before we give up
_MOST_DAMAGED = 2


_FULL = (errno.ENOSPC, errno.EDQUOT)
# databases say it in words, without the error number
_IN_WORDS = ("no space left on device", "disk quota exceeded")


@dataclass(frozen=True)
class _Request:
    """What one test asks for, and the sandbox to copy it into."""

    test: pytest.Item
    loads: Mapping[str, Load]
    sandbox: Sandbox
    databases: Databases
    uses: TemplateUses
    key: Key


class Templates:
    """Gives each test its own copy of the data that its marks ask for."""

    def __init__(self, config: pytest.Config) -> None:
        self._marks = Marks()
        self._session = session_identity(config)
        self._open_templates = OpenTemplates()
        config.add_cleanup(self._open_templates.close)
        session = config.stash[SESSION]
        self._inputs = Inputs(
            session.root or config.rootpath,
            session.imports,
            lasting=cache_folder() if config.getoption("dlt_reuse") else None,
            tests=session.test_files,
            own=[session.folder, *template_folders(config)],
            asked=_asked_of_session(config),
        )
        self._stores = [
            TemplateStore(folder, self._session, self._inputs.used_now)
            for folder in template_folders(config)
        ]

    @classmethod
    def of(cls, config: pytest.Config) -> Templates:
        """Return the templates of a session; the same ones for all of its tests."""
        if TEMPLATES not in config.stash:
            config.stash[TEMPLATES] = cls(config)
        return config.stash[TEMPLATES]

    @contextmanager
    def loaded(self, item: pytest.Item, sandbox: Sandbox) -> Iterator[LoadedRuns]:
        """Copy the data that the marks of a test ask for into its sandbox.

        Raises:
            UsageError: A mark is wrong.
            Failed: The build has failed for another test, which shows the error.
            Exception: The error of the build.
        """
        loads = self._marks.loads_of(item)
        _check_profile(item.config.stash[SESSION].profile)
        uses = item.stash[USES] = TemplateUses()
        test = getattr(item, "obj", None)
        with decorated(test):
            key = self._inputs.key(list(loads.values()), sandbox, item)
        uses.own = list(key.incomparable)
        with Databases.of(loads.values(), key.text, sandbox, item.config) as databases:
            databases.key = build_coverage.key_of(databases.key)
            request = _Request(item, loads, sandbox, databases, uses, key)
            with decorated(test):
                template = self._copied(request)
            build_coverage.take(template.folder)
            _tell_of_recordings(item, loads)
            is_of_one = key.incomparable or template.conditions.asked_here
            twin = None
            if not is_of_one and reads_through_twins():
                twin = TwinOfCopy.of(self._open_templates, template, sandbox.folder)
            with LoadedRuns.of(loads, template, twin) as runs:
                yield runs
            if is_of_one:
                # no other test has its key, or could use its data
                databases.drop_loaded(template.folder)
                shutil.rmtree(template.folder, ignore_errors=True)
            elif uses.built:
                drop = partial(databases.drop_loaded, template.folder)
                self._stores[-1].note_first_use(template, key.group, drop)

    def _copied(self, request: _Request) -> Template:
        uses = request.uses
        for is_last in (*[False] * _MOST_DAMAGED, True):
            store, template = self._found_or_built(request)
            try:
                with full_disk_told(Path(request.sandbox.folder)):
                    request.databases.copy_from(template.folder)
                    template.copy_to(request.sandbox.folder)
            except Damaged as error:
                store.discard(template, error)
                if is_last:
                    raise
            except FileExistsError as error:
                raise pytest.UsageError(
                    f"{MARK}: {error} is there already: a fixture has run a pipeline before. "
                    "Let it ask for dlt_loaded first."
                ) from None
            else:
                break
            finally:
                uses.notes += [note for s in self._stores for note in s.taken_damages()]
        uses.copied += 1
        template.note_use()
        return template

    def _found_or_built(self, request: _Request) -> tuple[TemplateStore, Template]:
        key = request.databases.key
        # not in the cache: databases of a server end with the session, and no other test can use
        # a template that cannot be compared
        goes = request.databases or request.key.incomparable
        stores = self._stores[-1:] if goes else self._stores
        for store in stores:
            if found := store.find(key):
                return store, found
        writable = [store for store in stores if store.is_writable]
        if not writable:
            raise pytest.UsageError(
                f"{MARK}: {stores[-1].root} cannot be written to. Name another folder for the data "
                "of tests: --basetemp, or the environment variable TMPDIR."
            )
        store = writable[0]
        if store is not stores[0]:
            request.uses.notes.append(f"not kept: {stores[0].root} cannot be written to")
        build = _Build(request, self._inputs, self._session)
        changed = {name: uuid4().hex for name in store.changed(key)}
        try:
            with full_disk_told(store.root):
                template, is_new = store.build(key, build)
        except FailedBefore as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        except BuildFailed as error:
            failure = error.__cause__
        else:
            if is_new:
                request.uses.built.append(template.seconds)
                parts = {**request.key.parts, **changed}
                names = ", ".join(request.loads)
                if build.asked:
                    # else a test would not notice that its stub begins after its load
                    servers = ", ".join(build.asked)
                    request.uses.notes.append(f"{names} was loaded from {servers}, with no stub")
                request.uses.builds.append((names, request.key.group, parts))
            return store, template
        # outside of `except`, so that the traceback does not show BuildFailed
        assert failure is not None
        raise failure


def _asked_of_session(config: pytest.Config) -> tuple[Any, ...]:
    """Return options of the session that code of the project may read."""
    # pytest-xdist gives its workers an option that no plugin has declared
    installed = {*config.stash[SESSION].installed_options, "loadgroup"}
    own = {name: value for name, value in vars(config.option).items() if name not in installed}
    # with the content of the file
    return own, config.inipath, config.getoption("override_ini")


def _tell_of_recordings(item: pytest.Item, loads: Mapping[str, Load]) -> None:
    """Add notes to the summary about how much of the sources is recorded."""
    recorders = [load.recorder() for load in loads.values() if load.recorder is not None]
    if recorders:
        notes = [note for one in recorders for note in (*one.notes, *one.cut_notes())]
        item.stash.setdefault(RECORDED, []).extend(notes)


class _Build:
    """Runs loads in a sandbox of their own, and makes a template of that."""

    def __init__(self, request: _Request, inputs: Inputs, session: str) -> None:
        self._request = request
        self._inputs = inputs
        self._session = session
        self.asked: list[str] = []

    def __call__(self, folder: Path) -> None:
        """Write the template into `folder`.

        Raises:
            BuildFailed: A load fails.
        """
        started = time.perf_counter()
        request = self._request
        own = replace(request.sandbox, folder=str(Template.sandbox_folder(folder)))
        build: Build | None = None
        try:
            with (
                full_disk_told(folder.parent.parent),
                request.databases.made_for(folder, own) as sandbox,
                unobserved(),
            ):
                Overrides(own).copy_from(Overrides(request.sandbox))
                set_by_code = dict(configuration.configured_documents())
                providers = destinations.providers()
                with isolated(sandbox):
                    configuration.copy_documents(set_by_code)
                    configuration.add_missing_providers(providers)
                    loads = request.loads.values()
                    with self._inputs.recorded(loads, request.key, folder) as build:
                        with build_coverage.noted(folder) as noted:
                            runs = {n: _run(load, sandbox) for n, load in request.loads.items()}
                            noted += runs.values()
                        for run in runs.values():
                            # now, since we call no hook for the copies
                            tell(request.test, run)
                    self.asked = servers_elsewhere(build.hosts)
                    with reads.suppressed():
                        _close_databases(runs)
                    seconds = time.perf_counter() - started
                    Template.write(folder, self._session, seconds, build.conditions, runs)
        except (Exception, RemoteDestinationBlocked, pytest.fail.Exception) as error:
            if is_interrupt(error):
                raise
            told_of = told(error) or str(error).strip().splitlines() or [type(error).__name__]
            reason = told_of[0].partition("\n")[0]
            names = ", ".join(request.loads)
            message = f"{MARK}({names}): the build failed, as {request.test.nodeid} tells: {reason}"
            conditions = build.conditions if build else Conditions()
            raise BuildFailed(conditions, message) from error


def _check_profile(tested: str) -> None:
    """Make sure that the active profile is that of the session, on which templates are built.

    Raises:
        UsageError: Another profile is active.
    """
    active = getattr(contexts.active_run_context(), "profile", tested)
    if active != tested:
        raise pytest.UsageError(
            f"{MARK}: data are loaded once on profile `{tested}`, and `{active}` is active here. "
            "Ask for dlt_loaded before dlt_project.profile(...), run the pipeline within it with "
            f"dlt_project.run(...), or test on it: pytest --dlt-profile {active}."
        )


def _run(load: Load, sandbox: Sandbox) -> PipelineRun:
    destination = None
    with suppress(Exception):
        destination = load.destination()
    # else the run itself raises the error
    if destination is not None:
        check_destination(destination, sandbox)
    run = load.build(sandbox)
    check_run(run, sandbox)
    return run


def _close_databases(runs: Mapping[str, PipelineRun]) -> None:
    """Write the logs of DuckDB into its files, which will be copied."""
    for path in {run.database_path for run in runs.values()}:
        if path is not None:
            datasets.checkpoint(str(path))


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Explain a failure in a block if its reason is a full disk.

    Raises:
        UsageError: The disk is full.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise pytest.UsageError(
            f"dlt_load: no space is left on the disk of {folder}. Free some, or have the folder "
            "on another disk: --basetemp or the environment variable TMPDIR name that of the "
            "tests, XDG_CACHE_HOME that of --dlt-reuse."
        ) from error


def _is_full(error: BaseException) -> bool:
    for cause in causes(error):
        if isinstance(cause, ProjectError):
            # of a recording, which is elsewhere: it says where
            return False
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        if any(words in str(cause).lower() for words in _IN_WORDS):
            return True
    return False
