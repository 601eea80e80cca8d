import dlt
import pytest

from invoices import invoices

COUNTRY = dlt.config["sources.invoices.country"]


def test_country_is_that_of_the_tests_profile():
    assert dlt.current.workspace().profile == "tests"
    assert COUNTRY == dlt.config["sources.invoices.country"] == "ZZ"


def test_numbers_begin_with_the_country(dlt_run):
    run = dlt_run(invoices())

    assert run.row_counts == {"items": 2, "items__lines": 3}
    assert run.rows("items", "number", "total") == [("ZZ-1", 12), ("ZZ-2", 3)]


def test_country_can_be_another(dlt_run, dlt_config):
    dlt_config["sources.invoices.country"] = "DE"

    assert {row["number"] for row in dlt_run(invoices()).rows("items")} == {"DE-1", "DE-2"}


def test_unknown_country(dlt_config):
    dlt_config["sources.invoices.country"] = "XX"

    with pytest.raises(ValueError, match="no invoices of XX"):
        invoices()
