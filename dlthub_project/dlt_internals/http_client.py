"""dlt's HTTP helper: how long it waits between attempts, and the client that all code shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlt.extract.exceptions import ResourceExtractionError
from dlt.sources.helpers import requests
from dlt.sources.helpers.requests.retry import wait_exponential_retry_after
from dlt.sources.helpers.requests.session import Session
from tenacity import wait_exponential

from dlthub_project.errors import causes

if TYPE_CHECKING:
    from tenacity import RetryCallState

WAITS: tuple[type, ...] = (wait_exponential, wait_exponential_retry_after)
"""What says how long to wait: with `respect_retry_after_header`, as is the default, and without."""


def is_attempt_of_session(state: RetryCallState) -> bool:
    """Tell whether one of dlt's sessions makes an attempt, rather than a function of the user."""
    return isinstance(getattr(state.fn, "__self__", None), Session)


def read_configuration() -> None:
    """Read the attempts, waits and timeout of the shared client from the configuration again."""
    requests.client.configure()


def save_shared_client() -> Callable[[], None]:
    """Return a function that gives the shared client its present configuration back."""
    client = requests.client
    saved: list[dict[str, Any]] = [dict(client._retry_kwargs), dict(client._session_kwargs)]

    def restore() -> None:
        if [client._retry_kwargs, client._session_kwargs] != saved:
            client._retry_kwargs.update(saved[0])
            client._session_kwargs.update(saved[1])
            # sessions of all threads are made anew
            client._config_version += 1

    return restore


def resource_that_asked(failure: BaseException) -> str | None:
    """Return the resource whose code failed over the network; None if a failure is another."""
    chain = list(causes(failure))
    asked = [one for one in chain[1:] if isinstance(one, ResourceExtractionError)]
    # pytest-socket's error is none of the system's, or a warning that is made one
    is_of_network = any(
        isinstance(error, OSError) or "tried to use socket" in str(error.args) for error in chain
    )
    return str(asked[-1].pipe_name) if asked and is_of_network else None
