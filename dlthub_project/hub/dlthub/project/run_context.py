"""Found as `dlthub.project.run_context`: activating a project."""

from dlthub_project.context import ProjectRunContext, ensure_project

__all__ = ["ProjectRunContext", "ensure_project"]
