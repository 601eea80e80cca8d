"""Reads the code of a Markdown page, and runs it.

Blocks that begin with a line `# path/name.ext` (`-- path/name.sql`) are files. In blocks marked
```console each line after `$ ` is a command, and the lines below it are what the reader finds in
its output. Blocks marked ```pycon are one session of Python: `session_of`.

`python tests/support/pages.py README.md FOLDER [FIND_LINKS]` writes and runs all of them in FOLDER,
in the order of the page, with a new virtual environment in front of PATH. FIND_LINKS is a folder
with wheels for pip to use beside its index.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

from neighbours import without_neighbours

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:#|--) ([\w./-]*\.\w+)\n")
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", flags=re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")
_DURATION = re.compile(r" in \d+(\.\d+)?s.*")
# all that a page's commands see of this process's environment: nothing of dlt's, pytest's or ours
PASSED_ON = ("LANG", "LC_", "MEASURE_INTO", "PYTHONPATH", "SYSTEMROOT", "VIRTUAL_ENV")
USED_BY_PAGES = ("inline_snapshot", "requests_mock", "syrupy")
_FAILURE = re.compile(r"\b(failed|FAILED|errors?|ERROR)\b")


RunProgram = Callable[[list[str], Path, Mapping[str, str]], tuple[int, str]]


@dataclass(frozen=True)
class File:
    """A file that a page gives.

    Attributes:
        name: Its path below the reader's folder.
        text: All of it.
    """

    name: str
    text: str

    def write(self, folder: Path) -> None:
        """Write it below `folder`."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")


@dataclass(frozen=True)
class Command:
    """A command that a page gives.

    Attributes:
        line: The command with its arguments; `NAME=value` may stand before it.
        shown: What the page shows of its output, line by line.
    """

    line: str
    shown: tuple[str, ...]

    def run(self, folder: Path, environment: Mapping[str, str], run: RunProgram) -> str:
        """Run it in `folder`, and return its output.

        Raises:
            AssertionError: It ended well where the page shows a failure, or the other way round; or
                a line that the page shows is not in the output.
        """
        words = shlex.split(self.line)
        of_command = dropwhile(_ASSIGNMENT.match, words)
        assigned = dict(w.split("=", 1) for w in takewhile(_ASSIGNMENT.match, words))
        code, printed = run(list(of_command), folder, {**environment, **assigned})
        is_to_fail = any(_FAILURE.search(line) for line in self.shown)
        if bool(code) is not is_to_fail:
            raise AssertionError(f"`{self.line}` ended with {code}:\n{printed}")
        if missing := self.missing_in(printed):
            listed = "\n".join(missing)
            raise AssertionError(f"`{self.line}` did not print\n{listed}\nbut\n{printed}")
        return printed

    def missing_in(self, output: str) -> list[str]:
        """Return the lines that the page shows and the output has not.

        Durations and the width of gaps do not count, and `…` stands for anything within a line.
        """
        return [line for line in self.shown if not _pattern(line).search(output)]


def read_page(page: Path) -> Iterator[File | Command]:
    """Yield the files and commands of a page, in its order."""
    for language, code in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            for line, shown in _COMMAND.findall(code):
                yield Command(line, tuple(text for text in shown.splitlines() if text.strip()))
        elif name := _FILE.match(code):
            yield File(name[1], code)


def run_program(words: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program with its arguments in `folder`; return its exit code and output."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run_page(
    page: Path, folder: Path, environment: Mapping[str, str], run: RunProgram = run_program
) -> list[str]:
    """Write the files and run the commands of `page` in `folder`; return what each printed.

    Raises:
        AssertionError: A command did not do what the page shows.
    """
    printed = []
    for step in read_page(page):
        if isinstance(step, Command):
            printed.append(step.run(folder, environment, run))
        else:
            step.write(folder)
    return printed


class Reader:
    """Somebody who does what a page says, on a machine of their own.

    Attributes:
        folder: The working directory, empty at first.
        home: The home folder.
        temporary: The folder for temporary files.
    """

    def __init__(self, root: Path, run: RunProgram = run_program) -> None:
        self._run = run
        self.folder, self.home, self.temporary = (root / n for n in ("work", "home", "temporary"))
        for folder in (self.folder, self.home, self.temporary):
            folder.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the commands."""
        return {
            **{name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)},
            "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "PYTEST_ADDOPTS": without_neighbours(but=USED_BY_PAGES),
            "TMPDIR": str(self.temporary),
            # where saves keep their locks
            "XDG_STATE_HOME": str(self.temporary / "state"),
        }

    @property
    def left_at_home(self) -> list[str]:
        """What is in the home folder, but for the id that dlt itself writes.

        It is there after the first pipeline that runs outside of a sandbox, telemetry or not; of
        root it is elsewhere.
        """
        found = {path.relative_to(self.home).as_posix() for path in self.home.rglob("*")}
        return sorted(found - {".dlt", ".dlt/.anonymous_id"})

    def follow(self, page: Path) -> list[str]:
        """Write and run what `page` says; return what each command printed.

        Raises:
            AssertionError: A command did not do what the page shows.
        """
        return run_page(page, self.folder, self.environment, self._run)


def session_of(page: Path) -> str:
    """Return the blocks of a page that are marked ```pycon, each line where the page has it.

    For doctest: they are one session, with the line numbers of the page.
    """
    lines: list[str] = []
    is_session = False
    for line in page.read_text(encoding="utf-8").splitlines():
        is_session = line != "```" and (is_session or line == "```pycon")
        lines.append(line if is_session and line != "```pycon" else "")
    return "\n".join((*lines, ""))


def run_page_in_new_environment(
    page: Path, folder: Path, find_links: Path | None = None
) -> list[str]:
    """Do the same with a new virtual environment in front of PATH, for pages that install."""
    venv.create(folder / ".venv", with_pip=True)
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MEASURE_INTO"))},
        "PATH": f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    if find_links is not None:
        variables["PIP_FIND_LINKS"] = f"{find_links} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    return run_page(page, folder, variables)


def _pattern(line: str) -> re.Pattern[str]:
    """Return what finds a shown line in an output: not `2 passed` in `12 passed`."""
    text = _DURATION.sub("", line.strip("= "))
    escaped = re.escape(text).replace("…", r"[^\n]*")
    spaced = re.sub(r"(\\ )+", r"[ ]+", escaped)
    return re.compile(rf"(?<!\w){spaced}(?!\w)")


if __name__ == "__main__":
    wheels = Path(sys.argv[3]).absolute() if len(sys.argv) > 3 else None
    page, folder = Path(sys.argv[1]), Path(sys.argv[2]).absolute()
    print("\n".join(run_page_in_new_environment(page, folder, wheels)))
