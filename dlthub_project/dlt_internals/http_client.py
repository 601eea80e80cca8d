"""dlt's HTTP helper: its waits between attempts, the client that all code shares, tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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


# the attribute that holds the present token, by dlt's classes that obtain tokens
_TOKENS = {"OAuth2ClientCredentials": "access_token", "OAuthJWTAuth": "token"}


def classes_of_tokens() -> list[type]:
    """Return dlt's classes that obtain tokens for requests, if they are imported."""
    auth = sys.modules.get("dlt.sources.helpers.rest_client.auth")
    return [vars(auth)[name] for name in _TOKENS] if auth else []


def token_of(auth: Any) -> str | None:
    """Return the present token of an object of one of these classes."""
    found: str | None = getattr(auth, _attribute_of_token(auth))
    return found


def forget_token(auth: Any) -> None:
    """Have an object of one of these classes obtain another token with its next request."""
    setattr(auth, _attribute_of_token(auth), None)


def _attribute_of_token(auth: Any) -> str:
    return next(_TOKENS[c.__name__] for c in type(auth).__mro__ if c.__name__ in _TOKENS)


def resource_that_asked(failure: BaseException) -> str | None:
    """Return the resource whose code failed over the network; None for any other failure."""
    chain = list(causes(failure))
    # not only `OSError`: pytest-socket has an error of its own, and a warning may be raised
    is_of_network = any(
        isinstance(error, OSError) or "tried to use socket" in str(error.args) for error in chain
    )
    return _resource_of(chain) if is_of_network else None


def resource_that_read_a_row_as_page(failure: BaseException) -> str | None:
    """Return the resource whose code met a field's name in place of a row; else None.

    That of `rest_api` goes through each item that its parent yields, which is a page of rows there.
    """
    chain = list(causes(failure))
    said = [str(one) for one in chain if isinstance(one, AttributeError | TypeError)]
    met_text = any("'str' object has no" in one or "string indices" in one for one in said)
    return _resource_of(chain) if met_text else None


def _resource_of(chain: Sequence[BaseException]) -> str | None:
    extracting = [one for one in chain[1:] if isinstance(one, ResourceExtractionError)]
    return str(extracting[-1].pipe_name) if extracting else None
