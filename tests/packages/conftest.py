"""A packaged project, as an installation leaves it: a folder on the path, and its metadata."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlthub_project import PackagedProject

INIT = """
    from dlthub_project import PackagedProject

    access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)
"""

RATES = """
    sources:
      rates: {type: ecb.rates}
    destinations:
      warehouse: {type: duckdb}
    datasets:
      rates: {destination: [warehouse]}
    pipelines:
      load_rates: {source: rates, destination: warehouse, dataset_name: rates}
    profiles:
      prod: {}
"""

ECB = """
    import dlt


    @dlt.source
    def rates(currency: str = "CHF"):
        return dlt.resource([{"currency": currency}], name="daily")
"""

Install = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def install(site: Path) -> Iterator[Install]:
    """Install a packaged project: `install("rates_mart", manifest, {"name.py": text})`."""
    packages: list[str] = []

    def install(package: str, manifest: str = RATES, files: dict[str, str] | None = None) -> Path:
        packages.append(package.partition(".")[0])
        root = site.joinpath(*package.split("."))
        written = {"__init__.py": INIT, "sources/ecb.py": ECB, "dlt.yml": manifest, **(files or {})}
        for name, text in written.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        metadata = site / f"{package.replace('.', '_')}-1.0.dist-info"
        metadata.mkdir()
        name = package.replace("_", "-")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[dlt_package]\n{name} = {package}\n")
        return root

    yield install
    for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture
def mart(install: Install) -> PackagedProject:
    """The accessors of an installed package `rates_mart`."""
    return PackagedProject(str(install("rates_mart") / "__init__.py"))
