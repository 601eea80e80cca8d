"""The inventory of what is wrapped covers dlt's pipelines, also those of a newer dlt."""

from __future__ import annotations

from contextlib import suppress
from inspect import isfunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest

from dlthub_project.sandbox import isolated, patches, speed

if TYPE_CHECKING:
    from conftest import MakeSandbox

# of one pipeline, and of no sandbox: not another one where it is used in another sandbox
OF_ONE_PIPELINE = {
    "attached_pipeline",
    "collector",
    "config",
    "dev_mode",
    "is_active",
    "pipeline_name",
    "pipeline_salt",
    "refresh",
    "run_context",
}


def public_members() -> list[str]:
    members = vars(dlt.Pipeline).items()
    return sorted(
        name
        for name, member in members
        if not name.startswith("_") and (isfunction(member) or isinstance(member, property))
    )


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have what is made outside of sandboxes below the test's own folder."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "outside"))


def made_at_import() -> dlt.Pipeline:
    """Return a pipeline that is in no sandbox, as a module of the user's has it."""
    return dlt.pipeline("of_a_module", destination="duckdb", dataset_name="data")


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "extract": ([{"id": 1}],),
    "run": ([{"id": 1}],),
    "get_local_state_val": ("initial_cwd",),
    "set_local_state_val": ("key", "value"),
}


def required(method: Any) -> list[str]:
    """Return a text for each argument without a default."""
    parameters = list(signature(method).parameters.values())[1:]
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return ["rows" for p in positional if p.default is p.empty]


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", [n for n in public_members() if n not in patches.LEFT_ALONE])
def test_each_public_member_brings_a_pipeline_into_the_sandbox(
    make_sandbox: MakeSandbox, name: str, home: Any
) -> None:
    pipeline = made_at_import()
    member = getattr(dlt.Pipeline, name)

    with isolated(make_sandbox()) as sandbox:
        # what a package that is not there leads to is dlt's own affair
        with suppress(Exception):
            value = getattr(pipeline, name)
            if not isinstance(member, property):
                value(*ARGUMENTS.get(name, required(member)))
        assert vars(pipeline)["working_dir"].startswith(sandbox.folder)


def test_each_attribute_of_a_pipeline_is_in_the_inventory_or_the_same_everywhere() -> None:
    names = {name for name in vars(made_at_import()) if not name.startswith("_")}

    assert names - {*patches.ATTRIBUTES} <= OF_ONE_PIPELINE
    assert {*patches.ATTRIBUTES} <= names


def test_what_is_left_alone_is_a_member_of_dlts() -> None:
    # dlt 1.29 has no encryption_seed
    assert {*patches.LEFT_ALONE} - {"encryption_seed"} <= {*public_members()}


@pytest.mark.parametrize("patch", patches.PATCHES, ids=lambda p: f"{p.owner.__name__}.{p.name}")
def test_each_patch_is_of_a_member_that_dlt_has_and_names_its_reasons(
    patch: patches.Patch,
) -> None:
    assert callable(getattr(patch.owner, patch.name))
    assert patch.why
    assert patch.leans_on.startswith("dlt/")
    assert patch.until


def test_rows_are_the_same_without_what_is_for_speed(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(folder: str) -> list[Any]:
        with isolated(make_sandbox(folder)):
            pipeline = dlt.pipeline("rows", destination="warehouse", dataset_name="data")
            for first in (1, 3):
                pipeline.run([{"id": first}, {"id": first + 1}], table_name="rows")
            return sorted(pipeline.dataset().table("rows").select("id").fetchall())

    fast = loaded("fast")
    monkeypatch.setenv(speed.ENVIRONMENT_VARIABLE, "off")

    assert loaded("plain") == fast == [(1,), (2,), (3,), (4,)]
