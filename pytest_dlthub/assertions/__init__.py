"""What tests compare: rows of relations."""

from pytest_dlthub.assertions.equality import Rows
from pytest_dlthub.assertions.tables import table_rows

__all__ = ["Rows", "table_rows"]
