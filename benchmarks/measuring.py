"""What the benchmarks share: ways taken in turn, figures with their spread, a table of them."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

_CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "processor": time.process_time,
}


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark.

    Attributes:
        what: What was measured.
        value: The figure itself: of medians.
        low: Its lower quartile, of what ran next to each other.
        high: Its upper quartile.
        unit: `x` for a ratio, or `ms`.
        reach: What it should be at most; with `is_floor`, at least. None where nothing is promised.
        is_floor: More is better.
        ours: What our way took, in seconds, as a median.
        plain: What the plain way took.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    reach: float | None
    is_floor: bool = False
    ours: float | None = None
    plain: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether it is what it should be; None where nothing is promised."""
        if self.reach is None:
            return None
        return self.value >= self.reach if self.is_floor else self.value <= self.reach


def ratio(
    what: str,
    ours: list[float],
    plain: list[float],
    reach: float | None,
) -> Figure:
    """Return how many times `plain` our way took."""
    return _figure(what, ours, plain, reach, "x", lambda a, b: a / b)


def speed_up(what: str, ours: list[float], plain: list[float], reach: float | None) -> Figure:
    """Return how many times faster than `plain` our way was."""
    return _figure(what, ours, plain, reach, "x", lambda a, b: b / a, is_floor=True)


def added(what: str, ours: list[float], plain: list[float], reach: float | None) -> Figure:
    """Return what our way adds to `plain`, in milliseconds."""
    return _figure(what, ours, plain, reach, "ms", lambda a, b: 1000 * (a - b))


def taken(what: str, ours: list[float], reach: float | None) -> Figure:
    """Return what our way takes, in milliseconds."""
    median = statistics.median(ours)
    low, _, high = _quartiles(ours)
    return Figure(what, 1000 * median, 1000 * low, 1000 * high, "ms", reach, ours=median)


def in_turn(
    ways: Mapping[str, Callable[[], object]], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Take every way once a round, each round in another order, and not count the first.

    Args:
        ways: Functions by name; one that returns `Seconds` has measured a part of itself.
        rounds: How many.

    Returns:
        The seconds by clock (`wall`, `processor`) and way.
    """
    timed: dict[tuple[str, str], list[float]] = {(c, w): [] for c in _CLOCKS for w in ways}
    order = random.Random(0)
    for _ in range(rounds + 1):
        for way in order.sample(list(ways), len(ways)):
            for clock, taken in seconds_of(ways[way]).items():
                timed[clock, way].append(taken)
    return {key: values[1:] for key, values in timed.items()}


class Seconds(dict[str, float]):
    """What something took, by clock."""


def seconds_of(way: Callable[[], object]) -> Seconds:
    """Call `way`, and return what it took; or what it returns, where it has measured itself."""
    # or a collection falls into the same way in every round
    gc.collect()
    before = {clock: read() for clock, read in _CLOCKS.items()}
    returned = way()
    taken = Seconds({clock: read() - before[clock] for clock, read in _CLOCKS.items()})
    return returned if isinstance(returned, Seconds) else taken


def table(figures: Iterable[Figure]) -> str:
    """Return a table of figures in Markdown."""
    lines = ["| what | ours | plain | figure (quartiles) | reach | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        spread = f"{figure.value:.3g} {figure.unit} ({figure.low:.3g} to {figure.high:.3g})"
        reach = "" if figure.reach is None else f"{figure.reach:g} {figure.unit}"
        sign = "" if figure.reach is None else "at least " if figure.is_floor else "at most "
        said = {None: "", True: "reached", False: "missed"}[figure.is_reached]
        cells = (figure.what, _shown(figure.ours), _shown(figure.plain), spread, sign + reach, said)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    """Return what the figures were taken on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("dlt", "duckdb", "pytest"))
    return (
        f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{versions}"
    )


def main(figures: Callable[..., Iterable[Figure]], rounds: int, **sizes: int) -> None:
    """Measure and print, as the command line says.

    Args:
        figures: Called with the number of rounds and `sizes`, which are options.
        rounds: How many, unless the command line says so.
        **sizes: Names and defaults of further options.
    """
    description = (sys.modules["__main__"].__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("rounds", nargs="?", type=int, default=rounds)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each figure")
    for name, default in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    measured = figures(given.pop("rounds"), **given)
    if as_json:
        for figure in measured:
            print(json.dumps(asdict(figure)), flush=True)
    else:
        print(f"{machine()}\n\n{table(measured)}")


def _figure(
    what: str,
    ours: list[float],
    plain: list[float],
    reach: float | None,
    unit: str,
    of: Callable[[float, float], float],
    *,
    is_floor: bool = False,
) -> Figure:
    pairs = [of(a, b) for a, b in zip(ours, plain, strict=True)]
    low, _, high = _quartiles(pairs)
    our, other = statistics.median(ours), statistics.median(plain)
    return Figure(what, of(our, other), low, high, unit, reach, is_floor, our, other)


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def _shown(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
