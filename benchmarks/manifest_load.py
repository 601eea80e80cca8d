"""What a large manifest costs to load, against parsing its YAML alone.

1,000 pipelines, 1,000 sources and 20 profiles, each of which extends the one before: read with
positions, merged, validated, and its entities listed; against `yaml.load` with `CSafeLoader`.

    python benchmarks/manifest_load.py [ROUNDS]
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from measuring import Figure, in_turn, main, ratio

from dlthub_project.manifest import Manifest

_REACH = 3
_PROFILES = 20


def manifest(entities: int = 1_000) -> str:
    """Return the text of the manifest."""
    sources = [
        f"""
  source_{i}:
    type: rest_api
    client: {{base_url: "https://api{i}.example.invalid/", auth: {{token: "{{env.TOKEN_{i}}}"}}}}
    resources: [posts, {{name: comments, endpoint: {{path: "posts/{{resources.posts.id}}"}}}}]"""
        for i in range(entities)
    ]
    pipelines = [
        f"""
  pipeline_{i}:
    source: source_{i}
    destination: warehouse
    dataset_name: data
    progress: log
    dev_mode: false"""
        for i in range(entities)
    ]
    profiles = [
        f"""
  profile_{p}:
    extends: {f"profile_{p - 1}" if p else "dev"}
    runtime: {{log_level: INFO}}
    sources:"""
        + "".join(
            f"""
      source_{i}: {{client: {{base_url: "https://{p}.example.invalid/"}}}}"""
            for i in range(p * entities // _PROFILES, (p + 1) * entities // _PROFILES)
        )
        for p in range(_PROFILES)
    ]
    return f"""
destinations:
  warehouse: {{type: duckdb}}
datasets:
  data: {{destination: [warehouse]}}
sources: {"".join(sources)}
pipelines: {"".join(pipelines)}
profiles: {"".join(profiles)}
"""


def parsed(path: Path) -> None:
    """Parse it, no more."""
    with path.open("rb") as file:
        yaml.load(file, Loader=yaml.CSafeLoader)


def loaded(path: Path) -> None:
    """Load it under the profile that extends all others."""
    opened = Manifest.open(path, f"profile_{_PROFILES - 1}")
    assert len(opened.section("sources")) == len(opened.section("pipelines"))


def figures(rounds: int) -> Iterator[Figure]:
    """Measure both ways in turn."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "dlt.yml")
        path.write_text(manifest(), encoding="utf-8")
        size = path.stat().st_size
        timed = in_turn({"plain": lambda: parsed(path), "ours": lambda: loaded(path)}, rounds)
    what = f"loading a manifest of {size / 1_000:,.0f} KB, against parsing it, processor time"
    yield ratio(what, timed["processor", "ours"], timed["processor", "plain"], _REACH)


if __name__ == "__main__":
    main(figures, rounds=15)
