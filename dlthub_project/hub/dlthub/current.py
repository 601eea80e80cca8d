"""Found as `dlt.hub.current`: the active project."""

from dlthub_project import current as project

__all__ = ["project"]
