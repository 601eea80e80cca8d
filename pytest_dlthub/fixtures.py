"""The fixtures: each hands out an object from another room."""

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

# what suites import; a plugin has our own ones everywhere
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
    # an autouse fixture of a plugin is the first of a test: the user's own ones are in the sandbox.
    # Not by the names of the others, which fixtures of the user's own may have.
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
    """Override this to say what destinations are in tests: a mapping by their names.

    A value is a URL (`postgresql://...`), a type (`"filesystem"`) or a mapping of dlt's own
    settings with `type`. Destinations that are not named are temporary DuckDB files. What is
    remote must be allowed by name, too: ini option or marker `dlt_allow_remote`.
    """
    return {}


@pytest.fixture
def dlt_isolated(
    request: pytest.FixtureRequest,
    dlt_destinations: Mapping[str, Any],
    _dlt_destination_type: str | None,
) -> Iterator[Sandbox]:
    """Run the test in a sandbox of its own, and leave nothing behind.

    dlt's data, pipeline and global folders are new ones, no pipeline is active, destinations that
    are declared or named are DuckDB files in the sandbox, and other remote ones are blocked.
    Environment, working directory and dlt's run context are restored afterwards. In a project or
    workspace every test has this fixture by itself; plain dlt code asks for it:
    `@pytest.mark.usefixtures("dlt_isolated")`.
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
        # of a failed attempt: the test is run again
        session.delete(stash[FOLDER])
    stash[FOLDER], stash[FAILED], stash[BLOCKED] = folder, False, []
    sandbox = sandbox_of_test(request, folder, dlt_destinations, _dlt_destination_type)
    recorded = RecordedTest(request.node)
    # where every test is isolated, so are fixtures of wider scope, which begin before this one
    telling = nullcontext() if session.observes_all else told_to_hook(request.node)
    with isolated(sandbox), recorded.in_sandbox(sandbox), telling:
        yield sandbox
    recorded.finish(has_failed=stash[FAILED])
    # also while fixtures were torn down, which is told when the folder is gone
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

    It has a sandbox of its own, beside those of the tests, until the block ends. Datasets of its
    runs can be read in any test.
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
                """Its end drops what was loaded into remote destinations."""
            session.delete(folder)

    return make


@pytest.fixture
def dlt_run(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltRun:
    """Run any dlt source, resource or rows into a temporary DuckDB: `dlt_run(my_source())`.

    Takes the arguments of `dlt.pipeline` and `dlt.Pipeline.run`, and returns a `PipelineRun`.
    Two calls in one test continue on the same state, as two runs of a pipeline do.
    """
    from pytest_dlthub.dlt_run import DltRun

    return DltRun(request.path.parent)


@pytest.fixture
def dlt_items(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> DltItems:
    """The items that a resource or source yields, without a load: `dlt_items(my_resource())`.

    A list; of a source a list for each resource. Two calls in one test continue on the same state,
    as two runs of a pipeline do.
    """
    from pytest_dlthub.dlt_items import DltItems

    return DltItems(request.path.parent)


@pytest.fixture
def dlt_runs(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> Iterator[DltRuns]:
    """Every pipeline run in this test, also by your own functions, in order.

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

    A value replaces the whole: of a connection string nothing comes from elsewhere. None and `del`
    unset a value, wherever it is configured: so you test that a secret is missing. `clear()` takes
    all back.
    """
    from dlthub_project.sandbox import Overrides

    return Overrides(dlt_isolated)


@pytest.fixture
def dlt_faults(request: pytest.FixtureRequest, dlt_isolated: Sandbox) -> Iterator[Faults]:
    """Faults of this test's runs: `dlt_faults.fail("extract", times=2)`.

    `lose("orders", after_commit=True)` loses the answer of the destination to a job, `disconnect`
    the whole connection, `fail` has a step fail, and `fill_disk` has the disk be full. Each happens
    as often as it says, once by default. One that does not happen fails the test when it ends.
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
    code: the pipeline runs once a session, and each test has a copy of database and state that it
    may write to. With several marks, this is a mapping of the runs by pipeline.
    """
    from pytest_dlthub.templates.session_templates import Templates

    with Templates.of(request.config).loaded(request.node, dlt_isolated) as runs:
        request.node.stash[HELD] = runs
        if request.config.stash[SESSION].checks:
            checked_runs().look_at_copies(request.node, runs)
        yield runs if len(runs) > 1 else runs.only


@pytest.fixture
def dlt_dataset(request: pytest.FixtureRequest, dlt_loaded: LoadedRun | LoadedRuns) -> dlt.Dataset:
    """The dataset of this test's `dlt_load` mark: its own copy, to read, and to write to.

    Its connection stays open from the first query to the end of the test, or until `database_path`
    of `dlt_loaded` is asked for.
    """
    runs: LoadedRuns = request.node.stash[HELD]
    return runs.only.dataset


@pytest.fixture
def dlt_schema_snapshot(
    request: pytest.FixtureRequest, dlt_isolated: Sandbox
) -> Iterator[SnapshotAssertion]:
    """The schema that this test had before, on syrupy: `assert run.schema == dlt_schema_snapshot`.

    A YAML file for each test, which `pytest --snapshot-update` writes. What has changed is told:
    `column orders.price: bigint → text`, breaking or additive. With
    `@pytest.mark.dlt_schema_snapshot(fails_on="breaking")`, or the ini option
    `dlt_schema_snapshot_fails_on`, additive changes are told, and let the test pass.
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
    # what is updated is updated with all that has changed
    is_any = fails_on == "any" or config.option.update_snapshots
    snapshot = base.use_extension(SchemaSnapshot if is_any else AdditiveSchemaSnapshot)
    yield snapshot
    request.node.user_properties += [
        (ADDITIVE, change.text) for change in additive_changes(snapshot.executions)
    ]
