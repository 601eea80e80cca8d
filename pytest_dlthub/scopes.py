"""Sandboxes of fixtures with a wider scope than a test: one for each module, class or package.

In a project, a workspace, or with ini `dlt_isolation`, two modules whose fixtures run one pipeline
do not find each other's state. Fixtures of scope `session` are in the sandbox of the session.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.activation import SESSION

if TYPE_CHECKING:
    from dlthub_project.sandbox import Sandbox

_SCOPES = ("class", "module", "package")


@dataclass
class _Scope:
    """A sandbox of fixtures of wider scope, while any of them lasts."""

    sandbox: Sandbox
    keep: bool
    fixtures: int = 0

    def leave(self) -> None:
        """Count one fixture less; the last one ends the sandbox."""
        from dlthub_project.sandbox import end, visited

        self.fixtures -= 1
        if not self.fixtures:
            with visited(self.sandbox):
                end(self.sandbox)
            if not self.keep:
                shutil.rmtree(self.sandbox.folder, ignore_errors=True)


# of a module, class or package; and of those of its fixtures that have sandboxes of their own
_SHARED = pytest.StashKey[_Scope]()
_OWN = pytest.StashKey[dict[str, _Scope]]()


@contextmanager
def in_sandbox_of_scope(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Set a fixture up in the sandbox of its scope, and tear it down there."""
    session = request.config.stash[SESSION]
    if fixturedef.scope not in _SCOPES or session.sandbox is None:
        # plain code has no sandbox there
        yield
        return
    from dlthub_project.sandbox import visited

    scope = _scope_of(fixturedef, request, session.sandbox)
    scope.fixtures += 1
    at_teardown = ExitStack()
    # finalizers run in reverse order: those of the fixture stand between these two
    fixturedef.addfinalizer(scope.leave)
    fixturedef.addfinalizer(at_teardown.close)
    try:
        with visited(scope.sandbox):
            yield
    finally:
        fixturedef.addfinalizer(lambda: at_teardown.enter_context(visited(scope.sandbox)))


def _scope_of(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest, session: Sandbox
) -> _Scope:
    stash = request.node.stash
    own: dict[str, _Scope] = stash.setdefault(_OWN, {})
    for name in fixturedef.argnames:
        # it goes on with what the other one has loaded
        if name in own and own[name].fixtures:
            own[fixturedef.argname] = own[name]
            return own[name]
    has_parameters = fixturedef.params is not None
    scope: _Scope | None = None if has_parameters else stash.get(_SHARED, None)
    if scope is None or not scope.fixtures:
        name = f"{fixturedef.scope}_{request.node.name}"
        folder = request.config.stash[SESSION].new_test_folder(name)
        keep = request.config.getini("dlt_keep") == "all"
        scope = _Scope(replace(session, folder=str(folder)), keep)
    if has_parameters:
        # the next parameter starts anew, while other fixtures last
        own[fixturedef.argname] = scope
    else:
        stash[_SHARED] = scope
    return scope
