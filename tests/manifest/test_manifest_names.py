"""Names and paths that no file can have are told with their place, and not by a bare exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlthub_project import ManifestError, ProjectError, current, ensure_project

WriteProject = Callable[..., Path]

SECTIONS = ("sources", "destinations", "datasets", "pipelines", "caches", "transformations")


def entry_of(section: str) -> str:
    return {
        "datasets": "{destination: duckdb}",
        "pipelines": "{destination: duckdb}",
        "caches": "{inputs: [{dataset: d}]}",
        "transformations": "{engine: sql, cache: c}",
    }.get(section, "{}")


def mistakes(folder: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        ensure_project(str(folder))
    return str(raised.value)


@pytest.mark.parametrize("section", [*SECTIONS, "profiles"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        (r'"a\0b"', r"has a name with the character `\x00`"),
        (r'"a\nb"', r"has a name with the character `\x0a`"),
        ('""', "has an empty name"),
        ('" "', "has an empty name"),
        ("a/b", "has a name with `/`"),
        (r'"a\\b"', "has a name with `\\`"),
        ("..", "is called `..`"),
        ("x" * 300, "has a name of 300 bytes"),
    ],
)
def test_a_name_that_no_file_can_have_is_told_with_its_place(
    write_project: WriteProject, section: str, name: str, told: str
) -> None:
    folder = write_project(f"{section}:\n  {name}: {entry_of(section)}\n")

    text = mistakes(folder)

    assert told in text
    assert "dlt.yml:2:3: " in text


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (r'project: {data_dir: "a\0b"}', r"project.data_dir: has the character `\x00`"),
        (r'project: {local_dir: "a\0b"}', r"project.local_dir: has the character `\x00`"),
        (r'project: {name: "a\0b"}', r"project.name: has a name with the character `\x00`"),
        ('sources: {s: {type: "..x"}}', "sources.s.type: begins with a point"),
        ('destinations: {d: {type: ".."}}', "destinations.d.type: is no dotted path"),
        (
            r'destinations: {d: {type: duckdb, credentials: "a\0b"}}',
            r"destinations.d.credentials: has the character `\x00`",
        ),
        (
            r'destinations: {d: {type: filesystem, bucket_url: "a\0b"}}',
            r"destinations.d.bucket_url: has the character `\x00`",
        ),
        (
            'pipelines: {p: {destination: duckdb, dataset_name: "../x"}}',
            "pipelines.p.dataset_name: has a name with `/`",
        ),
        ("pipelines: {a.b: {destination: duckdb}}", "has a name with `.`"),
    ],
)
def test_a_path_or_reference_that_leads_nowhere_is_told(
    write_project: WriteProject, manifest: str, told: str
) -> None:
    assert told in mistakes(write_project(manifest + "\n"))


@pytest.mark.parametrize("name", ["my.source", "my source", "9lives", "x" * 70])
def test_a_source_that_dlt_cannot_call_so_is_told_with_a_name_that_it_can(
    write_project: WriteProject, name: str
) -> None:
    folder = write_project(f"sources:\n  {name}: {{type: shop.orders}}\n")
    (folder / "sources").mkdir(exist_ok=True)
    (folder / "sources" / "shop.py").write_text(
        "import dlt\n@dlt.source\ndef orders(): return dlt.resource([1], name='orders')\n"
    )
    ensure_project(str(folder))

    with pytest.raises(ProjectError) as raised:
        current.entities().get_source(name)()

    assert f"sources.{name}" in str(raised.value)
    assert "dlt.yml:2" in str(raised.value)
    assert "Call the source `" in raised.value.instruction


@pytest.mark.parametrize(
    "manifest",
    [
        "sources: {orders-of-2026: {type: shop.orders}}",
        "destinations: {my warehouse: {type: duckdb}, ä: {type: duckdb}}",
        "datasets: {shop data: {destination: duckdb}}",
        'pipelines: {p: {destination: "{env.D}", dataset_name: "{env.X}"}}',
        'destinations: {d: {type: filesystem, bucket_url: "s3://bucket/a/b"}}',
    ],
)
def test_names_that_files_can_have_stay(write_project: WriteProject, manifest: str) -> None:
    ensure_project(str(write_project(manifest + "\n")))


def test_secrets_are_not_told(write_project: WriteProject) -> None:
    manifest: Any = r'destinations: {d: {type: duckdb, credentials: "md:a?token=s3cret\0b"}}'

    assert "s3cret" not in mistakes(write_project(manifest + "\n"))
