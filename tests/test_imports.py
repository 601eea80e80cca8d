"""What importing the runtime brings along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import dlthub_project

HEAVY = ("duckdb", "pandas", "pyarrow", "pydantic")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "statement",
    [
        "import dlthub_project",
        "import dlthub_project; import dlt",
        "import dlt; dlt.hub.current.project",
        "from dlthub_project import current",
        "from dlthub_project import ProjectError, PackagedProject",
    ],
)
def test_importing_the_runtime_imports_nothing_heavy(
    statement: str, tmp_path: Path, run_bare_python: Callable[..., str]
) -> None:
    code = f"import sys; {statement}; print([m for m in {HEAVY} if m in sys.modules])"

    assert run_bare_python(code, tmp_path) == "[]\n"


def test_importing_the_runtime_alone_does_not_import_dlt(
    tmp_path: Path, run_bare_python: Callable[..., str]
) -> None:
    code = "import sys, dlthub_project; print('dlt' in sys.modules)"

    assert run_bare_python(code, tmp_path) == "False\n"


def test_every_public_name_is_there_and_is_listed() -> None:
    assert sorted(dlthub_project.__all__) == dir(dlthub_project)
    for name in dlthub_project.__all__:
        assert getattr(dlthub_project, name) is not None


def test_a_name_that_is_not_public_is_missing_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'dlthub_project' has no attribute 'nothing'"):
        dlthub_project.nothing  # type: ignore[attr-defined]  # noqa: B018
