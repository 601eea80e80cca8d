"""What touches dlt's private parts: a module for each part of dlt, a function for each need.

Import a module, `from dlthub_project.dlt_internals import pipelines`. When dlt moves, these files
and their contract tests (`tests/test_dlt_internals*.py`) say so.
"""
