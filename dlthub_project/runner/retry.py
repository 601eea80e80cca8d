"""When a failed run starts again, and after how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dlt.common.exceptions import TerminalException, TransientException
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import ProjectError, causes, known_names
from dlthub_project.sandbox import active_sandbox

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying


Step = Literal["sync", "extract", "normalize", "load"]

STEPS: tuple[Step, ...] = ("sync", "extract", "normalize", "load")
DEFAULT_STEPS: tuple[Step, ...] = ("sync", "load")

_POLICIES = ("none", "fixed", "backoff")
_DEFAULTS: dict[str, float] = {"max_attempts": 5, "multiplier": 2, "min": 1, "max": 10}

OnRetry = Callable[[int, BaseException], None]
"""Called with the number of the attempt that failed, and its error."""


def checked_steps(steps: Sequence[str] | None) -> tuple[str, ...]:
    """Return the steps that may be retried: those given, or `DEFAULT_STEPS`.

    Raises:
        ValueError: There is no step of that name.
        TypeError: `steps` is a text and not a list.
    """
    if isinstance(steps, str):
        raise TypeError(f"retry_pipeline_steps is a list of steps, not the text '{steps}'")
    for step in steps or ():
        if step not in STEPS:
            raise ValueError(f"retry_pipeline_steps: no step `{step}`. {known_names(step, STEPS)}")
    return DEFAULT_STEPS if steps is None else tuple(steps)


def retrying(
    policy: Mapping[str, Any] | Retrying | None, steps: Sequence[str], on_retry: OnRetry
) -> Retrying | None:
    """Return a `tenacity.Retrying` that calls a function until it succeeds, as a policy says.

    It raises the last error as it is. In a sandbox it does not wait: it counts each wait as passed.

    Args:
        policy: The mapping of `retry_policy` in `dlt.yml`, or a `tenacity.Retrying`, whose own
            condition must hold as well as ours.
        steps: The steps that may be retried.
        on_retry: Called before each further attempt, before the wait for it.

    Returns:
        The retrying; None if the policy allows one attempt alone.

    Raises:
        ValueError: The mapping has an unknown type or key, or a value out of range.
        TypeError: The policy is no mapping and no `tenacity.Retrying`, or one for coroutines.
    """
    if policy is None:
        return None
    import tenacity

    made = _from_mapping(policy) if isinstance(policy, Mapping) else policy
    if made is None:
        return None
    if not isinstance(made, tenacity.Retrying):
        kind = type(made).__name__
        raise TypeError(f"retry_policy is a mapping or a tenacity.Retrying, not {kind}")
    own_before_sleep, is_sandboxed = made.before_sleep, active_sandbox() is not None

    def may_retry(error: BaseException) -> bool:
        return isinstance(error, PipelineStepFailed) and error.step in steps

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert error is not None  # a result is never retried
        on_retry(state.attempt_number, error)
        if own_before_sleep is not None:
            own_before_sleep(state)
        if is_sandboxed and state.next_action is not None:
            state.start_time -= state.next_action.sleep

    ours = tenacity.retry_if_exception(lambda e: may_retry(e) and not is_terminal(e))
    changes: dict[str, Any] = {"sleep": _no_wait} if is_sandboxed else {}
    return made.copy(
        retry=tenacity.retry_all(ours, made.retry),
        before_sleep=before_sleep,
        reraise=True,
        **changes,
    )


def _from_mapping(policy: Mapping[str, Any]) -> Retrying | None:
    import tenacity

    policy_type = policy.get("type")
    if policy_type not in _POLICIES:
        known = known_names(str(policy_type), _POLICIES)
        raise ValueError(f"retry_policy.type is `{policy_type}`. {known}")
    for key in policy:
        if key != "type" and key not in _DEFAULTS:
            known = known_names(key, ("type", *_DEFAULTS))
            raise ValueError(f"retry_policy has no `{key}`. {known}")
    values = {**_DEFAULTS, **{k: v for k, v in policy.items() if k != "type" and v is not None}}
    for key, value in values.items():
        lowest = 1 if key == "max_attempts" else 0
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value < lowest:
            raise ValueError(f"retry_policy.{key} is a number from {lowest} up, not {value!r}")
    if policy_type == "none":
        return None
    low, high = values["min"], values["max"]
    fixed = policy_type == "fixed"
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(int(values["max_attempts"])),
        wait=tenacity.wait_fixed(low)
        if fixed
        else tenacity.wait_exponential(multiplier=values["multiplier"], min=low, max=high),
    )


def _no_wait(_seconds: float) -> None:
    """Do not wait: a sandbox uses this in place of `time.sleep`."""


def is_terminal(error: BaseException) -> bool:
    """Tell whether another attempt would fail in the same way.

    These errors are terminal:

    - those that dlt calls terminal: missing configuration, failed jobs, wrong credentials;
    - a breach of a schema contract, which dlt does not call terminal;
    - mistakes in a project;
    - what ends a process: Ctrl-C, signals, `RemoteDestinationBlocked`.

    dlt's class of an error is that of the outermost cause which has one. A lost connection is
    transient, though dlt may have lost it while it looked for a missing table (terminal).
    """
    if any(_ends_all(link) for link in causes(error, "shown")):
        return True
    for link in causes(error, "none"):
        if isinstance(link, TransientException):
            return False
        if isinstance(link, TerminalException | ProjectError):
            return True
    return False


def _ends_all(error: BaseException) -> bool:
    return not isinstance(error, Exception) or isinstance(error, DataValidationError)
