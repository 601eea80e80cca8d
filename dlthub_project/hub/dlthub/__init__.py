"""Takes the place of the package `dlthub` if that is not installed, so that `dlt.hub` works.

`import dlt` imports this module, under the name `dlthub` alone. So it imports nothing until
somebody uses it.
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
