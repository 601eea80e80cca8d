"""Shows the frames of the user's code in the traceback of a failed test, not those of dlt.

When a pipeline fails, some twenty frames of dlt stand above the line that matters, and a failed job
adds four more tracebacks to its message. The report shows table, column and cause instead.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dlthub_project.dlt_internals.configuration import MissingSetting
    from dlthub_project.errors import Contexts

_DLT = ("dlt", "dlthub_project", "pytest_dlthub")
_INSTALLED = frozenset(("site-packages", "dist-packages"))
_CYTHON = (".pyx", ".pxi")
_PYTEST = ("_pytest", "pluggy", "pytest")


# what to end when the report is made, and whether the user asks for whole tracebacks
SHORTENING = pytest.StashKey[tuple[ExitStack, bool]]()


@contextmanager
def shortened(call: pytest.CallInfo[None], *, full: bool) -> Iterator[None]:
    """Leave the frames of dlt, and ours, out of the traceback of a failed test.

    The whole traceback is back afterwards, for debuggers. But that of a blocked destination stays
    short: pytest shows the arguments of its last frame, and they include the credentials.

    Args:
        call: The call that may have failed.
        full: Whether the user asks for whole tracebacks.
    """
    original = call.excinfo
    if original is None or isinstance(original.value, pytest.skip.Exception):
        yield
        return
    is_blocked = original.type.__name__ == "RemoteDestinationBlocked"
    if full and not is_blocked:
        yield
        return
    error = original.value
    before = [_State.of(link) for link in causes(error, "shown", in_groups=True)]
    failed = [link for link in before if told(link.error)]
    # messages sometimes quote errors that `from None` hides
    quotable = {id(link): link for link in (*causes(error), *(link.error for link in failed))}
    messages = [(str(link), lines) for link in quotable.values() if (lines := told(link))]
    for link in before:
        link.shorten(is_last=link.error is error)
    for link in before:
        link.tell(messages)
    for link in failed:
        link.join_resource()
    if error.__traceback__ is not None:
        call.excinfo = pytest.ExceptionInfo.from_exception(error)
    elif _is_told(error):
        # all frames are our fixtures': only sources that they have run are code of the user
        called = [link for link in causes(error, "shown") if link.__traceback__ is not None]
        call.excinfo = pytest.ExceptionInfo.from_exception(
            called[0] if called else _message_alone(error, original.tb)
        )
    else:
        error.__traceback__ = original.tb
    try:
        yield
    finally:
        if not is_blocked:
            for link in before:
                link.restore()
            call.excinfo = original


class ShortenedReports:
    """Shortens tracebacks after pytest's plugin for unittest has run, and before the report.

    Until then, that plugin keeps the errors of a `unittest.TestCase` to itself.
    """

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Shorten the traceback of a failed test until its report is made."""
        if SHORTENING in item.stash:
            stack, full = item.stash[SHORTENING]
            stack.enter_context(shortened(call, full=full))


@dataclass(frozen=True)
class _State:
    """An exception as it was raised."""

    error: BaseException
    frames: TracebackType | None
    cause: BaseException | None
    hides_context: bool
    texts: tuple[Any, ...]
    message: str | None

    @classmethod
    def of(cls, error: BaseException) -> _State:
        links = error.__traceback__, error.__cause__, error.__suppress_context__
        message = vars(error).get("msg")  # outcomes of pytest have their text there
        return cls(error, *links, error.args, message if isinstance(message, str) else None)

    def shorten(self, *, is_last: bool) -> None:
        # tracebacks of earlier errors may begin in a library, where they were handled
        self.error.__traceback__ = _users_frames(self.frames, begins_in_library=not is_last)
        links = list(causes(self.error, "shown"))[1:]
        shown = next((link for link in links if not self._repeats(link)), None)
        if links and shown is not links[0]:
            self.error.__cause__ = shown

    def tell(self, messages: Sequence[tuple[str, list[str]]]) -> None:
        """Replace the messages of failed steps by our lines, also where the error quotes them."""

        def shown(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            for message, lines in messages:
                value = value.replace(message, "\n".join(lines))
            return _for_tests(value) if _is_in_package(self.error) else value

        args = tuple(shown(value) for value in self.texts)
        if args != self.texts:
            self.error.args = args
        if self.message is not None:
            vars(self.error)["msg"] = shown(self.message)

    def join_resource(self) -> None:
        """Append the frames of the failed resource to those that called dlt."""
        links = dropwhile(
            lambda link: link.__traceback__ is None, [*causes(self.error, "shown")][1:]
        )
        users = next(links, None)
        frames = [] if users is None else list(traceback.walk_tb(users.__traceback__))
        self.error.__cause__ = next(links, None)
        self.error.__suppress_context__ = True
        self.error.__traceback__ = _linked([*traceback.walk_tb(self.error.__traceback__), *frames])

    def _repeats(self, earlier: BaseException) -> bool:
        """Tell whether an earlier error adds nothing: dlt's errors quote those before them."""
        is_within = str(earlier).strip() in str(self.error)
        return is_within and _users_frames(earlier.__traceback__, begins_in_library=True) is None

    def restore(self) -> None:
        self.error.__traceback__ = self.frames
        self.error.__cause__ = self.cause
        self.error.__suppress_context__ = self.hides_context
        self.error.args = self.texts
        if self.message is not None:
            vars(self.error)["msg"] = self.message


def told(error: BaseException) -> list[str]:
    """Return what a report says of a failed pipeline step: place and cause; empty for others."""
    exceptions = sys.modules.get("dlt.pipeline.exceptions")
    if exceptions is None or not isinstance(error, exceptions.PipelineStepFailed):
        return []
    from dlthub_project.dlt_internals.failures import failure_lines

    return failure_lines(error)


def name_cause(shown: Any) -> None:
    """Begin pytest's short summary line with the cause, since pytest cuts it at 80 characters."""
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.message = re.sub(_TYPE, r"\1", crash.message).removeprefix("PipelineStepFailed: ")


def without_objects(shown: Any) -> None:
    """Remove our fixtures from the shown arguments of functions: their repr explains nothing."""
    parts = shown if isinstance(shown, list | tuple) else [getattr(shown, "reprtraceback", None)]
    for part in [*(one[0] for one in getattr(shown, "chain", ())), *parts]:
        for entry in getattr(part, "reprentries", ()):
            arguments = getattr(entry, "reprfuncargs", None)
            if arguments is not None:
                arguments.args = [a for a in arguments.args if not re.match(_OBJECT, str(a[1]))]
                if not arguments.args:
                    entry.reprfuncargs = None


_TYPE = r"^(?:dlt|dlthub_project|pytest_dlthub)\.(?:\w+\.)*(\w+: )"
_OBJECT = r"<pytest_dlthub\.[\w.]+ object at 0x\w+>$|<dlt\.dataset\("
_COMMAND = r"`dlt(?:hub)? (?:local )?pipeline [^`]*?(\w[\w-]*)`"
_OF_TESTS = {
    "info": "`pytest --pdb`",
    "sync": "`pipeline.sync_destination()`",
    "drop": "`pipeline.drop()`",
    "failed-jobs": "`assert_no_failed_jobs`",
    "abort-packages": "`pipeline.abort_packages()`",
    "drop-pending-packages": "`pipeline.drop_pending_packages()`",
}


def _for_tests(text: str) -> str:
    """Return a text of dlt, with its commands replaced by what works in a test."""
    shown = re.sub(_COMMAND, lambda found: _OF_TESTS.get(found[1], "`pytest --pdb`"), text)
    # dlt sometimes names both ways
    return re.sub(r"(`[^`]+`) or call \1", r"\1", shown)


def _is_in_package(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _DLT


def _message_alone(error: BaseException, frames: TracebackType) -> BaseException:
    text = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    # as pytest marks the message below a traceback
    text = "\n".join(f"E   {line}" for line in text.splitlines())
    return pytest.fail.Exception(text, pytrace=False).with_traceback(frames)


def _is_told(error: BaseException) -> bool:
    """Tell whether the message of an error says what the user can do."""
    return _is_in_package(error) or isinstance(error, pytest.UsageError)


def _users_frames(frames: TracebackType | None, *, begins_in_library: bool) -> TracebackType | None:
    """Return a traceback without the frames of dlt and of what it calls; None if none is left."""
    kept = []
    is_within_dlt, is_users = begins_in_library, False
    for frame, line in traceback.walk_tb(frames):
        path = Path(frame.f_code.co_filename)
        if _is_in(path, _DLT):
            is_within_dlt = True
        elif is_within_dlt and path.suffix in _CYTHON:
            # compiled code of a library: nobody can open its paths
            continue
        elif not is_within_dlt or not (_INSTALLED.intersection(path.parts) or _is_of_python(path)):
            is_within_dlt = False
            is_users = is_users or not (_is_in(path, _PYTEST) or _is_of_python(path))
            kept.append((frame, line))
    if not is_users:
        return None
    return _linked(kept)


def _linked(frames: Sequence[tuple[FrameType, int]]) -> TracebackType | None:
    shown: TracebackType | None = None
    for frame, line in reversed(frames):
        shown = TracebackType(shown, frame, frame.f_lasti, line)
    return shown


def _is_in(path: Path, packages: tuple[str, ...]) -> bool:
    return any(folder in path.parents for name in packages for folder in _folder(name))


def _folder(package: str) -> Iterator[Path]:
    module = sys.modules.get(package)
    if module is not None and module.__file__:
        yield Path(module.__file__).parent


def _is_of_python(path: Path) -> bool:
    """Tell whether a file belongs to the standard library, or is none, as `<frozen runpy>`."""
    if str(path).startswith("<"):
        return True
    return not _INSTALLED.intersection(path.parts) and _standard_library() in path.parents


@cache
def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def how_to_give(
    missing: Sequence[MissingSetting],
    *,
    secrets_file: str,
    config_file: str,
    has_placeholders: bool,
    is_narrowed: bool,
    hidden: Mapping[tuple[str, ...], str],
    choice: str,
) -> list[str]:
    """Return two lines: what is missing, and the ways to give it in this test.

    Args:
        missing: The settings.
        secrets_file: The file of secrets that all tests see; empty if they see none.
        config_file: The file of other settings.
        has_placeholders: Whether the test gives rows, so that secrets have placeholders.
        is_narrowed: Whether tests see only a part of the secrets.
        hidden: For settings that are hidden from tests, their places.
        choice: The value of `dlt_secrets`, which hides them.
    """
    secret = [".".join(one.path) for one in missing if one.is_secret]
    others = [".".join(one.path) for one in missing if not one.is_secret]
    if not secret and not others:
        return []
    named = f"{' and '.join(secret)} ({'a secret' if len(secret) == 1 else 'secrets'})"
    verb = "is" if len(missing) == 1 else "are"
    what = " and ".join([*([named] if secret else []), *others])
    told = f"{what} {verb} missing."
    for path, place in hidden.items():
        name = ".".join(path) if len(missing) > 1 else "It"
        told += f" {name} is in {place}, which dlt_secrets = {choice} hides from tests."
    ways = [f'For this test: dlt_config["{(secret or others)[0]}"] = "..."']
    if secret and secrets_file:
        environment = ", or the environment" if is_narrowed else ""
        ways.append(f"for all tests: .dlt/{secrets_file}{environment}")
    if others:
        ways.append(f"{'what is no secret in' if secret else 'for all tests:'} .dlt/{config_file}")
    if not has_placeholders and any(
        one.path[0] == "sources" and one.is_secret and one.is_argument for one in missing
    ):
        ways.append("or rows in place of the source's own, which need no secrets: given=")
    return [told, "; ".join(ways)]


def with_message(shown: Any, lines: Sequence[str]) -> bool:
    """Replace dlt's text on missing settings by our lines, in what pytest shows.

    dlt lists each place where each provider looked, in 20 lines a setting.

    Returns:
        Whether it contained dlt's text.
    """
    if type(shown).__module__ != "_pytest._code.code" or not hasattr(shown, "__dict__"):
        parts = shown if isinstance(shown, list | tuple) else ()
        # a list: `any` would stop at the first one
        return sum(with_message(one, lines) for one in parts) > 0
    is_found = False
    for name, value in vars(shown).items():
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            text = _shortened("\n".join(value), lines)
            is_found = is_found or text != "\n".join(value)
            setattr(shown, name, text.split("\n"))
        elif isinstance(value, str):
            text = _shortened(value, lines)
            is_found = is_found or text != value
            setattr(shown, name, text)
        else:
            is_found = with_message(value, lines) or is_found
    return is_found


_OF_MISSING = (
    r"(?m)(?P<before>^.*)Missing \d+ field\(s\) in configuration `(?:.|\n)*?(?:Learn more: \S+|\Z)"
)


def _shortened(text: str, lines: Sequence[str]) -> str:
    def message(match: re.Match[str]) -> str:
        mark = re.match(r"E?\s*", match["before"])
        indent = mark[0] if mark else ""
        return match["before"] + f"\n{indent}".join(lines)

    return re.sub(_OF_MISSING, message, text) if "Missing " in text else text


def is_interrupt(error: BaseException) -> bool:
    """Tell whether Ctrl-C has caused an error: dlt turns it into the failure of a step."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def causes(
    error: BaseException | None, contexts: Contexts = "hidden", *, in_groups: bool = False
) -> Iterator[BaseException]:
    """Yield an error and its causes: the runtime's function of the same name."""
    # imported here, so that a session without failures does not import it
    from dlthub_project.errors import causes

    return causes(error, contexts, in_groups=in_groups)
