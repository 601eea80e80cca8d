"""What it costs that secrets are masked: of lines that are printed, and of reports of failed tests.

In one process, with and without: where no secret is known, as in every session that dlt resolves
none in, and where twenty are. Lines go to a stream in memory, which is the fastest that there is.

    python benchmarks/masking.py [ROUNDS]
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator

import pytest
from measuring import Figure, added, in_turn, main

from dlthub_project.secrets import KNOWN
from pytest_dlthub.masked_output import mask_report, mask_stream

_LINES = 1_000
_LINE = "tests/test_orders.py::test_orders_have_their_lines PASSED                    [ 50%]\n"
_TRACEBACK = "    def test_orders(dlt_run):\n>       assert run.row_counts == {'orders': 3}\n" * 50


def printed(stream: io.StringIO) -> None:
    """Print as many lines as a large suite with `-v`."""
    stream.seek(0)
    stream.writelines(_LINE for _ in range(_LINES))


def report() -> pytest.TestReport:
    """Return the report of a failed test, with a traceback of 100 lines and what it has printed."""
    return pytest.TestReport(
        nodeid="tests/test_orders.py::test_orders",
        location=("tests/test_orders.py", 1, "test_orders"),
        keywords={},
        outcome="failed",
        longrepr=_TRACEBACK,
        when="call",
        sections=[("Captured stdout call", _TRACEBACK)],
    )


def compared(rounds: int, known: str, reaches: tuple[float, float]) -> Iterator[Figure]:
    """Measure both ways in turn."""
    plain_stream, masked = io.StringIO(), io.StringIO()
    mask_stream(masked)

    def reported(tell: Callable[[pytest.TestReport], None]) -> None:
        for _ in range(10):
            tell(report())

    kinds: dict[str, tuple[dict[str, Callable[[], None]], float]] = {
        f"{_LINES:,} printed lines": (
            {
                "plain": lambda: printed(plain_stream),
                "ours": lambda: printed(masked),
            },
            reaches[0],
        ),
        "10 failed tests of 200 lines": (
            {
                "plain": lambda: reported(lambda _: None),
                "ours": lambda: reported(mask_report),
            },
            reaches[1],
        ),
    }
    for what, (ways, reach) in kinds.items():
        timed = in_turn(ways, rounds)
        ours, plain = timed["wall", "ours"], timed["wall", "plain"]
        yield added(f"masking of {what}, {known}", ours, plain, reach)


def figures(rounds: int) -> Iterator[Figure]:
    """Measure."""
    KNOWN.forget()
    yield from compared(rounds, "no secret is known", (1.0, 0.1))
    for _ in range(20):
        KNOWN.learn(secrets.token_hex(20), is_secret=True)
    yield from compared(rounds, "20 secrets are known", (50.0, 50.0))


if __name__ == "__main__":
    main(figures, rounds=30)
