"""The files that dlt keeps of runs: rows of loads, to find one that does not fit, and traces."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import dlt
from dlt.common.json import json
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.common.storages import FileStorage
from dlt.common.storages.load_package import JOB_EXCEPTION_EXTENSION
from dlt.pipeline.trace import TRACE_FILE_NAME, load_trace, save_trace

from dlthub_project.dlt_internals import pipelines

TRACE_FILE = TRACE_FILE_NAME
"""The file that a pipeline keeps the trace of its last run in."""

_ROWS = 100_000
_CELL = re.compile(r"E?'(?:[^'\\]|\\.|'')*'|[^,()\s]+(?:\([^)]*\))?")


def number_of(cell: Any) -> Any:
    """Return a cell of an SQL file as a whole number, if it is one; other cells as they are."""
    is_whole = isinstance(cell, str) and re.fullmatch(r"-?\d{1,80}", cell)
    return int(cell) if is_whole else cell


def columns_of(pipeline: dlt.Pipeline | None, table: str) -> Mapping[str, Any]:
    """Return the columns of a table in the schemas of a pipeline; none if it is in no schema."""
    schemas = pipeline.schemas.values() if pipeline is not None else ()
    return next((s.tables[table]["columns"] for s in schemas if table in s.tables), {})


def rows_of_job(pipeline: dlt.Pipeline, load_id: str, job: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a job's file; nothing for a file in an unknown format."""
    # by table and id of the file; the rest of its name changes with each attempt
    name = ".".join(job.split(".")[:2])
    for path in Path(pipeline.working_dir, "load").glob(f"*/{load_id}/*/{name}.*"):
        if path.is_file() and not path.name.endswith(JOB_EXCEPTION_EXTENSION):
            yield from islice(_rows_of_file(path), _ROWS)
            return


def _rows_of_file(path: Path) -> Iterator[Mapping[str, Any]]:
    if ".parquet" in path.name:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
        return
    with FileStorage.open_zipsafe_ro(str(path), "rb") as lines:
        names: list[str] = []
        for line in lines:
            text = line.decode("utf-8", errors="replace").strip()
            if ".jsonl" in path.name:
                yield json.loads(text)
            elif text.startswith("INSERT INTO"):
                names = re.findall(r'"([^"]+)"', text)
            elif names and text.startswith("("):
                cells = [_literal(cell) for cell in _CELL.findall(text.rstrip(",;")[1:-1])]
                if len(cells) == len(names):
                    yield dict(zip(names, cells, strict=True))


def _literal(cell: str) -> str:
    return cell.removeprefix("E")[1:-1] if cell.endswith("'") else cell


def naming_of(pipeline: dlt.Pipeline) -> NamingConvention:
    """Return the naming convention of a pipeline's first schema; a first run may have none yet."""
    return next(iter(pipeline.schemas.values()), dlt.Schema("any")).naming


def leaves_of(row: Any, table: str, naming: NamingConvention) -> Iterator[tuple[str, Any]]:
    """Yield the values of a row, also of nested ones, each with `table.column`."""

    def named(*path: str) -> str:
        return naming.make_path(*map(naming.normalize_identifier, path))

    def of(value: Any, path: tuple[str, ...], inner: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for name, part in value.items():
                yield from of(part, (*path, str(name)), inner)
        elif isinstance(value, list):
            nested = f"{inner}__{named(*path)}" if path else inner
            for part in value:
                yield from of(part, () if isinstance(part, Mapping | list) else ("value",), nested)
        else:
            yield f"{inner}.{named(*path)}" if path else inner, value

    return of(row, (), table)


def misfit_in_extracted(pipeline: dlt.Pipeline) -> str | None:
    """Return the first column with an extracted value that does not fit its type."""
    # dlt reads a schema from its file each time
    naming, columns = naming_of(pipeline), functools.cache(functools.partial(columns_of, pipeline))
    for path, table, _schema in pipelines.extracted_files(pipeline):
        for row in islice(pipelines.extracted_rows(path), _ROWS):
            for place, value in leaves_of(row, table, naming):
                inner, _, column = place.rpartition(".")
                if not fits(value, columns(inner).get(column, {})):
                    return place
    return None


def fits(value: Any, hints: Mapping[str, Any]) -> bool:
    """Tell whether a number fits a column: a decimal its precision, a whole number 64 bits."""
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return True
    precision = hints.get("precision")
    if hints.get("data_type") == "decimal" and precision:
        number = Decimal(str(value))
        return not number.is_finite() or number.adjusted() < precision - (hints.get("scale") or 0)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def rewrite_trace(file: Path, rewritten: Callable[[Any], Any]) -> None:
    """Write a pipeline's trace again. dlt#1687: it has the secrets that dlt has looked up.

    Args:
        file: The file; one that cannot be read is deleted.
        rewritten: Returns the content to keep, of a tuple of texts and nested lists.
    """
    trace = load_trace(str(file.parent))
    file.unlink()
    if trace is not None:
        kept = rewritten(trace)
        for schema in _schemas_in(kept):
            # dlt removes these from a schema that it pickles: an unpickled schema lacks them
            for name in ("naming", "data_item_normalizer"):
                vars(schema).setdefault(name, None)
        save_trace(str(file.parent), kept)


def _schemas_in(value: Any) -> Iterator[Schema]:
    if isinstance(value, Schema):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _schemas_in(part)


def rewrite_last_trace(pipeline: dlt.Pipeline, rewritten: Callable[[Any], Any]) -> None:
    """Rewrite the trace of the run that has just ended, in memory and in its file."""
    trace = pipeline._last_trace
    if trace is None or (kept := rewritten(trace)) == trace:
        return
    pipeline._last_trace = kept
    file = Path(pipeline.working_dir, TRACE_FILE)
    if file.is_file():
        rewrite_trace(file, rewritten)
