"""Stands for the package `dlthub` when it is not installed, so that `dlt.hub` works.

It is imported as `dlthub`, while `import dlt` runs, and under no other name; so it imports
nothing before it is used.
"""

from typing import Any

is_dlthub_project_fallback = True

__all__ = ["runner", "transformation"]


def transformation(*args: Any, **kwargs: Any) -> Any:
    """Declare a transformation; see `dlthub_project.transformation`."""
    from dlthub_project.transformations import transformation as declare

    return declare(*args, **kwargs)


def runner(*args: Any, **kwargs: Any) -> Any:
    """Make a runner of a pipeline; see `dlthub_project.runner.runner`."""
    from dlthub_project.runner import runner as make

    return make(*args, **kwargs)
