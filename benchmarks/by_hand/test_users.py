"""Tests of what a source loads: each reads one table, and half of them read the nested one."""

from __future__ import annotations

import os

import dlt
import pytest

repeated = pytest.mark.parametrize("n", range(int(os.environ.get("CRM_TESTS", "20")) // 2))


@repeated
def test_users_are_loaded_once(dataset: dlt.Dataset, n: int) -> None:
    ids = [row[0] for row in dataset.users.select("id").fetchall()]

    assert sorted(ids) == list(range(200))


@repeated
def test_every_second_user_has_two_addresses(dataset: dlt.Dataset, n: int) -> None:
    addresses = {row[0] for row in dataset.users__emails.select("address").fetchall()}

    assert len(addresses) == 300
    assert {"1@0.invalid", "1@1.invalid"} <= addresses
