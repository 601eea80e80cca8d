"""Calls the hooks that users' plugins implement; an error names the plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pluggy import HookCaller, HookImpl

_OURS = "pytest_dlthub."


# pytest's annotations do not tell that it is a class
class HookFailed(pytest.fail.Exception):  # type: ignore[misc, name-defined]
    """A plugin's implementation of a hook has raised; dlt neither wraps this nor tries again."""

    # as of pytest's own outcomes: its message stands alone
    __module__ = "builtins"

    def __init__(self, message: str, brief: str) -> None:
        """Make the error.

        Args:
            message: The whole message, with lines of the plugin's code.
            brief: Hook, plugin and type of the error, without any argument of the hook.
        """
        super().__init__(message, pytrace=False)
        self.brief = brief


def called(hook: HookCaller, **told: Any) -> Any:
    """Call a hook, and return its result.

    Raises:
        HookFailed: The implementation of another plugin has raised.
    """
    __tracebackhide__ = True
    try:
        return hook(**told)
    except (Exception, pytest.fail.Exception) as error:
        implementation = _failed(hook, error)
        if isinstance(error, HookFailed) or implementation is None:
            raise
        raise _failure(hook, implementation, error) from None


def answers_untraced(hook: HookCaller, **told: Any) -> Iterator[tuple[HookImpl, Any]]:
    """Call each implementation of a hook, and yield it with its answer.

    This does not go through pluggy, which writes arguments and answers into the file of
    `pytest --debug`.

    Raises:
        HookFailed: An implementation has raised, or is a wrapper, which this hook does not take.
    """
    for one in hook.get_hookimpls():
        if one.wrapper or one.hookwrapper:
            raise refused(hook, "this hook takes no wrappers", one)
        try:
            answer = one.function(*(told[name] for name in one.argnames))
        except (Exception, pytest.fail.Exception) as error:
            raise _failure(hook, one, error) from None
        yield one, answer


def refused(hook: HookCaller, problem: str, implementation: HookImpl | None = None) -> HookFailed:
    """Return the error for an implementation, or an answer, that we do not accept.

    Args:
        hook: The hook.
        problem: What is wrong, without the answer itself.
        implementation: The implementation; by default any that is not ours.
    """
    found = of_others(hook) if implementation is None else [implementation]
    message = f"{_whose(hook, found)}: {problem}"
    return HookFailed(message, message)


def _failure(hook: HookCaller, implementation: HookImpl, error: BaseException) -> HookFailed:
    whose = _whose(hook, [implementation])
    brief = f"{whose}: {type(error).__name__}"
    return HookFailed(f"{whose}: {_told(error, implementation)}", brief)


def _whose(hook: HookCaller, implementations: list[HookImpl]) -> str:
    # pytest names the plugin of a conftest by its path
    names = (
        os.path.relpath(n) if os.path.isabs(n := one.plugin_name) else n for one in implementations
    )
    return f"{hook.name} of plugin {' or '.join(f'`{name}`' for name in names)} failed"


def of_others(hook: HookCaller) -> list[HookImpl]:
    """Return the implementations that are not ours."""
    return [one for one in hook.get_hookimpls() if not _is_ours(one)]


def _is_ours(implementation: HookImpl) -> bool:
    return str(getattr(implementation.plugin, "__name__", "")).startswith(_OURS)


def _failed(hook: HookCaller, error: BaseException) -> HookImpl | None:
    """Return the implementation whose code an error comes from; None for one of ours."""
    by_code = {_code_of(one.function): one for one in of_others(hook)}
    frames = error.__traceback__
    while frames is not None:
        if (found := by_code.get(frames.tb_frame.f_code)) is not None:
            return found
        frames = frames.tb_next
    return None


def _told(error: BaseException, implementation: HookImpl) -> str:
    """Return an error with the lines of code below the implementation."""
    found = pytest.ExceptionInfo.from_exception(error)
    code = _code_of(implementation.function)
    frames = [entry.frame.code.raw is code for entry in found.traceback]
    if True in frames:
        found.traceback = found.traceback[frames.index(True) :]
    first = found.exconly().partition("\n")[0]
    return f"{first}\n{found.getrepr(style='short', chain=False)}"


def _code_of(function: Any) -> Any:
    return getattr(getattr(function, "__func__", function), "__code__", function)
