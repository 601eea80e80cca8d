"""Takes the place of the package `dlthub` if that is not installed, so that `dlt.hub` works.

`import dlt` imports this module, under the name `dlthub` alone. So it imports nothing until
somebody uses it, but in a subprocess of a test: that looks here for its sandbox, before it may
clear its environment.
"""

import os
import sys
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


class _NotOffered:
    """Stands last in `sys.meta_path`: refuses missing parts of `dlthub`, and says which exist."""

    # marked as the finder of `dlthub` is: `spec_of_others` asks neither of them
    is_dlthub_fallback = is_of_parts = True

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Refuse what no other finder has found.

        Raises:
            ImportError: It is a part of `dlthub`.
        """
        # `importlib.util.find_spec`, which only asks, gets None
        is_imported = sys._getframe(2).f_code.co_name == "_find_and_load_unlocked"
        if is_imported and name.startswith(f"{__name__}."):
            part = name.split(".")[1]
            about, instead = _PARTS.get(part, (f"Parts such as `{name}`", ""))
            raise ImportError(
                f"{about} are not offered by pytest-dlthub, which stands for `dlthub` here"
                f"{f': {instead}' if instead else ''}. It has {_HERE}. "
                "dltHub's own package has more: pip install 'dlt[hub]'.",
                name=name,
            )


_HERE = (
    "`dlthub.current`, `.project`, `.data_quality`, `.destinations`, `.runner` and "
    "`.transformation`"
)
# parts of `dlthub` that are missing here, and what takes their place
_PARTS = {
    "cache": (
        "Classes of caches (`dlthub.cache`)",
        "declare caches in dlt.yml; dlt.hub.current.project.entities().get_cache(name) has one",
    ),
    "common": ("Licences (`dlthub.common`)", "nothing asks for one, so leave it out"),
    "transformations": (
        "Classes of transformations (`dlthub.transformations`)",
        "use dlt.hub.transformation, or declare them in dlt.yml",
    ),
}

if not any(getattr(finder, "is_of_parts", False) for finder in sys.meta_path):
    sys.meta_path.append(_NotOffered)

if "DLTHUB_PROJECT_SANDBOX" in os.environ:
    from dlthub_project.sandbox.settings import active_sandbox

    _sandbox = active_sandbox()
    if _sandbox is not None and _sandbox.is_inherited:
        from dlthub_project.sandbox.own_connections import lead_program_into_sandbox

        lead_program_into_sandbox()
