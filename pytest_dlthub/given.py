"""Rows in place of what resources extract; the source's own code stays in between."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.extract import DltResource, DltSource

from dlthub_project.catalog import Catalog
from dlthub_project.context import unset_variables_missing
from dlthub_project.dlt_internals import datasets as dlt_datasets
from dlthub_project.dlt_internals import resources as dlt_resources
from dlthub_project.errors import DatasetNotLoaded, EntityNotFound, ProjectError, known_names

if TYPE_CHECKING:
    from dlthub_project.catalog import WritableDataset
    from dlthub_project.entity_factory import EntityFactory
    from dlthub_project.transformations import Cache


_NOT_SET = "not-set"
_PLACEHOLDERS: dict[type, Any] = {
    bool: False,
    bytes: b"not-set",
    datetime.date: datetime.date(1970, 1, 1),
    datetime.datetime: datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc),
    dict: {},
    float: 0.0,
    int: 0,
    list: [],
}
_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": lambda path: _read_csv(path).to_pylist(),
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".jsonl": lambda path: [json.loads(line) for line in _lines(path) if line.strip()],
    ".parquet": lambda path: _read_parquet(path),
}

Given = Mapping[str, Any]


_Tables = Mapping[str, Iterable[str] | None]
"""The tables of each input; None for all that there are."""


@contextmanager
def placeholders() -> Iterator[None]:
    """Resolve required secrets that nobody has configured to placeholders of their type.

    Values of `dlt.yml` that use environment variables which are not set are not configured.
    """
    with unset_variables_missing(_NOT_SET), dlt_resources.placeholders(_placeholder):
        yield


def located(given: Given, folder: Path) -> dict[str, Any]:
    """Return `given` with the names of files as paths, relative to `folder`.

    Raises:
        ProjectError: It is no mapping.
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


def give(data: Sequence[DltSource | DltResource], given: Given) -> list[DltSource | DltResource]:
    """Return copies of sources and resources that yield what is given.

    Args:
        data: The sources and resources.
        given: By resource, or by `source.resource`: a list of what its function yields, where a
            nested list is a page; a frame; an Arrow table; or the path of a `.json`, `.jsonl`,
            `.csv` (as rows) or `.parquet` file (as an Arrow table). Resources that are neither
            named nor get their data from one that is are not run.

    Raises:
        EntityNotFound: There is no such resource.
        ProjectError: A name is ambiguous, a value nothing that a resource yields, or nothing of
            what is given is to be loaded.
    """
    loose = [item for item in data if isinstance(item, DltResource)]
    parts = [_Part([item], item.name) for item in data if isinstance(item, DltSource)]
    parts += [_Part(loose)] if loose else []
    for name, value in given.items():
        extraction = _extraction(name, value)
        for resource in _matching(name, parts):
            dlt_resources.replace_extraction(resource, extraction)
    narrowed = [item for part in parts for item in part.narrowed(given)]
    if not narrowed:
        raise ProjectError("given: it names no resource whose data are to be loaded.")
    return narrowed


class _Part:
    """A copy of one source, or of all resources outside of sources.

    Attributes:
        resources: What can be given to, also parents that the source itself does not list. Several
            may have one name: a resource and what a transformer has made of it, for example.
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
        """Return what is given and what is made from it; nothing else extracts any more."""
        named = [resource for name in given for resource in self.matching(name)]
        for resource in self.resources:
            if resource not in named and not dlt_resources.has_parent(resource):
                dlt_resources.replace_extraction(resource, _not_given(str(resource.name)))
        listed = [r for item in self._data for r in _listed(item)]
        kept = [r for r in listed if r.selected and (r in named or _feed(named, r))]
        # a resource that only feeds others is run through them; one that is asked for, in any case
        feeding = [r for r in named if any(_feed([r], other) for other in kept)]
        kept += [r for r in listed if r in named and r not in kept and r not in feeding]
        for resource in listed:
            resource.selected = resource in kept
        return [item for item in self._data if any(r in kept for r in _listed(item))]


def _listed(item: DltSource | DltResource) -> list[DltResource]:
    return list(item.resources.values()) if isinstance(item, DltSource) else [item]


def _feed(resources: Sequence[DltResource], other: DltResource) -> bool:
    return any(dlt_resources.descends_from(other, resource) for resource in resources)


def _matching(name: str, parts: Sequence[_Part]) -> list[DltResource]:
    """Return the resources called `name`, all in one part."""
    found = [part for part in parts if part.matching(name)]
    if not found:
        full = [part.full(known) for part in parts for known in dict.fromkeys(part.names)]
        short = [known for part in parts for known in dict.fromkeys(part.names)]
        names = full if len(set(short)) < len(short) or "." in name else short
        raise EntityNotFound(f"given: there is no resource `{name}`. {known_names(name, names)}")
    if len(found) > 1:
        listed = ", ".join(part.full(name) for part in found)
        raise ProjectError(f"given: `{name}` is ambiguous.", f"Name one of {listed}.")
    return found[0].matching(name)


def _not_given(name: str) -> Callable[[], Iterator[Any]]:
    """Return the generator function of a resource that is not to be asked."""

    def extract() -> Iterator[Any]:
        raise ProjectError(
            f"given: no rows are given for `{name}`.",
            "Give it some, or leave out of resources= what gets its data from it.",
        )
        yield

    return extract


def _extraction(name: str, value: Any) -> Callable[[], Iterator[Any]]:
    """Return a generator function of what a resource is to yield, each time from the start."""
    items = given_items(name, value)

    def extract() -> Iterator[Any]:
        # copied: what the source's maps change is not the test's; Arrow tables cannot be changed
        for item in items:
            yield copy.deepcopy(item) if hasattr(item, "copy") else item

    return extract


def given_items(name: str, value: Any) -> list[Any]:
    """Return what a value of `given` consists of: rows, pages of rows, frames or Arrow tables.

    Args:
        name: Its name, for errors.
        value: A list of such, one frame or Arrow table, or the path of a file.

    Raises:
        ProjectError: It is something else, or the file cannot be read.
    """
    if isinstance(value, str | Path):
        value = _read(name, Path(value))
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "to_arrow"):
        return [value]
    if isinstance(value, Mapping) or not isinstance(value, list | tuple):
        raise ProjectError(
            f"given: `{name}` is {type(value).__name__}; a list of rows or pages, a frame, an "
            "Arrow table or the path of a file is expected."
        )
    return list(value)


def _read(name: str, path: Path) -> Any:
    if path.suffix not in _READERS:
        endings = ", ".join(_READERS)
        raise ProjectError(f"given: `{name}`: {path} ends with none of {endings}.")
    if not path.is_file():
        raise ProjectError(f"given: `{name}`: there is no file {path.absolute()}.")
    try:
        return _READERS[path.suffix](path)
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


def _placeholder(name: str, hint: Any) -> Any:
    """Return the placeholder for a secret; an engine is made of a database URL, but not used."""
    if name == "drivername":
        return "sqlite"
    return copy.copy(_PLACEHOLDERS.get(hint, _NOT_SET))


def load_tables(entities: EntityFactory, cache: Cache, given: Given) -> None:
    """Add rows to tables of the inputs of a cache; datasets and tables are made as needed.

    Args:
        entities: The project's.
        cache: The cache.
        given: Rows by table, or by `dataset.table`, as `DltProject.run` takes them.

    Raises:
        EntityNotFound: The cache has no such input.
        PipelineStepFailed: As `dlt.Pipeline.run` does.
        ProjectError: A name is ambiguous, or a value no rows.
    """
    inputs = _tables_of(cache)
    # everything is looked at before anything is loaded
    found = [(*_place(name, inputs), given_items(name, value)) for name, value in given.items()]
    for dataset, table, items in found:
        _load(_opened(entities, dataset), table, items)


def _tables_of(cache: Cache) -> dict[str, list[str] | None]:
    tables: dict[str, list[str] | None] = {}
    for source in cache.inputs:
        known = tables.setdefault(source.dataset, [])
        if source.tables is None or known is None:
            tables[source.dataset] = None
        else:
            known.extend(source.tables)
    return tables


def _place(name: str, inputs: _Tables) -> tuple[str, str]:
    """Return the dataset and the table that a name of `given` stands for."""
    before, dot, table = name.rpartition(".")
    datasets = [d for d in inputs if not dot or d == before]
    listed = [d for d in datasets if _lists(inputs[d], table)]
    # one that names no tables may have it, too, but not in a cache where another names it
    found = listed or [d for d in datasets if inputs[d] is None]
    if not found:
        known = [f"{d}.{t}" for d, tables in inputs.items() for t in tables or ()]
        open_ones = [d for d, tables in inputs.items() if tables is None]
        others = f" Any table of {', '.join(f'`{d}`' for d in open_ones)}." if open_ones else ""
        short = [k.rpartition(".")[2] for k in known]
        names = known if dot or len(set(short)) < len(short) else short
        listing = known_names(name, names) if known or not open_ones else ""
        raise EntityNotFound(f"given: there is no input `{name}`. {listing}{others}")
    if len(found) > 1:
        listing = ", ".join(f"{dataset}.{table}" for dataset in found)
        raise ProjectError(f"given: `{name}` is ambiguous.", f"Name one of {listing}.")
    return found[0], table


def _lists(tables: Iterable[str] | None, table: str) -> bool:
    """Tell whether a table is among `tables`, or has a nested one there."""
    return any(each == table or each.startswith(f"{table}__") for each in tables or ())


def _opened(entities: EntityFactory, name: str) -> WritableDataset:
    """Return a dataset; it is made when it does not exist."""
    catalog = Catalog(entities)
    try:
        return catalog.dataset(name)
    except DatasetNotLoaded:
        where = entities.datasets.locate(name)
        destination = entities.get_destination(where.destination_name)
        schema_name = _schema_name(entities, name)
        dlt_datasets.make_dataset(destination, where.dataset_name, schema_name)
        return catalog.dataset(name)


def _schema_name(entities: EntityFactory, dataset: str) -> str:
    """Return the schema that the first pipeline of a dataset loads, as far as can be told.

    A pipeline that is run later in the test then goes on with the same one.
    """
    from dlt.common.schema.utils import normalize_schema_name

    loaders = entities.datasets.loaders_of(dataset)
    source = entities.project.pipelines[loaders[0]].get("source") if loaders else None
    return normalize_schema_name(source if isinstance(source, str) else dataset)


def _load(dataset: WritableDataset, table: str, items: list[Any]) -> None:
    rows = [item for page in items for item in (page if isinstance(page, list) else [page])]
    name = dataset.schema.naming.normalize_table_identifier(table)
    if rows:
        dataset.save(rows, table_name=table)
    elif not any(name in schema.tables for schema in dataset.schemas):
        raise ProjectError(
            f"given: `{table}` has no rows, and its columns are not known.",
            "Give an Arrow table or a frame that has columns and no rows.",
        )
