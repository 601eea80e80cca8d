"""One file of a recording: JSONL with blank lines between pages, or Parquet with row groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlthub_project.dlt_internals import seams
from dlthub_project.dlt_internals.seams import Mark
from dlthub_project.errors import ProjectError
from dlthub_project.recordings.typed_values import from_json, from_line, to_json, to_line

PAGES, ITEMS = "pages", "items"
FRAMES = ("arrow", "pandas", "polars")
_EMPTY = "[]"


@dataclass
class Pages:
    """What a function has yielded, ready to be written.

    Attributes:
        yields: The kind of the pages; see `RecordedResource`.
        lines: The lines of each page.
        tables: The Arrow tables, all of one schema.
    """

    yields: str
    lines: list[list[str]] = field(default_factory=list)
    tables: list[Any] = field(default_factory=list)

    @property
    def ending(self) -> str:
        """The ending of the file's name."""
        return ".parquet" if self.yields in FRAMES else ".jsonl"

    def write(self, path: Path) -> None:
        """Write the file."""
        if self.yields in FRAMES:
            _write_tables(path, self.tables)
            return
        between = "\n" if self.yields == PAGES else ""
        text = between.join("".join(f"{line}\n" for line in page) for page in self.lines)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))


def line_of(item: Any, mark: Mark | None, *, is_plain: bool) -> str:
    """Return the line of an item that stands alone, with what `dlt.mark` has set on it.

    Raises:
        NotRecordable: It, or a hint, is of a type that no recording holds.
    """
    if mark is None:
        return to_line(item, is_plain=is_plain)
    told: dict[str, Any] = {"$item": to_json(item)}
    if mark.hints is None:
        told["$table"] = mark.table
    else:
        hints = {name: value for name, value in mark.hints.items() if value is not None}
        told["$hints"] = to_json(hints)
        told["$of_table"] = mark.is_variant
    return to_line(told, is_plain=True)


def kind_of_table(item: Any) -> str | None:
    """Return which of `FRAMES` an item is; None for rows."""
    module = type(item).__module__.partition(".")[0]
    if module in ("pandas", "polars") and hasattr(item, "columns"):
        return module
    return "arrow" if hasattr(item, "__arrow_c_stream__") or hasattr(item, "num_rows") else None


def as_table(item: Any) -> Any:
    """Return a frame, a batch or a table of Arrow as such a table."""
    import pyarrow as pa

    kind = kind_of_table(item)
    if kind == "pandas":
        return pa.Table.from_pandas(item, preserve_index=False)
    if kind == "polars":
        return item.to_arrow()
    return pa.Table.from_batches([item]) if isinstance(item, pa.RecordBatch) else item


def tables_by_schema(kind: str, tables: list[Any]) -> list[Pages]:
    """Return the pages for files: one for each run of tables with one schema.

    Args:
        kind: Which of `FRAMES` they were.
        tables: The Arrow tables.
    """
    found: list[Pages] = []
    for table in tables:
        # libraries of frames guess the types of each page anew
        if not found or not found[-1].tables[-1].schema.equals(table.schema, True):
            found.append(Pages(kind))
        found[-1].tables.append(table)
    return found


def read_pages(path: Path, yields: str) -> Iterator[Any]:
    """Yield what a file holds.

    Args:
        path: The file.
        yields: The kind of the pages.

    Raises:
        ProjectError: The file is missing or broken.
    """
    if not path.is_file():
        raise ProjectError(f"There is no file {path} of the recording.", "Record it again.")
    if path.suffix == ".parquet":
        yield from _read_tables(path, yields)
        return
    page: list[Any] = []
    # not `splitlines`: a text may hold line separators of Unicode
    lines = path.read_bytes().decode("utf-8", "surrogatepass").split("\n")
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            if page:
                yield page
                page = []
            continue
        try:
            item = _item_of(text)
        except (ValueError, TypeError, ArithmeticError, KeyError) as error:
            raise ProjectError(f"{path}:{number}: the line is no row: {error}") from error
        if yields == PAGES and text != _EMPTY:
            page.append(item)
        else:
            yield item
    if page:
        yield page


def _item_of(line: str) -> Any:
    if not line.startswith('{"$'):
        return from_line(line)
    import json

    told = json.loads(line)
    if "$item" not in told:
        return from_json(told)
    mark = Mark(told.get("$table"), from_json(told.get("$hints")), bool(told.get("$of_table")))
    return seams.marked(from_json(told["$item"]), mark)


def _write_tables(path: Path, tables: list[Any]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            # one row group for each page, so that a reader finds its end
            writer.write_table(table, row_group_size=max(table.num_rows, 1))


def _read_tables(path: Path, kind: str) -> Iterator[Any]:
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = range(file.num_row_groups)
            tables = [file.read_row_group(n) for n in groups]
            tables = tables or [file.schema_arrow.empty_table()]
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} is no Parquet file: {error}", "Record it again.") from error
    for table in tables:
        if kind == "pandas":
            yield table.to_pandas()
        elif kind == "polars":
            import polars

            yield polars.from_arrow(table)
        else:
            yield table
