"""The fixtures. Each gives a test an object that another module defines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.finished_runs import RUNS, checked_runs, told_to_hook
from pytest_dlthub.imported_fixtures import (
    auto_cwd_to_local_dir,
    auto_drop_pipeline,
    auto_preserve_environ,
    auto_preserve_run_context,
    auto_preserve_sources_registry,
    auto_test_access_profile,
    auto_unload_modules,
    autouse_test_storage,
    dpt_project_config,
    dpt_project_context,
    dpt_run_context,
    drop_pipeline,
)
from pytest_dlthub.masked_output import mask_kept
from pytest_dlthub.options import schema_changes_that_fail
from pytest_dlthub.report import ADDITIVE, BLOCKED, FAILED, FOLDER, HELD

if TYPE_CHECKING:
    import dlt
    from syrupy.assertion import SnapshotAssertion

    from dlthub_project.faults import Faults
    from dlthub_project.sandbox import Sandbox
    from pytest_dlthub.dlt_items import DltItems
    from pytest_dlthub.dlt_project import DltProject
    from pytest_dlthub.dlt_run import DltRun, DltRuns
    from pytest_dlthub.templates.loaded_runs import LoadedRun, LoadedRuns

# what existing suites import; pytest finds our own fixtures in the plugin
__all__ = [
    "auto_cwd_to_local_dir",
    "auto_drop_pipeline",
    "auto_preserve_environ",
    "auto_preserve_run_context",
    "auto_preserve_sources_registry",
    "auto_test_access_profile",
    "auto_unload_modules",
    "autouse_test_storage",
    "dpt_project_config",
    "dpt_project_context",
    "dpt_run_context",
    "drop_pipeline",
]


@pytest.fixture(autouse=True)
def _dlt_sandbox(request: pytest.FixtureRequest) -> None:
    session = request.config.stash[SESSION]
    session.check_belongs(request.node.path)
    if session.checks:
        checked_runs().remember_request(request)
    # pytest sets up a plugin's autouse fixtures first, so fixtures of the user run in the sandbox.
    # Our other fixtures do not count here: fixtures of the user may have their names.
    is_asked = "dlt_isolated" in request.fixturenames or any(
        request.node.get_closest_marker(name) for name in ("dlt_crash", "dlt_load", "dlt_recorded")
    )
    if session.isolates_all or is_asked:
        request.getfixturevalue("dlt_isolated")


@pytest.fixture
def _dlt_destination_type(request: pytest.FixtureRequest) -> str | None:
    chosen: str | None = getattr(request, "param", None)
    return chosen


@pytest.fixture(scope="session")
def dlt_destinations() -> Mapping[str, Any]:
    """Override this fixture to choose what destinations are in tests: a mapping by their names.

    A value is a URL (`postgresql://...`), a type (`"filesystem"`) or a mapping of dlt's own
    settings with `type`. Destinations that you do not name are temporary DuckDB files. A test
    reaches a remote destination only if the ini option or marker `dlt_allow_remote` names it.
    """
    return {}


@pytest.fixture
def dlt_isolated(
    request: pytest.FixtureRequest,
    dlt_destinations: Mapping[str, Any],
    _dlt_destination_type: str | None,
) -> Iterator[Sandbox]:
    """Run the test in a sandbox of its own, and leave nothing behind.

    The test begins with new data, pipeline and global folders of dlt, and without an active
    pipeline. Destinations that are declared or named become DuckDB files in the sandbox; other
    remote destinations are blocked. Afterwards the fixture restores the environment, the working
    directory and dlt's run context. In a project or workspace every test has this fixture. Tests of
    plain dlt code ask for it: `@pytest.mark.usefixtures("dlt_isolated")`.
    """
    from dlthub_project.sandbox import blocked_in_subprocesses, isolated
    from pytest_dlthub.recordings.recorded_tests import RecordedTest
    from pytest_dlthub.sandboxes import sandbox_of_test

    session = request.config.stash[SESSION]
    session.end_early_code()
    keep = request.config.getini("dlt_keep")
    folder = session.new_test_folder(request.node.name)
    stash = request.node.stash
    if FOLDER in stash and keep != "all":
        # the test runs again: this is the folder of its failed attempt
        session.delete(stash[FOLDER])
    stash[FOLDER], stash[FAILED], stash[BLOCKED] = folder, False, []
    sandbox = sandbox_of_test(request, folder, dlt_destinations, _dlt_destination_type)
    recorded = RecordedTest(request.node)
    # else fixtures of wider scope are observed, too: they begin before this one
    telling = nullcontext() if session.observes_all else told_to_hook(request.node)
    with isolated(sandbox), recorded.in_sandbox(sandbox), telling:
        yield sandbox
    recorded.finish(has_failed=stash[FAILED])
    # including teardown; the report comes when the folder is gone
    stash[BLOCKED] = blocked_in_subprocesses(str(folder))
    if keep != "all" and (keep == "none" or not stash[FAILED]):
        session.delete(folder)
    else:
        mask_kept(folder)
    recorded.tell()


@pytest.fixture
def dlt_project(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltProject:
    """The dltHub Project under test, on its test profile and in this test's sandbox.

    `dlt_project.run("my_pipeline")` runs a pipeline of `dlt.yml` into a temporary DuckDB and
    returns a `PipelineRun` with `row_counts`, `rows(table)`, `dataset` and more.
    """
    from pytest_dlthub.dlt_project import DltProject

    request.config.stash[SESSION].check_has_project("dlt_project")
    return DltProject(request.path.parent)


@pytest.fixture(scope="session")
def dlt_project_factory(
    request: pytest.FixtureRequest, dlt_destinations: Mapping[str, Any]
) -> Callable[[], AbstractContextManager[DltProject]]:
    """Make a project for fixtures of wider scope: `with dlt_project_factory() as project:`.

    Until the block ends, the project has a sandbox of its own, beside those of the tests. Any test
    can read the datasets of its runs.
    """
    from dlthub_project.sandbox import isolated
    from pytest_dlthub.dlt_project import DltProject
    from pytest_dlthub.sandboxes import session_sandbox

    session = request.config.stash[SESSION]
    session.check_has_project("dlt_project_factory")

    @contextmanager
    def make() -> Iterator[DltProject]:
        folder = session.new_test_folder("dlt_project_factory")
        sandbox = session_sandbox(request, folder, dlt_destinations)
        try:
            yield DltProject(request.config.rootpath, sandbox)
        finally:
            with isolated(sandbox):
                """To leave this sandbox drops what was loaded into remote destinations."""
            session.delete(folder)

    return make


@pytest.fixture
def dlt_run(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltRun:
    """Run any dlt source, resource or rows into a temporary DuckDB: `dlt_run(my_source())`.

    It takes the arguments of `dlt.pipeline` and `dlt.Pipeline.run`, and returns a `PipelineRun`.
    Two calls in one test continue on the same state, as two runs of a pipeline do.
    """
    from pytest_dlthub.dlt_run import DltRun

    return DltRun(request.path.parent)


@pytest.fixture
def dlt_items(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltItems:
    """The items that a resource or source yields, without a load: `dlt_items(my_resource())`.

    For a resource it returns a list, for a source a list for each resource. Two calls in one test
    continue on the same state, as two runs of a pipeline do.
    """
    from pytest_dlthub.dlt_items import DltItems

    return DltItems(request.path.parent)


@pytest.fixture
def dlt_runs(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> Iterator[DltRuns]:
    """All pipeline runs of this test in order, also those that your own functions start.

    `main(); assert dlt_runs.last.row_counts == {...}`
    """
    from pytest_dlthub.dlt_run import DltRuns

    stash = request.node.stash
    stash[RUNS] = DltRuns()
    yield stash[RUNS]
    del stash[RUNS]


@pytest.fixture
def dlt_config(dlt_isolated: Sandbox) -> MutableMapping[str, Any]:
    """Settings for this test, above all others: `dlt_config["sources.github.token"] = "x"`.

    A value replaces the configured one as a whole; parts of a connection string do not mix. To
    test what happens when a secret is missing, unset it with None or `del`, wherever it is
    configured. `clear()` undoes everything.
    """
    from dlthub_project.sandbox import Overrides

    return Overrides(dlt_isolated)


@pytest.fixture
def dlt_faults(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> Iterator[Faults]:
    """Faults of this test's runs: `dlt_faults.fail("extract", times=2)`.

    `fail` makes a step fail, `lose("orders", after_commit=True)` loses the destination's answer to
    a job, `disconnect` breaks the connection, and `fill_disk` fills the disk. Each fault happens
    `times` times, once by default. A fault that never happens fails the test at its end.
    """
    from dlthub_project.dlt_internals.fault_points import listening
    from dlthub_project.faults import Faults

    faults = Faults()
    with listening(faults):
        yield faults
    if not request.node.stash.get(FAILED, False) and (problems := faults.problems()):
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def dlt_loaded(
    request: pytest.FixtureRequest, dlt_isolated: Sandbox
) -> Iterator[LoadedRun | LoadedRuns]:
    """This test's own copy of what its `dlt_load` mark asks for, as a `PipelineRun`.

    `@pytest.mark.dlt_load("my_pipeline")`, or `@pytest.mark.dlt_load(source=my_source)` in any
    code: the pipeline runs once a session. Each test gets a copy of the database and the state, and
    may write to it. With several marks, this is a mapping of runs by pipeline.
    """
    from pytest_dlthub.templates.session_templates import Templates

    with Templates.of(request.config).loaded(request.node, dlt_isolated) as runs:
        request.node.stash[HELD] = runs
        if request.config.stash[SESSION].checks:
            checked_runs().look_at_copies(request.node, runs)
        yield runs if len(runs) > 1 else runs.only


@pytest.fixture
def dlt_dataset(request: pytest.FixtureRequest, dlt_loaded: LoadedRun | LoadedRuns) -> dlt.Dataset:
    """The dataset of this test's `dlt_load` mark: the test's own copy, to read and to write.

    The connection stays open from the first query to the end of the test, or until the test asks
    for `dlt_loaded.database_path`.
    """
    runs: LoadedRuns = request.node.stash[HELD]
    return runs.only.dataset


@pytest.fixture
def dlt_schema_snapshot(
    request: pytest.FixtureRequest, dlt_isolated: Sandbox
) -> Iterator[SnapshotAssertion]:
    """The schema that this test had before, on syrupy: `assert run.schema == dlt_schema_snapshot`.

    Each test has a YAML file, which `pytest --snapshot-update` writes. A failure lists the changes,
    breaking or additive: `column orders.price: bigint → text`. With
    `@pytest.mark.dlt_schema_snapshot(fails_on="breaking")`, or the ini option
    `dlt_schema_snapshot_fails_on`, a test with additive changes passes, and the session lists them.
    """
    config = request.config
    if not config.pluginmanager.has_plugin("syrupy"):
        raise pytest.UsageError(
            'dlt_schema_snapshot needs syrupy: pip install "pytest-dlthub[snapshot]"; if it is '
            "installed, something switches it off, such as -p no:syrupy"
        )
    from pytest_dlthub.assertions.schema_snapshots import (
        AdditiveSchemaSnapshot,
        SchemaSnapshot,
        additive_changes,
    )

    fails_on = schema_changes_that_fail(request.node)
    base = request.getfixturevalue("snapshot")
    if not hasattr(base, "use_extension"):
        raise pytest.UsageError(
            "dlt_schema_snapshot: the fixture `snapshot` of these tests is not that of syrupy"
        )
    # an update writes all changes
    is_any = fails_on == "any" or config.option.update_snapshots
    snapshot = base.use_extension(SchemaSnapshot if is_any else AdditiveSchemaSnapshot)
    yield snapshot
    request.node.user_properties += [
        (ADDITIVE, change.text) for change in additive_changes(snapshot.executions)
    ]
