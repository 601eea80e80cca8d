"""Tells which lines and branches of both packages no process of the tests ran.

    python tests/support/coverage_report.py FOLDER --fail-under PERCENT

FOLDER holds what `measuring/sitecustomize.py` wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import slipcover

_PACKAGES = ("dlthub_project", "pytest_dlthub")


def main(arguments: list[str] | None = None) -> int:
    """Print the report; return 1 where less was run than is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fail-under", type=float, default=0)
    asked = parser.parse_args(arguments)

    of_processes = [json.loads(file.read_text()) for file in asked.folder.glob("*.json")]
    found = covered(of_processes)
    slipcover.print_coverage(found, skip_covered=True, missing_width=60)
    percent = found["summary"]["percent_covered"]
    print(f"{percent:.2f} % of lines and branches, in {len(of_processes)} processes")
    if percent < asked.fail_under:
        print(f"at least {asked.fail_under:g} % is asked for", file=sys.stderr)
        return 1
    return 0


def covered(
    of_processes: Iterable[dict[str, list[Any]]], folders: Iterable[str] = _PACKAGES
) -> dict[str, Any]:
    """Return what there is to be run in folders, and what of it was, in the form of SlipCover."""
    run: dict[str, set[Any]] = defaultdict(set)
    for files in of_processes:
        for name, found in files.items():
            # a branch is a pair of lines
            run[name].update(tuple(one) if isinstance(one, list) else one for one in found)
    # nothing was run here: all files are there, with all of their lines
    there: dict[str, Any] = slipcover.Slipcover(
        branch=True, source=list(folders), exclude_also=["@overload"]
    ).get_coverage()
    for name, file in there["files"].items():
        for kind in ("lines", "branches"):
            known = set(file[f"missing_{kind}"])
            file[f"executed_{kind}"] = sorted(known & run[name])
            file[f"missing_{kind}"] = sorted(known - run[name])
    slipcover.slipcover.add_summaries(there)
    return there


if __name__ == "__main__":
    sys.exit(main())
