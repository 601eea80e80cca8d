"""What tests load into remote destinations that are allowed: removed after the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dlthub_project.sandbox.settings import Sandbox


@dataclass
class _Datasets:
    known: set[tuple[str, str]] = field(default_factory=set)
    made: list[Any] = field(default_factory=list)


# by the folder of the sandbox: the end of an inner one leaves what an outer one has loaded
_datasets: dict[str, _Datasets] = {}


def remember_if_new(client: Any, sandbox: Sandbox) -> None:
    """Have the dataset of `client` dropped after the test, unless it exists already.

    A dataset that was there before is the user's own.
    """
    dataset = getattr(client.config, "dataset_name", None)
    if not dataset:
        return
    of_sandbox = _datasets.setdefault(sandbox.folder, _Datasets())
    # a fingerprint is that of the host alone; this names the database too, without its password
    key = (str(client.config), dataset)
    if key in of_sandbox.known:
        return
    of_sandbox.known.add(key)
    with client:
        if client.is_storage_initialized():
            return
    of_sandbox.made.append(client)


def drop(sandbox: Sandbox) -> None:
    """Drop the datasets that were made in `sandbox`."""
    of_sandbox = _datasets.pop(sandbox.folder, _Datasets())
    for client in reversed(of_sandbox.made):
        with client:
            if client.is_storage_initialized():
                client.drop_storage()
