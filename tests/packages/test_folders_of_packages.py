"""Where the data of a package go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import snapshot
from read_only import read_only

from dlthub_project import PackagedProject, ProjectError, ensure_project

Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_xdg_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the home folder alone say where a user's files go."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.mark.slow
def test_a_read_only_package_is_used_with_data_of_the_users_own(
    install: Install, site: Path, home: Path
) -> None:
    root = install("rates_mart")
    before = snapshot(root)
    code = """if True:
        import rates_mart
        rates_mart.runner().run_pipeline("load_rates")
        dataset = rates_mart.catalog().dataset("rates")
        dataset.save([{"currency": "SEK"}], table_name="mine")
        print(sorted(dataset.row_counts().fetchall()))
        print(rates_mart.config().data_dir)
    """

    with read_only(root) as words:
        done = subprocess.run(
            [*words, sys.executable, "-c", code],
            env={"HOME": str(home), "PYTHONPATH": str(site), "RUNTIME__DLTHUB_TELEMETRY": "false"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    rows, data_dir = done.stdout.splitlines()
    assert rows == "[('daily', 1), ('mine', 1)]"
    assert Path(data_dir).is_relative_to(home)
    assert (Path(data_dir) / "local" / "warehouse.duckdb").is_file()
    assert snapshot(root) == before


def cannot_have_data(root: Path) -> PackagedProject:
    """Return the accessors of a package with a file where its data folders should be."""
    # root, too, can make no folder below a file
    (root / "_data").write_text("")
    return PackagedProject(str(root / "__init__.py"))


def test_each_profile_has_a_folder_below_that_of_the_user(install: Install, home: Path) -> None:
    mart = cannot_have_data(install("rates_mart"))
    used = Path(mart.config().data_dir)
    mart.context().switch_profile("prod")

    assert used.is_relative_to(home)
    assert used.parts[-2:] == ("_data", "access")
    assert mart.config().data_dir == str(used.with_name("prod"))
    assert mart.config().local_dir == str(used.with_name("prod") / "local")


def test_packages_of_one_name_in_two_environments_do_not_share_a_folder(
    install: Install, home: Path, tmp_path: Path
) -> None:
    first = install("rates_mart")
    second = first.rename(tmp_path / "rates_mart")
    folders = {cannot_have_data(root).config().data_dir for root in (install("mart_2"), second)}

    assert len({Path(folder).parents[1] for folder in folders}) == 2


@pytest.mark.parametrize("name", ["DLT_DATA_DIR", "DLT_LOCAL_DIR"])
def test_folders_that_were_asked_for_are_kept(
    install: Install, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "asked"))
    mart = cannot_have_data(install("rates_mart"))

    assert getattr(mart.config(), name.removeprefix("DLT_").lower()) == str(tmp_path / "asked")
    assert Path(mart.config().data_dir).is_relative_to(home) is (name == "DLT_LOCAL_DIR")


def test_a_folder_that_is_declared_elsewhere_is_kept(
    install: Install, home: Path, tmp_path: Path
) -> None:
    manifest = f"project: {{data_dir: '{tmp_path}/elsewhere', local_dir: _data/files}}\n"
    mart = cannot_have_data(install("rates_mart", manifest))

    assert mart.config().data_dir == str(tmp_path / "elsewhere")
    assert Path(mart.config().local_dir).is_relative_to(home)


def test_a_package_that_can_be_written_to_keeps_its_data(install: Install, home: Path) -> None:
    mart = PackagedProject(str(install("rates_mart") / "__init__.py"))
    mart.context()

    assert not list(home.iterdir())


def test_a_project_that_is_no_package_says_that_it_cannot_make_its_folders(
    shop: Path, home: Path
) -> None:
    (shop / "_data").write_text("")

    with pytest.raises(ProjectError) as error:
        ensure_project()

    assert f"{shop / '_data' / 'dev'}: Not a directory." in error.value.reason
    assert "DLT_DATA_DIR" in error.value.instruction
    assert not list(home.iterdir())
