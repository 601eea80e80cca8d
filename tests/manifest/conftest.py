"""What the tests of the manifest share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlthub_project.errors import ManifestError, Problem
from dlthub_project.manifest import Manifest

WriteProject = Callable[..., Path]
OpenManifest = Callable[..., Manifest]
ProblemsOf = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def open_manifest(write_project: WriteProject) -> Callable[..., Manifest]:
    """Write a `dlt.yml` to folder `shop` and open it: `open_manifest(text, profile="dev")`."""

    def open_(text: str, profile: str = "dev") -> Manifest:
        return Manifest.open(write_project(text) / "dlt.yml", profile)

    return open_


@pytest.fixture
def problems_of(open_manifest: OpenManifest) -> Callable[..., tuple[Problem, ...]]:
    """Open a `dlt.yml` that is wrong and return what is wrong with it."""

    def problems(text: str, profile: str = "dev") -> tuple[Problem, ...]:
        with pytest.raises(ManifestError) as caught:
            open_manifest(text, profile)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return caught.value.problems

    return problems


@pytest.fixture
def mistakes_of(problems_of: ProblemsOf) -> Callable[..., list[str]]:
    """Open a `dlt.yml` that is wrong and return `line:column: path: message` of each mistake."""

    def mistakes(text: str, profile: str = "dev") -> list[str]:
        return [
            f"{problem.location.partition('dlt.yml')[2][1:]}: {problem.path}: {problem.message}"
            for problem in problems_of(text, profile)
        ]

    return mistakes
