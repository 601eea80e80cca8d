"""The Python files of a suite: conftests, test files, and what they import from its own folders.

They are found and read without being imported, before pytest does so.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pytest_dlthub.roots import collected_paths

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n#;]*)|import[ \t]+([^\n#;]*))",
    re.MULTILINE,
)
_PLUGINS = re.compile(rb"^pytest_plugins\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)", re.MULTILINE)
_DOTTED = re.compile(r"[.\w]+")


class SuiteFiles:
    """Each file once, with its text."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._patterns: list[str] = config.getini("python_files")
        self._skipped: list[str] = config.getini("norecursedirs")
        self._paths: list[Path] = config.getini("pythonpath")
        self._plugins: list[str] = getattr(config.known_args_namespace, "plugins", None) or []
        self._collected = list(collected_paths(config))
        self._listings: dict[Path, frozenset[str]] = {}
        self._read: set[Path] = set()
        self._looked_up: set[tuple[Path, bytes]] = set()

    def conftests(self) -> Iterator[bytes]:
        """Yield the texts of conftests and of plugins that are the suite's own."""
        above = {folder for path in self._collected for folder in self._up_from(path)}
        yield from self._texts(folder / "conftest.py" for folder in above)
        yield from self._texts(self._walk(["conftest.py"]))
        for name in self._plugins:
            yield from self._texts(self._modules(name, [self._root, *self._paths]))

    def tests(self) -> Iterator[bytes]:
        """Yield the texts of test files."""
        yield from self._texts(path for path in self._collected if path.is_file())
        yield from self._texts(self._walk(self._patterns))

    def _up_from(self, path: Path) -> list[Path]:
        """Return the folders from that of a file to pytest's rootdir."""
        folder = path if path.is_dir() else path.parent
        folders = [folder, *folder.parents]
        return folders[: folders.index(self._root) + 1] if self._root in folders else [folder]

    def _walk(self, patterns: Iterable[str]) -> Iterator[Path]:
        for path in self._collected:
            for folder, folders, files in os.walk(path):
                folders[:] = [
                    name
                    for name in folders
                    if not _matches(name, self._skipped)
                    and not os.path.isfile(os.path.join(folder, name, "pyvenv.cfg"))
                ]
                yield from (Path(folder, name) for name in files if _matches(name, patterns))

    def _texts(self, paths: Iterable[Path]) -> Iterator[bytes]:
        for first in paths:
            waiting = [first]
            while waiting:
                path = waiting.pop()
                if path in self._read:
                    continue
                self._read.add(path)
                try:
                    text = path.read_bytes()
                except OSError:
                    # whoever collects it says so
                    continue
                yield text
                waiting.extend(self._imported(path, text))

    def _imported(self, path: Path, text: bytes) -> Iterator[Path]:
        for found in _IMPORT.finditer(text):
            # the same line leads from one folder to the same files
            line = (path.parent, found[0])
            if line in self._looked_up:
                continue
            self._looked_up.add(line)
            module, names, modules = found.groups()
            if module:
                yield from self._imported_from(path, module.decode(), _dotted(names))
            else:
                for name in _dotted(modules):
                    yield from self._modules(name, self._bases(path))
        if b"pytest_plugins" not in text:
            return
        for plugins in _PLUGINS.findall(text):
            for name in _dotted(plugins):
                yield from self._modules(name, self._bases(path))

    def _imported_from(self, path: Path, module: str, names: list[str]) -> Iterator[Path]:
        absolute = module.lstrip(".")
        dots = len(module) - len(absolute)
        bases = [path.parents[min(dots, len(path.parents)) - 1]] if dots else self._bases(path)
        for name in ["", *names]:
            yield from self._modules(".".join(filter(None, (absolute, name))), bases)

    def _bases(self, path: Path) -> list[Path]:
        """Return the folders where modules that a file imports may lie."""
        return [*self._up_from(path), *self._paths]

    def _modules(self, name: str, bases: Iterable[Path]) -> Iterator[Path]:
        """Yield the files that are run when a module is imported: its packages', and its own."""
        for base in bases:
            folder = base
            for part in name.split("."):
                if f"{part}.py" in self._listing(folder):
                    yield folder / f"{part}.py"
                if part not in self._listing(folder):
                    break
                folder /= part
                if "__init__.py" in self._listing(folder):
                    yield folder / "__init__.py"

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]


def _dotted(text: bytes) -> list[str]:
    return _DOTTED.findall(text.decode(errors="replace"))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
