"""What the runtime itself tells has no secrets: errors, explanations, places, traces, logs."""

from __future__ import annotations

import builtins
import io
import logging
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project import ProjectError, current, ensure_project
from dlthub_project.errors import ManifestError, RemoteDestinationBlocked
from dlthub_project.secrets import KNOWN, hidden_in_errors, public_url

WriteProject = Callable[..., Path]

MANIFEST = """
sources:
  s: {type: shop.s, pin: of-the-manifest-vkjw, colour: light-blue}
destinations:
  warehouse: {type: duckdb}
pipelines:
  load:
    source: s
    destination: warehouse
    dataset_name: data
    run_config: {store_trace_info: true}
"""
SOURCE = """
import dlt

@dlt.source
def s(pin: str = dlt.secrets.value, badge: str = dlt.secrets.value, colour: str = "red"):
    @dlt.resource
    def rows():
        yield {"id": 1}
        raise RuntimeError(f"sent {pin} and {badge[:20]}")
    return rows
"""
BADGE = "of-the-environment-qwzx-and-more"


@pytest.fixture
def project(write_project: WriteProject, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOURCES__S__BADGE", BADGE)
    return write_project(MANIFEST, {"sources/shop.py": SOURCE})


def test_an_explanation_hides_what_the_source_declares_as_a_secret(project: Path) -> None:
    told = ensure_project().project.explain

    assert "vkjw" not in str(told("sources.s.pin"))
    assert "qwzx" not in str(told("sources.s.badge"))
    # also of a whole section
    assert "vkjw" not in str(told("sources.s"))
    assert "light-blue" in str(told("sources.s.colour"))


def test_the_error_the_trace_and_the_logs_of_a_run_hide_its_secrets(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_project()
    written = io.StringIO()
    for handler in logging.getLogger("shop").handlers:
        monkeypatch.setattr(handler, "stream", written)

    class Talks:
        def after_extract(self, *_: Any) -> None:
            raise ValueError(f"told {dlt.secrets['sources.s.pin']}")

        before_extract = after_extract

    with pytest.raises(Exception, match=r"sent \*\*\* and \*\*\*") as raised:
        current.runner().run_pipeline("load", observers=[Talks()])

    error = raised.value
    assert isinstance(error, PipelineStepFailed)
    kept = Path(error.pipeline.working_dir, "trace.pickle").read_bytes()
    told = (
        "".join(traceback.format_exception(error)),
        repr(error),
        str(error.args),
        str(pickle.dumps(error)),
        str(kept),
        str(getattr(error.pipeline.last_trace, "steps", None)),
    )
    # the same error, as code expects it
    assert isinstance(error.__context__, ResourceExtractionError)
    for text in told:
        assert "***" in text
        assert "vkjw" not in text
        assert "qwzx" not in text

    logged = written.getvalue()
    assert "observer Talks failed" in logged
    stored = dlt.attach("_trace_load", destination="warehouse").dataset()
    traces = {name: stored[name].fetchall() for name in stored.schema.data_table_names()}
    for text in (logged, str(traces)):
        assert "***" in text
        assert "vkjw" not in text
        assert "qwzx" not in text


def test_errors_hide_what_is_known_and_what_has_a_name(
    write_project: WriteProject,
) -> None:
    KNOWN.learn("4711-pass", is_secret=True)

    assert str(ProjectError("it is 4711-pass", "not 4711-pass")) == "it is ***\nnot ***"
    assert str(RemoteDestinationBlocked("it is 4711-pass", "no")) == "it is ***\nno"
    error = pickle.loads(pickle.dumps(ProjectError("it is 4711-pass")))
    assert "4711" not in "".join(traceback.format_exception(error))
    write_project(
        """
        sources:
          a: {type: [1], pat: pat-4711}
          b: {type: [1], license_key: key-4711}
          c: {type: [1], conn_str: "Server=x;Uid=ada;Pwd=pwd-4711"}
        """
    )
    with pytest.raises(ManifestError) as raised:
        ensure_project()
    assert str(raised.value).count("must be a text") == 3
    assert "4711" not in str(raised.value)


def test_errors_of_all_kinds_are_raised_without_secrets() -> None:
    KNOWN.learn("4711-pass", is_secret=True)

    class Refused(Exception):
        def __init__(self, token: str) -> None:
            super().__init__()
            self.sent = {"headers": [token]}

        def __str__(self) -> str:
            return f"refused {self.sent}"

    class Unchanging(Exception):
        __slots__ = ("_token",)

        def __init__(self, token: str) -> None:
            object.__setattr__(self, "_token", token)

        def __str__(self) -> str:
            return f"refused {self._token}"

        def __setattr__(self, *_: object) -> None:
            raise TypeError

    noted = ValueError("a")
    if sys.version_info >= (3, 11):
        noted.add_note("4711-pass")
    errors: list[BaseException] = [
        KeyError("4711-pass"),
        OSError(2, "no such 4711-pass", "/keys/4711-pass"),
        SystemExit("4711-pass"),
        Refused("4711-pass"),
        noted,
    ]
    # from Python 3.11 on
    group: Any = getattr(builtins, "ExceptionGroup", None)
    if group is not None:
        errors.append(group("of 2", [ValueError("4711-pass")]))
    causes: list[BaseException] = [Unchanging("4711-pass")]
    if group is not None:
        causes.append(group("4711-pass", [ValueError("4711-pass")]))
    for cause in causes:
        error = RuntimeError("4711-pass")
        error.__cause__ = cause
        errors.append(error)

    for error in errors:
        kind = type(error)
        with pytest.raises(kind) as raised, hidden_in_errors():
            raise error
        assert raised.value is error
        assert "4711-pass" not in "".join(traceback.format_exception(error))
        assert "4711-pass" not in repr(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("snowflake://u:p/w@acc/db", "snowflake://***@acc/db"),
        ("az://box@acc.invalid/x?sv=1&sig=4711", "az://box@acc.invalid/x"),
    ],
)
def test_a_place_is_told_without_its_password(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_catalog_hides_a_secret_that_is_part_of_a_place(write_project: WriteProject) -> None:
    write_project(
        """
        destinations:
          lake: {type: filesystem, bucket_url: "s3://bucket/of-4711-secrets"}
        datasets: {data: {destination: [lake]}}
        """
    )
    ensure_project()
    KNOWN.learn("of-4711-secrets", is_secret=True)

    assert "s3://bucket/***" in str(current.catalog())
