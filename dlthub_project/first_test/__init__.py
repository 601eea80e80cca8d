"""Writes the first test of a pipeline from a limited run of it."""

from dlthub_project.first_test.writing import Written, write_first_test

__all__ = ["Written", "write_first_test"]
