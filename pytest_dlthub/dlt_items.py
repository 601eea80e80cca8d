"""What sources and resources yield, without a load."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, overload

from dlt.common.versioned_state import json_decode_state, json_encode_state
from dlt.extract import DltResource, DltSource

from dlthub_project.dlt_internals import resources as dlt_resources
from dlthub_project.errors import SourceUsedUp
from dlthub_project.runner import extractables, narrowed
from pytest_dlthub.data_coverage import active_recorder
from pytest_dlthub.given import Given, Recorded, give, read_given
from pytest_dlthub.pipeline_run import cursors_of, states_by_resource
from pytest_dlthub.placeholders import placeholders
from pytest_dlthub.recordings.recorded_tests import asked, extracted

Items = list[Any]


class DltItems:
    """Extracts the items of sources and resources, as a pipeline does before it normalizes them.

    The calls of a test go on from the state that the last one left, as the runs of a pipeline do.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Make the object. Tests get it from the fixture `dlt_items`.

        Args:
            folder: The folder of the test. Paths that the test names are relative to it.
        """
        self._folder = folder or Path()
        # as the state of a pipeline is stored
        self._stored = "{}"
        self._read: list[Any] = []

    @overload
    def __call__(
        self,
        data: DltSource,
        *,
        given: Given | Recorded | None = None,
        hints: Any = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
    ) -> dict[str, Items]: ...
    @overload
    def __call__(
        self,
        data: DltResource,
        *,
        given: Given | Recorded | None = None,
        hints: Any = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
    ) -> Items: ...
    @overload
    def __call__(
        self,
        data: Any,
        *,
        given: Given | Recorded | None = None,
        hints: Any = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
    ) -> Any: ...
    def __call__(
        self,
        data: Any,
        *,
        given: Given | Recorded | None = None,
        hints: Any = None,
        limit: int | None = None,
        resources: Sequence[str] | None = None,
    ) -> Any:
        """Return what a resource, or each resource of a source, yields.

        Maps, filters, transformers and incremental cursors work as in a run. Nothing is normalized
        or loaded, so schema contracts do not apply.

        Args:
            data: A resource or a source, or a function that returns one.
            given: What resources yield instead of what they would extract, as `dlt_run` takes it;
                also for the parent of a transformer. Or `"recorded"`.
            hints: Hints of given resources, as `dlt_run` takes them.
            limit: The largest number of pages that each resource yields.
            resources: The resources of a source to extract; None for all.

        Returns:
            For a resource the list of its items; for a source a mapping of such lists by resource.
            A page counts as its rows; a frame or an Arrow table counts as one item.

        Raises:
            TypeError: `data` is neither a source nor a resource. Or there are hints without
                `given`.
            EntityNotFound: There is no such resource.
            SourceUsedUp: An earlier call has used up a generator object.
        """
        with asked(given, None, "dlt_items") as to_give:
            rows, own_hints = read_given(to_give, hints, self._folder, "dlt_items")
            with nullcontext() if rows is None else placeholders(rows, own_hints):
                found = extractables(data, "dlt_items: data")
                if len(found) != 1:
                    raise TypeError(
                        f"dlt_items: one source or resource is expected, not {len(found)}"
                    )
                is_source = isinstance(found[0], DltSource)
                chosen = found if rows is None else give(found, rows, own_hints)
                (one,) = extractables(narrowed(chosen, resources, limit), "dlt_items: data")
                items = self._extract(one)
        return items if is_source else items[str(one.name)]

    @property
    def cursors(self) -> dict[str, Any]:
        """The last value of every incremental cursor, by resource and path: `comments.at`."""
        return cursors_of(states_by_resource(json_decode_state(self._stored)))

    def state(self, resource: str) -> dict[str, Any]:
        """Return the current state of a resource; empty if it has none yet."""
        return dict(states_by_resource(json_decode_state(self._stored)).get(resource, {}))

    def _extract(self, data: DltSource | DltResource) -> dict[str, Items]:
        iterators = dlt_resources.iterators_of(data)
        if any(used is one for used in self._read for one in iterators):
            raise SourceUsedUp(
                f"dlt_items: `{data.name}` reads a generator, which is used up.",
                "Decorate the generator function, not what it returns; or make the data anew.",
            )
        self._read += iterators
        # as in production: a failure leaves the state as it was, and the state has to fit into JSON
        state: Any = json_decode_state(self._stored)
        with extracted(data, state) as taken:
            items = dlt_resources.extract_items(taken, state)
        self._stored = json_encode_state(state)
        if (recorder := active_recorder.recorder()) is not None:
            recorder.items_yielded(data, {name: len(found) for name, found in items.items()})
        return items
