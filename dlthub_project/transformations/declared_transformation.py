"""A transformation that a project declares, and its steps: populate, transform, flush."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlthub_project.entities import EntryPosition
from dlthub_project.errors import ProjectError, known_names
from dlthub_project.secrets import hidden_in_errors
from dlthub_project.transformations.cache import Cache
from dlthub_project.transformations.declarations import (
    Flushed,
    OutputTable,
    TransformationInfo,
    declared_transformation,
)
from dlthub_project.transformations.engines import Engine, find_engine

if TYPE_CHECKING:
    from dlthub_project.entities import DltEntityFactory

logger = logging.getLogger(__name__)


class Transformation:
    """One transformation of a project.

    Attributes:
        name: Its name.
        engine: `python`, `arrow`, `sql` or `dbt`.
        cache: Its cache.
    """

    def __init__(self, entities: DltEntityFactory, name: str) -> None:
        """Read the entry in the manifest; import no code of the project.

        Raises:
            EntityNotFound: The manifest does not declare it, or its cache.
            ManifestError: An entry uses an environment variable that is not set.
            ProjectError: It names no cache.
        """
        self._entities = entities
        self.name = name
        entry = declared_transformation(entities.project, name)
        self.engine: str = entry.get("engine") or "python"
        if not entry.get("cache"):
            raise ProjectError(
                f"{self._position}: transformation `{name}` names no cache.",
                f"Add `cache:` with one of `caches`. "
                f"{known_names('', entities.project.manifest.names('caches'))}",
            )
        self.cache = Cache(entities, entry["cache"])

    def populate(self) -> None:
        """Fill the cache with the loads that the outputs of this transformation have not seen.

        Raises:
            DatasetNotLoaded: Datasets or tables of the inputs are missing.
            PipelineStepFailed: The destination of an output does not answer.
            ProjectError: The project's code or the cache cannot be used.
        """
        self.cache.populate(self.outputs())

    @hidden_in_errors()
    def transform(self) -> None:
        """Make the tables in the cache. Nothing happens if no load is new.

        Raises:
            ProjectError: The project's code cannot be used, or the cache is not populated.
        """
        outputs = self.outputs()
        with self.cache.locked():
            if self.cache.is_populated_with(outputs):
                self.cache.transform(self._code)

    def flush(
        self,
        *,
        observers: Iterable[object] = (),
        retry_policy: Any = None,
        retry_pipeline_steps: Sequence[str] | None = None,
    ) -> Flushed:
        """Write the tables to their datasets; the arguments are those of `runner`.

        Returns:
            What was written; empty if no load is new.

        Raises:
            PipelineStepFailed: As `dlt.Pipeline.run` raises it; that of the last attempt.
            ProjectError: The project's code cannot be used, or the cache is not populated.
        """
        return self.cache.flush(
            self.outputs(),
            observers=observers,
            retry_policy=retry_policy,
            retry_pipeline_steps=retry_pipeline_steps,
        )

    @hidden_in_errors()
    def run(
        self,
        *,
        observers: Iterable[object] = (),
        retry_policy: Any = None,
        retry_pipeline_steps: Sequence[str] | None = None,
    ) -> Flushed:
        """Populate, transform and flush, and keep others from the cache meanwhile."""
        with self.cache.locked():
            self.populate()
            self.transform()
            return self.flush(
                observers=observers,
                retry_policy=retry_policy,
                retry_pipeline_steps=retry_pipeline_steps,
            )

    def verify_inputs(self) -> None:
        """Make sure that all inputs of the cache can be read.

        Raises:
            DatasetNotLoaded: Datasets or tables are missing. The error names the pipelines that
                load them.
            ProjectError: The cache has no input, or two inputs have tables of one name.
        """
        self.cache.verify_inputs()

    def verify_outputs(self) -> None:
        """Make sure that the cache holds all the tables that flush will write.

        Raises:
            ProjectError: The transformation has not made some of them.
        """
        outputs = self.outputs()
        if not self.cache.is_populated_with(outputs):
            return
        held = self.cache.made_tables()
        if missing := [output for output in outputs if output.made not in held]:
            listed = ", ".join(f"`{output.made}`" for output in missing)
            raise ProjectError(
                f"Transformation `{self.name}` has not made {listed}.",
                "It yielded nothing for it, or transform() was not called.",
            )

    def outputs(self) -> list[OutputTable]:
        """Return the outputs of the cache that this transformation writes.

        These are those that it makes, and those that pass an input through.

        Raises:
            DatasetNotLoaded: The inputs that an output may pass through are missing.
            ProjectError: No transformation of the cache makes one of its outputs.
        """
        made = self._code.table_names()
        outputs = self.cache.outputs(made)
        passed: set[str] = set()
        if any(output.made not in made for output in outputs):
            passed = {*self.cache.input_tables()} - {*made}
            known = {*made, *passed}
            self._check_made_by_others([o.made for o in outputs if o.made not in known], known)
        return [output for output in outputs if output.made in made or output.made in passed]

    def info(self) -> TransformationInfo:
        """Return the declaration of the transformation; connects to nothing."""
        return TransformationInfo(
            self.name, self.engine, self._code.table_names(), self.cache.info()
        )

    def __repr__(self) -> str:
        return f"<Transformation {self.name} ({self.engine}) of cache {self.cache.name}>"

    @cached_property
    def _code(self) -> Engine:
        return find_engine(
            self.engine, self.name, self._entities.project.project_dir, self._position
        )

    def _check_made_by_others(self, tables: Sequence[str], known: Iterable[str]) -> None:
        """Make sure that other transformations of the cache make these tables.

        Raises:
            ProjectError: Nothing makes one of them.
        """
        if not tables:
            return
        manifest = self._entities.project.manifest
        missing, unread = set(tables), {}
        for name in manifest.names("transformations"):
            entry = manifest.entry("transformations", name) or {}
            if name == self.name or entry.get("cache") != self.cache.name:
                continue
            try:
                missing -= set(Transformation(self._entities, name)._code.table_names())
            except Exception as error:
                # its code may not be written yet, or fail when it is imported
                unread[name] = error
        if not missing:
            return
        listed = ", ".join(f"`{name}`" for name in tables if name in missing)
        if not unread:
            raise ProjectError(
                f"{self._position}: nothing makes {listed}, which cache `{self.cache.name}` is "
                "to write.",
                f"The tables that transformation `{self.name}` makes, and those of the inputs: "
                f"{known_names(next(name for name in tables if name in missing), known)}",
            )
        for name, failure in unread.items():
            logger.warning(
                "%s: nothing makes %s yet, unless transformation `%s` does, whose code cannot be "
                "used: %s",
                self._position,
                listed,
                name,
                failure,
            )

    @property
    def _position(self) -> EntryPosition:
        return EntryPosition(self._entities.project, "transformations", self.name)
