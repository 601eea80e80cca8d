"""Stand-ins of the same type and form: for values that look personal, and for secrets."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from dlthub_project.first_test.literals import is_table, literal, plain
from dlthub_project.recordings import looks_personal, stand_in
from dlthub_project.secrets import KNOWN, is_secret_name, looks_secret


class StandIns:
    """Replaces what a test must not hold. One value always has one stand-in, so that keys fit.

    Attributes:
        replaced: The columns of which a value was replaced; `.` parts those of nested values.
        keeps_values: Whether values that look personal stay.
    """

    def __init__(self, *, keep_values: bool = False) -> None:
        """Start with none.

        Args:
            keep_values: Whether values that look personal stay; secrets never do.
        """
        self.replaced: dict[str, None] = {}
        self.keeps_values = keep_values
        self._made: dict[tuple[type, Any], Any] = {}

    def of_item(self, item: Any) -> Any:
        """Return a row, a page, a frame or an Arrow table with stand-ins."""
        return self._of(item, ())

    def lets_show(self, column: str, code: str, given: str) -> bool:
        """Tell whether a test may show a loaded value, which code of the project may have added.

        Args:
            column: Its column.
            code: Its code, as `literal` returns it.
            given: The code of what is given: the test shows it anyway.
        """
        try:
            value = ast.literal_eval(code)
        except ValueError:
            # a value of another type, such as a date, looks personal by its column alone
            value = code
        if value is None or not self._is_replaced(value, (column,)):
            return True
        if isinstance(value, str) and code in given:
            return True
        return code in {literal(made) for made in self._made.values()}

    def _of(self, value: Any, path: tuple[str, ...]) -> Any:
        value = plain(value)
        if is_table(value):
            return self._of_table(value)
        if isinstance(value, Mapping):
            return {key: self._of(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self._of(item, path) for item in value)
        if value is None or not self._is_replaced(value, path):
            return value
        self.replaced[".".join(path) or "value"] = None
        return self._stand_in(value, path[-1] if path else "value")

    def _is_replaced(self, value: Any, path: tuple[str, ...]) -> bool:
        if is_secret_value(path, value):
            return True
        if self.keeps_values:
            return False
        return looks_personal(path, value)

    def _stand_in(self, value: Any, column: str) -> Any:
        key = type(value), repr(value)
        if key not in self._made:
            self._made[key] = stand_in(value, column, len(self._made) + 1)
        return self._made[key]

    def _of_table(self, table: Any) -> Any:
        import pyarrow as pa

        module = type(table).__module__.partition(".")[0]
        if module == "polars":
            import polars as pl

            return pl.from_arrow(self._of_table(table.to_arrow()))
        if module == "pandas":
            return self._of_table(pa.Table.from_pandas(table, preserve_index=False)).to_pandas()
        rows = [self._of(row, ()) for row in table.to_pylist()]
        return type(table).from_pylist(rows, schema=table.schema)


def is_secret_value(path: Sequence[str], value: Any) -> bool:
    """Tell whether a test must not show the value at a path."""
    # a switch is no secret
    if is_secret_name(path) and not isinstance(value, bool):
        return True
    return isinstance(value, str) and (looks_secret(value) or KNOWN.masked(value) != value)
