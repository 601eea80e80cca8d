"""Finds `dlthub` for `import dlt` if no package of that name is installed.

`import dlt` imports `dlthub` to offer `dlt.hub.current.project`. The build writes this module's
source into a `.pth` line (`hatch_build.py`), so it imports nothing but `sys` at its top and knows
no other module of this package.
"""

import sys

# typing itself is not imported: this runs at the start of every Python process
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class FallbackFinder:
    """Stands last in `sys.meta_path`, and asks all other finders first, even later ones."""

    # finders of the `.pth` line and of this module are two classes with one mark
    is_dlthub_fallback = True

    # threads that ask the other finders, one of which may ask all finders: SlipCover's does
    asking: "set[int]" = set()  # noqa: RUF012  # `typing` is not imported here

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec of `dlthub`: that of another finder, else that of `hub/dlthub`."""
        if name != "dlthub":
            return None
        import os
        from _thread import get_ident

        is_asked_by_another = any(get_ident() in threads for threads in _asking())
        if is_asked_by_another or os.environ.get("DLTHUB_PROJECT_NO_FALLBACK") == "1":
            return None
        spec = spec_of_others(path, target)
        if spec is not None:
            return spec
        from importlib import machinery, util

        ours = machinery.PathFinder.find_spec("dlthub_project")
        if ours is None or not ours.submodule_search_locations:
            return None
        folder = os.path.join(next(iter(ours.submodule_search_locations)), "hub", "dlthub")
        file = os.path.join(folder, "__init__.py")
        if not os.path.isfile(file):
            return None
        return util.spec_from_file_location(name, file, submodule_search_locations=[folder])


def spec_of_others(
    path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
) -> "ModuleSpec | None":
    """Return the spec of `dlthub` that another finder has."""
    from _thread import get_ident

    me, asking = get_ident(), _asking()
    others = [f for f in sys.meta_path if not getattr(f, "is_dlthub_fallback", False)]
    for threads in asking:
        threads.add(me)
    try:
        found = (f.find_spec("dlthub", path, target) for f in others if hasattr(f, "find_spec"))
        return next((spec for spec in found if spec is not None), None)
    finally:
        for threads in asking:
            threads.discard(me)


def _asking() -> "list[set[int]]":
    """Return the sets of asking threads: of the finder here, and of that of the `.pth` line."""
    ours = [f for f in sys.meta_path if getattr(f, "is_dlthub_fallback", False)]
    return [getattr(finder, "asking", set()) for finder in ours]


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    if not any(getattr(finder, "is_dlthub_fallback", False) for finder in sys.meta_path):
        sys.meta_path.append(FallbackFinder)


def is_dlthub_installed() -> bool:
    """Tell whether a real `dlthub` is installed; if so, our hooks do nothing."""
    loaded = sys.modules.get("dlthub")
    if loaded is not None:
        return not getattr(loaded, "is_dlthub_project_fallback", False)
    spec = spec_of_others()
    # a folder of that name without code is no package
    return spec is not None and spec.origin is not None
