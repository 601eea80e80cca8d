"""What a template is made from: its key says so, by content."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlthub_project.context import ProjectRunContext
from dlthub_project.dlt_internals.contexts import WorkspaceRunContext
from dlthub_project.sandbox import Overrides, Sandbox
from pytest_dlthub.templates.code import Code, installed_versions
from pytest_dlthub.templates.conditions import Conditions, recorded_reads
from pytest_dlthub.templates.digests import NoDigest, digest, file_digest
from pytest_dlthub.templates.loads import Load

# what a template consists of, and what its key is made from: raise it with any change of these
_FORMAT = 4
_VERSIONS = ("dlt", "duckdb", "pytest-dlthub")


class Recorded:
    """What a build has met; empty until it ends."""

    reads: Mapping[str, str | None] = {}
    modules: Sequence[str] = ()

    @property
    def conditions(self) -> Conditions:
        """The conditions of the build."""
        return Conditions.of(self.reads, self.modules)


class Inputs:
    """What all loads of a session are made from."""

    def __init__(
        self, root: Path, test_patterns: Sequence[str], *, lasting: bool, tests: Collection[str]
    ) -> None:
        """Make the inputs.

        Args:
            root: The folder of the project, workspace or plain dlt code.
            test_patterns: Names of files that hold tests, as `test_*.py`.
            lasting: Later sessions are to know a template by its key. Within one session code does
                not change, and is not read for it.
            tests: The files of which tests were collected.
        """
        self._code = Code(root, test_patterns)
        self._test_patterns = test_patterns
        self._lasting = lasting
        self._tests = tests

    def key(self, loads: Sequence[Load], sandbox: Sandbox) -> str:
        """Return the key of the template that `loads` are made into, in the active context.

        Raises:
            UsageError: An argument of a load, or a setting of the test, cannot be compared.
        """
        parts = [(load.digest, *self._tests_of(load)) for load in loads]
        try:
            in_sandbox = (sandbox.allowed, sandbox.destinations, sandbox.every_type)
            return digest(
                self._of_context(),
                in_sandbox,
                sandbox.loader_file_format,
                sandbox.secrets,
                Overrides(sandbox).described(),
                parts,
            )
        except NoDigest as error:
            raise pytest.UsageError(
                "dlt_load: a setting of this test, of dlt_config or dlt_destinations, cannot be "
                f"compared with that of another test: {error}"
            ) from error

    @contextmanager
    def recorded(self) -> Iterator[Recorded]:
        """Note, until the block ends, under which conditions it builds.

        What code reads of the environment by name counts, too: perhaps it read it when it was
        imported.
        """
        recorded = Recorded()
        names = self._code.names_read((*self._beside, *self._tests)) if self._lasting else ()
        try:
            with recorded_reads(names) as recorded.reads:
                yield recorded
        finally:
            recorded.modules = self._beside

    @property
    def _beside(self) -> list[str]:
        return self._code.modules_beside(self._tests) if self._lasting else []

    def _of_context(self) -> tuple[Any, ...]:
        context = dlt.current.run_context()
        settings = {
            path.name: file_digest(path) for path in Path(context.settings_dir).glob("*.toml")
        }
        if isinstance(context, ProjectRunContext):
            project = context.project
            place: tuple[Any, ...] = (
                context.run_dir,
                project.current_profile,
                project.manifest.merged,
            )
        elif isinstance(context, WorkspaceRunContext):
            place = (context.run_dir, context.profile)
        else:
            # plain code that changes the folder is the same code
            return (settings, self._of_session)
        if Path(context.run_dir) == self._code.root or not self._lasting:
            return (settings, place, self._of_session)
        # code that changes into another project gets that one
        there = Code(Path(context.run_dir), self._test_patterns)
        return (settings, place, self._of_session, there.digests)

    @cached_property
    def _of_session(self) -> str:
        if not self._lasting:
            return ""
        versions = {name: version(name) for name in _VERSIONS}
        python = (sys.version_info[:2], sys.platform)
        root = str(self._code.root)
        return digest(_FORMAT, versions, installed_versions(), python, root, self._code.digests)

    def _tests_of(self, load: Load) -> list[str]:
        return self._code.tests_with(load.files, self._tests) if self._lasting else []
