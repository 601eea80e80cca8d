"""`dlt pipeline NAME run`, beside the subcommands of dlt itself."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import python

DltProgram = Callable[..., subprocess.CompletedProcess[str]]
WriteProject = Callable[..., Path]


def cells(output: str) -> list[list[str]]:
    """Return the rows of the table in `output`, which is plain in a pipe."""
    return [line.split() for line in output.splitlines()[2:]]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the message of a call that failed with no traceback."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


def test_a_run_prints_the_rows_of_each_table(shop: Path, dlt_main: DltProgram) -> None:
    done = dlt_main("pipeline", "load_orders", "run")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "load_orders -> shop_data@warehouse (profile dev)"
    assert cells(done.stdout) == [["customers", "1"], ["customers__emails", "1"], ["items", "3"]]
    assert (shop / "_data" / "dev" / "local" / "warehouse.duckdb").is_file()


def test_a_run_may_be_of_a_part_under_a_profile_of_a_project_elsewhere(
    write_project: WriteProject, dlt_main: DltProgram, shop: Path, tmp_path: Path
) -> None:
    write_project("", folder="other")
    options = ("--limit", "1", "--resources", "items, customers", "--profile", "tests")
    done = dlt_main("pipeline", "load_orders", "run", *options, "--project", str(shop))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("load_orders -> shop_data@warehouse (profile tests)\n")
    # the first page of `items` is all of it
    assert cells(done.stdout)[-1] == ["items", "3"]
    assert (shop / "_data" / "tests" / "local" / "warehouse.duckdb").is_file()
    assert not (shop / "_data" / "dev").exists()


def test_a_run_without_new_rows_says_so(write_project: WriteProject, dlt_main: DltProgram) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        pipelines:
          load_orders: {source: orders, destination: duckdb}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.resource
                def orders():
                    yield from ()
            """
        },
    )
    done = dlt_main("pipeline", "load_orders", "run")

    assert done.returncode == 0, done.stderr
    assert "load_orders_dataset@duckdb (profile dev): nothing new to load" in done.stdout


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load_order", "run"], "Did you mean `load_orders`?"),
        (["run"], "Name the pipeline: dlt pipeline NAME run. Known: load_orders."),
        (["--pipelines-dir", "x", "load_orders", "run"], "--pipelines-dir is of dlt's own"),
        (["load_all", "add", "order", "warehouse"], "Did you mean `orders`?"),
        (["load_all", "add", "orders", "warehous"], "Did you mean `warehouse`?"),
        (["load_orders", "add", "orders", "warehouse"], "`pipelines.load_orders` is there already"),
        (["load_orders", "run", "--resources", "itens"], "Did you mean `items`?"),
        (["load_orders", "run", "--profile", "tets"], "Did you mean `tests`?"),
        (["load_orders", "run", "--project", "nowhere"], "there is no dlt.yml in"),
        (["load_orders", "run", "--limit", "0"], "--limit: must be 1 or more, not 0"),
    ],
)
def test_a_mistake_is_an_error_without_a_traceback(
    shop: Path, dlt_main: DltProgram, arguments: list[str], message: str
) -> None:
    assert message in refused(dlt_main("pipeline", *arguments))


def test_a_setting_of_another_type_is_an_error_without_a_traceback(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project(
        """
        sources: {orders: {type: shop.orders, page: many}}
        pipelines: {load_orders: {source: orders, destination: duckdb}}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.source
                def orders(page: int = dlt.config.value):
                    return dlt.resource([page], name="rows")
            """
        },
    )

    assert "cannot be coerced" in refused(dlt_main("pipeline", "load_orders", "run"))


def test_a_failing_source_shows_its_own_error(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    root = write_project(
        """
        sources:
          orders: {type: shop.orders}
        pipelines:
          load_orders: {source: orders, destination: duckdb}
        """,
        {"sources/shop.py": 'raise ConnectionError("the shop is closed")\n'},
    )

    done = dlt_main("pipeline", "load_orders", "run")

    assert done.returncode != 0
    assert "the shop is closed" in done.stderr
    assert f'File "{root / "sources" / "shop.py"}", line 1' in done.stderr
    assert "site-packages" not in done.stderr


def test_the_subcommands_of_dlt_work_on_the_pipelines_of_a_project(
    shop: Path, dlt_main: DltProgram
) -> None:
    unknown = dlt_main("pipeline", "load_orders", "info")
    assert "shop_data" in refused(unknown)
    assert dlt_main("pipeline", "load_orders", "run").returncode == 0
    info = dlt_main("pipeline", "load_orders", "info")

    assert info.returncode == 0, info.stderr
    assert f"Found pipeline load_orders in {shop / '_data' / 'dev' / 'pipelines'}" in info.stdout
    assert "destination_name: warehouse" in info.stdout
    assert "customers with 2 table(s)" in info.stdout


def test_run_stands_among_the_subcommands(shop: Path, dlt_main: DltProgram) -> None:
    shown = dlt_main("pipeline", "--help").stdout

    for subcommand in ("run", "info", "sync", "trace"):
        assert subcommand in shown
    assert "Run a pipeline that dlt.yml declares" in shown


def test_a_run_is_retried_as_the_pipeline_declares(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project(
        """
        sources:
          orders: {type: shop.orders}
        pipelines:
          load_orders:
            source: orders
            destination: duckdb
            run_config:
              retry_policy: {type: fixed, max_attempts: 2, min: 0}
              retry_pipeline_steps: [extract]
        """,
        {
            "sources/shop.py": """
                import dlt

                calls = []


                @dlt.resource
                def orders():
                    calls.append(1)
                    yield {"id": 1}
                    if len(calls) == 1:
                        raise ConnectionError("the shop is closed")
            """
        },
    )
    done = dlt_main("pipeline", "load_orders", "run")

    assert (done.returncode, done.stderr) == (0, "")
    assert cells(done.stdout) == [["orders", "1"]]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "arguments",
    [
        ("pipeline", "--profile", "tests", "load_orders", "run"),
        ("pipeline", "--project", "{shop}", "--profile", "tests", "load_orders", "run"),
        ("pipeline", "--profile", "dev", "load_orders", "run", "--profile", "tests"),
        ("pipeline", "load_orders", "--profile", "tests", "run"),
        ("--no-pwd", "pipeline", "load_orders", "--project={shop}", "--profile=tests", "run"),
    ],
    ids=["profile before", "both before", "the later one wins", "between", "all of it"],
)
def test_profile_and_project_stand_before_the_subcommand_too(
    arguments: tuple[str, ...],
    dlt_main: DltProgram,
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--project" in " ".join(arguments):
        monkeypatch.chdir(tmp_path)
    done = dlt_main(*[argument.format(shop=shop) for argument in arguments])

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("load_orders -> shop_data@warehouse (profile tests)\n")
    assert not (shop / "_data" / "dev" / "local" / "warehouse.duckdb").exists()


def test_subcommands_of_dlt_itself_take_the_profile_before_and_after(
    dlt_main: DltProgram, shop: Path
) -> None:
    dlt_main("pipeline", "--profile", "tests", "load_orders", "run")

    for arguments in [
        ("pipeline", "--profile", "tests", "load_orders", "info"),
        ("pipeline", "load_orders", "info", "--profile", "tests"),
        ("pipeline", "load_orders", "--profile", "tests", "info"),
        ("pipeline", "load_orders", "--pipelines-dir", "_data/tests/pipelines", "info"),
        ("pipeline", "load_orders", "info", "--pipelines-dir", "_data/tests/pipelines"),
    ]:
        done = dlt_main(*arguments)
        assert done.returncode == 0, done.stderr
        assert "_data/tests/pipelines" in done.stdout.replace("\n", "")
    # on profile `dev` this pipeline has never run
    other = dlt_main("pipeline", "load_orders", "info")
    assert "No state found" in other.stdout + other.stderr


def test_list_shows_the_pipelines_and_imports_no_code_of_the_project(
    shop: Path, write_project: WriteProject, dlt_main: DltProgram
) -> None:
    (shop / "sources" / "shop.py").write_text("raise SystemExit('imported')\n")
    manifest = shop / "dlt.yml"
    manifest.write_text(
        manifest.read_text() + "  broken: {source: [orders, others]}\n", encoding="utf-8"
    )
    listed = dlt_main("pipeline", "list", "--format", "json")
    table = dlt_main("pipeline", "list")

    assert json.loads(listed.stdout) == [
        {
            "name": "load_orders",
            "sources": ["orders"],
            "dataset": "shop_data",
            "destination": "warehouse",
            "has_run": False,
        },
        {
            "name": "broken",
            "sources": ["orders", "others"],
            "dataset": None,
            "destination": None,
            "has_run": False,
        },
    ]
    assert table.stdout.splitlines() == [
        "pipeline     sources         dataset    destination  has run",
        "load_orders  orders          shop_data  warehouse    no",
        "broken       orders, others  -          -            no",
    ]


def test_a_run_for_a_script_is_one_json_document(shop: Path, dlt_main: DltProgram) -> None:
    done = json.loads(dlt_main("pipeline", "load_orders", "run", "--format", "json").stdout)

    assert len(done.pop("load_ids")) == 1
    assert done == {
        "name": "load_orders",
        "profile": "dev",
        "dataset": "shop_data",
        "destination": "warehouse",
        "rows": {"customers": 1, "customers__emails": 1, "items": 3},
        "checks": [],
    }
    assert json.loads(dlt_main("pipeline", "list", "--format", "json").stdout)[0]["has_run"]


def test_a_pipeline_that_was_added_runs(shop: Path, dlt_main: DltProgram) -> None:
    added = dlt_main("pipeline", "load_all", "add", "orders", "warehouse", "--dataset-name", "all")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == f"Added pipeline `load_all` to {shop / 'dlt.yml'}.\n"
    done = dlt_main("pipeline", "load_all", "run")

    assert done.stdout.startswith("load_all -> all@warehouse (profile dev)\n")


@pytest.mark.parametrize("undeclared", ["duckdb", "delta", "iceberg"])
def test_a_pipeline_may_be_added_to_a_type_of_destination(
    shop: Path, dlt_main: DltProgram, undeclared: str
) -> None:
    added = dlt_main("pipeline", "local", "add", "orders", undeclared)
    assert (added.returncode, added.stderr) == (0, "")

    checked = dlt_main("project", "check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_on_a_terminal_there_are_boxes_progress_and_a_question(shop: Path) -> None:
    program = shlex.join([*python(), str(Path(sys.executable).with_name("dlt"))])
    commands = f"{program} pipeline load_orders run && {program} dataset shop_data drop"
    ours, theirs = os.openpty()
    started = subprocess.Popen(
        ["sh", "-c", commands],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "60"},
    )
    os.close(theirs)
    shown = ""
    try:
        while not shown.endswith("[y/N] "):
            shown += os.read(ours, 1024).decode()
        os.write(ours, b"y\n")
        # the end of a terminal is an error on Linux
        with contextlib.suppress(OSError):
            while more := os.read(ours, 1024):
                shown += more.decode()
    finally:
        os.close(ours)
        started.wait(timeout=60)

    assert started.returncode == 0, shown
    assert "load_orders: load" in shown
    assert "│ customers__emails │    1 │" in shown
    assert "Drop dataset `shop_data` on destination `warehouse`" in shown
    assert shown.rstrip().endswith("Dropped dataset `shop_data` on destination `warehouse`.")


def test_a_first_test_takes_the_place_of_no_file_unless_it_is_told_to(
    shop: Path, dlt_main: DltProgram
) -> None:
    file = shop / "tests" / "test_load_orders.py"
    file.parent.mkdir()
    file.write_text("mine")
    again = dlt_main("pipeline", "load_orders", "test", "--yes")

    assert (again.returncode, again.stdout, file.read_text()) == (4, "", "mine")
    assert f"{file} is there already. Nothing was written.\nAdd --force" in again.stderr
    unknown = dlt_main("pipeline", "load_order", "test", "--output", "other.py")
    assert "Did you mean `load_orders`?" in refused(unknown)
    failed = dlt_main("pipeline", "load_orders", "test", "--force", "--resources", "item")
    assert "Did you mean `items`?" in refused(failed)
    assert [path.name for path in file.parent.iterdir()] == ["test_load_orders.py"]


def test_an_error_of_the_projects_code_hides_its_secrets(
    write_project: WriteProject, dlt_main: DltProgram
) -> None:
    write_project(
        """
        sources: {orders: {type: shop.orders, pin: "{env.SHOP_PIN}"}}
        pipelines: {load_orders: {source: orders, destination: duckdb}}
        """,
        {
            "sources/shop.py": """
                import dlt


                @dlt.source
                def orders(pin: str = dlt.secrets.value):
                    @dlt.resource
                    def items():
                        yield {"id": 1}
                        raise RuntimeError(f"the shop refuses {pin}")

                    return items
            """
        },
    )
    done = dlt_main("pipeline", "load_orders", "run", SHOP_PIN="4711-of-the-shop")

    assert "the shop refuses ***" in refused(done)
    assert "4711-of" not in done.stdout + done.stderr
