"""What tests load into remote destinations that are allowed: removed after the test."""

from __future__ import annotations

from typing import Any

_made_here: list[Any] = []
_known: set[tuple[str, str]] = set()


def remember_if_new(client: Any) -> None:
    """Have the dataset of `client` dropped after the test, unless it exists already.

    A dataset that was there before is the user's own.
    """
    dataset = getattr(client.config, "dataset_name", None)
    if not dataset:
        return
    key = (client.config.fingerprint(), dataset)
    if key in _known:
        return
    _known.add(key)
    with client:
        if client.is_storage_initialized():
            return
    _made_here.append(client)


def drop() -> None:
    """Drop the datasets that were made since the last call."""
    while _made_here:
        client = _made_here.pop()
        with client:
            if client.is_storage_initialized():
                client.drop_storage()
    _known.clear()
