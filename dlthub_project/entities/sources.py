"""Finds the dlt source factory of an entry, and gives it the entry's arguments."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from dlt.common.schema.utils import is_valid_schema_name
from dlt.extract.exceptions import UnknownSourceReference
from dlt.extract.reference import SourceFactory, SourceReference

from dlthub_project.context import source_argument, source_mapping
from dlthub_project.dlt_internals import resources
from dlthub_project.entities.entries import EntryPosition
from dlthub_project.errors import EntityReferenceError, ProjectError, known_names

if TYPE_CHECKING:
    from dlt.common.reflection.ref import ImportTrace
    from dlt.extract import DltSource
    from dlt.extract.reference import AnySourceFactory


_LONGEST_NAME = 64
_ANY_KEY = inspect.Parameter.VAR_KEYWORD
_BY_POSITION = inspect.Parameter.POSITIONAL_ONLY


class ProjectSourceFactory(SourceFactory[Any, "DltSource"]):
    """Makes the source of a manifest entry. Arguments of a call override declared ones.

    It is a dlt source factory, so `Pipeline.run` also takes it without a call.
    """

    def __init__(self, factory: AnySourceFactory, entry: str, keys: Iterable[str] = ()) -> None:
        """Make the factory; `EntityFactory.get_source` gives one.

        Args:
            factory: The dlt factory, under the name and section of the entry.
            entry: The name of the entry.
            keys: The keys of the entry that are arguments of the source.
        """
        self._factory = factory
        self._entry = entry
        self._keys = tuple(keys)

    def __call__(self, *args: Any, **kwargs: Any) -> DltSource:
        """Make the source. The configuration and the manifest have the other arguments.

        Raises:
            ManifestError: A value uses an environment variable that is not set.
            ConfigurationException: A value is missing, or does not fit the argument's type.
        """
        signature = inspect.signature(resources.source_function(self._factory))
        configured = self._configured(args, kwargs)
        by_position = [n for n, p in signature.parameters.items() if p.kind is _BY_POSITION]
        found = takewhile(configured.__contains__, by_position[len(args) :])
        filled = [configured.pop(name) for name in found]
        return self._factory(*args, *filled, **{**configured, **kwargs})

    def clone(self, **arguments: Any) -> ProjectSourceFactory:
        """Return a copy with other arguments of the decorator, as dlt's own factories do."""
        return ProjectSourceFactory(self._factory.clone(**arguments), self._entry, self._keys)

    with_args = clone  # dlt's old name for it

    def add_postprocessor(self, func: Callable[[DltSource], Any]) -> None:
        """Add a function that is called with every source that this factory makes."""
        self._factory.add_postprocessor(func)

    def add_limit(self, *args: Any, **kwargs: Any) -> None:
        """Limit every source that this factory makes, as `DltSource.add_limit` does."""
        # dlt 1.29 has no such method on its factories
        self._factory.add_postprocessor(lambda source: source.add_limit(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._factory, name)

    def _configured(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configured values of the arguments that dlt does not fill, or not completely.

        dlt fills only arguments with a default, and takes a mapping from one layer alone.
        """
        function = resources.source_function(self._factory)
        signature = inspect.signature(function)
        types = _types_of(function)
        given = {*signature.bind_partial(*args).arguments, *kwargs}
        names = [name for name, p in signature.parameters.items() if p.kind is not _ANY_KEY]
        if len(names) < len(signature.parameters):
            names += [key for key in self._keys if key not in names]
        injected = self._factory.ref.SPEC.get_resolvable_fields()
        values = {
            name: source_mapping(self._entry, name, types.get(name, Any))
            if name in injected
            else source_argument(self._entry, name, types.get(name, Any))
            for name in names
            if name not in given
        }
        return {name: value for name, value in values.items() if value is not None}


def find_source(
    reference: str, project_dir: str, position: EntryPosition, declared: Iterable[str] = ()
) -> AnySourceFactory:
    """Return the dlt source factory that `reference` leads to.

    Args:
        reference: A dotted path, or a shorthand that dlt expands.
        project_dir: The root of the project's Python modules, for the error.
        position: Where the reference stands, for the error.
        declared: The declared sources, among which the error finds a similar name.

    Raises:
        EntityReferenceError: Nothing is found. Code that is found and raises while it is imported
            raises its own error.
    """
    try:
        return SourceReference.find(reference, raise_exec_errors=True)
    except UnknownSourceReference as error:
        tried = list_tried(error.traces, "a @dlt.source or a @dlt.resource")
        known = list(declared)
        hint = f"Declared are others. {known_names(reference, known)} " if known else ""
        raise EntityReferenceError(
            f"{position}: no source is found for `{reference}`. Tried, in this order:{tried}",
            f"{hint}Write it into {project_dir}/sources/, or give the full dotted path of a "
            "function with @dlt.source or @dlt.resource.",
        ) from None


def named(
    factory: AnySourceFactory, name: str, clone_arguments: Mapping[str, Any]
) -> AnySourceFactory:
    """Return a copy of `factory` that has the name and section of a manifest entry.

    A source with a schema of its own, from code or from a file beside it, keeps the name of that
    schema.
    """
    naming = {"section": name}
    if factory.schema is None and not resources.has_schema_file(factory):
        naming["name"] = name
    return factory.clone(**{**naming, **clone_arguments})


def check_source_name(factory: AnySourceFactory, name: str, position: EntryPosition) -> None:
    """Make sure that dlt can call the schema of a source by its name.

    Raises:
        ProjectError: It cannot, and the source has no schema of its own.
    """
    if factory.schema is not None or resources.has_schema_file(factory):
        return
    if not is_valid_schema_name(name):
        proposal = re.sub(r"\W", "_", name)[:_LONGEST_NAME]
        if not proposal.isidentifier():
            proposal = f"s_{proposal}"[:_LONGEST_NAME]
        raise ProjectError(
            f"{position}: dlt names the schema of a source after it, and `{name}` is no such name: "
            f"it takes letters, digits and `_`, no digit first, {_LONGEST_NAME} at most.",
            f"Call the source `{proposal}`, also where pipelines name it.",
        )


def clone_argument_names(factory: AnySourceFactory) -> list[str]:
    """Return the names of the arguments that `with_args` may give."""
    return [name for name in inspect.signature(factory.clone).parameters if name[0] != "_"]


def _types_of(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        # annotations that only type checkers can read
        return {}


def list_tried(traces: Iterable[ImportTrace], expected: str) -> str:
    """Return one line for each candidate that dlt tried, with the reason why it is not the one.

    Args:
        traces: The candidates that dlt tried.
        expected: What the reference should lead to.
    """
    return "".join(f"\n  {trace.ref}: {_why(trace, expected)}" for trace in traces)


def _why(trace: ImportTrace, expected: str) -> str:
    if trace.reason == "ModuleSpecNotFound":
        return f"there is no module `{trace.module}`"
    if trace.reason == "AttrNotFound":
        return f"module `{trace.module}` has no `{trace.attr_name}`"
    return f"it is not {expected}"
