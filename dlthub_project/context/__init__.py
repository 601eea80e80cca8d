"""The run context of a project: its folder, its active profile, and its values."""

from dlthub_project.context.configured_values import (
    pipeline_argument,
    run_config_value,
    source_argument,
    source_mapping,
)
from dlthub_project.context.discovery import (
    PROFILE_VARIABLE,
    find_package,
    find_project_dir,
    installed_packages,
)
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

__all__ = [
    "PROFILE_VARIABLE",
    "Project",
    "ProjectRunContext",
    "active_context",
    "ensure_project",
    "find_package",
    "find_project_dir",
    "installed_packages",
    "kept_context",
    "open_project",
    "pipeline_argument",
    "run_config_value",
    "source_argument",
    "source_mapping",
    "switch_profile",
    "switched_profile",
    "unset_variables_missing",
    "used_context",
]
