"""Tables for people to read."""

from __future__ import annotations

from collections.abc import Mapping


def print_row_counts(title: str, counts: Mapping[str, int]) -> None:
    """Print rows per table, or that there were none."""
    from rich.console import Console
    from rich.table import Table

    if not counts:
        print(f"{title}: nothing new to load")
        return
    print(title)
    table = Table()
    # a name that is wider than the terminal goes on in the next line; none is cut
    table.add_column("table", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    for name, rows in sorted(counts.items()):
        table.add_row(name, f"{rows:,}")
    Console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
