"""Errors for users: each has a reason, a position, similar names and a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from dlthub_project.secrets import KNOWN


class ProjectError(Exception):
    """Base class of the errors that a user can mend.

    Attributes:
        reason: What is wrong, and where.
        instruction: What the user can do; empty if the reason tells it.
    """

    def __init__(self, reason: str, instruction: str = "") -> None:
        # masked here for `repr` and error trackers; `str` also masks secrets that are learned later
        reason, instruction = KNOWN.masked(reason), KNOWN.masked(instruction)
        super().__init__(reason, instruction)
        self.reason = reason
        self.instruction = instruction

    def __str__(self) -> str:
        text = f"{self.reason}\n{self.instruction}" if self.instruction else self.reason
        return KNOWN.masked(text)


class ProjectRunContextNotAvailable(ProjectError):
    """There is no project here."""


class ProfileNotFound(ProjectError):
    """The project does not have this profile."""


class EntityNotFound(ProjectError):
    """The project does not have this source, destination, dataset, pipeline or other entity."""


class EntityReferenceError(ProjectError):
    """The `type` of a source or destination leads to no code."""


class ValueNotSet(ProjectError):
    """No layer has the configuration value that somebody wants explained."""


class DestinationNotAllowed(ProjectError):
    """The declaration of a dataset does not list this destination."""


class DatasetNotLoaded(ProjectError):
    """A dataset does not exist at its destination yet."""


class LoadFailedChecks(ProjectError):
    """A pipeline has loaded, and checks of severity `error` have failed.

    Attributes:
        results: What all checks have found, a `CheckResults`.
        load_info: What was loaded; None in another process.
        is_stopping: Whether nothing is to run after it (`on_failed_check: stop`).
    """

    def __init__(
        self, reason: str, instruction: str, results: Any, load_info: Any, *, is_stopping: bool
    ) -> None:
        super().__init__(reason, instruction)
        self.results = results
        self.load_info = load_info
        self.is_stopping = is_stopping

    def __reduce__(self) -> tuple[Any, ...]:
        # schemas that travel lose their naming conventions
        told = (self.reason, self.instruction, self.results, None)
        return partial(type(self), is_stopping=self.is_stopping), told


class DatasetInUse(ProjectError):
    """Somebody else writes to the dataset, or has its database open."""


class DisputedColumn(ProjectError):
    """A column is read that two schemas of its dataset give different types."""


class SourceUsedUp(ProjectError):
    """Data must be extracted again, and can be read only once."""


class MergeKeyNotKnown(ProjectError):
    """A test gives rows to a resource that merges them by a key which only its source knows."""


class RecordingMissing(ProjectError):
    """A test replays what its source yields, and that was never recorded."""


class RecordingStale(ProjectError):
    """A test runs something else than what was recorded for it."""


class MergeStrategyNotSupported(ProjectError):
    """The destination of production, or what a test uses for it, lacks a merge strategy."""


class NotSupportedInProduction(ProjectError):
    """A test loads what the destination of production cannot take."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a manifest.

    Attributes:
        location: `file:line:column`, counted from 1; without line and column if nobody knows them.
        path: The dotted path of the entry, such as `pipelines.load_shop.destination`.
        message: What is wrong, and what was expected.
        excerpt: The line of the file with a caret below the position; empty if there is none.
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
        problems: All mistakes, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ManifestError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def known_names(name: str, known: Iterable[str]) -> str:
    """Return a sentence that lists the known names, and the one that is most like `name`.

    Returns:
        A sentence or two, such as `Known: dev, prod. Did you mean prod?`
    """
    names = sorted(known)
    if not names:
        return "There is none."
    nearest = difflib.get_close_matches(name, names, n=1)
    listed = f"Known: {', '.join(names)}."
    return f"{listed} Did you mean `{nearest[0]}`?" if nearest else listed


Contexts: TypeAlias = Literal["none", "shown", "hidden", "beside"]
"""Which exceptions count as causes because they were handled when the next one was raised.

Each word takes in what those before it do:

- `none`: those alone that code has named: `raise ... from cause`.
- `shown`: those that Python shows: the next one names no cause.
- `hidden`: those that `from None` hides, too.
- `beside`: those of an exception that names another cause, too.
"""


def causes(
    error: BaseException | None,
    contexts: Contexts = "hidden",
    *,
    held: Callable[[BaseException], BaseException | None] | None = None,
    in_groups: bool = False,
) -> Iterator[BaseException]:
    """Yield an exception and those that it came from, each once, the latest first.

    Args:
        error: The exception; None has none.
        contexts: Which of those that were handled meanwhile count.
        held: Returns the cause that an exception holds in an attribute. It goes before others.
        in_groups: Whether the members of groups follow their group.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        cause = (held(link) if held is not None else None) or link.__cause__
        is_context = contexts in ("hidden", "beside") or not link.__suppress_context__
        context = link.__context__ if is_context and contexts != "none" else None
        if contexts == "beside":
            waiting += [context, link.__cause__, cause]
        else:
            waiting.append(cause or context)
        if in_groups:
            # Python 3.10 has no class of them
            members = getattr(link, "exceptions", None) or ()
            waiting += [one for one in reversed(members) if isinstance(one, BaseException)]


class RemoteDestinationBlocked(BaseException):
    """A test wanted to reach what it may not.

    A remote destination that nobody has allowed, a file outside of its sandbox, or, in a thread
    that has outlived it, the data of another test.

    It is no `Exception`, because dlt would wrap it as the failure of a step, or try again.

    Attributes:
        reason: Which destination it is, and who configured it.
        instruction: How to allow it, or to replace it.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        # masked here for `repr` and error trackers; `str` also masks secrets that are learned later
        reason, instruction = KNOWN.masked(reason), KNOWN.masked(instruction)
        super().__init__(reason, instruction)
        self.reason = reason
        self.instruction = instruction

    def __str__(self) -> str:
        return KNOWN.masked(f"{self.reason}\n{self.instruction}")
