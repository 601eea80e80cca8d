"""`dlt.hub` after nothing but `import dlt`."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import dlt
import pytest

from dlthub_project import current
from dlthub_project.hub_finder import FallbackFinder, install, is_dlthub_installed

RunPython = Callable[..., str]


def test_the_five_accessors_are_reached_through_dlt(shop: Path) -> None:
    project = dlt.hub.current.project

    assert dlt.hub.__found__
    assert project is current
    assert project.config().name == "shop"
    assert project.project().name == "shop"
    assert project.context().profile == "dev"
    assert project.entities().list_pipelines() == ["load_orders"]
    assert list(project.catalog()) == ["shop_data"]
    assert project.runner().entities.list_sources() == ["orders"]


def test_classes_are_imported_from_dlthub_project_by_both_names(
    shop: Path, run_python: RunPython
) -> None:
    code = """
        from dlthub.project import Catalog, EntityFactory, PipelineManager, Project
        from dlthub.project import ProjectRunContext
        from dlthub.project.run_context import ensure_project
        from dlt.hub.current import project
        import dlthub_project

        assert ProjectRunContext is dlthub_project.ProjectRunContext
        assert isinstance(project.context(), ProjectRunContext)
        assert isinstance(project.catalog(), Catalog)
        assert isinstance(project.entities(), EntityFactory)
        assert isinstance(project.runner(), PipelineManager)
        assert isinstance(project.config(), Project)
        print(ensure_project(profile="tests").profile)
    """

    assert run_python(code, shop) == "tests\n"


def test_runner_and_transformation_are_offered(shop: Path) -> None:
    @dlt.hub.transformation
    def cheap_items(dataset: dlt.Dataset):  # type: ignore[no-untyped-def]
        yield dataset.table("items").where("price", "lt", 25)

    project = dlt.hub.current.project
    project.runner().run_pipeline("load_orders")
    dataset = project.catalog().dataset("shop_data")
    pipeline = dlt.pipeline("cheap", destination="warehouse", dataset_name="bargains")

    dlt.hub.runner(pipeline).run(cheap_items(dataset))

    assert [row[0] for row in pipeline.dataset().table("cheap_items").fetchall()] == [1, 2]


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from dlthub.common.license import decode_license", "nothing asks for one"),
        ("from dlthub.common import license", "nothing asks for one"),
        ("from dlthub.cache import Cache", "entities().get_cache(name)"),
        ("from dlthub import cache", "entities().get_cache(name)"),
        ("import dlthub.transformations", "dlt.hub.transformation"),
        ("import dlthub.mcp", "dlthub.mcp"),
        ("from dlthub.project import Nothing", "dlthub.project.Nothing"),
        ("from dlthub.project.config import Settings", "dlthub.project.config"),
    ],
)
def test_what_is_not_offered_says_what_is_and_where_more_is_to_be_had(
    statement: str, instead: str
) -> None:
    with pytest.raises(ImportError, match=r"are not offered by .*pip install 'dlt\[hub\]'") as said:
        exec(statement, {})
    assert instead in str(said.value)
    assert "`dlthub.current`, `.project`" in str(said.value)
    assert len(str(said.value)) < 400


def test_nothing_is_imported_before_it_is_used(tmp_path: Path, run_bare_python: RunPython) -> None:
    code = """
        import sys
        import dlt

        assert dlt.hub.__found__
        heavy = ("dlthub_project.context", "pydantic", "pandas", "pyarrow", "duckdb")
        print([name for name in heavy if name in sys.modules])
    """

    assert run_bare_python(code, tmp_path) == "[]\n"


def test_stand_in_modules_are_loaded_once(tmp_path: Path, run_python: RunPython) -> None:
    code = """
        import sys
        import dlthub.project.run_context, dlthub.current, dlt

        files = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
        ours = [f for f in files if f and "/hub/dlthub/" in f]
        print(len(ours) == len(set(ours)) == 4)
    """

    assert run_python(code, tmp_path) == "True\n"


def test_fallback_can_be_switched_off(tmp_path: Path, run_python: RunPython) -> None:
    code = "import dlt; print(dlt.hub.__found__)"

    assert run_python(code, tmp_path, DLTHUB_PROJECT_NO_FALLBACK="1") == "False\n"


def stand_in_package(folder: Path) -> None:
    """Write a package that calls itself `dlthub`, as the real one does."""
    package = folder / "dlthub"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("transformation = runner = 'the real one'\n")
    (package / "current.py").write_text("project = 'the real one'\n")


def test_an_installed_dlthub_wins_and_our_hooks_stay_silent(
    shop: Path, tmp_path: Path, run_python: RunPython
) -> None:
    stand_in_package(tmp_path / "elsewhere")
    code = """
        import dlt
        print(dlt.hub.current.project, type(dlt.current.run_context()).__name__)
    """

    printed = run_python(code, shop, PYTHONPATH=str(tmp_path / "elsewhere"))

    assert printed == "the real one RunContext\n"


@pytest.mark.parametrize("ask", ["current.config()", "ensure_project()"])
def test_a_project_that_is_left_to_an_installed_dlthub_says_so(
    shop: Path, tmp_path: Path, run_python: RunPython, ask: str
) -> None:
    stand_in_package(tmp_path / "elsewhere")
    code = f"""
        from dlthub_project import ProjectRunContextNotAvailable, current, ensure_project
        try:
            {ask}
        except ProjectRunContextNotAvailable as error:
            print(error)
    """

    printed = run_python(code, shop, PYTHONPATH=str(tmp_path / "elsewhere"))

    assert printed.splitlines() == [
        "The package dlthub is installed, and projects are left to it.",
        "Use its own interface, or uninstall one of the two packages.",
    ]


def test_an_editable_dlthub_wins_though_its_finder_comes_later(
    shop: Path, tmp_path: Path, run_python: RunPython
) -> None:
    stand_in_package(tmp_path / "elsewhere")
    code = f"""
        import sys
        from importlib.machinery import PathFinder

        class EditableFinder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "dlthub":
                    return PathFinder.find_spec(name, [{str(tmp_path / "elsewhere")!r}])

        sys.meta_path.append(EditableFinder)
        import dlt
        print(dlt.hub.current.project, type(dlt.current.run_context()).__name__)
    """

    assert run_python(code, shop) == "the real one RunContext\n"


def test_a_finder_that_asks_all_others_does_not_make_ours_a_foreign_one(
    shop: Path, run_python: RunPython
) -> None:
    """As that of SlipCover does, to measure what others find."""
    code = """
        import sys

        class AskingFinder:
            calls = 0

            @classmethod
            def find_spec(cls, name, path=None, target=None):
                cls.calls += name == "dlthub"
                for finder in sys.meta_path:
                    if finder is not cls and hasattr(finder, "find_spec"):
                        spec = finder.find_spec(name, path, target)
                        if spec is not None:
                            return spec

        # two of them would ask each other
        others = [f for f in sys.meta_path if "slipcover" not in type(f).__module__]
        sys.meta_path[:] = [AskingFinder, *others]
        from dlthub_project.hub_finder import FallbackFinder, is_dlthub_installed
        spec = FallbackFinder.find_spec("dlthub")
        print(is_dlthub_installed(), "dlthub_project" in spec.origin)
        print(AskingFinder.calls)
        import dlt
        print(dlt.hub.current.project.config().name, is_dlthub_installed())
    """

    assert run_python(code, shop) == "False True\n2\nshop False\n"


def test_a_folder_that_happens_to_be_called_dlthub_is_no_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dlthub").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "dlthub")

    assert not is_dlthub_installed()


def test_finder_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    install()
    install()

    assert sys.meta_path == [FallbackFinder]


def test_finder_answers_for_dlthub_alone_and_after_all_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DLTHUB_PROJECT_NO_FALLBACK", raising=False)
    spec = FallbackFinder.find_spec("dlthub")

    assert spec is not None
    assert spec.origin == str(Path(current.__file__).parent / "hub" / "dlthub" / "__init__.py")
    assert FallbackFinder.find_spec("dlthub_project") is None
    assert FallbackFinder.find_spec("dlthub.current") is None

    stand_in_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    real = FallbackFinder.find_spec("dlthub")
    assert real is not None
    assert real.origin == str(tmp_path / "dlthub" / "__init__.py")


def test_finder_answers_nothing_after_the_package_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert FallbackFinder.find_spec("dlthub") is None

    (tmp_path / "dlthub_project").mkdir()
    (tmp_path / "dlthub_project" / "__init__.py").touch()
    sys.path_importer_cache.clear()
    assert FallbackFinder.find_spec("dlthub") is None


WITHOUT_STARTUP_LINE = """
    import runpy, sys
    sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, "is_dlthub_fallback")]
    sys.argv = ["dlt", "pipeline", "load_names", "run"]
    runpy.run_module("dlt", run_name="__main__")
"""


def test_the_command_line_offers_dlt_hub_without_the_startup_line(
    write_project: Callable[..., Path], run_python: RunPython
) -> None:
    source = """
        import dlt


        @dlt.resource
        def names():
            yield {"name": dlt.hub.current.project.config().name}
    """
    manifest = """
        project: {name: shop}
        sources: {names: {type: shop.names}}
        pipelines: {load_names: {source: names, destination: duckdb}}
    """
    root = write_project(manifest, {"sources/shop.py": source})

    run_python(WITHOUT_STARTUP_LINE, root)

    assert current.catalog()["load_names_dataset"].table("names").select("name").fetchall() == [
        ("shop",)
    ]


def test_the_stand_in_has_no_version_for_telemetry_to_report(
    tmp_path: Path, run_python: RunPython
) -> None:
    code = """
        import dlthub, importlib.util
        print(hasattr(dlthub, "__version__"), importlib.util.find_spec("dlthub.version"))
    """

    assert run_python(code, tmp_path) == "False None\n"


STARTUP = """
    import importlib.util, pathlib, sys
    spec = importlib.util.spec_from_file_location("hatch_build", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    finder = pathlib.Path(sys.argv[2]).read_text()
    print(module.startup_files(finder)[f"dlthub_project_fallback.{sys.argv[3]}"], end="")
"""


def startup_line(suffix: str = "pth") -> str:
    """Return the line that the build writes into the `.pth` file, or into another one."""
    import subprocess

    root = Path(current.__file__).parents[1]
    finder = root / "dlthub_project" / "hub_finder.py"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STARTUP), root / "hatch_build.py", finder, suffix],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_startup_line_is_one_line_that_installs_the_finder_and_imports_nothing(
    tmp_path: Path, run_bare_python: RunPython
) -> None:
    line = startup_line()
    assert line.count("\n") == 1
    assert line.startswith("import ")
    code = f"""
        import sys
        sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, "is_dlthub_fallback")]
        before = set(sys.modules)
        exec({line!r})
        exec({line!r})
        ours = [f for f in sys.meta_path if hasattr(f, "is_dlthub_fallback")]
        print(set(sys.modules) - before, len(ours))
    """

    assert run_bare_python(code, tmp_path) == "set() 1\n"


def test_start_file_names_the_function_that_installs_the_finder() -> None:
    module, _, function = startup_line("start").strip().partition(":")

    assert getattr(importlib.import_module(module), function) is install


def test_startup_line_never_raises_and_never_prints(
    tmp_path: Path, run_bare_python: RunPython
) -> None:
    code = f"""
        import sys
        sys.meta_path = None
        exec({startup_line()!r})
    """

    assert run_bare_python(code, tmp_path) == ""
    assert os.environ.get("DLTHUB_PROJECT_NO_FALLBACK") is None
