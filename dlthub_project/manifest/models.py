"""What may stand in a `dlt.yml`: the models that validate it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

ContractMode = Literal["evolve", "freeze", "discard_row", "discard_value"]

# `{env.X}` may stand for any value; it is filled in only when the entity is used
Flag = bool | str


def _empty_if_null(value: Any) -> Any:
    return {} if value is None else value


class _Closed(BaseModel):
    """An entry in which a key that nobody reads is a mistake."""

    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    """An entry that is plain dlt configuration but for the keys named here."""

    model_config = ConfigDict(extra="allow")


class ProjectEntry(_Closed):
    """The section `project`."""

    name: str | None = None
    project_dir: str | None = None
    data_dir: str | None = None
    local_dir: str | None = None
    default_profile: str | None = None
    allow_undefined_entities: Flag | None = None


class SourceEntry(_Open):
    """One of `sources`: its factory, the factory's arguments; the rest is configuration."""

    type: str
    with_args: dict[str, Any] | None = None


class DestinationEntry(_Open):
    """One of `destinations`; its type defaults to its name."""

    type: str | None = None


class ContractEntry(_Closed):
    """A schema contract by schema entity."""

    tables: ContractMode | None = None
    columns: ContractMode | None = None
    data_type: ContractMode | None = None


class DatasetEntry(_Closed):
    """One of `datasets`: where it may live, and what may be written to it."""

    destination: str | list[str] | None = None
    contract: ContractMode | ContractEntry | None = None


class PipelineEntry(_Closed):
    """One of `pipelines`: what it loads to where, and any argument of `dlt.pipeline()`."""

    source: str | list[str] | None = None
    destination: str | None = None
    dataset_name: str | None = None
    staging: str | None = None
    pipelines_dir: str | None = None
    pipeline_salt: str | None = None
    import_schema_path: str | None = None
    export_schema_path: str | None = None
    dev_mode: Flag | None = None
    refresh: str | None = None
    progress: str | None = None


class ProfileEntry(_Open):
    """One of `profiles`: sections that are laid over those of the manifest."""

    extends: str | list[str] | None = None


_Entry = TypeVar("_Entry")
# an entry or a section without content (`dev:`) is an empty one
_OrEmpty = Annotated[_Entry, BeforeValidator(_empty_if_null)]
_Section = Annotated[dict[str, _OrEmpty[_Entry]], BeforeValidator(_empty_if_null)]


class ManifestModel(_Open):
    """A whole manifest; keys that are not named here are plain dlt configuration."""

    project: _OrEmpty[ProjectEntry] = ProjectEntry()
    sources: _Section[SourceEntry] = {}
    destinations: _Section[DestinationEntry] = {}
    datasets: _Section[DatasetEntry] = {}
    pipelines: _Section[PipelineEntry] = {}
    caches: _Section[dict[str, Any]] = {}
    transformations: _Section[dict[str, Any]] = {}
    profiles: _Section[ProfileEntry] = {}


SECTIONS = tuple(ManifestModel.model_fields)
"""The sections that are ours; every other top-level key is plain dlt configuration."""
