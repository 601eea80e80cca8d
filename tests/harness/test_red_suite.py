"""Tests that fail for usual reasons: what is read first of each, and the page that shows them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from textwrap import dedent

import pytest
import red_page

FAILED = "dlt.pipeline.exceptions.PipelineStepFailed:"
RAN = "pipeline dlt_run: {} in 0.10 s (extract 0.10, normalize 0.10, load 0.10), "
RAN += "dataset dlt_run_dataset"

# the first lines that are no source; of most, up to five
FIRST_LINES = {
    "test_wrong_row_narrow": f"""
        E       assert orders: 1 row differs
        E         orders id=3: total 30 != 31
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 3")}
        """,
    "test_wrong_row_wide": f"""
        E       assert orders: 1 row differs
        E         orders id=3: c39 117 != 118
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 3")}
        """,
    "test_row_missing": f"""
        E       assert orders: 1 row missing
        E         orders: 1 row missing: id=8
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 3")}
        """,
    "test_row_too_many": f"""
        E       assert orders: 1 row too many
        E         orders: 1 row too many: id=3
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 3")}
        """,
    "test_type": f"""
        E       AssertionError: assert orders: 1 row differs
        E         orders id=3: price '10' (str) != 10 (int)
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 1")}
        """,
    "test_duplicate_key": f"""
        E       AssertionError: orders: 1 value of id is in more than one row
        E       id=1: 2 rows
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 2")}
        """,
    "test_null": f"""
        E       AssertionError: customers: email is null in 1 of 2 rows
        E         {{'id': 2, 'email': None}}
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("customers 2")}
        """,
    "test_not_null": f"""
        E       {FAILED} customers.email: null, and the column is NOT NULL
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        pipeline dlt_run: normalize failed after 0.10 s: job customers.0a1b2c3d4e.typed-jsonl.gz
        the data of this test are kept in …/test_not_null
        """,
    "test_failed_job": f"""
        E       {FAILED} prices.price: job failed: cannot cast 123456789 to DECIMAL(5,2)
        E       Conversion Error: Could not cast value 123456789 to DECIMAL(5,2)
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        pipeline dlt_run: load failed after 0.10 s: job prices.0a1b2c3d4e.insert_values.gz
        """,
    "test_over_64_bits": f"""
        E       {FAILED} visits.seconds: 1180591620717411303424 is over 64 bits, more than an integer holds
        E       TypeError: Integer exceeds 64-bit range
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        pipeline dlt_run: extract failed after 0.10 s
        """,  # noqa: E501  # one line of the report
    "test_contract_on_table": f"""
        E       {FAILED} invoices: contract on tables is freeze: no new table
        E       in {{'id': 1}}
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        pipeline dlt_run: extract failed after 0.10 s
        """,
    "test_contract_on_column": f"""
        E       {FAILED} invoices.discount: contract on columns is freeze: no new column
        E       in {{'id': 2, 'discount': 5}}
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        {RAN.format("invoices 1")}
        """,
    "test_contract_on_type": f"""
        E       {FAILED} invoices.id: contract on data_type is freeze: 'two' (str) is no bigint
        E       in {{'id': 'two'}}
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        {RAN.format("invoices 1")}
        """,
    "test_orphan_child": f"""
        E       AssertionError: payments.order_id → orders.id: 1 row has no parent, of 2
        E         {{'id': 2, 'order_id': 7}}
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("orders 3, payments 2")}
        """,
    "test_exception_in_a_resource": f"""
        test_ours.py:12:
        _ _ _
        E           {FAILED} resource taxes: KeyError: 'total'
        shop.py:36: PipelineStepFailed
        ---- dlt ----
        """,
    "test_missing_secret": f"""
        E       {FAILED} sources.shop.api_key (a secret) is missing.
        E       For this test: dlt_config["sources.shop.api_key"] = "..."; for all tests: .dlt/secrets.toml; or give rows instead of the source's own, without secrets: given=
        test_ours.py:12: PipelineStepFailed
        ---- dlt ----
        pipeline dlt_run: extract failed after 0.10 s
        """,  # noqa: E501  # one line of the report
    "test_wrong_table_name": f"""
        E       ValueError: There is no table `order` in the dataset. Known: orders. Did you mean `orders`?
        test_ours.py:12: ValueError
        ---- dlt ----
        {RAN.format("orders 3")}
        schema changes: orders: id, total, customer
        """,  # noqa: E501  # one line of the report
    "test_wrong_count_name": f"""
        E       KeyError: 'No rows of a table `order` were loaded. Known: orders. Did you mean `orders`?'
        test_ours.py:12: KeyError
        ---- dlt ----
        {RAN.format("orders 3")}
        schema changes: orders: id, total, customer
        """,  # noqa: E501  # one line of the report
    "test_nothing_loaded": f"""
        E       assert since: 1 row missing; there are no rows
        E         since: 1 row missing: id=1
        test_ours.py:12: AssertionError
        ---- dlt ----
        {RAN.format("no rows")}
        """,
    "test_nothing_ran": """
        dlt_runs = <DltRuns []>
        E       AssertionError: no pipeline was run in this test; dlt_runs does not see runs of subprocesses
        test_ours.py:12: AssertionError
        """,  # noqa: E501  # one line of the report
    "test_renamed_key": """
        E       assert orders: column missing: id, column too many: order_id
        E         orders: column missing: id
        E         orders: column too many: order_id
        test_ours.py:12: AssertionError
        ---- dlt ----
        """,
}


def test_the_first_lines_of_failures_name_table_column_and_cause(
    pytester: pytest.Pytester,
    run_pytest: Callable[..., pytest.RunResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # there pytest cuts nothing
    monkeypatch.setenv("CI", "true")
    shutil.copytree(red_page.SUITE, pytester.path, dirs_exist_ok=True)

    result = run_pytest(*red_page.OPTIONS, "test_ours.py")

    printed = red_page.printed_failures(result.outlines)
    page = red_page.PAGE.read_text(encoding="utf-8")
    first = {name: [*one.told[: len(_lines(name))]] for name, one in printed.items()}
    assert first == {name: _lines(name) for name in FIRST_LINES}
    assert {name: len(one.told) for name, one in printed.items() if len(one.told) > 10} == {}
    # written by tests/support/red_page.py
    assert [name for name, one in printed.items() if red_page.block_of(name, one) not in page] == []
    assert "dlt pipeline" not in str(result.stdout)
    assert str(result.stdout).count("Could not cast value") == 2  # and in the summary
    assert "22 pipelines run, 31 rows loaded" in result.outlines


def _lines(name: str) -> list[str]:
    return dedent(FIRST_LINES[name]).strip().splitlines()


@pytest.mark.slow
def test_the_page_of_red_tests_is_what_its_script_writes() -> None:
    written = red_page.page(red_page.run("ours"), red_page.run("plain"))

    assert red_page.PAGE.read_text(encoding="utf-8") == written
