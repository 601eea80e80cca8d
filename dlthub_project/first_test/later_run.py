"""The code of a test's second run, which sees a lost key, a cursor and a write disposition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dlthub_project.first_test.literals import Code, literal

TWICE = "{name: rows * 2 for name, rows in GIVEN.items()}"
_ROWS_OF = "assert dict({}.dataset.row_counts().fetchall()) == "

Described = Mapping[str, Any]


def code_of_cursors(
    first: Described, second: Described, may_show: Callable[[str, str, str], bool], shown: str
) -> list[str]:
    """Return the lines that compare cursors, those whose value is the same in two runs.

    Args:
        first: What a run has loaded, as `describe` writes it.
        second: The same of another one.
        may_show: Whether a test may show the value of a column, by column, code, and what is given.
        shown: The code of what is given.
    """
    cursors = {
        name: Code(code)
        for name, code in first["cursors"].items()
        if code is not None
        and code == second["cursors"].get(name)
        and may_show(name.rpartition(".")[2], code, shown)
    }
    if not cursors or cursors.keys() != first["cursors"].keys():
        return []
    start = "assert run.cursors == "
    return [f"    {start}{literal(cursors, 1, len(start))}"]


def code_of_test(name: str, run: str, twice: Described | None, again: Described | None) -> str:
    """Return a test that runs twice; nothing if neither way of it works.

    Args:
        name: The name of the test.
        run: The code that runs the pipeline, up to what is given.
        twice: What two runs have loaded if each row is given twice; None if that is no way.
        again: The same if each row is given once.
    """
    described = twice or again
    if not described:
        return ""
    body = [f"    run = {run.format('twice' if twice else 'GIVEN')}"]
    if twice:
        body = [
            "    # each row comes twice, as from pages that overlap",
            f"    twice = {TWICE}",
            *body,
            "",
            _rows("run", twice["first"]),
        ]
    start = "assert again.row_counts == "
    counts = literal(described["second"]["row_counts"], 1, len(start))
    lines = [
        *body,
        "",
        "    again = run.next()",
        "",
        f"    {start}{counts}",
        _rows("again", described["second"]),
    ]
    return "\n".join([f"def {name}(dlt_project):", *lines, ""])


def needs_second_run(described: Described) -> bool:
    """Tell whether a second run does other than to append what is given."""
    return bool(described["cursors"]) or {*described["dispositions"]} != {"append"}


def _rows(run: str, described: Described) -> str:
    start = _ROWS_OF.format(run)
    return f"    {start}{literal(described['rows'], 1, len(start))}"
