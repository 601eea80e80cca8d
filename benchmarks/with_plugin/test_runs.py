"""Tests that each run a small pipeline: what workers share out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from crm import crm

if TYPE_CHECKING:
    from pytest_dlthub.dlt_run import DltRun


@pytest.mark.parametrize("n", range(int(os.environ.get("CRM_TESTS", "40"))))
def test_users_and_their_addresses(dlt_run: DltRun, n: int) -> None:
    run = dlt_run(crm())

    assert run.row_counts == {"users": 200, "users__emails": 300}
    assert len(run.rows("users")) == 200
