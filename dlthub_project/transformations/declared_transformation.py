"""A transformation that a project declares, and its steps: populate, transform, flush."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlthub_project.entities import EntryPosition
from dlthub_project.errors import ProjectError, known_names
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
        self.cache.populate(self._outputs())

    def transform(self) -> None:
        """Make the tables in the cache. Nothing happens if no load is new.

        Raises:
            ProjectError: The project's code cannot be used, or the cache is not populated.
        """
        outputs = self._outputs()
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
            self._outputs(),
            observers=observers,
            retry_policy=retry_policy,
            retry_pipeline_steps=retry_pipeline_steps,
        )

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
        outputs = self._outputs()
        if not self.cache.is_populated_with(outputs):
            return
        held = self.cache.made_tables()
        if missing := [output for output in outputs if output.made not in held]:
            listed = ", ".join(f"`{output.made}`" for output in missing)
            raise ProjectError(
                f"Transformation `{self.name}` has not made {listed}.",
                "It yielded nothing for it, or transform() was not called.",
            )

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

    def _outputs(self) -> list[OutputTable]:
        """Return the outputs of the cache that this transformation makes.

        Raises:
            ProjectError: No transformation of the cache makes one of its outputs.
        """
        made = self._code.table_names()
        outputs = self.cache.outputs(made)
        missing = [output.made for output in outputs if output.made not in made]
        if missing:
            others = self._made_by_others()
            missing = [name for name in missing if name not in others]
        if missing:
            raise ProjectError(
                f"{self._position}: nothing makes {', '.join(f'`{name}`' for name in missing)}, "
                f"which cache `{self.cache.name}` is to write.",
                f"The tables that transformation `{self.name}` makes: "
                f"{known_names(missing[0], made)}",
            )
        return [output for output in outputs if output.made in made]

    def _made_by_others(self) -> set[str]:
        project = self._entities.project
        others = (
            Transformation(self._entities, name)
            for name in project.manifest.names("transformations")
            if name != self.name
            and (project.manifest.entry("transformations", name) or {}).get("cache")
            == self.cache.name
        )
        return {table for other in others for table in other._code.table_names()}

    @property
    def _position(self) -> EntryPosition:
        return EntryPosition(self._entities.project, "transformations", self.name)
