"""What the session did with dlt, said at its end: carried by reports, so from workers as well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_CARRIED = "_dlt_template_uses"


@dataclass
class TemplateUses:
    """What a test did with templates.

    Attributes:
        built: Seconds of each build.
        copied: The number of copies.
        notes: What else the user is to know, such as a damaged template.
    """

    built: list[float] = field(default_factory=list)
    copied: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def sum_of(cls, uses: Iterable[TemplateUses]) -> TemplateUses:
        """Return those of several tests; equal notes once."""
        total = cls()
        for one in uses:
            total.built += one.built
            total.copied += one.copied
            total.notes += [note for note in one.notes if note not in total.notes]
        return total


USES = pytest.StashKey[TemplateUses]()


def carry(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have the report of a test's set-up carry what it did with templates."""
    if report.when == "setup" and USES in item.stash:
        setattr(report, _CARRIED, asdict(item.stash[USES]))


def write(terminal: TerminalReporter) -> None:
    """Write the summary, where there is something to tell, and not with `-q`."""
    if terminal.config.get_verbosity() < 0:
        return
    reports = [report for reports in terminal.stats.values() for report in reports]
    carried = (getattr(report, _CARRIED, None) for report in reports)
    uses = TemplateUses.sum_of(TemplateUses(**found) for found in carried if found)
    if not uses.copied and not uses.built and not uses.notes:
        return
    built = f" ({sum(uses.built):.1f} s)" if uses.built else ""
    templates = "template" if len(uses.built) == 1 else "templates"
    copies = "copy" if uses.copied == 1 else "copies"
    terminal.write_sep("=", "dlt")
    terminal.write_line(f"{len(uses.built)} {templates} built{built}, {uses.copied} {copies} made")
    for note in uses.notes:
        terminal.write_line(note)
