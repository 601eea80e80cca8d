"""`given=`: replaces what resources extract by rows of the test. The rest of the source runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dlt.common.exceptions import DltException
from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import failures, http_client, relations
from dlthub_project.dlt_internals import resources as dlt_resources
from dlthub_project.errors import EntityNotFound, MergeKeyNotKnown, ProjectError, known_names
from dlthub_project.recordings import read_recorded_file
from pytest_dlthub.placeholders import DRIVER, Hints

Given = Mapping[str, Any]
Recorded = Literal["recorded"]

_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": lambda path: _read_csv(path).to_pylist(),
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".jsonl": lambda path: [json.loads(line) for line in _lines(path) if line.strip()],
    ".parquet": lambda path: _read_parquet(path),
}


class Replayed(NamedTuple):
    """What a resource has yielded when it was recorded, with dlt's marks on items.

    Attributes:
        items: Yields it, anew with each call.
    """

    items: Callable[[], Iterator[Any]]


_HINTS = [name for name in signature(DltResource.apply_hints).parameters if name != "self"]


def read_given(
    given: Given | None, hints: Any, folder: Path, caller: str
) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]]]:
    """Return `given` with absolute paths, and `hints` by resource.

    Raises:
        ProjectError: One of them has a wrong form.
        TypeError: There are hints without `given`.
    """
    if hints is not None and given is None:
        raise TypeError(f"{caller}: hints= are for rows in given=, and there are none")
    by_resource = hints_by_resource(hints, folder)
    return None if given is None else located(given, folder), by_resource


def hints_by_resource(hints: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Return hints by resource, from any form that a test may write.

    Args:
        hints: A mapping of resources, or `source.resource`, to arguments of
            `DltResource.apply_hints`; a schema of dlt; or the path of a file with one, `.yaml` or
            `.json`, as `export_schema_path` writes it. None for no hints.
        folder: What the path is relative to.

    Raises:
        ProjectError: It is none of these, the file holds no schema, or `apply_hints` has no such
            argument.
    """
    if hints is None:
        return {}
    if isinstance(hints, str | Path):
        hints = _read_schema(Path(folder, hints))
    if isinstance(hints, Schema):
        return _hints_of_schema(hints)
    if not isinstance(hints, Mapping) or not all(
        isinstance(own, Mapping) for own in hints.values()
    ):
        raise ProjectError(
            f"hints: {type(hints).__name__} is neither hints by resource nor a schema.",
            'Name the resource: hints={"my_resource": {"primary_key": "id"}}.',
        )
    for name, own in hints.items():
        for argument in own:
            if argument not in _HINTS:
                raise ProjectError(
                    f"hints: `{name}`: there is no hint `{argument}`. "
                    f"{known_names(argument, _HINTS)}"
                )
    return {name: dict(own) for name, own in hints.items()}


def _read_schema(path: Path) -> Schema:
    import yaml

    if not path.is_file():
        raise ProjectError(f"hints: there is no file {path.absolute()}.")
    try:
        # YAML reads JSON, too
        return Schema.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError, DltException) as error:
        raise ProjectError(f"hints: {path} holds no schema of dlt: {error}") from error


def _hints_of_schema(schema: Schema) -> dict[str, dict[str, Any]]:
    tables = [table for table in schema.data_tables() if not table.get("parent")]
    return {
        str(table.get("resource", table["name"])): {
            "columns": {
                name: column
                for name, column in table["columns"].items()
                if not name.startswith(schema.naming.normalize_identifier("_dlt_"))
            }
        }
        for table in tables
    }


def located(given: Given, folder: Path) -> dict[str, Any]:
    """Return `given` with each file name as a path below `folder`.

    Raises:
        ProjectError: It is not a mapping.
    """
    if not isinstance(given, Mapping):
        raise ProjectError(
            f"given: a {type(given).__name__} does not say which resource it is for.",
            'Name it: given={"my_resource": [{...}]}.',
        )
    return {
        name: Path(folder, value) if isinstance(value, str | Path) else value
        for name, value in given.items()
    }


def give(
    data: Sequence[DltSource | DltResource],
    given: Given,
    hints: Mapping[str, Hints] | None = None,
) -> list[DltSource | DltResource]:
    """Return copies of sources and resources that yield what is given.

    Args:
        data: The sources and resources.
        given: By resource, or by `source.resource`: a list of what its function yields, where a
            nested list is a page; a frame; an Arrow table; or the path of a `.json`, `.jsonl`,
            `.csv` (as rows) or `.parquet` file (as an Arrow table). Only these resources run, and
            those that get their data from them.
        hints: Hints of resources that their source would take from elsewhere, as `sql_database`
            does from its database.

    Raises:
        EntityNotFound: There is no such resource, or the source does not select it.
        ProjectError: A name is ambiguous, a resource cannot yield such a value, or the run loads
            none of the given resources.
    """
    loose = [item for item in data if isinstance(item, DltResource)]
    parts = [_Part([item], item.name) for item in data if isinstance(item, DltSource)]
    parts += [_Part(loose)] if loose else []
    for name, own in (hints or {}).items():
        for resource in _matching(name, parts, "hints"):
            resource.apply_hints(**own)
    for name, value in given.items():
        items = [] if isinstance(value, Replayed) else given_items(name, value)
        for resource in _matching(name, parts):
            needs_key = dlt_resources.gives_own_hints(resource, DRIVER)
            extraction = _extraction(name, items, needs_key=needs_key)
            if isinstance(value, Replayed):
                extraction = value.items
            dlt_resources.replace_extraction(resource, extraction)
    narrowed = [item for part in parts for item in part.narrowed(given)]
    if not narrowed:
        raise ProjectError("given: it names no resource that this run loads.")
    return narrowed


@contextmanager
def children_told(data: Any, given: Given | None) -> Iterator[None]:
    """Explain a failure in a block by what a resource that was not given has missed.

    Args:
        data: What `give` has returned, if anything is given.
        given: What is given.
    """
    try:
        yield
    except PipelineStepFailed as error:
        if given is not None and (told := _told_of_child(error, data, given)):
            failures.tell(error, told)
        raise


def _told_of_child(error: PipelineStepFailed, data: Any, given: Given) -> str | None:
    asked = http_client.resource_that_asked(error)
    name = asked or http_client.resource_that_read_a_row_as_page(error)
    full = [f"{item.name}.{name}" for item in data if isinstance(item, DltSource)]
    if not name or {name, *full} & given.keys():
        return None
    if asked:
        parents = ", ".join(f'"{key}"' for key in given)
        return (
            f"given: `{name}` has no given rows, so that its own code ran, and asked over the "
            f'network. Give it rows too: "{name}": [...]; or leave it out: '
            f"resources=[{parents}]."
        )
    rows = {k: given_items(k, v) for k, v in given.items() if not isinstance(v, Replayed)}
    pages = [f'"{k}": [[...]]' for k, items in rows.items() if isinstance([*items, 0][0], Mapping)]
    told = f"given: `{name}` seems to read pages, which are lists of rows. Give a page: "
    return told + ", ".join(pages) + "." if pages else None


class _Part:
    """A copy of one source, or of all resources outside of sources.

    Attributes:
        resources: All that `given` may name, also parents that are not listed; several of one name.
    """

    def __init__(self, originals: Sequence[DltSource | DltResource], source: str = "") -> None:
        self._data = dlt_resources.copy_extractables(originals)
        self._prefix = f"{source}." if source else ""
        self.resources = dlt_resources.resources_of(self._data)

    @property
    def names(self) -> list[str]:
        """The names of the resources."""
        return [str(resource.name) for resource in self.resources]

    def full(self, name: str) -> str:
        """Return the name of a resource with that of its source."""
        return f"{self._prefix}{name}"

    def matching(self, name: str) -> list[DltResource]:
        """Return the resources called `name`, or `source.name`."""
        return [r for r in self.resources if name in (r.name, self.full(str(r.name)))]

    def narrowed(self, given: Given) -> list[DltSource | DltResource]:
        """Return the given resources and those that they feed; no other resource extracts."""
        named = [resource for name in given for resource in self.matching(name)]
        for resource in self.resources:
            if resource not in named and not dlt_resources.has_parent(resource):
                dlt_resources.replace_extraction(resource, _not_given(str(resource.name)))
        listed = [r for item in self._data for r in _listed(item)]
        kept = [r for r in listed if r.selected and (r in named or _feed(named, [r]))]
        # a given resource that feeds others runs through them; alone only if nothing is selected
        used = [*kept, *(r for r in named if _feed([r], kept))]
        names = [str(r.name) for r in listed if r.selected]
        for name in given if names else ():
            if (own := self.matching(name)) and not any(r in used for r in own):
                raise EntityNotFound(f"given: `{name}` is not selected. {known_names(name, names)}")
        kept += [r for r in listed if r in named and r not in used]
        for resource in listed:
            resource.selected = resource in kept
        return [item for item in self._data if any(r in kept for r in _listed(item))]


def _listed(item: DltSource | DltResource) -> list[DltResource]:
    return list(item.resources.values()) if isinstance(item, DltSource) else [item]


def _feed(resources: Sequence[DltResource], others: Sequence[DltResource]) -> bool:
    return any(dlt_resources.descends_from(o, r) for r in resources for o in others)


def _key_not_known(name: str) -> MergeKeyNotKnown:
    return MergeKeyNotKnown(
        f"given: `{name}` is merged, but only its database or its function knows its key, and "
        "with given rows neither runs. Without a key dlt would append.",
        f'Give it: hints={{"{name}": {{"primary_key": "id"}}}}; or the schema of a real run: '
        'hints="schemas/my_source.schema.yaml".',
    )


def _matching(name: str, parts: Sequence[_Part], what: str = "given") -> list[DltResource]:
    """Return the resources called `name`, all in one part."""
    found = [part for part in parts if part.matching(name)]
    if not found:
        full = [part.full(known) for part in parts for known in dict.fromkeys(part.names)]
        short = [known for part in parts for known in dict.fromkeys(part.names)]
        names = full if len(set(short)) < len(short) or "." in name else short
        raise EntityNotFound(f"{what}: there is no resource `{name}`. {known_names(name, names)}")
    if len(found) > 1:
        listed = ", ".join(part.full(name) for part in found)
        raise ProjectError(f"{what}: `{name}` is ambiguous.", f"Name one of {listed}.")
    return found[0].matching(name)


def _not_given(name: str) -> Callable[[], Iterator[Any]]:
    """Return a generator function that fails, for a resource that must not extract anything."""

    def extract() -> Iterator[Any]:
        raise ProjectError(
            f"given: no rows are given for `{name}`.",
            "Give it rows, or leave the resources that read from it out of resources=.",
        )
        yield

    return extract


def _extraction(name: str, items: list[Any], *, needs_key: bool) -> Callable[[], Iterator[Any]]:
    """Return a generator function that yields items, from the start at each call.

    Args:
        name: The resource.
        items: What it yields.
        needs_key: Fail if it merges without a key: all hints are known when it extracts.
    """

    def extract() -> Iterator[Any]:
        if (
            needs_key
            and relations.extracting_pipeline() is not None
            and dlt_resources.merges_without_key(relations.extracting_resource())
        ):
            raise _key_not_known(name)
        # a copy, as maps of the source may change it in place; nothing can change an Arrow table
        for item in items:
            yield copy.deepcopy(item) if hasattr(item, "copy") else item

    return extract


def given_items(name: str, value: Any) -> list[Any]:
    """Return the items of a value of `given`: rows, pages of rows, frames or Arrow tables.

    Args:
        name: The name of the resource, for errors.
        value: A list of items, one frame or Arrow table, or the path of a file.

    Raises:
        ProjectError: It is something else, or the file cannot be read.
    """
    file = ""
    if isinstance(value, str | Path):
        file, value = f"{value} holds", _read(name, Path(value))
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "to_arrow"):
        return [value]
    if isinstance(value, Mapping) or not isinstance(value, list | tuple):
        expected = "a list of rows or pages is" if file else _EXPECTED
        raise ProjectError(
            f"given: `{name}`{f': {file}' if file else ' is'} {_kind_of(value)}; {expected} "
            f"expected.{_way_out(value)}"
        )
    return list(value)


_EXPECTED = "a list of rows or pages, a frame, an Arrow table or the path of a file is"


def _kind_of(value: Any) -> str:
    if not isinstance(value, Mapping):
        return type(value).__name__
    return f"a mapping of {', '.join(f'`{key}`' for key in list(value)[:5])}"


def _way_out(value: Any) -> str:
    """Return what to give in place of a mapping, which is the answer of an API, or a single row."""
    if not isinstance(value, Mapping):
        return ""
    lists = [key for key, part in value.items() if isinstance(part, list)]
    if not lists:
        return " One row is a list of one: [{...}]."
    return f" Give only the list in it, such as the value of `{lists[0]}`."


def _read(name: str, path: Path) -> Any:
    if path.suffix not in _READERS:
        endings = ", ".join(_READERS)
        raise ProjectError(f"given: `{name}`: {path} ends with none of {endings}.")
    if not path.is_file():
        raise ProjectError(f"given: `{name}`: there is no file {path.absolute()}.")
    try:
        recorded = read_recorded_file(path)
        return _READERS[path.suffix](path) if recorded is None else recorded
    except ValueError as error:
        raise ProjectError(f"given: `{name}`: {path} cannot be read: {error}") from error


def _lines(path: Path) -> list[str]:
    # line separators of Unicode may stand in a text
    return path.read_text(encoding="utf-8").split("\n")


def _read_csv(path: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(path)


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)
