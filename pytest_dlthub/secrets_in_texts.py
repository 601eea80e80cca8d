"""Masks secrets in a text: those that we know, and those that plugins find by `pytest_dlt_mask`.

If a plugin's hook fails for a text, the text is not shown at all, and the session fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_dlthub.hook_calls import HookFailed, answers_untraced, of_others, refused

if TYPE_CHECKING:
    import pytest
    from pluggy import HookCaller


class _Here(threading.local):
    """Whether this thread is in the hook already: an implementation may print or log."""

    is_asking: bool = False


# the hooks of sessions in this process, the innermost last; one always stays, since Python prints
# some errors after the session
_hooks: list[HookCaller] = []
_withheld: dict[str, None] = {}
_here = _Here()


def begin(pluginmanager: pytest.PytestPluginManager) -> None:
    """From now on, call the hook of this session's plugins."""
    _hooks.append(pluginmanager.hook.pytest_dlt_mask)
    _withheld.clear()


def end() -> None:
    """Call the hook of the outer session again, if there is one."""
    if len(_hooks) > 1:
        _hooks.pop()


def may_hide() -> bool:
    """Tell whether a plugin of the user masks anything."""
    return bool(_hooks) and bool(of_others(_hooks[-1]))


def withheld() -> list[str]:
    """Return the lines that stand for texts which are not shown, one for each reason."""
    return list(_withheld)


def learn_withheld(lines: Iterable[str]) -> None:
    """Take over a worker's lines about texts that it has not shown."""
    _withheld.update(dict.fromkeys(lines))


def hidden(text: str) -> str:
    """Return a text with its secrets masked."""
    from dlthub_project.secrets import KNOWN, LONG, without_parts

    if not _hooks or _here.is_asking:
        return KNOWN.masked(text)
    if len(text) < LONG or text.strip() in _withheld:
        return text
    _here.is_asking = True
    try:
        return without_parts(text, _found(_hooks[-1], text))
    except HookFailed as error:
        # its message may contain the text
        line = f"*** ({error.brief}; nothing of the text is shown)"
        _withheld[line] = None
        return line + text[len(text.rstrip()) :]
    finally:
        _here.is_asking = False


def _found(hook: HookCaller, text: str) -> list[str]:
    found: list[str] = []
    for implementation, answer in answers_untraced(hook, text=text):
        if answer is None:
            continue
        is_list = isinstance(answer, Iterable) and not isinstance(answer, str)
        parts: list[Any] = list(answer) if is_list else [answer]
        others = [part for part in parts if not isinstance(part, str)]
        if others or not is_list:
            kind = type(others[0]).__name__ + " in it" if is_list else type(answer).__name__
            raise refused(
                hook, f"a list of the parts to hide is expected, and not {kind}", implementation
            )
        found += parts
    return found
