"""Engine `dbt` up to where dbt begins: another program of that name stands for it.

acceptance/test_installs.py has the real one.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import stand_in_dbt

from dlthub_project import current
from dlthub_project.errors import EntityReferenceError, ProjectError

WriteShop = Callable[..., Any]
UseDbt = Callable[..., None]

PROJECT = {
    "transformations/report/dbt_project.yml": "name: shop_reports\nversion: '1'\n",
    "transformations/report/models/totals.sql": "SELECT 1",
}
NO_DBT = r"dbt is not installed.*\npip install \"pytest-dlthub\[dbt\]\""


@pytest.fixture
def use_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UseDbt:
    """Put a program `dbt` on PATH, and nothing else: `use_dbt(status, message, alias)`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def use(status: str = "success", message: str = "", alias: str = "totals") -> None:
        monkeypatch.setenv("STAND_IN_DBT", json.dumps([status, message, alias]))
        command = shlex.join([sys.executable, str(Path(stand_in_dbt.__file__))])
        program = programs / "dbt"
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        program.chmod(0o755)

    return use


def test_models_become_outputs_and_see_new_loads_only(
    write_shop: WriteShop, use_dbt: UseDbt
) -> None:
    use_dbt()
    shop = write_shop(PROJECT, engine="dbt")
    files = sorted(shop.folder.glob("transformations/**/*"))
    shop.load(1, 2, 3)

    shop.report.run()
    shop.load(4)
    shop.report.run()

    assert shop.rows("totals", "city", "orders") == [("Oslo", 2), ("Rome", 1), ("Rome", 1)]
    # a table of the cache, though dbt has made a view
    made = shop.report.cache.dataset().table("totals")
    assert made.select("city", "orders").fetchall() == [("Rome", 1)]
    assert shop.report.run().is_empty
    # nothing is written into the project, and the database that dbt had is gone
    assert sorted(shop.folder.glob("transformations/**/*")) == files
    assert list(Path(shop.report.cache.path.parent).rglob("dbt.duckdb*")) == []
    assert list(Path(shop.report.cache.path.parent).rglob("profiles.yml")) == []


def test_dbt_is_called_with_a_profile_of_the_cache_and_folders_outside_of_the_project(
    write_shop: WriteShop, use_dbt: UseDbt
) -> None:
    use_dbt()
    shop = write_shop(PROJECT, engine="dbt")
    shop.load(1)
    shop.report.run()

    caches = Path(current.config().data_dir, "caches")
    said = json.loads(next(caches.rglob("said.json")).read_text())
    folder, words = str(shop.folder / "transformations" / "report"), said["words"]
    options = dict(pairwise(words))
    assert "build" in words
    assert options["--project-dir"] == said["cwd"] == folder
    for name in ("--profiles-dir", "--target-path", "--log-path"):
        assert Path(options[name]).is_relative_to(caches)
    assert said["statistics"] == "false"
    assert said["database"]["type"] == "duckdb"
    attached = [(Path(each["path"]).name, each["read_only"]) for each in said["database"]["attach"]]
    cache = shop.report.cache.path.name
    assert attached == [(cache, True), (f"{Path(attached[1][0]).stem}.duckdb", True)]


def test_tables_of_files_travel_to_dbt_as_rows(write_shop: WriteShop, use_dbt: UseDbt) -> None:
    use_dbt()
    bucket = "{type: filesystem, bucket_url: _lake}"
    shop = write_shop(PROJECT, engine="dbt", warehouse=bucket)
    shop.load(1, 2, 3)

    shop.report.run()

    assert shop.rows("totals", "city", "orders") == [("Oslo", 2), ("Rome", 1)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("says", "message"),
    [
        (("error", "Binder Error: no column x"), r"model `totals` \(models/totals.sql\): Binder E"),
        (("", "Could not find dbt adapter type duckdb!"), r"dbt says:\nCould not.*\npip install"),
        (("", "Compilation Error: no source"), r"cannot be built. dbt says:\nCompilation Error"),
        (("success", "", "others"), r"totals.sql makes table `others`.*\nGive its alias in"),
    ],
    ids=["model fails", "no adapter", "project cannot be read", "alias elsewhere"],
)
def test_failures_are_told_in_the_words_of_dbt_and_nothing_is_written(
    write_shop: WriteShop, use_dbt: UseDbt, says: tuple[str, ...], message: str
) -> None:
    use_dbt(*says)
    shop = write_shop(PROJECT, engine="dbt")
    shop.load(1)

    with pytest.raises(ProjectError, match=message):
        shop.report.run()

    # what is offered is still to be done
    use_dbt()
    shop.report.run()
    assert shop.rows("totals", "city", "orders") == [("Oslo", 1)]


def test_dbt_that_is_not_installed_is_asked_for_with_the_remedy(
    write_shop: WriteShop, use_dbt: UseDbt
) -> None:
    shop = write_shop(PROJECT, engine="dbt")
    shop.load(1)

    assert shop.report.info().engine == "dbt"
    with pytest.raises(ProjectError, match=NO_DBT):
        shop.report.run()


def test_tables_of_models_are_known_without_dbt(write_shop: WriteShop) -> None:
    models = {
        "transformations/report/dbt_project.yml": "name: shop_reports\nmodel-paths: [queries]\n",
        "transformations/report/queries/staging/a.sql": (
            "{{ config(\n  materialized='ephemeral') }} SELECT 1"
        ),
        "transformations/report/queries/b.sql": "{{ config(alias = 'totals') }} SELECT 1 AS alias",
        "transformations/report/queries/c.py": "def model(dbt, session): ...",
        "transformations/report/queries/models.yml": "models: []",
    }
    shop = write_shop(models, engine="dbt")

    assert shop.report.info().tables == ["totals", "c"]


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({}, EntityReferenceError, r"there is no .*report/dbt_project.yml.\nMake a dbt project"),
        ({"dbt_project.yml": "name: x"}, EntityReferenceError, r"has no model.\nWrite one SELECT"),
        ({"dbt_project.yml": "{"}, ProjectError, r"dbt_project.yml cannot be read"),
    ],
    ids=["no project", "no model", "no YAML"],
)
def test_folder_that_is_no_dbt_project_is_refused(
    write_shop: WriteShop, files: dict[str, str], error: type[ProjectError], message: str
) -> None:
    shop = write_shop(
        {f"transformations/report/{name}": text for name, text in files.items()}, engine="dbt"
    )

    with pytest.raises(error, match=message):
        shop.report.info()
