"""Hides in a text what the hook `pytest_dlt_mask` finds: our own secrets, and those of plugins.

A text that a plugin cannot say of what is secret in it is not shown at all, and the session fails.
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
    """Whether this thread is asking already: an implementation may print or log."""

    is_asking: bool = False


# of sessions in this process, the innermost last; the last one stays, since errors of its end are
# printed after it
_hooks: list[HookCaller] = []
_withheld: dict[str, None] = {}
_here = _Here()


def begin(pluginmanager: pytest.PytestPluginManager) -> None:
    """Have the plugins of a session asked from here on."""
    _hooks.append(pluginmanager.hook.pytest_dlt_mask)
    _withheld.clear()


def end() -> None:
    """Have those of the session around it asked again, if there is one."""
    if len(_hooks) > 1:
        _hooks.pop()


def may_hide() -> bool:
    """Tell whether plugins of users hide anything."""
    return bool(_hooks) and bool(of_others(_hooks[-1]))


def withheld() -> list[str]:
    """Return what is told in place of texts that are not shown, a line for each reason."""
    return list(_withheld)


def learn_withheld(lines: Iterable[str]) -> None:
    """Take over what a worker has not shown."""
    _withheld.update(dict.fromkeys(lines))


def hidden(text: str) -> str:
    """Return a text without what is secret in it."""
    from dlthub_project.secrets import KNOWN, LONG, without_parts

    if not _hooks or _here.is_asking:
        return KNOWN.masked(text)
    if len(text) < LONG or text.strip() in _withheld:
        return text
    _here.is_asking = True
    try:
        return without_parts(text, _found(_hooks[-1], text))
    except HookFailed as error:
        # the message may have the text
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
