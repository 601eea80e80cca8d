"""What may stand in a `dlt.yml`: models that validate it, and that make its JSON Schema."""

from __future__ import annotations

import datetime
from copy import deepcopy
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

ContractMode = Literal["evolve", "freeze", "discard_row", "discard_value"]

# `{env.X}` may stand for any value; it is filled in only when the entity is used
Flag = bool | str
Variable = Annotated[str, Field(pattern=r"\{env\.[A-Za-z_]\w*(:[^{}]*)?\}")]
Count = Annotated[int, Field(strict=True, ge=1)] | Variable
Seconds = Annotated[float, Field(strict=True, ge=0)] | Variable


_Entry = TypeVar("_Entry")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OVERLAY = "InProfile"


class _Closed(BaseModel):
    """An entry in which an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    """An entry whose unknown keys are plain dlt configuration."""

    model_config = ConfigDict(extra="allow")


class ProjectEntry(_Closed):
    """The section `project`."""

    name: str | None = None
    project_dir: str | None = None
    data_dir: str | None = None
    local_dir: str | None = None
    tmp_dir: str | None = None
    default_profile: str | None = None
    allow_undefined_entities: Flag | None = None


class SourceEntry(_Open):
    """One of `sources`: its factory and the arguments of that; all other keys are configuration."""

    type: str = Field(description="the source's code, such as `rest_api` or `github.source`")
    with_args: dict[str, Any] | None = None


class DestinationEntry(_Open):
    """One of `destinations`; its type defaults to its name."""

    type: str | None = None


class ContractEntry(_Closed):
    """A schema contract by schema entity."""

    tables: ContractMode | None = None
    columns: ContractMode | None = None
    data_type: ContractMode | None = None


Value = str | bool | int | float | datetime.date | datetime.datetime


class _CheckOptions(_Closed):
    """What all checks take."""

    name: str | None = None
    severity: Literal["error", "warn"] | None = None
    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    where: str | None = None
    only_this_load: bool | None = None


class ColumnsCheckEntry(_CheckOptions):
    """A check of some columns, together."""

    columns: str | list[str] = Field(description="a column, or several")


class ValuesCheckEntry(_CheckOptions):
    """See `is_in`."""

    column: str = Field(description="a column")
    values: Annotated[list[Value], Field(min_length=1)] = Field(
        description="the values it may have"
    )


class RangeCheckEntry(_CheckOptions):
    """See `between`."""

    column: str = Field(description="a column")
    low: Value | None = None
    high: Value | None = None


class PatternCheckEntry(_CheckOptions):
    """See `matches`."""

    column: str = Field(description="a column")
    pattern: str = Field(description="a regular expression")


class ConditionCheckEntry(_CheckOptions):
    """See `case`."""

    condition: str = Field(description="a condition in SQL")


class ForeignKeyCheckEntry(_CheckOptions):
    """See `is_foreign_key`."""

    column: str = Field(description="a column")
    to: Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")] = Field(description="`table.column`")


class AgeEntry(_Closed):
    """A span of time; its parts are added."""

    days: Annotated[float, Field(ge=0)] | None = None
    hours: Annotated[float, Field(ge=0)] | None = None
    minutes: Annotated[float, Field(ge=0)] | None = None


class FreshnessCheckEntry(_CheckOptions):
    """See `freshness`."""

    column: str = Field(description="a column of times")
    within: AgeEntry = Field(description="how old its newest row may be, such as {hours: 24}")


class RowCountCheckEntry(_CheckOptions):
    """See `row_count`."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    change: Annotated[float, Field(ge=0)] | None = None


class CheckEntry(_Closed):
    """A check of a table: one of these."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    is_not_null: str | list[str] | ColumnsCheckEntry | None = None
    is_unique: str | list[str] | ColumnsCheckEntry | None = None
    is_primary_key: str | list[str] | ColumnsCheckEntry | None = None
    is_in: ValuesCheckEntry | None = None
    between: RangeCheckEntry | None = None
    matches: PatternCheckEntry | None = None
    case: str | ConditionCheckEntry | None = None
    is_foreign_key: ForeignKeyCheckEntry | None = None
    freshness: FreshnessCheckEntry | None = None
    row_count: RowCountCheckEntry | None = None


class QuantileEntry(_Closed):
    """A quantile of a column."""

    column: str = Field(description="a column")
    quantile: Annotated[float, Field(ge=0, le=1)] = Field(description="a share from 0 to 1")


class ColumnMetricEntry(_Closed):
    """A metric of a column: one of these, with the column, or several."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    maximum: str | list[str] | None = None
    minimum: str | list[str] | None = None
    mean: str | list[str] | None = None
    median: str | list[str] | None = None
    mode: str | list[str] | None = None
    sum: str | list[str] | None = None
    standard_deviation: str | list[str] | None = None
    quantile: QuantileEntry | None = None
    null_count: str | list[str] | None = None
    null_rate: str | list[str] | None = None
    unique_count: str | list[str] | None = None
    average_length: str | list[str] | None = None
    minimum_length: str | list[str] | None = None
    maximum_length: str | list[str] | None = None


TableMetric = Literal["row_count", "unique_count", "null_row_count"]
DatasetMetric = Literal["total_row_count", "load_row_count", "latest_loaded_at"]


class TableEntry(_Closed):
    """A table of a dataset: what must hold of its rows, and what is measured of them."""

    checks: list[CheckEntry] | None = None
    metrics: list[TableMetric | ColumnMetricEntry] | None = None


class DatasetEntry(_Closed):
    """One of `datasets`: where it may live, what may be written to it, and what must hold of it."""

    destination: str | list[str] | None = None
    enabled: Flag | None = None
    contract: ContractMode | ContractEntry | None = None
    tables: dict[str, TableEntry] | None = None
    metrics: list[DatasetMetric] | None = None


class RetryPolicyEntry(_Closed):
    """How often, and after how long, a failed run is tried again."""

    type: Literal["none", "fixed", "backoff"] = Field(description="none, fixed or backoff")
    max_attempts: Count | None = None
    multiplier: Seconds | None = None
    min: Seconds | None = None
    max: Seconds | None = None


class RunConfigEntry(_Closed):
    """How the runner runs a pipeline."""

    retry_policy: RetryPolicyEntry | None = None
    retry_pipeline_steps: list[Literal["sync", "extract", "normalize", "load"]] | None = None
    store_trace_info: Flag | None = None
    run_from_clean_folder: Flag | None = None
    on_failed_check: Literal["warn", "fail", "stop"] | None = None


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
    after: str | list[str] | None = None
    run_config: RunConfigEntry | None = None


class CacheInputEntry(_Closed):
    """A dataset that a cache reads, and its tables: the name of each there and in the cache."""

    dataset: str = Field(description="the name of a dataset")
    tables: dict[str, str] | None = None
    incremental: Flag | None = None


class CacheOutputEntry(_Closed):
    """A dataset that a cache is written to, and its tables: their names in the cache and there."""

    dataset: str = Field(description="the name of a dataset")
    tables: dict[str, str] | None = None
    write_disposition: Literal["append", "replace", "merge"] | None = None
    primary_key: str | list[str] | None = None
    merge_key: str | list[str] | None = None


class CacheEntry(_Closed):
    """One of `caches`."""

    inputs: list[CacheInputEntry] | None = None
    outputs: list[CacheOutputEntry] | None = None


class TransformationEntry(_Closed):
    """One of `transformations`: what runs it, on which cache."""

    engine: Literal["python", "arrow", "sql", "dbt"] | None = None
    cache: str | None = None


class ProfileEntry(_Open):
    """One of `profiles`: sections that are laid over those of the manifest."""

    extends: str | list[str] | None = None


class _NullIsEmpty:
    """Reads an entry or a section without content (`dev:`) as an empty one."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: {} if value is None else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "null"}]}


_OrEmpty = Annotated[_Entry, _NullIsEmpty()]
_Section = Annotated[dict[str, _OrEmpty[_Entry]], _NullIsEmpty()]


class ManifestModel(_Open):
    """A `dlt.yml`. Top-level keys that are not named here are plain dlt configuration."""

    project: _OrEmpty[ProjectEntry] = ProjectEntry()
    sources: _Section[SourceEntry] = {}
    destinations: _Section[DestinationEntry] = {}
    datasets: _Section[DatasetEntry] = {}
    pipelines: _Section[PipelineEntry] = {}
    caches: _Section[CacheEntry] = {}
    transformations: _Section[TransformationEntry] = {}
    profiles: _Section[ProfileEntry] = {}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a `dlt.yml`.

    It takes what a manifest takes, and completes the sections of profiles too: there, nothing is
    required, and every entry may be null, which removes it.
    """
    # here, and not above: pydantic is slow to import
    from dlthub_project.manifest.models import ManifestModel

    schema = ManifestModel.model_json_schema()
    definitions = schema["$defs"]
    overlays = {
        f"{name}{_OVERLAY}": _overlay(definition) for name, definition in definitions.items()
    }
    sections = _overlay({"properties": schema["properties"]})["properties"]
    profile = definitions["ProfileEntry"]
    profile["properties"] = {
        **{name: section for name, section in sections.items() if name != "profiles"},
        **profile["properties"],
    }
    del overlays[f"ProfileEntry{_OVERLAY}"]
    return {"$schema": _DIALECT, **schema, "$defs": {**definitions, **overlays}}


def _overlay(definition: dict[str, Any]) -> dict[str, Any]:
    """Return `definition` as a profile may have it: null removes a key of the overlaid entry.

    References lead to overlays again.
    """
    overlay: dict[str, Any] = _redirected(deepcopy(definition))
    overlay.pop("required", None)
    for name, prop in overlay.get("properties", {}).items():
        overlay["properties"][name] = {"anyOf": [prop, {"type": "null"}]}
    return overlay


def _redirected(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{value}{_OVERLAY}" if key == "$ref" else _redirected(value)
            for key, value in schema.items()
        }
    return [_redirected(item) for item in schema] if isinstance(schema, list) else schema
