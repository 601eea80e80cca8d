import subprocess
import sys
from pathlib import Path

from load_invoices import archive, load, pipeline

SCRIPT = Path(__file__).parents[1] / "load_invoices.py"


def test_load_fills_the_accounting_dataset(dlt_runs):
    load()

    assert dlt_runs.last.row_counts == {"items": 2, "items__lines": 3}
    assert dlt_runs.last.pipeline.dataset_name == "accounting"
    assert dlt_runs.last.pipeline.destination.destination_name == "warehouse"


def test_loading_twice_leaves_each_invoice_of_a_country_once(dlt_config):
    load()
    load()
    dlt_config["sources.invoices.country"] = "DE"
    load()

    assert len(pipeline.dataset()["items"].fetchall()) == 4


def test_archive_has_what_was_loaded(dlt_runs):
    load()
    archive()

    assert [run.pipeline.pipeline_name for run in dlt_runs] == ["invoices", "archive"]
    assert [row["number"] for row in dlt_runs.last.rows("items")] == ["ZZ-1", "ZZ-2"]
    assert dlt_runs.last.pipeline.dataset_name == "invoices"
    assert dlt_runs.last.pipeline.destination.destination_type.endswith(".filesystem")


def test_script():
    script = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)

    assert "profile tests loaded 5" in script.stdout
