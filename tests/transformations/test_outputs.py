"""Where the tables of a cache are written to, and what is said of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from processes import python

from dlthub_project import current
from dlthub_project.errors import EntityNotFound, ManifestError, ProjectError

WriteShop = Callable[..., Any]


@pytest.mark.slow
def test_a_table_goes_to_several_datasets_under_other_names(write_shop: WriteShop) -> None:
    shop = write_shop(
        outputs="[{dataset: reports, tables: {totals: totals}},"
        "{dataset: other_reports, tables: {totals: Sums}}]"
    )
    shop.load(1)

    done = shop.report.run()

    assert done.rows == {"reports": {"totals": 1}, "other_reports": {"sums": 1}}
    assert shop.rows("sums", "city", dataset="other_reports") == [("Oslo",)]
    assert shop.report.run().is_empty


@pytest.mark.slow
def test_transformations_of_one_cache_make_what_is_theirs(write_shop: WriteShop) -> None:
    shop = write_shop(
        {
            "transformations/report/totals.sql": "SELECT count(*) AS n FROM orders",
            "transformations/other/ids.sql": "SELECT id FROM orders",
        },
        outputs="[{dataset: reports, tables: {totals: totals, ids: ids}}]",
    )
    shop.load(1)

    assert shop.report.run().rows == {"reports": {"totals": 1}}
    other = current.entities().get_transformation("other")
    assert other.run().rows == {"reports": {"ids": 1}}
    assert shop.report.run().is_empty


def test_an_output_that_nothing_makes_is_told_before_anything_is_written(
    write_shop: WriteShop,
) -> None:
    shop = write_shop(outputs="[{dataset: reports, tables: {total: total, totals: totals}}]")
    shop.folder.joinpath("transformations/other").mkdir()
    shop.folder.joinpath("transformations/other/more.sql").write_text("SELECT 1 AS n")
    shop.load(1)

    with pytest.raises(ProjectError) as caught:
        shop.report.run()
    assert "transformations.report: nothing makes `total`, which cache" in str(caught.value)
    assert "orders__lines__parts, totals. Did you mean `totals`?" in caught.value.instruction


@pytest.mark.slow
def test_the_contract_of_a_dataset_holds_and_what_is_refused_is_not_marked_as_seen(
    write_shop: WriteShop,
) -> None:
    shop = write_shop()
    shop.load(1)
    shop.report.run()
    manifest = shop.folder / "dlt.yml"
    text = manifest.read_text()
    manifest.write_text(
        text.replace("[store]}", "[store], contract: {columns: freeze}}").replace(
            "{type: duckdb}", "{type: duckdb}", 1
        )
    )
    query = shop.folder / "transformations/report/totals.sql"
    before = query.read_text()
    query.write_text(before.replace("city,", "city, 1 AS more,"))
    current.context().switch_profile("dev")
    shop.load(3)

    with pytest.raises(PipelineStepFailed, match="more"):
        shop.report.run()
    assert shop.rows("totals", "price") == [(10,)]

    query.write_text(before)
    shop.report.run()
    assert shop.rows("totals", "price") == [(10,), (30,)]


def test_observers_and_retries_are_those_of_the_runner(
    write_shop: WriteShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = write_shop()
    shop.load(1)
    told = []

    class Watch:
        def on_before(self, pipeline: dlt.Pipeline) -> None:
            told.append(pipeline.pipeline_name)

        def on_retry(self, *_: Any) -> None:
            told.append("again")

    load, failures = dlt.Pipeline.load, [ConnectionError("away")]

    def failing(pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> Any:
        if failures and pipeline.has_pending_data:
            raise failures.pop()
        return load(pipeline, *args, **kwargs)

    monkeypatch.setattr(dlt.Pipeline, "load", failing)
    with pytest.raises(ConnectionError):
        shop.report.run(observers=[Watch()])
    shop.report.run(observers=[Watch()], retry_policy={"type": "fixed", "max_attempts": 2})

    assert told[0] == "orders_cache_cache__reports"
    assert shop.rows("totals", "price") == [(10,)]


def test_what_is_printed_names_tables_and_no_secret(write_shop: WriteShop) -> None:
    shop = write_shop(warehouse="{type: duckdb, credentials: {password: hunter2}}")
    shop.load(1, 3)

    printed = [str(shop.report.info()), repr(shop.report), str(shop.report.run())]
    printed += [str(shop.report.run()), str(shop.report.cache.info())]

    everything = "\n".join(printed)
    assert "transformation report (sql): makes totals" in everything
    assert "  input shop_data: all tables (new loads)" in everything
    assert "  output totals -> reports.totals (append)" in everything
    assert "  totals: 1 rows" in everything
    assert "Nothing to do: no load is new." in everything
    assert "hunter2" not in everything


def test_the_cache_is_read_as_a_dataset_and_dropped(write_shop: WriteShop) -> None:
    shop = write_shop()
    shop.load(1)
    shop.report.run()
    cache = current.entities().get_cache("orders_cache")

    assert cache.dataset()["totals"].select("city").fetchall() == [("Oslo",)]
    assert cache.path.parent == Path(current.config().data_dir, "caches")
    cache.drop()
    assert not cache.path.exists()
    assert cache.info().holds == []
    assert shop.report.run().is_empty


def test_unknown_names_are_told_with_those_that_there_are(write_shop: WriteShop) -> None:
    write_shop()
    entities = current.entities()

    with pytest.raises(EntityNotFound, match=r"Known: other, report. Did you mean `report`"):
        entities.get_transformation("raport")
    with pytest.raises(EntityNotFound, match=r"Known: orders_cache. Did you mean"):
        entities.get_cache("order_cache")


MISTAKES = {
    "transformations: {a: {cache: event}}\ncaches: {events: {}}": (
        r"dlt.yml:1:\d+: transformations.a.cache: `event` is no cache. Known: events. "
        r"Did you mean `events`"
    ),
    "caches:\n  a:\n    outputs:\n      - {dataset: b, tables: {x: t}}\n"
    "      - {dataset: b, tables: {y: t}}\n": (
        r"dlt.yml:5:\d+: caches.a.outputs.1.tables.y: `y` is written to b.t, and so is `x`"
    ),
    "caches: {a: {outputs: [{dataset: b, write_disposition: merge}]}}": (
        r"caches.a.outputs.0.write_disposition: merge needs `primary_key` or `merge_key`"
    ),
}


@pytest.mark.parametrize("manifest", MISTAKES)
def test_what_does_not_fit_together_is_told_with_its_place(
    write_project: Callable[..., Path], manifest: str
) -> None:
    write_project(manifest)

    with pytest.raises(ManifestError, match=MISTAKES[manifest]):
        current.config()


def test_two_runs_at_once_write_each_row_once(write_shop: WriteShop) -> None:
    shop = write_shop()
    shop.load(1, 2)
    code = (
        "from dlthub_project import current\ncurrent.entities().get_transformation('report').run()"
    )
    runs = [
        subprocess.Popen([*python(), "-c", code], cwd=shop.folder, stderr=subprocess.PIPE)
        for _ in range(2)
    ]

    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert shop.rows("totals", "city") == [("Oslo",), ("Rome",)]


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["", ", tables: {orders: events, orders__lines: lines}"])
def test_an_output_may_pass_an_input_through(write_shop: WriteShop, tables: str) -> None:
    names = ("events", "lines") if tables else ("orders", "orders__lines")
    shop = write_shop(
        inputs=f"[{{dataset: shop_data{tables}}}]",
        files={"transformations/report/totals.sql": f"SELECT count(*) AS n FROM {names[0]}"},
        outputs="[{dataset: reports, tables: "
        f"{{{names[0]}: {names[0]}, {names[1]}: {names[1]}, totals: totals}}}}]",
    )
    shop.load(1, 2)

    assert shop.report.run().rows == {"reports": {names[0]: 2, names[1]: 4, "totals": 1}}
    assert shop.report.run().is_empty
    shop.load(3)
    assert shop.report.run().rows == {"reports": {names[0]: 1, names[1]: 2, "totals": 1}}
    assert shop.rows(names[0], "id", "city") == [(1, "Oslo"), (2, "Rome"), (3, "Oslo")]
    shop.report.verify_outputs()


def test_transformations_whose_code_is_not_there_yet_stop_no_other(
    write_shop: WriteShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = write_shop(outputs="[{dataset: reports, tables: {totals: totals, ids: ids}}]")
    shop.load(1)

    assert shop.report.run().rows == {"reports": {"totals": 1}}
    assert "`ids`" in caplog.text
    assert "transformation `other`" in caplog.text
    with pytest.raises(ProjectError, match=r"there is no \.sql file"):
        current.entities().get_transformation("other").run()


def test_error_when_an_output_would_round_values(write_shop: WriteShop) -> None:
    shop = write_shop({"transformations/report/totals.sql": "SELECT id AS price FROM orders"})
    shop.load(1)
    shop.report.run()
    query = shop.folder / "transformations/report/totals.sql"
    query.write_text("SELECT id + 0.7 AS price FROM orders")
    shop.load(3)

    with pytest.raises(PipelineStepFailed, match=r"`price` of table `totals` is bigint.*decimal"):
        shop.report.run()
    query.write_text("SELECT id AS price FROM orders")
    shop.report.run()
    assert shop.rows("totals", "price") == [(1,), (3,)]
