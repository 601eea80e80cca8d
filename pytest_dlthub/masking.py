"""Masks secrets in what is reported of a test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dlthub.report import FOLDER

if TYPE_CHECKING:
    from dlthub_project.runner import Redactor

_REDACTOR = pytest.StashKey["Redactor"]()


def mask_secrets(item: pytest.Item, outcome: pytest.TestReport) -> None:
    """Mask the secrets of a test in a sandbox: in traceback, locals and captured output.

    Those are the secrets that dlt finds when the phase ends: in the environment, in `secrets.toml`,
    in settings of the test and in `dlt.yml`. What `-s` prints at once is not ours.
    """
    if FOLDER not in item.stash or "dlt" not in sys.modules:
        return
    if not outcome.sections and outcome.longrepr is None:
        return
    from dlthub_project.runner import Redactor

    # at the end of the teardown the settings of the test are gone
    redactor = item.stash.setdefault(_REDACTOR, Redactor())
    redactor.learn_configuration()
    outcome.sections = _masked(outcome.sections, redactor)
    outcome.longrepr = _masked(outcome.longrepr, redactor)


def _masked(value: Any, redactor: Redactor) -> Any:
    """Return texts, and what consists of them, masked; objects of pytest are changed."""
    if isinstance(value, str):
        return redactor.masked(value)
    if isinstance(value, list | tuple):
        return type(value)(_masked(item, redactor) for item in value)
    if type(value).__module__.startswith("_pytest."):
        for name, item in vars(value).items():
            setattr(value, name, _masked(item, redactor))
    return value
