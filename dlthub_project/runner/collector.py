"""A progress collector of pipelines that is an observer of the runner, too."""

from __future__ import annotations

from typing import Any

import dlt

from dlthub_project.dlt_internals.pipelines import LogCollector


class PlusLogCollector(LogCollector):
    """Logs progress as `dlt.progress.log` does, and hears of each step of a run.

    Subclasses override the methods that they need; `Observers` says when each is called, and with
    what. Hand one over as `dlt.pipeline(..., progress=PlusLogCollector())`. The runner calls the
    methods, `dlt.hub.runner(pipeline)` or that of a project; plain `pipeline.run` calls none of
    them. An error in a method is logged, and the run goes on.
    """

    def on_before(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before the first attempt."""

    def on_after(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After the last attempt: with what was loaded, and the error; one of the two is None."""

    def on_retry(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """An attempt has failed, and another will follow: with its number and the error."""

    def before_extract(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt extracts."""

    def after_extract(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has extracted, or has failed to."""

    def before_normalize(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt normalizes."""

    def after_normalize(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has normalized, or has failed to."""

    def before_load(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """Before an attempt loads."""

    def after_load(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """After it has loaded, or has failed to."""

    def on_schema_change(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """A load has added columns: with the trace, the name of a schema, and the changes."""

    def on_checks(self, pipeline: dlt.Pipeline, *args: Any, **kwargs: Any) -> None:
        """What was loaded was checked: with what the checks have found."""
