"""The templates of one test session: found, built or copied for its tests."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dlthub_project.dlt_internals import configuration, contexts, datasets, destinations
from dlthub_project.errors import RemoteDestinationBlocked
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
from pytest_dlthub.tracebacks import causes, is_interrupt, told

TEMPLATES = pytest.StashKey["Templates"]()

# a template that is damaged time and again is told
_MOST_DAMAGED = 2


_FULL = (errno.ENOSPC, errno.EDQUOT)
# as databases tell it, who do not give the number
_IN_WORDS = ("no space left on device", "disk quota exceeded")


@dataclass(frozen=True)
class _Request:
    """What one test asks for, and where it is to have it."""

    test: pytest.Item
    loads: Mapping[str, Load]
    sandbox: Sandbox
    databases: Databases
    uses: TemplateUses
    key: Key


class Templates:
    """Gives each test its own copy of what its marks ask to be loaded."""

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
        """Copy what the marks of a test ask for into its sandbox.

        Raises:
            UsageError: A mark cannot be understood.
            Failed: The build failed for another test, which tells why.
            Exception: Whatever the build raises.
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
            # nobody else has its key, or would have built the same
            shutil.rmtree(template.folder, ignore_errors=True)

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
        # a database goes with the session: what is in the cache would be without it
        # and nobody finds a template of one test again
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
                    # a test whose stub comes after its load would not know
                    servers = ", ".join(build.asked)
                    request.uses.notes.append(f"{names} was loaded from {servers}, with no stub")
                request.uses.builds.append((names, request.key.group, parts))
            return store, template
        # not while the other is handled, of which the user is not to read
        assert failure is not None
        raise failure


def _asked_of_session(config: pytest.Config) -> tuple[Any, ...]:
    """Return what a session was started with that code of the project may ask for."""
    # pytest-xdist gives its workers one that nobody has declared
    installed = {*config.stash[SESSION].installed_options, "loadgroup"}
    own = {name: value for name, value in vars(config.option).items() if name not in installed}
    # with the content of the file
    return own, config.inipath, config.getoption("override_ini")


def _tell_of_recordings(item: pytest.Item, loads: Mapping[str, Load]) -> None:
    """Have the session tell how much of the sources the recordings of a test have."""
    recorders = [load.recorder() for load in loads.values() if load.recorder is not None]
    if recorders:
        notes = [note for one in recorders for note in (*one.notes, *one.cut_notes())]
        item.stash.setdefault(RECORDED, []).extend(notes)


class _Build:
    """Runs loads in a sandbox of their own, and makes a template of it."""

    def __init__(self, request: _Request, inputs: Inputs, session: str) -> None:
        self._request = request
        self._inputs = inputs
        self._session = session
        self.asked: list[str] = []

    def __call__(self, folder: Path) -> None:
        """Write the template into `folder`.

        Raises:
            BuildFailed: It fails.
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
                            # tests have copies of it, and nobody is told of them
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
    """Make sure that no other profile is active for a while: the build is on that of the session.

    Raises:
        UsageError: One is.
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
    # of others the run tells what is wrong
    if destination is not None:
        check_destination(destination, sandbox)
    run = load.build(sandbox)
    check_run(run, sandbox)
    return run


def _close_databases(runs: Mapping[str, PipelineRun]) -> None:
    """Have everything in the files that will be copied: DuckDB keeps a part in its log."""
    for path in {run.database_path for run in runs.values()}:
        if path is not None:
            datasets.checkpoint(str(path))


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Say of a failure in a block that the disk is full, where that is its reason.

    Raises:
        UsageError: It is.
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
    return any(
        (isinstance(cause, OSError) and cause.errno in _FULL)
        or any(words in str(cause).lower() for words in _IN_WORDS)
        for cause in causes(error)
    )
