"""A project that is a Python package, and works from any working directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlthub_project import current

if TYPE_CHECKING:
    from typing_extensions import Self

    from dlthub_project.catalog import Catalog
    from dlthub_project.context import Project, ProjectRunContext
    from dlthub_project.entity_factory import EntityFactory
    from dlthub_project.runner import PipelineManager

_ACCESS_PROFILE = "access"
_TEST_PROFILE = "tests"
# prefixes of the profile `access`, the innermost last
_prefixes: list[str] = []


class _Accessors(NamedTuple):
    # a tuple of six types, so that each name has its type when an `__init__.py` unpacks it
    access_profile: Callable[[], str]
    context: Callable[[], ProjectRunContext]
    config: Callable[[], Project]
    entities: Callable[[], EntityFactory]
    runner: Callable[[], PipelineManager]
    catalog: Callable[[], Catalog]


class PackagedProject(_Accessors):
    """The accessors of a packaged project.

    In the `__init__.py` beside its `dlt.yml`::

        from dlthub_project import PackagedProject
        access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)

    All but `access_profile` activate the project as `activate_package` does, and raise the errors
    of `ensure_project`.

    Attributes:
        access_profile: Returns the profile that the package is used with.
        context: Returns the run context of the project.
        config: Returns the project.
        entities: Returns the factory of the project's entities.
        runner: Returns the runner of the project's pipelines.
        catalog: Returns the catalog of the project's datasets.
    """

    _root: Path

    def __new__(cls, init_file: str) -> Self:
        """Make the accessors of the project beside `init_file`."""
        root = Path(os.path.abspath(init_file)).parent

        def context() -> ProjectRunContext:
            return activate_package(root)

        def config() -> Project:
            return context().project

        def entities() -> EntityFactory:
            context()
            return current.entities()

        def runner() -> PipelineManager:
            context()
            return current.runner()

        def catalog() -> Catalog:
            context()
            return current.catalog()

        accessors = (access_profile, context, config, entities, runner, catalog)
        self = super().__new__(cls, *accessors)
        self._root = root
        return self

    def __repr__(self) -> str:
        return f"<PackagedProject {self._root}>"


def access_profile() -> str:
    """Return the profile that packages are used with."""
    return "".join(_prefixes[-1:]) + _ACCESS_PROFILE


@contextmanager
def prefixed_access_profile(prefix: str) -> Iterator[None]:
    """Have packages used, in a block, with the profile that has a prefix, as `tests-access`.

    In a sandbox too, where they otherwise are on the profile of the tests.
    """
    _prefixes.append(prefix)
    try:
        yield
    finally:
        _prefixes.pop()


def activate_package(root: Path) -> ProjectRunContext:
    """Activate the project of a package, and return its run context.

    If the project is active already, its profile stays. Otherwise the profile depends on the
    caller: in the folder of the package it is the one that is active there, in a sandbox it is that
    of the tests. Elsewhere it is `access`, and variables do not count: they are for the caller's
    project.

    Args:
        root: The folder of the package and of its `dlt.yml`.

    Raises:
        ProjectError: As `ensure_project` raises it.
    """
    from dlthub_project.context import ProjectRunContext, ensure_project
    from dlthub_project.dlt_internals import contexts
    from dlthub_project.sandbox import active_sandbox

    # `active_run_context` would make dlt look for a context in the caller's folder
    earlier = contexts.save_run_context()
    active = earlier.context if earlier else None
    if _prefixes:
        # even if the project is active, on another profile
        return ensure_project(str(root), access_profile())
    if isinstance(active, ProjectRunContext) and _is_same(Path(active.run_dir), root):
        return active
    sandbox = active_sandbox()
    if sandbox is not None:
        return _activate_for_tests(root, is_project_tested=sandbox.project is not None)
    return ensure_project(str(root), profile_of_package(root))


def profile_of_package(root: Path) -> str | None:
    """Return the profile that a package is used with from here; None for the one active there."""
    from dlthub_project.context import find_project_dir

    here = find_project_dir()
    is_own_folder = here is not None and _is_same(here, root)
    return None if is_own_folder else _ACCESS_PROFILE


def _activate_for_tests(root: Path, *, is_project_tested: bool) -> ProjectRunContext:
    from dlthub_project.context import PROFILE_VARIABLE, ensure_project
    from dlthub_project.errors import ProfileNotFound

    # if no project is under test, the variable comes from the shell
    profile = os.environ.get(PROFILE_VARIABLE) if is_project_tested else None
    try:
        return ensure_project(str(root), profile or _TEST_PROFILE)
    except ProfileNotFound:
        return ensure_project(str(root), _TEST_PROFILE)


def _is_same(folder: Path, other: Path) -> bool:
    # a virtual environment, or a folder on its path, may be a symbolic link
    return os.path.realpath(folder) == os.path.realpath(other)
