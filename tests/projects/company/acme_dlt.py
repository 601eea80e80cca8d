"""A company's plugin: a real database in place of DuckDB, and a check after every run."""

import os

# here a testcontainers PostgreSQL would be started
SERVER = os.environ["ACME_POSTGRES"]


def pytest_configure(config):
    config.addinivalue_line("dlt_allow_remote", SERVER)


def pytest_dlt_replace_destination(declared_type):
    return SERVER if declared_type != "filesystem" else None


def pytest_dlt_run_finished(run):
    for table in run.tables:
        assert "id" in run.columns(table), f"{table}: every table of ours has an id"
