"""The suites here are run by `harness_speed.py`, in folders of their own."""

from __future__ import annotations

collect_ignore = ["by_hand", "with_plugin"]
