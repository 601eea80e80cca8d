"""Plain dlt code in a project: its folders, values and modules, with no change to the code."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.specs.pluggable_run_context import ProfilesRunContext
from dlt.common.runtime.run_context import switch_context

from dlthub_project import ProjectRunContext, current, ensure_project
from dlthub_project.context import open_project
from dlthub_project.dlt_internals import contexts
from dlthub_project.dlt_plugin import plug_run_context
from dlthub_project.errors import ProjectError
from dlthub_project.sandbox import Sandbox, isolated

WriteProject = Callable[..., Path]
RunPython = Callable[..., str]


def test_plain_dlt_code_gets_the_folders_of_the_project(shop: Path, run_python: RunPython) -> None:
    """Local files land in `local_dir`, working folders of pipelines in `data_dir`."""
    printed = run_python(
        """
        import dlt
        pipeline = dlt.pipeline("plain", destination="duckdb", dataset_name="data")
        pipeline.run([{"id": 1}, {"id": 2}], table_name="items")
        print(pipeline.working_dir)
        print(pipeline.dataset()["items"].df()["id"].tolist())
        """,
        cwd=shop / "sources",
    )

    data_dir = shop / "_data" / "dev"
    assert printed.splitlines() == [str(data_dir / "pipelines" / "plain"), "[1, 2]"]
    assert (data_dir / "local" / "plain.duckdb").is_file()
    assert (data_dir / "pipelines" / "plain" / "state.json").is_file()
    assert sorted(os.listdir(shop)) == ["_data", "dlt.yml", "sources"]
    assert set(os.listdir(shop / "sources")) - {"__pycache__"} == {"shop.py"}


def test_plain_dlt_code_outside_of_a_project_is_left_alone(
    run_bare_python: RunPython, tmp_path: Path
) -> None:
    printed = run_bare_python(
        """
        import sys, dlt
        from dlt.common.runtime.run_context import active
        pipeline = dlt.pipeline("plain", destination="duckdb", pipelines_dir="pipes")
        pipeline.run([{"id": 1}], table_name="items")
        print(type(active()).__module__, type(active()).__name__)
        print("pydantic was imported for nothing" if "pydantic" in sys.modules else "")
        """,
        cwd=tmp_path,
    )

    assert printed.splitlines() == ["dlt.common.runtime.run_context RunContext", ""]
    assert sorted(os.listdir(tmp_path)) == ["pipes", "plain.duckdb"]


def test_a_context_has_the_folders_of_its_project(shop: Path) -> None:
    context = current.context()

    assert context.name == "shop"
    assert context.run_dir == str(shop)
    assert context.settings_dir == str(shop / ".dlt")
    assert context.data_dir == str(shop / "_data/dev")
    assert context.local_dir == str(shop / "_data/dev/local")
    assert context.global_dir == contexts.global_folder()
    assert context.get_data_entity("pipelines") == str(shop / "_data/dev/pipelines")
    assert context.get_run_entity("sources") == str(shop / "sources")
    assert context.get_setting("config.toml") == str(shop / ".dlt/config.toml")
    assert context.runtime_kwargs == {"profile": "dev"}
    assert context.uri == f"file://{shop}?profile=dev"
    assert context.config is None


def test_a_context_is_one_with_profiles_for_dlt(shop: Path) -> None:
    context = current.context()

    assert isinstance(context, ProfilesRunContext)
    assert type(context) is ProjectRunContext
    assert contexts.active_run_context() is context


def test_git_ignores_what_is_made_for_data_and_nothing_else(
    write_project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_project("project: {data_dir: mine/data, local_dir: files}", folder="own")
    (own / "mine").mkdir()
    ensure_project(str(own))
    assert sorted(path.parent for path in own.rglob(".gitignore")) == [
        own / "files",
        own / "mine" / "data",
    ]
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "elsewhere"))
    ensure_project(str(write_project("{}", folder="outside")))
    assert (tmp_path / "elsewhere").exists()
    assert not list((tmp_path / "elsewhere").rglob(".gitignore"))
    monkeypatch.delenv("DLT_DATA_DIR")

    default = write_project("{}", folder="default")
    ensure_project(str(default))
    ignored = default / "_data" / ".gitignore"
    assert "*" in ignored.read_text().split()
    ignored.write_text("mine")
    current.context().switch_profile("tests")
    assert ignored.read_text() == "mine"
    with isolated(Sandbox(str(default / "tmp"), str(default), str(default))):
        current.context()
    assert list(default.rglob(".gitignore")) == [ignored]


def test_the_folders_for_data_exist(shop: Path) -> None:
    context = current.context()

    assert os.path.isdir(context.data_dir)
    assert os.path.isdir(context.local_dir)


def test_dlts_own_variables_for_folders_are_heard(
    shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DLT_LOCAL_DIR", str(tmp_path / "files"))

    context = current.context()

    assert context.data_dir == str(tmp_path / "data")
    assert context.local_dir == str(tmp_path / "files")


DECLARED = {
    'data_dir: "{env.DLT_DATA_DIR}/{current_profile}"': "DLT_DATA_DIR",
    'name: shop\n      data_dir: "{project.name}/{project.current_profile}-{env.DLT_DATA_DIR}"': (
        "DLT_DATA_DIR"
    ),
    'local_dir: "{env.DLT_LOCAL_DIR:elsewhere}/{data_dir}"': "DLT_LOCAL_DIR",
}


@pytest.mark.parametrize("declared", DECLARED)
def test_a_declared_folder_of_a_profile_that_uses_dlts_variable_holds(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, declared: str
) -> None:
    monkeypatch.setenv(DECLARED[declared], str(tmp_path / "given"))
    root = write_project(f"project:\n      {declared}\n")
    name = "local_dir" if "local_dir" in declared else "data_dir"
    folders = {profile: getattr(open_project(root, profile), name) for profile in ("dev", "tests")}

    assert len(set(folders.values())) == 2
    assert all(str(tmp_path / "given") in folder for folder in folders.values())


def test_profiles_that_declare_one_folder_for_each_do_not_share_rows(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "given"))
    write_project(
        """
        project: {data_dir: "{env.DLT_DATA_DIR}/{current_profile}"}
        destinations: {warehouse: {type: duckdb}}
        datasets: {shop_data: {destination: warehouse}}
        pipelines: {load: {destination: warehouse, dataset_name: shop_data}}
        profiles: {prod: {}}
        """
    )
    for profile in ("dev", "prod"):
        ensure_project(profile=profile)
        current.runner().run_pipeline("load", data=dlt.resource([{"id": 1}], name="items"))

    assert len(current.catalog().shop_data["items"].fetchall()) == 1


@pytest.mark.parametrize(
    ("manifest", "variable"),
    [
        ('project: {data_dir: "_x/{current_profile}"}', "DLT_DATA_DIR"),
        ('project: {data_dir: "_x/{current_profile}", local_dir: "{data_dir}/l"}', "DLT_LOCAL_DIR"),
        ('project: {data_dir: "_x/{current_profile}"}', "DLT_LOCAL_DIR"),
        ("profiles: {dev: {project: {data_dir: _x}}}", "DLT_DATA_DIR"),
        ("", "PIPELINES_DIR"),
    ],
)
def test_error_when_dlts_variable_would_put_profiles_into_one_place(
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    manifest: str,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "given"))
    root = write_project(manifest)

    with pytest.raises(ProjectError, match=variable) as caught:
        open_project(root, "dev")
    assert f"Unset {variable}" in caught.value.instruction
    assert "/{current_profile}" in caught.value.instruction
    # code that has folders of its own, as a sandbox, is asked for none
    given = {"data_dir": str(tmp_path), "local_dir": str(tmp_path)}
    assert open_project(root, "dev", given).data_dir == str(tmp_path)


def test_dlts_variable_for_the_settings_folder_is_heard(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_CONFIG_FOLDER", "settings")
    root = write_project("", {"settings/prod.config.toml": "", "settings/config.toml": "a = 7\n"})

    assert "prod" in open_project(root).profiles
    assert current.context().settings_dir == str(root / "settings")
    assert dlt.config["a"] == 7


def test_folders_of_a_sandbox_win_over_all_others(
    shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "other"))

    manifest = shop / "dlt.yml"
    manifest.write_text(f"project: {{tmp_dir: {tmp_path / 'shared'}}}\n{manifest.read_text()}")

    with isolated(Sandbox(str(tmp_path / "sandbox"), str(shop), str(shop))) as sandbox:
        context = current.context()

        assert context.global_dir == sandbox.global_dir
        assert context.data_dir == context.project.data_dir == sandbox.data_dir
        assert context.local_dir == context.project.local_dir == sandbox.local_dir
        assert context.project.tmp_dir.startswith(sandbox.data_dir)


def test_the_modules_of_the_project_are_importable(write_project: WriteProject) -> None:
    root = write_project("", {"sources/one.py": "VALUE = 1\n"})
    ensure_project()

    from sources import one  # type: ignore[import-not-found]

    assert one.__file__ == str(root / "sources/one.py")


def test_modules_are_looked_up_in_the_project_folder(write_project: WriteProject) -> None:
    root = write_project("project: {project_dir: src}\n", {"src/sources/one.py": "VALUE = 1\n"})
    context = ensure_project()

    from sources import one

    assert one.__file__ == str(root / "src/sources/one.py")
    assert context.get_run_entity("sources") == str(root / "src/sources")


def test_two_projects_in_one_process_do_not_mix_their_modules(write_project: WriteProject) -> None:
    orders = """
        import dlt

        @dlt.source
        def orders():
            return dlt.resource([{{"shop": "{0}"}}], name="items")
    """
    reference = "sources: {orders: {type: shop.orders}}\n"
    first = write_project(reference, {"sources/shop.py": orders.format("first")}, "first")
    second = write_project(reference, {"sources/shop.py": orders.format("second")}, "second")

    def rows_of(folder: Path) -> list[Any]:
        ensure_project(str(folder))
        return list(current.entities().get_source("orders")())

    assert rows_of(first) == [{"shop": "first"}]
    assert rows_of(second) == [{"shop": "second"}]
    assert rows_of(first) == [{"shop": "first"}]
    assert str(second) not in sys.path


def test_switching_the_profile_keeps_the_modules_of_the_project(
    write_project: WriteProject,
) -> None:
    write_project("", {"sources/one.py": "VALUE = 1\n"})
    ensure_project()
    from sources import one

    ensure_project(profile="tests")

    assert sys.modules["sources.one"] is one


def test_a_folder_that_was_on_the_path_before_stays_there(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_project("", folder="first")
    second = write_project("", folder="second")
    monkeypatch.syspath_prepend(str(first))

    ensure_project(str(first))
    ensure_project(str(second))

    assert str(first) in sys.path
    assert sys.path.index(str(second)) < sys.path.index(str(first))


def test_a_packaged_project_has_a_module(
    write_project: WriteProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_project("", {"__init__.py": ""}, folder="mart_package")
    monkeypatch.syspath_prepend(str(tmp_path))

    module = current.context().module

    assert module is not None
    assert module.__name__ == "mart_package"
    del sys.modules["mart_package"]


def test_a_project_that_is_no_package_has_no_module(shop: Path) -> None:
    assert current.context().module is None


def test_a_context_can_be_pickled(shop: Path) -> None:
    context = ensure_project(profile="tests")

    copy = pickle.loads(pickle.dumps(context))

    assert type(copy) is ProjectRunContext
    assert copy.uri == context.uri
    assert copy.profile == "tests"
    assert copy.data_dir == context.data_dir
    assert copy.project.config == context.project.config
    assert [p.name for p in copy.initial_providers()] == [
        p.name for p in context.initial_providers()
    ]


def test_a_pickled_context_works_in_another_process(
    shop: Path, run_python: RunPython, tmp_path: Path
) -> None:
    (tmp_path / "context").write_bytes(pickle.dumps(ensure_project(profile="tests")))

    printed = run_python(
        f"""
        import pickle, dlt
        from dlt.common.configuration.container import Container
        from dlt.common.configuration.specs import PluggableRunContext
        with open({str(tmp_path / "context")!r}, "rb") as file:
            Container()[PluggableRunContext].reload(pickle.load(file))
        print(dlt.pipeline("a").working_dir)
        from sources import shop
        print(shop.__file__)
        """,
        cwd=tmp_path,
    )

    assert printed.splitlines() == [
        str(shop / "_data/tests/pipelines/a"),
        str(shop / "sources/shop.py"),
    ]


def test_a_pickled_context_leaves_the_path_of_another_process_as_it_was(shop: Path) -> None:
    copy = pickle.loads(pickle.dumps(ensure_project()))
    # the path of this process, as that of a script in the project's folder
    assert str(shop) in sys.path

    copy.plug()
    copy.unplug()

    assert str(shop) in sys.path


def test_another_context_class_that_is_required_is_not_ours(shop: Path) -> None:
    assert plug_run_context(str(shop), {"_required": "WorkspaceRunContext"}) is None
    assert plug_run_context(str(shop), {"_required": "RunContext"}) is None
    ours = plug_run_context(str(shop), {"_required": "ProjectRunContext"})
    assert isinstance(ours, ProjectRunContext)


def test_a_folder_without_project_is_left_to_dlt(tmp_path: Path) -> None:
    assert plug_run_context(str(tmp_path), None) is None
    assert plug_run_context(None, {"profile": "dev"}) is None


def test_dlts_own_switch_of_contexts_gives_ours(shop: Path) -> None:
    context = switch_context(str(shop), "tests")

    assert isinstance(context, ProjectRunContext)
    assert context.profile == "tests"


def test_a_context_can_be_reloaded(shop: Path) -> None:
    context = ensure_project(profile="tests")

    reloaded = context.reload()

    assert reloaded is not context
    assert reloaded.uri == context.uri


def test_a_context_that_is_only_opened_is_not_active_and_makes_no_folder(shop: Path) -> None:
    context = ProjectRunContext(str(shop), open_project(shop, "tests"))

    assert context.profile == "tests"
    assert not os.path.exists(context.data_dir)
    assert str(shop) not in sys.path


def test_the_runtime_configuration_is_resolved_once_and_again_after_a_reset(shop: Path) -> None:
    context = current.context()
    first = context.runtime_config
    assert context.runtime_config is first

    context.reset_config()

    assert context.runtime_config is not first


def test_unplugging_leaves_a_path_that_somebody_else_has_cleared(shop: Path) -> None:
    context = current.context()
    sys.path.remove(str(shop))

    context.unplug()

    assert str(shop) not in sys.path


@pytest.mark.parametrize("manifest", ["sources: 5\n", "project: {default_profile: gone}\n"])
def test_a_broken_project_breaks_plain_dlt_code_with_its_own_error(
    write_project: WriteProject, manifest: str
) -> None:
    root = write_project(manifest)

    with pytest.raises(Exception, match=str(root / "dlt.yml")):
        dlt.pipeline("a")
