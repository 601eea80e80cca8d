"""The hook that dlt loads."""

import os

from dlt.common.configuration.plugins import hookimpl

from dlthub.project import ProjectRunContext


@hookimpl
def plug_run_context(run_dir, runtime_kwargs):
    folder = os.path.abspath(run_dir or ".")
    if not os.path.isfile(os.path.join(folder, "dlt.yml")):
        return None
    profile = (runtime_kwargs or {}).get("profile") or os.environ.get("WORKSPACE__PROFILE", "dev")
    return ProjectRunContext(folder, profile)
