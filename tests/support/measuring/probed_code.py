"""Code with SlipCover's probes in it, kept in files for the processes that come after.

To write probes takes 25 ms a module: 4 s for what a process of dlt's command line imports. Since
Python 3.12 there are none, and SlipCover's own loader is as fast.
"""

from __future__ import annotations

import ast
import hashlib
import marshal
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import slipcover
from slipcover.branch import preinstrument
from slipcover.importer import SlipcoverLoader
from slipcover.slipcover import probe

_PROBE, _SIGNAL = "\0probe", "\0signal"
_made: dict[int, tuple[Any, Any]] = {}
_new: Callable[..., Any] = probe.new


def _noted(measured: Any, file: str, line: Any, threshold: int) -> Any:
    made = _new(measured, file, line, threshold)
    # the probe is kept, or another would have its number
    _made[id(made)] = (made, line)
    return made


probe.new = _noted


def keep_in(folder: Path) -> None:
    """Have SlipCover's loader take code from a folder, and leave there what it makes."""

    def exec_module(self: Any, module: ModuleType) -> None:
        exec(_code_of(self.sci, Path(self.origin), folder), vars(module))

    SlipcoverLoader.exec_module = exec_module


def _code_of(measured: slipcover.Slipcover, file: Path, folder: Path) -> CodeType:
    source = file.read_bytes()
    kept = folder / hashlib.sha256(bytes(file) + b"\0" + source).hexdigest()
    if kept.is_file():
        return _with_probes(marshal.loads(kept.read_bytes()), measured)
    code = measured.instrument(compile(preinstrument(ast.parse(source)), str(file), "exec"))
    folder.mkdir(exist_ok=True)
    handle, written = tempfile.mkstemp(dir=folder)
    with open(handle, "wb") as new:
        marshal.dump(_without_probes(code), new)
    os.replace(written, kept)
    return code


def _without_probes(code: CodeType) -> CodeType:
    def plain(value: Any) -> Any:
        if isinstance(value, CodeType):
            return _without_probes(value)
        if value is probe.signal:
            return (_SIGNAL,)
        made, line = _made.get(id(value), (None, None))
        return (_PROBE, line) if made is value and made is not None else value

    return code.replace(co_consts=tuple(map(plain, code.co_consts)))


def _with_probes(code: CodeType, measured: slipcover.Slipcover) -> CodeType:
    def whole(value: Any) -> Any:
        if isinstance(value, CodeType):
            return _with_probes(value, measured)
        if not isinstance(value, tuple) or not value:
            return value
        if value[0] == _PROBE:
            return _new(measured, code.co_filename, value[1], measured.d_miss_threshold)
        return probe.signal if value == (_SIGNAL,) else value

    return code.replace(co_consts=tuple(map(whole, code.co_consts)))
