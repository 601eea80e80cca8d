"""The run context of a project: its folder, its active profile, and its values."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlthub_project.context.configured_values import (
        pipeline_argument,
        run_config_value,
        source_argument,
        source_mapping,
    )
    from dlthub_project.context.discovery import (
        PIN_FILE,
        PROFILE_VARIABLE,
        available_profiles,
        configured_profiles,
        find_package,
        find_project_dir,
        installed_packages,
        read_pin,
        settings_files,
        settings_folder,
    )
    from dlthub_project.context.layers import read_toml_files
    from dlthub_project.context.local_data import local_data_of, remove_local_data
    from dlthub_project.context.project import Project, open_project
    from dlthub_project.context.providers import unset_variables_missing
    from dlthub_project.context.run_context import (
        ProjectRunContext,
        active_context,
        ensure_project,
        kept_context,
        switch_profile,
        switched_profile,
        used_context,
    )
    from dlthub_project.context.shown_config import masked_config
    from dlthub_project.context.whole_project import Findings, validate_project

__all__ = [
    "PIN_FILE",
    "PROFILE_VARIABLE",
    "Findings",
    "Project",
    "ProjectRunContext",
    "active_context",
    "available_profiles",
    "configured_profiles",
    "ensure_project",
    "find_package",
    "find_project_dir",
    "installed_packages",
    "kept_context",
    "local_data_of",
    "masked_config",
    "open_project",
    "pipeline_argument",
    "read_pin",
    "read_toml_files",
    "remove_local_data",
    "run_config_value",
    "settings_files",
    "settings_folder",
    "source_argument",
    "source_mapping",
    "switch_profile",
    "switched_profile",
    "unset_variables_missing",
    "used_context",
    "validate_project",
]

_HOME_OF = {
    "Findings": "whole_project",
    "PIN_FILE": "discovery",
    "PROFILE_VARIABLE": "discovery",
    "Project": "project",
    "ProjectRunContext": "run_context",
    "active_context": "run_context",
    "available_profiles": "discovery",
    "configured_profiles": "discovery",
    "ensure_project": "run_context",
    "find_package": "discovery",
    "find_project_dir": "discovery",
    "installed_packages": "discovery",
    "kept_context": "run_context",
    "local_data_of": "local_data",
    "masked_config": "shown_config",
    "open_project": "project",
    "pipeline_argument": "configured_values",
    "read_pin": "discovery",
    "read_toml_files": "layers",
    "remove_local_data": "local_data",
    "run_config_value": "configured_values",
    "settings_files": "discovery",
    "settings_folder": "discovery",
    "source_argument": "configured_values",
    "source_mapping": "configured_values",
    "switch_profile": "run_context",
    "switched_profile": "run_context",
    "used_context": "run_context",
    "unset_variables_missing": "providers",
    "validate_project": "whole_project",
}


def __getattr__(name: str) -> Any:
    # each part when it is used: to find a project needs no dlt, and to open one no providers
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found
