"""Finds where a run has failed: table, column and cause, from dlt's errors and files.

For a failed job, dlt shows five tracebacks and an id. The files of the load have the rest: the
types of the columns, and the rows.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.exceptions import DltException
from dlt.common.json import json
from dlt.common.schema.exceptions import DataValidationError, SchemaException
from dlt.extract.exceptions import PipeException, ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.dlt_internals.files_of_runs import (
    columns_of,
    fits,
    leaves_of,
    misfit_in_extracted,
    naming_of,
    number_of,
    rows_of_job,
)
from dlthub_project.dlt_internals.relations import column_of_breach
from dlthub_project.errors import causes

if TYPE_CHECKING:
    import dlt
    from dlt.common.pipeline import LoadInfo

_WIDTH, _DETAILS = 400, 2
_LINES_OF_USERS = 20
_KNOWN = "_dlthub_failure"
_VARIANT = re.compile(r"__v_\w+$")
# the last line of a traceback, if dlt has only the text of the error
_SAID = re.compile(
    r"^(?:\w+\.)+\w+: (.+(?:\n(?!\w+\.\w|\n|The above|Traceback|During).*)*)", re.MULTILINE
)
_CASTS = (
    re.compile(r"Could not cast value (?P<value>.+?) to (?P<type>\w+(?:\([\d, ]+\))?)"),
    re.compile(r"Could not convert \w+ ['\"]?(?P<value>.*?)['\"]? to (?P<type>\w+)"),
    re.compile(
        r"with value (?P<value>\S+) can't be cast .*?type (?P<type>\w+(?:\([\d, ]+\))?)", re.DOTALL
    ),
    re.compile(r"invalid input syntax for type (?P<type>[\w ]+): \"(?P<value>.*?)\""),
)
_SIZES = re.compile(r"\((\d+)(?:, ?(\d+))?\)|precision (\d+), scale (\d+)|inferred .*?: (\d+)$")
_QUOTED = (r'"(\w+)"', r"`(\w+)`", r"'(\w+)'")
_NAMED = [
    re.compile(pattern)
    for pattern in (*_QUOTED, r"\bcolumn:? (\w+)", r"\b\w+\.(\w+)\b", r"\bkey (\w+):")
]
_EXCERPT = re.compile(r"^(LINE \d+:.*|\s*\^\s*|\s*)$")


@dataclass(frozen=True)
class Failure:
    """Why a step of a pipeline has failed.

    Attributes:
        place: The column as `table.column`, the table, or the resource; empty if nobody knows.
        cause: What is wrong, in one line.
        details: What else the destination or dlt says, in a few lines.
    """

    place: str
    cause: str
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """All of it; the first line is place and cause."""
        return [f"{self.place}: {self.cause}" if self.place else self.cause, *self.details]


@dataclass(frozen=True)
class FailedStep:
    """A failed step, without the error and its frames.

    Attributes:
        step: Its name.
        lines: What has failed and why, in a few lines.
        job: The id of the job that has failed, if one has.
        text: The message of dlt.
    """

    step: str
    lines: tuple[str, ...]
    job: str | None
    text: str


def failed_step(error: BaseException, step: str) -> FailedStep:
    """Return what has failed; `step` is the one that was called, where the error has none."""
    if not isinstance(error, PipelineStepFailed):
        return FailedStep(step, (_typed(error),), None, str(error))
    lines = failure_lines(error) or [_typed(error)]
    return FailedStep(error.step, tuple(lines), _job_of(error.exception), str(error.exception))


def failure_lines(error: PipelineStepFailed) -> list[str]:
    """Return why a step of a pipeline has failed, in a few lines; none if nobody knows.

    The answer is kept, because its files may be gone when somebody asks again.
    """
    known: list[str] | None = vars(error).get(_KNOWN)
    if known is None:
        try:
            known = failure_of(error).lines
        except Exception:  # files gone, errors of other versions: dlt's own text remains
            known = []
        vars(error)[_KNOWN] = known
    return list(known)


def tell(error: PipelineStepFailed, told: str) -> None:
    """Have an error, and its few lines, say something more of why the step has failed."""
    first, *further = failure_lines(error) or [_typed(error)]
    vars(error)[_KNOWN] = [first, told, *further]
    error.args = (f"{told}\n\n{error}",)


def failure_of(error: PipelineStepFailed) -> Failure:
    """Return why a step of a pipeline has failed."""
    pipeline: Any = error.pipeline
    links = list(causes(error.exception, held=_error_of_job))
    for link in links:
        if isinstance(link, PipelineStepFailed):
            return failure_of(link)
        job = _job_of(link)
        if job and type(link).__name__.startswith("LoadClientJob"):
            client_error = getattr(link, "client_exception", None) or ""
            message = str(client_error) or str(getattr(link, "failed_message", ""))
            return job_failure(job, message, pipeline, error.load_id)
        if isinstance(link, DataValidationError):
            return _breach(link, pipeline)
        if isinstance(link, SchemaException):
            return _of_schema(link)
    if (found := _unwritable(links, pipeline)) is not None:
        return found
    root = links[-1]
    name = next((link.pipe_name for link in links if isinstance(link, PipeException)), None)
    if isinstance(root, ConfigFieldMissingException):
        return Failure(f"resource {name}" if name else "", str(root))
    if name:
        cause = _cause_in(links)
        is_dlts = isinstance(cause, DltException)
        said = str(cause).removeprefix(f"In processing pipe `{name}`: ")
        words = "\n".join([said if is_dlts else _typed(cause), *getattr(cause, "__notes__", ())])
        return _in_words(f"resource {name}", words, _LINES_OF_USERS)
    if job := next(filter(None, map(_job_of, links)), None):
        # while rows become Parquet, dlt may name the job of another table
        table = _table_of(job)
        place = misfit_in_extracted(pipeline) or ("" if table.startswith("_dlt_") else table)
        return _in_words(place, f"cannot be written: {root}")
    words = str(root) if isinstance(root, DltException) else _typed(root)
    return _in_words("", words, _LINES_OF_USERS)


def failed_jobs(info: LoadInfo) -> list[Failure]:
    """Return why jobs of a load have failed for which dlt has raised no error."""
    # the pipeline of a trace has no schemas
    pipeline: Any = info.pipeline if hasattr(info.pipeline, "schemas") else None
    return [
        job_failure(job.job_file_info.job_id(), str(job.failed_message), pipeline, package.load_id)
        for package in info.load_packages
        for job in package.jobs["failed_jobs"]
    ]


def job_failure(
    job: str, message: str, pipeline: dlt.Pipeline | None = None, load_id: str = ""
) -> Failure:
    """Return why a job has failed.

    Args:
        job: The name of its file, or its id.
        message: dlt's message: the text of the destination, or a traceback that holds it.
        pipeline: Its pipeline, whose schema and files show the column.
        load_id: Its package.
    """
    table = _table_of(job)
    said = _SAID.findall(message) if message.startswith("Traceback") else ()
    # SQLAlchemy adds the statement with all its rows
    lines = (said[-1] if said else message).partition("\n[SQL:")[0].splitlines()
    words = [line.strip() for line in lines if not _EXCERPT.match(line)] or [message]
    text = "\n".join(words)
    cast = next(filter(None, (pattern.search(text) for pattern in _CASTS)), None)
    column = _column(job, text, cast and cast["value"], pipeline, load_id)
    place = f"{table}.{column}" if column else table
    if cast:
        cause = f"cannot cast {_cut(cast['value'], 60)} to {cast['type']}"
        return Failure(place, f"job failed: {cause}", tuple(map(_cut, words[:1])))
    return _in_words(place, f"job failed: {text}")


def _column(
    job: str,
    text: str,
    value: str | None,
    pipeline: dlt.Pipeline | None,
    load_id: str,
) -> str | None:
    """Return the column that a destination's message is about; None if it names none."""
    columns = columns_of(pipeline, _table_of(job))
    named = [name for p in _NAMED for name in p.findall(text) if name in columns]
    if named:
        return str(named[0])
    sizes = [[int(n) for n in sizes if n] for sizes in _SIZES.findall(text)]
    fitting = [
        name
        for name, column in columns.items()
        if any([column.get("precision"), column.get("scale") or 0] == [*s, 0][:2] for s in sizes)
    ]
    if len(fitting) == 1 or not columns:
        return fitting[0] if fitting else None
    if re.search("unique|primary key|duplicate", text, re.IGNORECASE):
        unique = [n for n, hints in columns.items() if hints.get("unique") and n != "_dlt_id"]
        return unique[0] if len(unique) == 1 else None
    for row in rows_of_job(pipeline, load_id, job) if pipeline is not None else ():
        if value is None:
            found = [n for n, cell in row.items() if not fits(number_of(cell), columns.get(n, {}))]
        else:
            found = [name for name, cell in row.items() if str(cell) == value]
        if len(likely := [name for name in found if name in fitting] or found) == 1:
            return str(likely[0])
    return None


def _breach(breach: DataValidationError, pipeline: dlt.Pipeline) -> Failure:
    entity, mode = breach.schema_entity, breach.contract_mode
    table, column = breach.table_name, column_of_breach(breach)
    item: Any = breach.data_item
    row: tuple[str, ...] = (f"in {_cut(_without_dlts(item))}",) if item else ()
    if entity == "tables":
        return Failure(table, f"contract on tables is {mode}: no new table", row)
    if entity == "columns" and column and "pydantic" not in str(breach):
        return Failure(f"{table}.{column}", f"contract on columns is {mode}: no new column", row)
    known = _VARIANT.sub("", column or "")
    types = columns_of(pipeline, table).get(known, {})
    if known != column and types.get("data_type"):
        cell = item.get(column) if isinstance(item, Mapping) else None
        row = tuple(line.replace(f"'{column}'", f"'{known}'") for line in row)
        told = f"{_cut(repr(cell), 60)} ({type(cell).__name__})" if cell is not None else "another"
        cause = f"contract on data_type is {mode}: {told} is no {types['data_type']}"
        return Failure(f"{table}.{known}", cause, row)
    place = f"{table}.{column}" if column else str(table)
    said = str(breach).partition("is violated. ")[2]
    return _in_words(place, f"contract on {entity} is {mode}: {said}")


def _of_schema(error: SchemaException) -> Failure:
    text = re.sub(r"^In schema `[^`]*`: ", "", str(error))
    null = re.match(r"Cannot coerce NULL in table `([^`]+)` column `([^`]+)`", text)
    if null:
        return Failure(f"{null[1]}.{null[2]}", "null, and the column is NOT NULL")
    names = [getattr(error, name, None) for name in ("table_name", "column_name")]
    return _in_words(".".join(str(name) for name in names if name), text)


def _unwritable(links: Sequence[BaseException], pipeline: dlt.Pipeline) -> Failure | None:
    """Find the value that dlt cannot write as JSON: a whole number over 64 bits, or an object."""
    root = links[-1]
    if not isinstance(root, TypeError | ValueError | OverflowError):
        return None
    items: Any = None
    file = ""
    for frame in (frame for link in links for frame, _ in traceback.walk_tb(link.__traceback__)):
        file = str(getattr(frame.f_locals.get("self"), "_file_name", None) or file)
        if frame.f_code.co_name == "typed_dumpb":
            items = frame.f_locals.get("obj")
    if not items or not file:
        return None
    naming = naming_of(pipeline)
    for row in items if isinstance(items, list) else [items]:
        for place, value in leaves_of(row, _table_of(Path(file).name), naming):
            if _is_writable(value):
                continue
            if isinstance(value, int):
                said = f"{_cut(repr(value), 60)} is over 64 bits, more than an integer holds"
                return Failure(place, said, (_typed(root),))
            return _in_words(place, f"{_cut(repr(value), 60)} cannot be loaded: {root}")
    return None


def _is_writable(value: Any) -> bool:
    try:
        json.typed_dumpb(value)
    except Exception:  # a value may raise an error of any class
        return False
    return True


def _error_of_job(error: BaseException) -> BaseException | None:
    # the error that aborts a package carries the error of its job
    return getattr(error, "job_exception", None)


def _job_of(error: BaseException) -> str | None:
    job = getattr(error, "job_id", None)
    return job if isinstance(job, str) else None


def _table_of(job: str) -> str:
    # not the whole name or id: one of them lacks the number of the attempt
    return job.partition(".")[0]


def _cause_in(links: Sequence[BaseException]) -> BaseException:
    """Return the error that a resource has raised, and not its cause."""
    for link in links:
        if isinstance(link, ResourceExtractionError):
            return link.__cause__ or link.__context__ or link
    return links[-1]


def _typed(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _in_words(place: str, text: str, most: int = _DETAILS) -> Failure:
    first, *more = [line.rstrip() for line in text.strip().splitlines() if line.strip()] or [""]
    left = [f"and {len(more) - most} more lines"] if len(more) > most else []
    return Failure(place, _cut(first), (*map(_cut, more[:most]), *left))


def _without_dlts(item: Any) -> str:
    if not isinstance(item, Mapping):
        return repr(item)
    return repr({k: v for k, v in item.items() if not str(k).startswith("_dlt_")})


def _cut(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
