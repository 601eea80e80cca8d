"""The order of many pipelines: which must wait for which, and which take turns.

Nothing here makes a pipeline, imports code of the project or connects to anything.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from dlthub_project.context import Project, source_argument
from dlthub_project.dlt_internals import destinations
from dlthub_project.entities import DltEntityFactory
from dlthub_project.entities.destination_places import Storage, storage_of
from dlthub_project.entities.entries import declared_pipeline, manifest_file
from dlthub_project.errors import ProjectError
from dlthub_project.secrets import public_url


@dataclass(frozen=True)
class PlannedPipeline:
    """A pipeline of one call, and what it waits for.

    Attributes:
        name: The pipeline.
        needs: The pipelines of the call that run before it, and why, by their names.
        storage: What holds the data of its destination.
        dataset_name: The dataset that it loads.
    """

    name: str
    needs: Mapping[str, str]
    storage: Storage
    dataset_name: str

    @property
    def turn(self) -> str | None:
        """The path of a database that takes one writer at a time; None for other destinations."""
        return self.storage.place if self.storage.kind == "database" else None


def planned(entities: DltEntityFactory, names: Sequence[str]) -> list[PlannedPipeline]:
    """Return the pipelines `names` of a project in an order in which each can run.

    Among those that can run, the order is that of `names`.

    Raises:
        EntityNotFound: A pipeline is not declared, or its dataset or destination is not.
        ManifestError: An entry uses an environment variable that is not set.
        ProjectError: A name is given twice, or pipelines wait for each other.
    """
    twice = sorted({name for name in names if names.count(name) > 1}) if names else []
    if twice:
        raise ProjectError(
            f"Pipeline `{twice[0]}` is named twice in one call: both would have one working "
            "folder, and lose each other's data.",
            "Name it once.",
        )
    locations = {name: entities.datasets.locate_pipeline(name) for name in names}
    storages = {
        destination: storage_of(entities, destination)
        for destination in {where.destination_name for where in locations.values()}
    }
    places = {
        name: _without_port(storages[where.destination_name].place)
        for name, where in locations.items()
    }
    reading = _Reading(
        entities.project, {name: where.dataset_name for name, where in locations.items()}, places
    )
    needs = {name: reading.needs_of(name) for name in names}
    return [
        PlannedPipeline(
            name,
            needs[name],
            storages[locations[name].destination_name],
            locations[name].dataset_name,
        )
        for name in _sorted(needs, manifest_file(entities.project))
    ]


def _sorted(needs: Mapping[str, Mapping[str, str]], file: str) -> list[str]:
    ordered: dict[str, None] = {}
    left = list(needs)
    while left:
        ready = next((name for name in left if all(n in ordered for n in needs[name])), None)
        if ready is None:
            raise ProjectError(
                f"{file}: pipelines wait for each other:\n{_circle(needs, left)}",
                "Take one of these reasons away: an `after`, or a dataset that a source reads. "
                "Where the code of a source merely has a word of that name, `after: []` says that "
                "its pipeline waits for none.",
            )
        ordered[ready] = None
        left.remove(ready)
    return list(ordered)


def _circle(needs: Mapping[str, Mapping[str, str]], left: Sequence[str]) -> str:
    path = [left[0]]
    while path[-1] not in path[:-1]:
        path.append(next(name for name in needs[path[-1]] if name in left))
    path = path[path.index(path[-1]) :]
    steps = pairwise(path)
    return "\n".join(f"  {name} waits for {n}: {needs[name][n]}" for name, n in steps)


class _Reading:
    """Finds which pipelines of a call load a dataset that the source of another one reads."""

    def __init__(
        self,
        project: Project,
        datasets: Mapping[str, str],
        places: Mapping[str, str],
    ) -> None:
        self._project = project
        self._datasets = datasets
        self._places = places
        self._modules: dict[str, _Module | None] = {}
        # pipelines may share a source
        self._of_source = cache(lambda source: tuple(self._read_by_source(source)))

    def needs_of(self, pipeline: str) -> dict[str, str]:
        """Return the pipelines that run before `pipeline`, and why, by their names."""
        needs: dict[str, str] = {}
        manifest = self._project.manifest
        entry = declared_pipeline(self._project, pipeline)
        if entry.get("after") == []:
            # `after: []` says that words in its code name no datasets
            return needs
        for key, tell in (("after", self._declared), ("source", self._of_source)):
            filled = manifest.fill(entry.get(key) or [], ("pipelines", pipeline, key))
            for name in [filled] if isinstance(filled, str) else filled:
                for other, reason in tell(name):
                    if other != pipeline and other in self._datasets:
                        needs.setdefault(other, reason)
        return needs

    def _declared(self, name: str) -> Iterable[tuple[str, str]]:
        return [(name, "it is declared (`after`)")]

    def _read_by_source(self, source: str) -> Iterator[tuple[str, str]]:
        entry = self._project.manifest.entry("sources", source) or {}
        filled = self._project.manifest.fill_known(entry)
        arguments = {key: value for key, value in filled.items() if key != "type"}
        texts = set(_texts(arguments))
        credentials = [*texts, arguments.get("credentials")]
        if "credentials" not in arguments:
            # if only the run can read the value, the run raises the error
            with suppress(Exception):
                credentials.append(source_argument(source, "credentials", Any))
        for other, dataset in self._datasets.items():
            if dataset in texts:
                yield other, f"source `{source}` names its dataset `{dataset}`"
        for place in filter(None, map(_place_of_credentials, credentials)):
            for other, where in self._places.items():
                if where == place:
                    yield other, f"source `{source}` reads the place where it writes"
        mentioned = self._mentioned(str(filled.get("type") or source))
        for other, dataset in self._datasets.items():
            if dataset in mentioned:
                yield other, f"the code of source `{source}` names its dataset `{dataset}`"

    def _mentioned(self, reference: str) -> set[str]:
        module, _, function = reference.removeprefix("sources.").rpartition(".")
        if not module:
            module, function = reference, reference
        if module not in self._modules:
            folder = Path(self._project.project_dir, "sources", *module.split("."))
            files = (folder.with_suffix(".py"), folder / "__init__.py")
            file = next((file for file in files if file.is_file()), None)
            self._modules[module] = _Module(file) if file else None
        found = self._modules[module]
        return found.words_of(function) if found else set()


class _Module:
    """A Python file, and the words that its functions use: names, attributes and texts."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def _parts(self) -> dict[str, ast.AST]:
        try:
            tree = ast.parse(self._file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            # the run will raise the error
            return {}
        parts: dict[str, ast.AST] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                parts[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        parts[target.id] = node
        return parts

    def words_of(self, function: str) -> set[str]:
        """Return the words of a function, and of what it uses of its module."""
        words: set[str] = set()
        seen: set[str] = set()
        to_see = [function]
        while to_see:
            name = to_see.pop()
            if name in seen or name not in self._parts:
                continue
            seen.add(name)
            own = set(_words(self._parts[name]))
            words |= own
            to_see.extend(own)
        return words - seen


def _words(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


def _place_of_credentials(credentials: Any) -> str | None:
    """Return the place that credentials lead to, as in `Storage`; None for other texts."""
    if isinstance(credentials, Mapping):
        host, database = credentials.get("host"), credentials.get("database")
        port = f":{credentials['port']}" if credentials.get("port") else ""
        return _without_port(f"{host}{port}/{database}") if host and database else None
    if not isinstance(credentials, str) or "://" not in credentials:
        return None
    scheme = credentials.partition("://")[0]
    of_file = {"duckdb": destinations.duckdb_path, "sqlite": destinations.sqlite_path}
    if find := of_file.get(scheme.partition("+")[0]):
        path = find(credentials)
        return os.path.realpath(path) if path else None
    return _without_port(public_url(credentials).partition("://")[2].rpartition("@")[2])


def _without_port(place: str) -> str:
    """Return a place without the default port of its kind of server."""
    return re.sub(r":(5432|3306)(?=/|$)", "", place)
