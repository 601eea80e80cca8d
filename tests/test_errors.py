"""The causes of an exception: which count, in which order, and that circles end."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dlthub_project.errors import Contexts, causes


def raised(name: str, *, cause: Any = None, context: Any = None, hides: bool = False) -> Exception:
    error = ValueError(name)
    # a cause that is set hides the context, as `raise ... from` does
    error.__cause__, error.__context__ = cause, context
    error.__suppress_context__ = hides or cause is not None
    return error


@pytest.mark.parametrize(
    ("contexts", "of_plain", "of_hidden", "of_both"),
    [
        ("none", ["plain"], ["hidden"], ["both", "named"]),
        ("shown", ["plain", "handled"], ["hidden"], ["both", "named"]),
        ("hidden", ["plain", "handled"], ["hidden", "handled"], ["both", "named"]),
        ("beside", ["plain", "handled"], ["hidden", "handled"], ["both", "named", "handled"]),
    ],
)
def test_contexts_count_as_causes_as_far_as_is_asked(
    contexts: Contexts, of_plain: list[str], of_hidden: list[str], of_both: list[str]
) -> None:
    handled = raised("handled")
    plain = raised("plain", context=handled)
    hidden = raised("hidden", context=handled, hides=True)
    both = raised("both", cause=raised("named"), context=handled)

    assert [*map(str, causes(plain, contexts))] == of_plain
    assert [*map(str, causes(hidden, contexts))] == of_hidden
    assert [*map(str, causes(both, contexts))] == of_both


@pytest.mark.parametrize("contexts", ["none", "shown", "hidden", "beside"])
def test_causes_that_go_in_a_circle_are_told_once(contexts: Contexts) -> None:
    first, second = raised("first"), raised("second")
    first.__cause__, second.__cause__ = second, first

    assert [*causes(first, contexts)] == [first, second]


def test_equal_exceptions_are_told_each() -> None:
    class Same(Exception):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Same)

        __hash__ = Exception.__hash__

    first, second = Same("first"), Same("second")
    first.__cause__ = second

    assert [*map(str, causes(first))] == ["first", "second"]


def test_a_cause_that_an_exception_holds_goes_before_the_others() -> None:
    held, error = raised("held"), raised("error", cause=raised("named"))
    error.held = held  # type: ignore[attr-defined]  # as dlt keeps the error of a job

    def found(one: BaseException) -> BaseException | None:
        return getattr(one, "held", None)

    assert [*map(str, causes(error, held=found))] == ["error", "held"]
    assert [*map(str, causes(error, "beside", held=found))] == ["error", "held", "named"]


def test_no_exception_has_no_causes() -> None:
    assert [*causes(None)] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups of exceptions")
def test_members_of_a_group_follow_it_with_their_causes() -> None:
    members = [raised("one", cause=raised("its cause")), raised("two")]
    group = ExceptionGroup("group", members)  # noqa: F821  # of Python 3.11
    error = raised("error", cause=group)
    group.__cause__ = raised("before")

    found = [str(one).partition(" (")[0] for one in causes(error, "shown", in_groups=True)]

    assert found == ["error", "group", "one", "its cause", "two", "before"]
    assert [*causes(error)] == [error, group, group.__cause__]
