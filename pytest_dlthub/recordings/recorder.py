"""Makes, replays or compares the recording of one test, run by run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals import contexts, http_client
from dlthub_project.dlt_internals import resources as dlt_resources
from dlthub_project.errors import RecordingMissing, RecordingStale
from dlthub_project.recordings import (
    Masks,
    Pages,
    Plan,
    RecordedResource,
    RecordedRun,
    Recording,
    Tap,
    extractables_in,
    files_of,
    is_recorded,
    of_today,
    plan_of,
    tapped,
    to_json,
)
from dlthub_project.sandbox import Sandbox, extracted_through, unobserved
from pytest_dlthub.given import Replayed, give
from pytest_dlthub.pipeline_run import cursors_of, states_by_resource
from pytest_dlthub.placeholders import placeholders
from pytest_dlthub.recordings import staleness
from pytest_dlthub.recordings.drift import Items, drift
from pytest_dlthub.recordings.record_options import Settings

_PROCESS = uuid4().hex
_REPLAY, _RECORD, _COMPARE = "replay", "record", "compare"


class Recorder:
    """Makes the recording of a test, or replays it."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        transformers: bool = False,
        notes: list[str] | None = None,
    ) -> None:
        """Make the recorder; reads and writes nothing yet.

        Args:
            folder: The folder of the recording.
            settings: The options of the session.
            transformers: Whether all runs record their transformers, too.
            notes: A list to which it adds notes for the user.
        """
        self.folder = folder
        self.notes = [] if notes is None else notes
        self._settings = settings
        self._transformers = transformers
        self._masks = Masks(settings.masks)
        self._recorded: list[RecordedRun] = []
        self._pages: dict[str, Pages] = {}
        self._taps: list[tuple[int, dict[str, Tap]]] = []
        # of pipelines whose last extraction has failed: why
        self._failed: dict[str, str] = {}
        self._used: set[int] = set()
        self._compared: set[tuple[str, str]] = set()
        self._drift: list[str] = []

    @cached_property
    def mode(self) -> str:
        """What the recorder does with runs: `record`, `replay` or `compare`.

        Raises:
            RecordingMissing: There is no recording, and none is made now.
        """
        mode = self._settings.mode
        if is_recorded(self.folder):
            return {"all": _RECORD, "compare": _COMPARE}.get(mode, _REPLAY)
        if mode in ("new", "all"):
            return _RECORD
        raise RecordingMissing(
            f"This test has no recording: there is none in {self.folder}.",
            "Record it, with the secrets and the network that its source needs: "
            f"{self._settings.command} --dlt-record",
        )

    @cached_property
    def recording(self) -> Recording:
        """The existing recording.

        Raises:
            ProjectError: It cannot be read.
        """
        return Recording.read(self.folder)

    def cut_notes(self) -> list[str]:
        """Return notes on resources whose recording was cut off."""
        if not is_recorded(self.folder):
            return []
        cut: dict[str, int] = {}
        for run in self.recording.runs:
            for name, resource in run.resources.items():
                if resource.cut_after is not None:
                    cut[name] = resource.cut_after
        return [
            self._named(f"`{name}` is cut off after {_pages(count)}: more followed")
            for name, count in cut.items()
        ]

    def inputs(self) -> list[Any]:
        """Return the files that a replay reads, for comparison; in other modes a unique value.

        Raises:
            RecordingMissing: There is no recording, and none is made now.
        """
        if self.mode == _REPLAY:
            return [*files_of(self.folder)]
        # once in this process, and not what an earlier session has kept
        return [str(self.folder), _PROCESS]

    @contextmanager
    def recording_runs(self, sandbox: Sandbox, *, transformers: bool = False) -> Iterator[None]:
        """Record or replay everything that pipelines extract in a block.

        In a replay, placeholders stand for secrets that are not configured.

        Args:
            sandbox: The sandbox of the test.
            transformers: Whether to record transformers, too.

        Raises:
            RecordingMissing: There is no recording, and none is made now.
        """
        is_all = transformers or self._transformers
        with ExitStack() as stack:
            if self.mode == _REPLAY:
                hints = {
                    name: resource.hints
                    for run in self.recording.runs
                    for name, resource in run.resources.items()
                }
                stack.enter_context(placeholders(hints, hints))

            def seam(
                pipeline: dlt.Pipeline, arguments: Mapping[str, Any]
            ) -> AbstractContextManager[Mapping[str, Any]]:
                return self._through(pipeline, arguments, sandbox, is_all)

            stack.enter_context(extracted_through(seam, sandbox))
            yield

    @contextmanager
    def _through(
        self,
        pipeline: dlt.Pipeline,
        arguments: Mapping[str, Any],
        sandbox: Sandbox,
        transformers: bool,
    ) -> Iterator[Mapping[str, Any]]:
        name = pipeline.pipeline_name
        data = extractables_in(arguments.get("data"), name, arguments.get("table_name"))
        copies = dlt_resources.copy_extractables(data) if data is not None else []
        plan = plan_of(copies, transformers=transformers)
        if plan is None or not plan.recorded:
            # rows of the test, or what is made from datasets
            yield arguments
            return
        states = states_by_resource(pipeline.state)
        cursors = {path: to_json(value) for path, value in cursors_of(states).items()}
        with ExitStack() as stack:
            stack.enter_context(extracted_through(None, sandbox))
            if self.mode == _RECORD:
                stack.enter_context(self._recorded_run(name, plan, cursors))
            else:
                number, run = self._next(name)
                if self.mode == _COMPARE:
                    self._compare(name, run, data or [], sandbox, transformers=transformers)
                copies = self._replayed(run, plan, cursors, data or [])
                stack.enter_context(_transformers_told())
                stack.callback(self._used.add, number)
            yield {**arguments, "data": copies}

    @contextmanager
    def _recorded_run(
        self, pipeline: str, plan: Plan, cursors: Mapping[str, Any]
    ) -> Iterator[None]:
        taps = tapped(plan, self._masks, self._settings.pages)
        try:
            yield
        except BaseException as error:
            self._failed[pipeline] = type(error).__name__
            raise
        number = len(self._recorded) + 1
        resources, pages = {}, dict(self._pages)
        for name, tap in taps.items():
            files = tap.recorded(number, pages)
            pages.update(files)
            resources[name] = tap.resource(files)
        self._failed.pop(pipeline, None)
        self._pages = pages
        self._recorded.append(RecordedRun(pipeline, resources, cursors))
        self._taps.append((number, taps))

    def _next(self, pipeline: str) -> tuple[int, RecordedRun]:
        runs = [(n, run) for n, run in enumerate(self.recording.runs) if run.pipeline == pipeline]
        for number, run in runs:
            if number not in self._used:
                return number, run
        count = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
        raise RecordingStale(
            f"The recording in {self.folder} has {count} of pipeline `{pipeline}`, and this is run "
            f"{len(runs) + 1}.",
            "Give it its rows, given={...}; or record the test again: "
            f"{self._settings.command} --dlt-record=all",
        )

    def _replayed(
        self, run: RecordedRun, plan: Plan, cursors: Mapping[str, Any], data: Sequence[Any]
    ) -> list[Any]:
        staleness.check(self.recording, run, plan, cursors, self._settings, self.folder)
        recording, folder = self.recording, self.folder
        given: dict[str, Any] = {name: Replayed(items) for name, items in plan.own.items()}
        hints = {}
        for name, resource in run.resources.items():
            given[name] = Replayed(partial(recording.items_of, folder, resource))
            if resource.hints:
                hints[name] = dict(resource.hints)
        self.notes += [note for note in self.cut_notes() if note not in self.notes]
        return give(data, given, hints)

    def _compare(
        self,
        pipeline: str,
        run: RecordedRun,
        data: Sequence[Any],
        sandbox: Sandbox,
        *,
        transformers: bool,
    ) -> None:
        """Extract from the source again, and note what differs from the recording."""
        copies = dlt_resources.copy_extractables(data)
        plan = plan_of(copies, transformers=transformers)
        assert plan is not None
        taps = tapped(plan, Masks(self._settings.masks), self._settings.pages)
        # in the sandbox: dlt would take another folder for the test's own pipeline, too
        place = tempfile.TemporaryDirectory(dir=sandbox.folder)
        with place as folder, contexts.no_active_pipeline(), unobserved():
            destination = dlt.destinations.duckdb(f"{folder}/compared.duckdb")
            dlt.pipeline(pipeline, pipelines_dir=folder, destination=destination).extract(copies)
            before, now = {}, {}
            for name, tap in taps.items():
                if (pipeline, name) in self._compared or name not in run.resources:
                    continue
                self._compared.add((pipeline, name))
                files = tap.recorded(1, {})
                for file, pages in files.items():
                    pages.write(Path(folder, file))
                before[name] = self._items(self.folder, run.resources[name])
                now[name] = self._items(Path(folder), tap.resource(files))
            if before:
                self._drift += map(str, drift(before, now, Path(folder)))

    def _items(self, folder: Path, resource: RecordedResource) -> Items:
        return Items(resource.yields, lambda: self.recording.items_of(folder, resource))

    def finish(self, *, must_be_used: bool, has_failed: bool) -> str | None:
        """Write the recording, all or nothing, and return what is wrong with it.

        Args:
            must_be_used: Whether the test is marked, so that it has to use the recording.
            has_failed: Whether the test has failed, and shows an error of its own.
        """
        if self._drift:
            listed = "".join(f"\n  {line}" for line in self._drift)
            return (
                f"the source has changed since {self.folder} was recorded on "
                f"{self.recording.recorded}:{listed}\nRecord it again: {self._settings.command} "
                "--dlt-record=all"
            )
        if self._failed:
            failed = ", ".join(f"`{name}` ({error})" for name, error in self._failed.items())
            self._note(f"not recorded: the extraction of {failed} has failed")
            return None
        if self._recorded:
            self._write()
        elif must_be_used and not has_failed and not self._used:
            return (
                f"{self._settings.command}: this test is marked dlt_recorded, but has run nothing "
                "to record. A recording holds what pipelines of this test extract from sources, in "
                "this process and without given=. For dlt_load, write "
                '@pytest.mark.dlt_load(..., given="recorded").'
            )
        elif self._used and not has_failed:
            return self._unused()
        return None

    def _unused(self) -> str | None:
        runs = enumerate(self.recording.runs, 1)
        unused = [f"{n} (`{run.pipeline}`)" for n, run in runs if n - 1 not in self._used]
        if not unused:
            return None
        return (
            f"the recording in {self.folder} has runs that this test has not run: "
            f"{', '.join(unused)}. Record it again: {self._settings.command} --dlt-record=all"
        )

    def _write(self) -> None:
        profile, masked = self._settings.profile, self._masks.fields
        of_today(self._recorded, profile=profile, masked=masked).write(self.folder, self._pages)
        for number, taps in self._taps:
            for name, tap in taps.items():
                told = f"recorded: `{name}`" + (f" of run {number}" if number > 1 else "")
                told += f": {_pages(tap.pages)}, {tap.rows} {'row' if tap.rows == 1 else 'rows'}"
                if tap.cut_after is not None:
                    told += ", cut off there: more followed"
                if not tap.rows and number > 1:
                    told += ". The source has nothing new yet: give the rows of day 2 by hand"
                elif not tap.rows:
                    told += ". A test of no rows tests nothing"
                self._note(told)
        if self._masks.personal:
            names = ", ".join(self._masks.personal)
            self._note(
                f"look personal, and are shown: {names}. Name them in the ini option "
                "dlt_record_mask and record again, or !name for others"
            )
        if self._masks.fields:
            self._note(f"stand-ins: {', '.join(self._masks.fields)}")

    def _note(self, text: str) -> None:
        note = self._named(text)
        if note not in self.notes:
            self.notes.append(note)

    def _named(self, text: str) -> str:
        return f"{self.folder.name}: {text}"


def _pages(count: int) -> str:
    return f"{count} {'page' if count == 1 else 'pages'}"


@contextmanager
def _transformers_told() -> Iterator[None]:
    """Explain how to record a transformer if it uses the network in a replay."""
    try:
        yield
    except PipelineStepFailed as error:
        name = http_client.resource_that_asked(error)
        if name:
            told = (
                f"`{name}` runs on recorded items of its parent, and has asked over the network. "
                'Record its own items too: record="transformers".'
            )
            error.args = (f"{told}\n\n{error}",)
        raise


# by the folder of the sandbox
_recorders: dict[str, Callable[[], Recorder]] = {}


@contextmanager
def recorder_in(sandbox: Sandbox, make: Callable[[], Recorder]) -> Iterator[None]:
    """Let runs of a block find the recorder of their sandbox.

    Args:
        sandbox: The sandbox.
        make: Returns the recorder, always the same one.
    """
    _recorders[sandbox.folder] = make
    try:
        yield
    finally:
        _recorders.pop(sandbox.folder, None)


def recorder_of(sandbox: Sandbox | None) -> Recorder | None:
    """Return the recorder of a sandbox; None if the sandbox belongs to no test."""
    make = _recorders.get(sandbox.folder) if sandbox is not None else None
    return make() if make is not None else None
