"""The same tests with this plugin: it loads once, and each test reads a copy of its own."""

from __future__ import annotations

import os

import dlt
import pytest
from crm import crm

pytestmark = pytest.mark.dlt_load(source=crm, dataset_name="crm_data")
repeated = pytest.mark.parametrize("n", range(int(os.environ.get("CRM_TESTS", "20")) // 2))


@repeated
def test_users_are_loaded_once(dlt_dataset: dlt.Dataset, n: int) -> None:
    ids = [row[0] for row in dlt_dataset.users.select("id").fetchall()]

    assert sorted(ids) == list(range(200))


@repeated
def test_every_second_user_has_two_addresses(dlt_dataset: dlt.Dataset, n: int) -> None:
    addresses = {row[0] for row in dlt_dataset.users__emails.select("address").fetchall()}

    assert len(addresses) == 300
    assert {"1@0.invalid", "1@1.invalid"} <= addresses
