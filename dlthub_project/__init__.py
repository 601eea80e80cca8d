"""The runtime of dltHub Projects: `dlt.yml` in, live dlt objects, runs and datasets out.

Everything public is imported from here, and loaded on first use: importing this package imports
neither dlt nor anything heavy. (PYTEST_DONT_REWRITE: it may be imported before pytest starts.)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlthub_project import current as current
    from dlthub_project.catalog import Catalog as Catalog
    from dlthub_project.catalog import WritableDataset as WritableDataset
    from dlthub_project.context import Project as Project
    from dlthub_project.context import ProjectRunContext as ProjectRunContext
    from dlthub_project.context import ensure_project as ensure_project
    from dlthub_project.context import kept_context as kept_context
    from dlthub_project.context import switch_profile as switch_profile
    from dlthub_project.context import switched_profile as switched_profile
    from dlthub_project.entity_factory import EntityFactory as EntityFactory
    from dlthub_project.errors import DatasetInUse as DatasetInUse
    from dlthub_project.errors import DatasetNotLoaded as DatasetNotLoaded
    from dlthub_project.errors import DestinationNotAllowed as DestinationNotAllowed
    from dlthub_project.errors import DisputedColumn as DisputedColumn
    from dlthub_project.errors import EntityNotFound as EntityNotFound
    from dlthub_project.errors import EntityReferenceError as EntityReferenceError
    from dlthub_project.errors import LoadFailedChecks as LoadFailedChecks
    from dlthub_project.errors import ManifestError as ManifestError
    from dlthub_project.errors import MergeKeyNotKnown as MergeKeyNotKnown
    from dlthub_project.errors import MergeStrategyNotSupported as MergeStrategyNotSupported
    from dlthub_project.errors import NotSupportedInProduction as NotSupportedInProduction
    from dlthub_project.errors import ProfileNotFound as ProfileNotFound
    from dlthub_project.errors import ProjectError as ProjectError
    from dlthub_project.errors import (
        ProjectRunContextNotAvailable as ProjectRunContextNotAvailable,
    )
    from dlthub_project.errors import RecordingMissing as RecordingMissing
    from dlthub_project.errors import RecordingStale as RecordingStale
    from dlthub_project.errors import RemoteDestinationBlocked as RemoteDestinationBlocked
    from dlthub_project.errors import SourceUsedUp as SourceUsedUp
    from dlthub_project.errors import ValueNotSet as ValueNotSet
    from dlthub_project.packaging import PackagedProject as PackagedProject
    from dlthub_project.runner import PipelineManager as PipelineManager
    from dlthub_project.runner import PipelineResult as PipelineResult
    from dlthub_project.runner import PipelineResults as PipelineResults
    from dlthub_project.runner import PipelinesInterrupted as PipelinesInterrupted
    from dlthub_project.runner import PlusLogCollector as PlusLogCollector
    from dlthub_project.transformations import transformation as transformation

_HOME_OF = {
    "current": "",
    "Catalog": "catalog",
    "WritableDataset": "catalog",
    "Project": "context",
    "ProjectRunContext": "context",
    "ensure_project": "context",
    "kept_context": "context",
    "switch_profile": "context",
    "switched_profile": "context",
    "EntityFactory": "entity_factory",
    "DatasetInUse": "errors",
    "DisputedColumn": "errors",
    "DatasetNotLoaded": "errors",
    "DestinationNotAllowed": "errors",
    "EntityNotFound": "errors",
    "EntityReferenceError": "errors",
    "LoadFailedChecks": "errors",
    "ManifestError": "errors",
    "MergeKeyNotKnown": "errors",
    "MergeStrategyNotSupported": "errors",
    "NotSupportedInProduction": "errors",
    "ProfileNotFound": "errors",
    "ProjectError": "errors",
    "ProjectRunContextNotAvailable": "errors",
    "RecordingMissing": "errors",
    "RecordingStale": "errors",
    "RemoteDestinationBlocked": "errors",
    "SourceUsedUp": "errors",
    "ValueNotSet": "errors",
    "PackagedProject": "packaging",
    "PipelineManager": "runner",
    "PipelineResult": "runner",
    "PipelineResults": "runner",
    "PipelinesInterrupted": "runner",
    "PlusLogCollector": "runner",
    "transformation": "transformations",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF[name]
    if not home:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
