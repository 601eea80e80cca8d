"""Sandboxes beside those of tests: of fixtures with a wider scope, and of examples of Hypothesis.

In a project, a workspace, or with ini `dlt_isolation`, each fixture of wider scope has a sandbox.
If two fixtures run one pipeline, neither finds the state of the other, in whatever order pytest
sets them up. A fixture that uses other fixtures begins with a copy of what they have loaded. Code
outside of fixtures, such as a module during its import, runs in the sandbox of the session.

Hypothesis calls a function many times. Each example has a sandbox inside that of the test: else it
would find what earlier examples have loaded.
"""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION
from pytest_dlthub.destination_settings import is_replaced_by_plugins, replacement_by
from pytest_dlthub.session_folder import folders_of_tests

if TYPE_CHECKING:
    from dlthub_project.sandbox import Sandbox
    from pytest_dlthub.activation import Session


# these fixtures have one state for the whole test
_OF_WHOLE_TEST = ("dlt_config", "dlt_dataset", "dlt_loaded", "dlt_runs")


@dataclass
class _Scope:
    """The sandbox of a fixture of wider scope, while it lasts.

    Attributes:
        session: Makes and deletes its folder.
        sandbox: The sandbox.
        keep: Whether its data stay when it ends.
        begun_with: The folders of the sandboxes that it has copies of.
    """

    session: Session
    sandbox: Sandbox
    keep: bool
    begun_with: set[str] = field(default_factory=set)

    def begin_with(self, others: Iterable[_Scope]) -> None:
        """Copy other sandboxes into this one while it is empty, unless their files conflict."""
        if Path(self.sandbox.folder, "data").exists():
            return
        earlier = {scope.sandbox.folder: scope for scope in others}
        known = {folder for scope in earlier.values() for folder in scope.begun_with}
        # a sandbox also has what it has begun with
        new = [one for one in earlier if one not in known and Path(one, "data").is_dir()]
        if not new:
            return
        from pytest_dlthub.sandbox_copies import copy_sandboxes

        if copy_sandboxes(new, self.sandbox.folder):
            self.begun_with |= {*earlier, *known}

    def leave(self) -> None:
        """End the sandbox."""
        from dlthub_project.sandbox import end, visited

        with visited(self.sandbox):
            end(self.sandbox)
        if not self.keep:
            self.session.delete(Path(self.sandbox.folder))


# on the node of a module, class or package: the sandboxes of its fixtures, by name
_OWN = pytest.StashKey[dict[str, _Scope]]()


@contextmanager
def in_sandbox_of_scope(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Set up a fixture in the sandbox of its scope, and tear it down there."""
    session = request.config.stash[SESSION]
    if fixturedef.scope == "function" or session.sandbox is None:
        # plain code has no sandbox there
        yield
        return
    from dlthub_project.sandbox import settings_last, visited

    # finalizers run in reverse order: those of the fixture stand before these
    lasting = ExitStack()
    fixturedef.addfinalizer(lasting.close)
    with settings_last() as settings:
        lasting.callback(setattr, settings, "is_over", True)
        scope = _scope_of(fixturedef, request, session.sandbox)
        own = request.node.stash.setdefault(_OWN, {})
        own[fixturedef.argname] = scope
        at_teardown = ExitStack()
        fixturedef.addfinalizer(lambda: _forget(own, scope))
        fixturedef.addfinalizer(scope.leave)
        fixturedef.addfinalizer(at_teardown.close)
        try:
            with visited(scope.sandbox), _asking(request, scope, fixturedef.argnames):
                yield
        finally:
            fixturedef.addfinalizer(lambda: at_teardown.enter_context(visited(scope.sandbox)))


def _scope_of(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest, session: Sandbox
) -> _Scope:
    """Return a new sandbox, with a copy of what the fixtures that it uses have loaded."""
    name = f"{fixturedef.scope}_{fixturedef.argname}_{request.node.name}"
    made_by = request.config.stash[SESSION]
    folder = made_by.new_test_folder(name)
    keep = request.config.getini("dlt_keep") == "all"
    sandbox = replace(
        session,
        folder=str(folder),
        local_roots=folders_of_tests(request),
        # of conftests beside the module, too
        replacement=replacement_by(request.node),
        is_replaced_by_plugins=is_replaced_by_plugins(request.node),
        replaced={},
    )
    scope = _Scope(made_by, sandbox, keep)
    asked = [*_automatic(request), *fixturedef.argnames]
    scope.begin_with(other for name in asked for other in _active(request.node, name))
    return scope


@contextmanager
def _asking(
    request: pytest.FixtureRequest, scope: _Scope, arguments: Collection[str]
) -> Iterator[None]:
    """Copy what another fixture has loaded if the code of a fixture asks for it as it runs."""
    original = request.getfixturevalue

    def getfixturevalue(name: str) -> Any:
        __tracebackhide__ = True
        value = original(name)
        if name not in arguments:
            # a fixture has begun with those that are its arguments
            scope.begin_with(one for one in _active(request.node, name) if one is not scope)
        return value

    # of this request alone
    vars(request)["getfixturevalue"] = getfixturevalue
    try:
        yield
    finally:
        del vars(request)["getfixturevalue"]


def _automatic(request: pytest.FixtureRequest) -> list[str]:
    """Return the fixtures that pytest sets up first: `autouse`, of marks and `setup_module`."""
    manager: Any = request.config.pluginmanager.get_plugin("funcmanage")
    return [*manager.getfixtureinfo(request.node, None, None).initialnames]


def _active(node: pytest.Item | pytest.Collector, name: str) -> list[_Scope]:
    """Return the sandbox of the nearest fixture of that name that is set up, if it has one."""
    scopes = (around.stash.get(_OWN, {}).get(name) for around in reversed(node.listchain()))
    return [scope for scope in scopes if scope is not None][:1]


def _forget(own: dict[str, _Scope], scope: _Scope) -> None:
    # one that overrides it may have its name
    for name in [name for name, one in own.items() if one is scope]:
        del own[name]


# compiled where it is used, in 0.2 ms
_MISMATCH = r"access the function scoped fixture (dlt_\w+) with a (\w+) scoped request"
_COPIES = (
    "To load once for many tests, mark them with `@pytest.mark.dlt_load({})`. It runs once, and "
    "each test has a copy of its own, as `dlt_loaded`."
)
_IN_A_FIXTURE = "In a fixture of scope {}, write `with dlt_project_factory() as project:`."


def tell_what_lasts(failure: Any, session: Session) -> None:
    """Say what to use if a fixture of wider scope asks for a fixture of ours that is per test.

    Args:
        failure: The failure of a fixture; this changes pytest's own ScopeMismatch.
        session: The session.
    """
    message = str(failure.msg)
    found = re.search(_MISMATCH, message)
    if not message.startswith("ScopeMismatch") or found is None:
        return
    name, scope = found.groups()
    told = [f"ScopeMismatch: `{name}` belongs to one test, but a fixture of scope {scope} uses it."]
    if name == "dlt_config":
        told.append("In the fixture, set `dlt.config[...] = ...`: that holds for all of its tests.")
    else:
        told.append(_COPIES.format('"my_pipeline"' if session.is_project else "source=my_source"))
        told += [_IN_A_FIXTURE.format(scope)] if session.is_project else []
    _, _, stack = message.partition("Requesting fixture stack:\n")
    failure.msg = "\n".join([*told, "Asked for by:", stack] if stack else told)
    failure.args = (failure.msg,)


def folders_of_scopes(item: pytest.Item) -> list[str]:
    """Return the folders of the sandboxes of a test's fixtures of wider scope."""
    session = item.config.stash[SESSION].sandbox
    found = [] if session is None else [session.folder]
    for node in item.listchain():
        found += [scope.sandbox.folder for scope in node.stash.get(_OWN, {}).values()]
    return list(dict.fromkeys(found))


def pipelines_run_elsewhere(wider: Iterable[str], folder: Path | None, said: str) -> list[str]:
    """Return advice about pipelines that fixtures of wider scope have run.

    A test has failed, maybe because it looks for one of them.

    Args:
        wider: The sandboxes of its fixtures of wider scope.
        folder: Its own sandbox, if it has one.
        said: What its errors say.
    """
    found: dict[str, None] = {}
    for one in wider:
        for schemas in sorted(Path(one).glob("data/pipelines/*/schemas")):
            name = schemas.parent.name
            is_made_here = folder is not None and (folder / "data" / "pipelines" / name).exists()
            is_named = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said)
            if any(schemas.glob("*.json")) and (is_made_here or is_named):
                found[name] = None
    return [
        f"pipeline {name}: a fixture of wider scope has run it, in a sandbox of its own, and here "
        "it starts without those data. Return the pipeline or its dataset from the fixture, or "
        "load it with @pytest.mark.dlt_load: each test then has a copy"
        for name in found
    ]


@contextmanager
def isolated_examples(item: pytest.Item) -> Iterator[None]:
    """Start each example that Hypothesis tries in a block with an empty sandbox.

    This includes functions with `@given` inside of a test, and state machines.

    Raises:
        UsageError: The test has a fixture that we cannot make again for each example.
    """
    if hasattr(getattr(item, "obj", None), "hypothesis"):
        _check_fixtures(item)
    # every example goes through this method; Hypothesis has no hook around an example
    execution: Any = sys.modules["hypothesis.core"].StateForActualGivenExecution
    original = execution.execute_once
    execution.execute_once = _in_sandboxes(item, original)
    try:
        yield
    finally:
        execution.execute_once = original


def _check_fixtures(item: pytest.Item) -> None:
    if item.get_closest_marker("dlt_recorded") is not None:
        raise pytest.UsageError(
            "dlt_recorded: Hypothesis runs this test many times, but a recording has each run only "
            "once. Give rows, given={...}; for rows of a recording, give the path of its file."
        )
    for name in getattr(item, "fixturenames", ()):
        if name in _OF_WHOLE_TEST:
            raise pytest.UsageError(
                f"{name}: Hypothesis runs this test many times, but {name} is made only once: an "
                "example would find the data and settings of earlier ones. Use dlt_run or "
                "dlt_project: each example starts with an empty sandbox. Set variables of the "
                "environment in the test itself."
            )


def _in_sandboxes(item: pytest.Item, execute: Any) -> Any:
    from dlthub_project.dlt_internals import configuration
    from dlthub_project.sandbox import active_sandbox, isolated

    numbers = count(1)
    # by the folder of the sandbox around it: Hypothesis runs the smallest example that fails last,
    # and its data are kept
    failed: dict[str, Path] = {}

    @functools.wraps(execute)
    def example(*args: Any, **kwargs: Any) -> Any:
        outer = active_sandbox()
        if outer is None:
            return execute(*args, **kwargs)
        _check_fixtures(item)
        if outer.folder in failed:
            shutil.rmtree(failed[outer.folder], ignore_errors=True)
        failed[outer.folder] = folder = Path(outer.folder, f"example-{next(numbers)}")
        set_before = dict(configuration.configured_documents())
        with isolated(replace(outer, folder=str(folder))):
            if set_before:
                # what a fixture or `setUp` has set in dlt's configuration
                configuration.copy_documents(set_before)
            outcome = execute(*args, **kwargs)
        del failed[outer.folder]
        shutil.rmtree(folder, ignore_errors=True)
        return outcome

    return example
