"""The environment after a sandbox is the one from before, however it was changed."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import dlt
import pytest
from dlt.common.runtime import anon_tracker

from dlthub_project.sandbox import isolated, speed

if TYPE_CHECKING:
    from conftest import MakeSandbox


@pytest.mark.parametrize("speed_is", ["on", "off"])
def test_each_kind_of_change_is_undone(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, speed_is: str
) -> None:
    monkeypatch.setenv(speed.ENVIRONMENT_VARIABLE, speed_is)
    for name in ("CHANGED", "DELETED", "EMPTIED", "ÜNICODE", "CLEARED"):
        monkeypatch.setenv(name, "before")
    environ, before = os.environ, dict(os.environ)

    with isolated(make_sandbox("one")):
        os.environ["CHANGED"] = "in the test"
        os.environ["EMPTIED"] = ""
        os.environ["ÜNICODE"] = "ö"
        os.environ["ADDED"] = "new"
        del os.environ["DELETED"]
    assert dict(os.environ) == before

    with isolated(make_sandbox("two")):
        os.environ.clear()
    assert dict(os.environ) == before

    with isolated(make_sandbox("three")):
        monkeypatch.setattr(os, "environ", {"OTHER": "object"})
    assert os.environ is environ
    assert dict(os.environ) == before

    # what a child inherits is what C has
    with isolated(make_sandbox("four")):
        os.environ.clear()
    with os.popen("printenv CHANGED DELETED CLEARED; printenv ADDED || echo none") as child:
        assert child.read().split() == ["before", "before", "before", "none"]


def test_telemetry_that_code_outside_has_started_sends_nothing_of_a_test(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    pool = SimpleNamespace(thread_pool=SimpleNamespace(submit=sent.append))
    monkeypatch.setattr(anon_tracker, "_ANON_TRACKER_ENDPOINT", "https://telemetry.invalid")
    monkeypatch.setattr(anon_tracker, "_THREAD_POOL", pool)

    with isolated(make_sandbox()):
        dlt.pipeline("shop", destination="duckdb").run([{"id": 1}], table_name="orders")
        with isolated(make_sandbox("inner")):
            anon_tracker.track("pipeline", "run", {})
    assert sent == []

    # and outside it goes on
    anon_tracker.track("pipeline", "run", {})
    assert len(sent) == 1
