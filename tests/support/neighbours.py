"""Plugins beside which this one works, and that sessions have only where a test asks for them.

They take 0.1 s and more to import, import libraries on their own, and change the order of tests.
"""

from __future__ import annotations

NEIGHBOURS = (
    "anyio",
    "asyncio",
    "inline_snapshot",
    "pytest_cov",
    "randomly",
    "repeat",
    "requests_mock",
    "syrupy",
    "time_machine",
    "timeout",
)


def without_neighbours(*, but: tuple[str, ...] = ()) -> str:
    """Return the options of pytest that switch them off.

    Args:
        but: The names of those that stay.
    """
    return " ".join(f"-p no:{name}" for name in NEIGHBOURS if name not in but)
