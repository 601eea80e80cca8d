"""`dlt project`."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dlt._workspace.cli import _dlt
from dlt.common.configuration import plugins

from dlthub_project import dlt_plugin
from dlthub_project.cli import commands_beside
from dlthub_project.errors import ManifestError
from dlthub_project.sandbox import Sandbox, isolated

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]


def test_info_shows_the_project_its_profile_and_its_entities(
    shop: Path, dlt_main: DltProgram
) -> None:
    done = dlt_main("project", "info")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "project          shop",
        f"project folder   {shop}",
        "profile          dev",
        "profiles         dev (implicit), tests (implicit), access (implicit)",
        f"data folder      {shop / '_data' / 'dev'}",
        "sources          orders",
        "destinations     warehouse",
        "datasets         shop_data",
        "pipelines        load_orders",
        "caches           -",
        "transformations  -",
    ]
    assert not (shop / "_data" / "dev" / "pipelines").exists()


def test_info_says_which_profiles_are_declared_and_is_documented_json(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(
        """
        caches: {daily: {inputs: [{dataset: raw}]}}
        transformations: {sums: {cache: daily}}
        profiles: {prod: {}}
        """,
        {".dlt/qa.config.toml": ""},
    )
    text = dlt_main("project", "info").stdout
    document = json.loads(dlt_main("project", "info", "--format", "json").stdout)

    assert "prod (declared), qa (in .dlt)" in text
    assert (document["caches"], document["transformations"]) == (["daily"], ["sums"])
    assert document["data_dir"] == str(root / "_data" / "dev")
    assert [p["name"] for p in document["profiles"] if p["declared"]] == ["prod"]


def test_list_shows_the_project_here_and_installed_ones_and_opens_none(
    write_project: WriteProject,
    dlt_main: DltProgram,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tmp_path / "site"
    metadata = site / "rates_mart-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: rates-mart\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[dlt_package]\nrates-mart = rates_mart\n")
    package = site / "rates_mart"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "dlt.yml").write_text("sources: {a: {type: b.c}}\n")
    monkeypatch.syspath_prepend(site)
    nothing = dlt_main("project", "list", "--project", ".")
    root = write_project("pipelines: 1\n", folder="broken")
    (root / "below").mkdir()
    monkeypatch.chdir(root / "below")
    found = json.loads(dlt_main("project", "list", "--format", "json").stdout)
    of_package = dlt_main("source", "list", "--project", "rates-mart")
    profile = dlt_main("profile", "info", "--project", "rates_mart")

    assert "rates_mart" in nothing.stdout
    assert {"name": "broken", "folder": str(root), "kind": "this folder"} in found
    assert {"name": "rates_mart", "folder": str(package), "kind": "package"} in found
    assert of_package.returncode == 0, of_package.stderr
    assert of_package.stdout.splitlines()[1].split() == ["a", "b.c", "-"]
    assert profile.stdout.splitlines()[0].split() == ["profile", "access"]


def test_clean_removes_the_local_data_of_one_profile_after_a_yes(
    shop: Path, dlt_main: DltProgram
) -> None:
    data = shop / "_data"
    for name in ("dev/local/warehouse.duckdb", "dev/pipelines/load_orders/state.json"):
        for path in (data / name, data / name.replace("dev/", "tests/")):
            path.parent.mkdir(parents=True)
            path.touch()
    refused = dlt_main("project", "clean")
    kept = {path.name for path in (data / "dev").rglob("*")}
    local = dlt_main("--yes", "project", "clean", "--skip-data-dir")
    after_local = {path.name for path in (data / "dev").rglob("*")}
    all_of_it = dlt_main("project", "clean", "--yes")
    again = dlt_main("project", "clean")

    assert refused.returncode == 4
    assert {"warehouse.duckdb", "load_orders"} <= kept
    assert str(data / "dev" / "local") in local.stdout
    assert "load_orders" in after_local
    assert "warehouse.duckdb" not in after_local
    assert all_of_it.returncode == 0
    assert "There is no local data of profile dev." in again.stdout
    assert (data / "tests" / "local" / "warehouse.duckdb").is_file()


NESTED = """
    project: {data_dir: "d/{current_profile}"}
    profiles: {dev: {project: {data_dir: d}}, prod: {}}
"""


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("project: {data_dir: .}", "it has more in it than data"),
        ("project: {local_dir: ..}", "it has more in it than data"),
        ("project: {data_dir: data}\nprofiles: {prod: {}}", "and profile prod has data in"),
        (NESTED, "and profile prod has data in"),
        ("project: {local_dir: ../shared}", "nobody knows whose files are there"),
        ("project: {local_dir: ../developer}", "nobody knows whose files are there"),
    ],
)
def test_clean_refuses_folders_that_have_more_in_them(
    write_project: WriteProject, dlt_main: DltProgram, manifest: str, reason: str
) -> None:
    root = write_project(
        manifest, {"d/prod/x": "", "data/x": "", "../shared/x": "", "../developer/x": ""}
    )
    done = dlt_main("project", "clean", "--yes")

    assert done.returncode == 1
    assert reason in done.stderr
    assert {"dlt.yml", "d", "data"} <= {path.name for path in root.iterdir()}
    assert (root / "d" / "prod" / "x").exists()
    assert (root.parent / "shared" / "x").exists()


def test_clean_keeps_a_link_to_the_data(
    write_project: WriteProject, dlt_main: DltProgram, tmp_path: Path
) -> None:
    root = write_project("")
    disk = tmp_path / "disk" / "dev"
    (disk / "local").mkdir(parents=True)
    (disk / "local" / "warehouse.duckdb").touch()
    (root / "_data").mkdir()
    (root / "_data" / "dev").symlink_to(disk)
    done = dlt_main("project", "clean", "--yes")

    assert done.returncode == 0, done.stderr
    assert list(disk.iterdir()) == []
    assert dlt_main("project", "info").returncode == 0


def test_clean_in_a_sandbox_leaves_the_data_of_the_project(
    shop: Path, dlt_main: DltProgram, tmp_path: Path
) -> None:
    real = shop / "_data" / "dev" / "local" / "warehouse.duckdb"
    real.parent.mkdir(parents=True)
    real.touch()
    with isolated(Sandbox(str(tmp_path / "sandbox"), str(shop), str(shop))):
        done = dlt_main("project", "clean", "--yes")

    assert done.returncode == 0, done.stderr
    assert real.is_file()


def test_info_takes_project_and_profile(shop: Path, dlt_main: DltProgram) -> None:
    done = dlt_main("project", "info", "--project", ".", "--profile", "tests")

    assert f"data folder      {shop / '_data' / 'tests'}" in done.stdout.splitlines()


def test_info_of_an_empty_manifest_shows_the_defaults(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project("", folder="bare")
    lines = dlt_main("project", "info").stdout.splitlines()

    assert lines[0] == "project          bare"
    assert lines[-1] == "transformations  -"


def test_info_outside_of_a_project_says_where_it_looked_and_how_to_make_one(
    tmp_path: Path, dlt_main: DltProgram
) -> None:
    done = dlt_main("project", "info")

    assert done.returncode == 3
    assert f"there is no dlt.yml in {tmp_path}" in done.stderr
    assert "Put an empty file dlt.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_info_of_a_broken_manifest_shows_the_place(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project("pipelines:\n  load_orders: {sauce: orders}\n")
    done = dlt_main("project", "info")

    assert done.returncode == 3
    assert f"{root / 'dlt.yml'}:2:" in done.stderr
    assert "pipelines.load_orders.sauce" in done.stderr
    assert "Traceback" not in done.stderr


def test_project_alone_shows_its_subcommands(shop: Path, dlt_main: DltProgram) -> None:
    done = dlt_main("project")

    assert done.returncode == 0
    assert "info" in done.stdout


def test_a_project_that_cannot_be_opened_does_not_hide_another_one(
    shop: Path, write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project("project: {default_profile: nowhere}\n", folder="broken")
    refused = dlt_main("project", "info")
    other = dlt_main("project", "info", "--project", str(shop))
    profile = dlt_main("project", "info", "--profile", "dev")
    # commands that do not open a project tell of it, as they would use other folders
    plain = dlt_main("telemetry")
    pipeline = dlt_main("pipeline", "load_orders", "info")

    assert (refused.returncode, other.returncode, profile.returncode) == (3, 0, 0)
    assert "There is no profile `nowhere`" in refused.stderr
    assert (plain.returncode, pipeline.returncode) == (1, 3)
    assert str(root / "dlt.yml") in plain.stderr
    assert str(root / "dlt.yml") in pipeline.stderr


def test_debug_shows_where_an_error_comes_from(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project("pipelines: 1\n")

    with pytest.raises(ManifestError):
        dlt_main("--debug", "project", "info")


def test_the_words_of_all_commands_are_known_before_a_project_is_opened() -> None:
    ours = {command.command for command in commands_beside([]) if command.parent is None}

    assert {*ours, "pipeline"} <= {*dlt_plugin._OF_PROJECTS}


def test_a_word_that_another_plugin_has_is_left_to_it(shop: Path, dlt_main: DltProgram) -> None:
    class Profile:
        command, parent, compose, docs_url = "profile", None, "replace", None
        help_string = description = "Of another plugin."

        def configure_parser(self, parser: argparse.ArgumentParser) -> None:
            pass

        def execute(self, args: argparse.Namespace) -> None:
            print("another profile")

    class Plugin:
        @plugins.hookimpl
        def plug_cli(self, host: str) -> type:
            return Profile

    plugins.manager().register(Plugin(), name="another")
    try:
        theirs = dlt_main("profile")
        ours = dlt_main("project", "info")
    finally:
        plugins.manager().unregister(name="another")

    assert theirs.stdout == "another profile\n"
    assert ours.returncode == 0


def test_the_program_dlthub_has_its_own_commands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / ".workspace").touch()
    monkeypatch.setattr(sys, "argv", ["dlthub", "profile", "--help"])

    with pytest.raises(SystemExit):
        _dlt.main("dlthub")
    shown = capsys.readouterr().out
    assert "pin" in shown
    assert "--project" not in shown


def test_with_a_stand_in_for_dlthub_the_commands_are_not_there(
    shop: Path, dlt_main: DltProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "dlthub").mkdir(parents=True)
    (tmp_path / "site" / "dlthub" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "dlthub", raising=False)
    shown = dlt_main("--help").stdout
    refused = dlt_main("project", "info")
    pipeline = dlt_main("pipeline", "--help").stdout

    assert "telemetry" in shown
    assert "project" not in shown
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "dlt.yml" not in pipeline


MANY = """
    sources:
      orders: {type: shop.orders}
      bad: {type: shop.bad}
    destinations:
      warehouse: {type: duckdb}
    pipelines:
      load_after: {source: orders, destination: warehouse, dataset_name: later, after: load_bad}
      load_orders: {source: orders, destination: warehouse, dataset_name: shop_data}
      load_bad: {source: bad, destination: warehouse, dataset_name: bad_data}
"""
MANY_SOURCES = """
    import dlt


    @dlt.source
    def orders():
        return dlt.resource([{"id": 1}, {"id": 2}], name="orders")


    @dlt.source
    def bad(pin: str = dlt.secrets.value):
        def rows():
            raise ValueError(f"refused: {pin}")
            yield

        return dlt.resource(rows, name="rows")
"""


def test_many_pipelines_are_run_and_told_with_a_status(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project(MANY, {"sources/shop.py": MANY_SOURCES})
    secret = {"SOURCES__BAD__PIN": "sesame-open-wide"}
    done = dlt_main("project", "run", "--workers", "1", **secret)

    assert done.returncode == 1
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert [re.sub(r" \d+\.\d ", " N ", line) for line in told] == [
        "pipeline status rows seconds why",
        "load_after skipped 0 N load_bad has not loaded; it is declared (`after`)",
        "load_orders loaded 2 N -",
        "load_bad failed 0 N step extract: ValueError: refused: ***",
    ]
    assert "load_orders: started\nload_orders: loaded, 2 rows" in done.stderr
    assert "sesame" not in done.stdout + done.stderr

    names = ("load_orders", "--workers", "1", "--format", "json", "--fail-fast")
    done = dlt_main("project", "run", *names)
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["profile"] == "dev"
    (one,) = document["pipelines"]
    assert (one["name"], one["status"], one["rows"]) == ("load_orders", "loaded", {"orders": 2})
    assert len(one["load_ids"]) == 1

    done = dlt_main("project", "run", "load_order")
    assert done.returncode == 1
    assert "Did you mean `load_orders`?" in done.stderr


def test_rows_that_are_not_counted_are_not_told_as_none(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    """dlt counts rows in its trace, which may be switched off."""
    write_project(MANY, {"sources/shop.py": MANY_SOURCES})
    untraced = {"ENABLE_RUNTIME_TRACE": "false"}
    done = dlt_main("pipeline", "load_orders", "run", **untraced)
    assert done.returncode == 0, done.stderr
    assert "(profile dev): loaded; the rows are not counted" in done.stdout

    done = dlt_main("project", "run", "load_orders", "--workers", "1", **untraced)
    assert "load_orders: loaded, rows not counted" in done.stderr
    assert done.stdout.splitlines()[1].split()[:3] == ["load_orders", "loaded", "-"]

    done = dlt_main("project", "run", "load_orders", "--format", "json", **untraced)
    assert json.loads(done.stdout)["pipelines"][0]["rows"] is None


CHECKED = """
    sources: {orders: {type: shop.orders}}
    destinations: {warehouse: {type: duckdb}}
    datasets:
      sales:
        destination: warehouse
        tables: {orders: {checks: [is_unique: id]}}
    pipelines:
      load:
        source: orders
        destination: warehouse
        dataset_name: sales
        run_config: {on_failed_check: POLICY}
"""
TWICE = """
    import dlt

    @dlt.resource
    def orders():
        yield [{"id": 1}, {"id": 1}]
"""


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "status"), [("warn", 0), ("fail", 1), ("stop", 1)])
def test_failed_checks_are_told_and_are_an_exit_status(
    write_project: WriteProject, dlt_main: DltProgram, policy: str, status: int
) -> None:
    write_project(CHECKED.replace("POLICY", policy), {"sources/shop.py": TWICE})
    told = "orders: id__is_unique: 2 of 2 rows fail"

    many = dlt_main("project", "run", "--format", "json")
    assert many.returncode == status
    [document] = json.loads(many.stdout)["pipelines"]
    assert document["status"] == ("loaded" if policy == "warn" else "failed")
    assert document["rows"] == {"orders": 2}
    assert document["checks"] == [
        {
            "table": "orders",
            "check": "id__is_unique",
            "severity": "error",
            "status": "failed",
            "rows": 2,
            "failing": 2,
            "error": None,
        }
    ]
    assert told in many.stderr

    one = dlt_main("pipeline", "load", "run")
    assert one.returncode == status
    # once more the same order
    assert "id__is_unique: 4 of 4 rows fail" in one.stdout + one.stderr
    if policy != "warn":
        assert "pipelines.load.run_config.on_failed_check" in one.stderr
