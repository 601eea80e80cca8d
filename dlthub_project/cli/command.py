"""What a command of the `dlt` program is made of: a word, its operations, and how they fail."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

from dlthub_project.cli.arguments import add_project_arguments, take_options_anywhere
from dlthub_project.cli.output import NotConfirmed
from dlthub_project.errors import (
    ManifestError,
    ProfileNotFound,
    ProjectError,
    ProjectRunContextNotAvailable,
    RemoteDestinationBlocked,
)

FAILED = 1
"""The status of a command that fails, or has found something wrong; argparse uses 2."""
NO_PROJECT = 3
"""The status of a command without a project, or with one that cannot be opened."""
NOT_CONFIRMED = 4
"""The status of a command that would remove or overwrite, and nobody has agreed."""
INTERRUPTED = 130
"""The status of a command that ends with Ctrl-C."""


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


@dataclass(frozen=True)
class Operation:
    """One operation of a command, such as `list`.

    Attributes:
        name: Its word.
        help: What it does, in a line.
        run: Does it. What it raises is told without a traceback, with a status.
        configure: Adds its own arguments; all operations have `--project` and `--profile`.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], None]
    configure: Callable[[argparse.ArgumentParser], None] = no_arguments

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Have `parser` take the arguments of this operation, and call it."""
        add_project_arguments(parser)
        parser.set_defaults(execute=self)
        self.configure(parser)

    def __call__(self, args: argparse.Namespace) -> None:
        """Do it, as the `dlt` program does."""
        with told_with_status():
            self.run(args)
            # if nobody reads the pipe any more, its error is raised here
            sys.stdout.flush()


class EntityCommand:
    """A command with operations: `dlt WORD [NAME] OPERATION`.

    Attributes:
        command: The word.
        help_string: What the command is for, in a line.
        operations: What it can do.
        takes_name: Whether a name may stand before the operation, as `args.name`.
    """

    parent: ClassVar[str | None] = None
    compose: ClassVar[Literal["additive"]] = "additive"
    docs_url: ClassVar[str | None] = None
    command: ClassVar[str]
    help_string: ClassVar[str]
    operations: ClassVar[Sequence[Operation]]
    takes_name: ClassVar[bool] = False
    _parser: argparse.ArgumentParser

    @property
    def description(self) -> str:
        """What `--help` says."""
        return self.help_string

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the operations."""
        self._parser = parser
        add_project_arguments(parser)
        if self.takes_name:
            parser.add_argument(
                "name", nargs="?", type=self._name, help=f"Name of the {self.command}."
            )
        subcommands = parser.add_subparsers(title="Available subcommands", dest="operation")
        for operation in self.operations:
            operation.add_to(subcommands.add_parser(operation.name, help=operation.help))
        take_options_anywhere(parser, subcommands.choices)

    def _name(self, text: str) -> str:
        # argparse takes the first of two words for the name: `dlt source add rest_api`
        if text in [operation.name for operation in self.operations]:
            raise argparse.ArgumentTypeError(f"the name is missing: dlt {self.command} NAME {text}")
        return text

    def execute(self, args: argparse.Namespace) -> None:
        """Show what the command can do; the operations themselves are called by the program."""
        self._parser.print_help()


def operations_of(name: str, help_string: str, operations: Sequence[Operation]) -> Operation:
    """Return an operation that has operations of its own: `dlt WORD NAME OPERATION`."""

    def configure(parser: argparse.ArgumentParser) -> None:
        parser.set_defaults(show_help=parser.print_help)
        subcommands = parser.add_subparsers(title="Available subcommands", dest=f"{name}_operation")
        for operation in operations:
            operation.add_to(subcommands.add_parser(operation.name, help=operation.help))

    return Operation(name, help_string, lambda args: args.show_help(), configure)


def subcommand_of(parent: str, operation: Operation) -> type:
    """Return an operation as a class that adds it to dlt's own command `parent`."""

    class Subcommand:
        compose: Literal["replace"] = "replace"
        docs_url: str | None = None
        command = operation.name
        help_string = operation.help
        description = operation.help

        def configure_parser(self, parser: argparse.ArgumentParser) -> None:
            operation.add_to(parser)

        def execute(self, args: argparse.Namespace) -> None:
            operation(args)

    Subcommand.parent = parent  # type: ignore[attr-defined]  # a name of the function cannot be used in the body
    Subcommand.__name__ = f"{parent}_{operation.name}"
    return Subcommand


@contextmanager
def told_with_status() -> Iterator[None]:
    """Print what the block raises, without secrets, and end the `dlt` program with a status.

    `dlt --debug` shows the traceback.
    """
    # late: it imports dlt's commands
    from dlthub_project.dlt_internals.command_line import failure
    from dlthub_project.secrets import KNOWN

    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # a console or pipe of Windows may not have every letter of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except BrokenPipeError:
        # `dlt project list | head -1`. Python would print the error once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except (ManifestError, ProfileNotFound, ProjectRunContextNotAvailable) as error:
        raise failure(error, NO_PROJECT) from error
    except NotConfirmed as error:
        raise failure(error, NOT_CONFIRMED) from error
    except (Exception, RemoteDestinationBlocked) as error:
        told = str(error) or type(error).__name__
        masked = KNOWN.masked(told)
        shown = ProjectError(masked) if masked != told or not str(error) else error
        raise failure(shown, FAILED) from (error if shown is error else None)
