"""Faults that a run may meet: at which point, of what kind, once or several times.

`points` names the points of a run at which a crash matters, `striking` lets one fault happen at
one of them, and `single_faults` are those that a test asks for one by one. Nothing here starts a
process, and nothing happens unless code asks for it.
"""

from __future__ import annotations

from dlthub_project.faults.points import KINDS, POINTS, Kind, Point, chosen_points
from dlthub_project.faults.single_faults import Fault, Faults
from dlthub_project.faults.striking import InjectedFault, Strike, Trail

__all__ = [
    "KINDS",
    "POINTS",
    "Fault",
    "Faults",
    "InjectedFault",
    "Kind",
    "Point",
    "Strike",
    "Trail",
    "chosen_points",
]
