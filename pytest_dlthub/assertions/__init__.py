"""What tests compare: rows of relations."""

from pytest_dlthub.assertions.rows import table_rows

__all__ = ["table_rows"]
