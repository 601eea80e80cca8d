"""The only place that imports dlt's non-public modules: one small function for each need.

When dlt moves, these files and their contract tests (`tests/test_dlt_internals.py`) say so.
"""

from dlt._workspace._workspace_context import WorkspaceRunContext
from dlt.common.configuration.providers.doc import BaseDocProvider as DocumentProvider
from dlt.common.runtime.run_context import context_uri, global_dir

from dlthub_project.dlt_internals.contexts import (
    PlainRunContext,
    SuspendedContexts,
    active_run_context,
    find_workspace,
    forget_references,
    initialize_runtime,
    no_active_pipeline,
    plug_new_run_context,
    restore_run_context,
    resume_contexts,
    save_run_context,
    suspend_contexts,
    toml_providers,
)
from dlthub_project.dlt_internals.datasets import (
    local_database,
    open_destination,
    replace_schemas,
    stored_versions,
)
from dlthub_project.dlt_internals.destinations import (
    configured_bucket,
    duckdb_path,
    is_custom_destination,
    is_custom_reference,
    providers,
)
from dlthub_project.dlt_internals.pipelines import (
    database_held_open,
    make_again,
    preferred_loader_file_format,
    requested_dataset_name,
    set_default,
    skip_restore_from_new_database,
    use_local_dir,
)
from dlthub_project.dlt_internals.sources import (
    configured_value,
    has_schema_file,
    source_function,
)

__all__ = [
    "DocumentProvider",
    "PlainRunContext",
    "SuspendedContexts",
    "WorkspaceRunContext",
    "active_run_context",
    "configured_bucket",
    "configured_value",
    "context_uri",
    "database_held_open",
    "duckdb_path",
    "find_workspace",
    "forget_references",
    "global_dir",
    "has_schema_file",
    "initialize_runtime",
    "is_custom_destination",
    "is_custom_reference",
    "local_database",
    "make_again",
    "no_active_pipeline",
    "open_destination",
    "plug_new_run_context",
    "preferred_loader_file_format",
    "providers",
    "replace_schemas",
    "requested_dataset_name",
    "restore_run_context",
    "resume_contexts",
    "save_run_context",
    "set_default",
    "skip_restore_from_new_database",
    "source_function",
    "stored_versions",
    "suspend_contexts",
    "toml_providers",
    "use_local_dir",
]
