"""Found as `dlthub.destinations`."""

from dlthub_project.destinations import delta, iceberg

__all__ = ["delta", "iceberg"]
