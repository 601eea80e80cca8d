"""A plugin that has `make test` run some of a test's cases: the further ones are `slow`.

`@pytest.mark.sampled(3)` keeps three cases: the first, the last and one between, so that of two
lists of parameters both vary. Cases that are marked `slow` themselves are none of them.
"""

from __future__ import annotations

from collections import defaultdict

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not kept, before pytest chooses by marks."""
    cases: dict[tuple[object, ...], list[pytest.Item]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark and isinstance(item, pytest.Function) and not item.get_closest_marker("slow"):
            cases[(item.parent, item.originalname, *mark.args)].append(item)
    for (*_, count), same in cases.items():
        for number in set(range(len(same))) - kept(len(same), count):
            same[number].add_marker("slow")


def kept(total: int, count: int) -> set[int]:
    """Return the numbers of the cases that stay: `count` of `total`; the first alone for one."""
    if count == 1:
        return {0}
    if total <= count:
        return set(range(total))
    return {round(i * (total - 1) / (count - 1)) for i in range(count)}
