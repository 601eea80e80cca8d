"""Builds the two start-up files that let `import dlt` find this project as `dlt.hub`.

A `.pth` file at the root of site-packages is read when Python starts, and a line of it that begins
with `import` is run. That line carries the source of `dlthub_project/hub_finder.py`: if the module
were imported instead, every start of Python would pay some 2 ms, and pytest would warn that it came
too late to rewrite it. From Python 3.15 on the `.start` file beside it is read instead (PEP 829).
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FINDER = Path("dlthub_project", "hub_finder.py")
STEM = "dlthub_project_fallback"
# Compiling the finder at every start would cost 1.5 ms, so this stands in for it (0.5 ms) until
# someone asks for `dlthub`. Nothing may escape from it, not even a syntax error of the finder on a
# later Python: a start of Python would print it, and `import dlt` would fail.
STAND_IN = """\
try:
    import sys
    class FallbackFinder:
        is_dlthub_fallback = True
        asking = set()
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == 'dlthub':
                try:
                    finder = {'__name__': __name__}
                    exec(source, finder)
                    return finder['FallbackFinder'].find_spec(name, path, target)
                except Exception: pass
    if not any(getattr(finder, 'is_dlthub_fallback', False) for finder in sys.meta_path):
        sys.meta_path.append(FallbackFinder)
except Exception: pass
"""


class StartupFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the `.pth` and the `.start` file to a standard and to an editable wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write both files to a folder of this build, to be included from there."""
        self._folder = tempfile.TemporaryDirectory()
        # hatchling reads one mapping for an editable wheel and the other for a standard one
        key = "force_include_editable" if version == "editable" else "force_include"
        finder = Path(self.root, FINDER).read_text(encoding="utf-8")
        for name, text in startup_files(finder).items():
            path = Path(self._folder.name, name)
            path.write_text(text, encoding="ascii", newline="\n")
            build_data[key][str(path)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder of this build."""
        self._folder.cleanup()


def startup_files(finder: str) -> dict[str, str]:
    """Return the text of each start-up file by its name.

    Args:
        finder: The source of the finder's module; it defines `FallbackFinder` and `install()`.

    Raises:
        ValueError: The finder would not work in the line, where there is no package around it.
    """
    tree = ast.parse(finder)
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    if missing := {"FallbackFinder", "install"} - names:
        raise ValueError(f"{FINDER} does not define {', '.join(sorted(missing))}")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{FINDER}:{node.lineno}: a relative import")
    namespace = f"{{'__name__': 'dlthub_project.hub_finder', 'source': {_terse(tree)!a}}}"
    return {
        # `!a`: up to Python 3.12 the locale decodes a `.pth` file
        f"{STEM}.pth": f"import sys; exec({STAND_IN!a}, {namespace})\n",
        f"{STEM}.start": "dlthub_project.hub_finder:install\n",
    }


def _terse(tree: ast.Module) -> str:
    """Return the code without docstrings and comments."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
