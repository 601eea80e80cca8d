"""Finds the owner of a resource: a source of the project, or one that tests have imported."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_dlthub.data_coverage.facts import ELSEWHERE, Facts, Item
from pytest_dlthub.imports import is_library_file
from pytest_dlthub.options import MANIFEST

if TYPE_CHECKING:
    import dlt
    from dlt.extract import DltResource, DltSource

    from dlthub_project.manifest import Manifest
    from pytest_dlthub.activation import Session

_OF_DLT = ("dlt", "dlthub_project", "pytest_dlthub")


class Owners:
    """The sources of a session, and the pipelines and profiles of its project."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # for each section and name the module that has made it, also if a test removes it again
        self._registered: dict[tuple[str, str], str] = {}
        # modules without sources of the user
        self._libraries: dict[str, ModuleType] = {}

    def of(self, source: DltSource, pipeline: dlt.Pipeline | None) -> dict[str, str]:
        """Return the owner of each resource; a resource that a test has made itself has none."""
        from dlthub_project.dlt_internals import data_events

        self.look_at_imported()
        of_source = self._name(str(source.section), str(source.name))
        found = {}
        for resource in source.resources.values():
            if str(resource.name).startswith("_dlt_"):
                # the state of a pipeline, which dlt loads with its sources
                continue
            module = data_events.module_of(resource)
            is_plain = module is None and pipeline is not None
            if (
                is_plain and resource.section == pipeline.pipeline_name  # type: ignore[union-attr]  # it is there
            ) or (module and self._is_of_tests(module)):
                continue
            owner = of_source or self._name_of_single(resource, module)
            if owner:
                found[str(resource.name)] = owner
        return found

    def look_at_imported(self) -> None:
        """Remember the sources that are imported now."""
        from dlthub_project.dlt_internals import data_events

        self._registered.update(data_events.registered_sources())
        for name, module in list(sys.modules.items()):
            if self._libraries.get(name) is module:
                # there are thousands of modules, and each extraction comes here
                continue
            if not _is_of_user(name, module):
                self._libraries[name] = module
            elif not self._is_of_tests(name):
                self._registered.update(data_events.held_sources(module))

    def known(self) -> Facts:
        """Return the project's declared items, or else the sources that tests have imported."""
        facts = Facts()
        if self._manifest is None:
            for (section, name), module in self._registered.items():
                if module.partition(".")[0] not in _OF_DLT and not self._is_of_tests(module):
                    facts.known.add(("sources", f"{section}.{name}"))
            return facts
        facts.known |= {("sources", name) for name in self._manifest.names("sources")}
        facts.known |= {("pipelines", name) for name in self._manifest.names("pipelines")}
        facts.known |= {("profiles", name) for name in self._profiles}
        return facts

    def pipeline_item(self, name: str, owners: Iterable[str]) -> Item | None:
        """Return the item of a pipeline that has run these sources.

        It is None for a pipeline that is not the project's or has run none of its declared sources.
        Plain code declares nothing: there, any pipeline counts that runs an imported source.
        """
        if self._manifest is None:
            return ("pipelines", name) if any(owners) else None
        if name not in self._manifest.names("pipelines"):
            return None
        return ("pipelines", name) if self._declared(name) & {*owners} else None

    def _declared(self, pipeline: str) -> set[str]:
        """Return the sources that a pipeline of the project declares."""
        assert self._manifest is not None
        declared = (self._manifest.entry("pipelines", pipeline) or {}).get("source") or ()
        return {declared} if isinstance(declared, str) else {*declared}

    def run_elsewhere(self, pipeline: str, schema: str) -> set[Item]:
        """Return the pipeline and the sources that another process may have run.

        Args:
            pipeline: The name of a pipeline that it has run.
            schema: The name of a schema that it has loaded; a source has a schema of the same name.
        """
        if self._manifest is not None:
            names = {schema, *self._declared(pipeline)} & {*self._manifest.names("sources")}
        else:
            names = {f"{section}.{name}" for section, name in self._registered if name == schema}
        return {("pipelines", pipeline), *((ELSEWHERE, name) for name in names)}

    def cover_profile(self, facts: Facts) -> None:
        """Record that a pipeline has run on the active profile."""
        from dlthub_project.dlt_internals.contexts import active_run_context

        profile = getattr(active_run_context(), "profile", None)
        if self._manifest is not None and profile in self._profiles:
            facts.cover(("profiles", str(profile)))

    @cached_property
    def _manifest(self) -> Manifest | None:
        root = self._session.root
        if root is None or not self._session.is_project or self._session.is_left_to_dlthub:
            return None
        from dlthub_project.manifest import Manifest

        return Manifest.open(root / MANIFEST, self._session.profile)

    @cached_property
    def _profiles(self) -> list[str]:
        from dlthub_project.context import configured_profiles

        assert self._manifest is not None
        folder = self._manifest.document.path.parent / ".dlt"
        return configured_profiles(self._manifest.document, folder)

    @cached_property
    def _entries(self) -> Mapping[str, str]:
        """The entries by the last two words of their types, without those that several share."""
        assert self._manifest is not None
        found: dict[str, list[str]] = {}
        for name, entry in self._manifest.section("sources").items():
            words = str(entry.get("type") or name).split(".")
            found.setdefault(
                ".".join((words * 2)[-2:] if len(words) == 1 else words[-2:]), []
            ).append(name)
        return {words: names[0] for words, names in found.items() if len(names) == 1}

    def _name(self, section: str, name: str) -> str | None:
        """Return the name of a source in reports."""
        if self._manifest is not None:
            if section in self._manifest.names("sources"):
                return section
            if (section, name) in self._registered:
                return self._entries.get(f"{section}.{name}")
            return None
        return f"{section}.{name}" if self._is_known(section, name) else None

    def _name_of_single(self, resource: DltResource, module: str | None) -> str | None:
        """Return the name of a resource that is a source by itself."""
        from dlthub_project.dlt_internals import data_events

        key = str(resource.section), str(resource.name)
        made_by = self._registered.get(key)
        is_its_own = module in (None, made_by) or data_events.is_given(resource)
        if made_by is None or not is_its_own:
            return None
        return self._name(*key)

    def _is_known(self, section: str, name: str) -> bool:
        module = self._registered.get((section, name))
        return module is not None and not self._is_of_tests(module)

    def _is_of_tests(self, module: str) -> bool:
        from dlthub_project.dlt_internals import data_events

        file = data_events.file_of(module)
        name = Path(file).name
        return bool(file) and (file in self._session.test_files or name == "conftest.py")


def _is_of_user(name: str, module: ModuleType) -> bool:
    """Tell whether a module belongs to the user, and not to a library."""
    # `vars`, since some modules import a whole library when code asks for a missing attribute
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    is_user = isinstance(file, str) and not is_library_file(file)
    return is_user and name.partition(".")[0] not in _OF_DLT


def shown_name(owner: str, owners: Iterable[str]) -> str:
    """Return the name of a source in reports: with its module only if two have the same name."""
    short: Any = owner.rpartition(".")[2]
    return short if sum(one.rpartition(".")[2] == short for one in owners) == 1 else owner
