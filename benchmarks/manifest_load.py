"""What a large manifest costs to load, against parsing its YAML alone.

1,000 pipelines, 1,000 sources and 20 profiles, each of which extends the one before: read with
positions, merged, validated, and its entities listed; against `yaml.load` with `CSafeLoader`.
Interleaved, each way first in every other round; prints the medians and their ratio.

    python benchmarks/manifest_load.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

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


def compare(rounds: int) -> None:
    """Measure both ways in turn and print."""
    ways: dict[str, Callable[[Path], None]] = {"parsed alone": parsed, "loaded": loaded}
    timed: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "dlt.yml")
        path.write_text(manifest(), encoding="utf-8")
        print(f"a manifest of {path.stat().st_size / 1_000:,.0f} KB")
        # the first round does not count: it imports
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 0):
                before = time.process_time()
                ways[way](path)
                timed[way].append(time.process_time() - before)
    for way, values in timed.items():
        low, median, high = statistics.quantiles(values[1:], n=4)
        print(
            f"{way}: median {1000 * median:.0f} ms processor time "
            f"(quartiles {1000 * low:.0f} to {1000 * high:.0f})"
        )
    load, parse = (statistics.median(timed[way][1:]) for way in ("loaded", "parsed alone"))
    print(f"loaded: {load / parse:.2f} x parsed alone; reach {_REACH} x")


if __name__ == "__main__":
    compare(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
