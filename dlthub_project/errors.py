"""What users get wrong, in their own terms: the reason, the place, the candidates, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ProjectError(Exception):
    """Base of every error that this package raises for a user to mend.

    Attributes:
        reason: What is wrong, and where.
        instruction: What to do about it; empty when the reason says it all.
    """

    def __init__(self, reason: str, instruction: str = "") -> None:
        super().__init__(reason, instruction)
        self.reason = reason
        self.instruction = instruction

    def __str__(self) -> str:
        return f"{self.reason}\n{self.instruction}" if self.instruction else self.reason


class ProjectRunContextNotAvailable(ProjectError):
    """A project was asked for where there is none."""


class ProfileNotFound(ProjectError):
    """A profile was asked for that the project does not have."""


class EntityNotFound(ProjectError):
    """A source, destination, dataset or pipeline was asked for that the project does not have."""


class EntityReferenceError(ProjectError):
    """The `type` of a source or destination leads to no code."""


class ValueNotSet(ProjectError):
    """An explanation was asked for of a configuration value that no layer has."""


class DestinationNotAllowed(ProjectError):
    """A dataset was asked for on a destination that its declaration does not list."""


class DatasetNotLoaded(ProjectError):
    """A dataset does not exist at its destination yet."""


class DatasetInUse(ProjectError):
    """A dataset cannot be written to while somebody else writes to it, or has its database."""


class SourceUsedUp(ProjectError):
    """Step `extract` is to be tried again, and the data can be read only once."""


class MergeStrategyNotSupported(ProjectError):
    """A resource merges in a way that what stands for its destination in tests does not have."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a manifest.

    Attributes:
        location: `file:line:column`, counted from 1; without line and column where none is known.
        path: The dotted path of the entry, such as `pipelines.load_shop.destination`.
        message: What is wrong and what was expected.
        excerpt: The line of the file with a caret below the place; empty when there is none.
    """

    location: str
    path: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        head = f"{self.location}: {self.path}: {self.message}" if self.path else ""
        head = head or f"{self.location}: {self.message}"
        return f"{head}\n{self.excerpt}" if self.excerpt else head


class ManifestError(ProjectError):
    """A `dlt.yml` cannot be used.

    Attributes:
        problems: Every mistake that was found, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ManifestError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def known_names(name: str, known: Iterable[str]) -> str:
    """Say which names there are, and which of them is nearest to `name`.

    Returns:
        A sentence or two, such as `Known: dev, prod. Did you mean prod?`
    """
    names = sorted(known)
    if not names:
        return "There is none."
    nearest = difflib.get_close_matches(name, names, n=1)
    listed = f"Known: {', '.join(names)}."
    return f"{listed} Did you mean `{nearest[0]}`?" if nearest else listed


class RemoteDestinationBlocked(BaseException):
    """A test was about to reach a remote destination that nobody allowed.

    No `Exception`: dlt would wrap it as the failure of a step, or try again.

    Attributes:
        reason: Which destination it is, and who configured it.
        instruction: How to allow it, or to replace it.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(reason, instruction)
        self.reason = reason
        self.instruction = instruction

    def __str__(self) -> str:
        return f"{self.reason}\n{self.instruction}"
