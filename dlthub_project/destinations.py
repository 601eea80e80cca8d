"""Destinations that dlt lacks, and finds here: files with tables in an open format."""

import functools
from importlib.util import find_spec
from typing import Any, ClassVar

from dlt.common.exceptions import MissingDependencyException
from dlt.destinations import filesystem

__all__ = ["delta", "iceberg"]


class _OpenTables(filesystem):
    """A filesystem destination whose tables have an open format, unless they name another one.

    dlt writes the tables, with a package of its own for each format.
    """

    _format: ClassVar[str]
    _package: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of `dlt.destinations.filesystem`.

        Raises:
            MissingDependencyException: The package that dlt writes the format with is missing.
        """
        if find_spec(self._package) is None:
            raise MissingDependencyException(
                f"destination type `{self._format}`", [f"dlt[{self._package}]"]
            )
        super().__init__(*args, **{"preferred_table_format": self._format, **kwargs})


# dlt reads the arguments of a destination from this signature
functools.update_wrapper(_OpenTables.__init__, filesystem.__init__)


class delta(_OpenTables):  # noqa: N801  # as destinations of dlt are called
    """A filesystem destination of Delta tables."""

    _format = "delta"
    _package = "deltalake"


class iceberg(_OpenTables):  # noqa: N801  # as destinations of dlt are called
    """A filesystem destination of Iceberg tables."""

    _format = "iceberg"
    _package = "pyiceberg"
