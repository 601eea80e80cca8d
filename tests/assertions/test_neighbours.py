"""Libraries that write, keep or roughly describe values work with what runs give."""

from __future__ import annotations

import pytest
from dirty_equals import Contains, IsDict, IsList, IsPartialDict, IsPositive, IsStr
from neighbours import without_neighbours
from sessions import run_session

from pytest_dlthub import Rows
from pytest_dlthub.pipeline_run import RowCounts

ROWS = Rows([{"id": 1, "name": "tea", "price": 4.5}, {"id": 2, "name": "mug", "price": 8.0}])

SUITE = """
from dirty_equals import IsPositive
from inline_snapshot import snapshot
from pytest_dlthub import Rows
from pytest_dlthub.pipeline_run import RowCounts

ROWS = Rows([{"id": 1, "n": 7}, {"id": 2, "n": 8}])
TUPLES = Rows([(1, 7), (2, 8)], names=["id", "n"])

def test_it():
    assert RowCounts({"orders": 2}) == snapshot(COUNTS)
    assert ROWS == snapshot(ROWS_HERE)
    assert TUPLES == snapshot(TUPLES_HERE)
"""


def test_matchers_stand_for_cells_rows_and_counts() -> None:
    rows, counts = ROWS, RowCounts({"orders": 2, "lines": 7})

    assert rows == [
        {"id": 2, "name": IsStr, "price": pytest.approx(8)},
        {"id": IsPositive, "name": IsStr(regex="t.a"), "price": IsPositive},
    ]
    assert rows == [IsPartialDict(id=2), IsDict(rows[0])]
    assert rows == IsList(rows[1], rows[0], check_order=False)
    assert rows == Contains(rows[1])
    assert rows != [{"id": 2, "name": IsStr, "price": IsPositive}, IsPartialDict(id=2)]
    assert counts == {"orders": IsPositive, "lines": pytest.approx(7)}
    assert counts == pytest.approx({"orders": 2, "lines": 7.0})
    assert counts != {"orders": IsPositive}


def test_inline_snapshots_write_and_mend_themselves(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("inline_snapshot",)))
    # that of the session around
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    parts = ("COUNTS", "ROWS_HERE", "TUPLES_HERE")

    def written(mode: str, *values: str) -> list[str]:
        text = SUITE
        for part, value in zip(parts, values, strict=True):
            text = text.replace(f"snapshot({part})", f"snapshot({value})")
        pytester.makepyfile(test_it=text)
        arguments = ("-p", "no:cacheprovider", f"--inline-snapshot={mode}")
        result = run_session(pytester.path, *arguments)
        if mode == "disable":
            return [line for line in result.outlines if line.startswith("E  ")]
        lines = (pytester.path / "test_it.py").read_text().splitlines()
        found = [line for line in lines if "snapshot(" in line]
        return [line.partition("snapshot(")[2][:-1].replace("'", '"') for line in found]

    rows, tuples = '[{"id": 1, "n": 7}, {"id": 2, "n": 8}]', "[(1, 7), (2, 8)]"
    assert written("create", "", "", "") == ['{"orders": 2}', rows, tuples]
    # what is equal in another order is as it should be, and so is what a matcher stands for
    same = '[{"id": 2, "n": 8}, {"id": 1, "n": IsPositive}]'
    assert written("fix", '{"orders": 3}', same, "[(2, 8), (1, 9)]") == [
        '{"orders": 2}',
        same,
        tuples,
    ]
    assert written("disable", '{"orders": 2}', rows.replace("8", "9"), tuples)[:2] == [
        "E       assert 1 row differs",
        "E         id=2: n 8 != 9",
    ]


def test_syrupy_keeps_rows_in_the_order_that_is_always_the_same(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", without_neighbours(but=("syrupy",)))
    pytester.makepyfile(
        test_it="""
        from syrupy.filters import props
        from pytest_dlthub import Rows
        from pytest_dlthub.pipeline_run import RowCounts

        def test_it(snapshot):
            assert Rows([{"id": 1, "n": 7}]) == snapshot(exclude=props("n"))
            assert RowCounts({"orders": 2}) == snapshot
            assert Rows([(1, 7)], names=["id", "n"]) == snapshot
        """
    )

    run_session(pytester.path, "--snapshot-update").assert_outcomes(passed=1)
    run_session(pytester.path).assert_outcomes(passed=1)

    kept = (pytester.path / "__snapshots__" / "test_it.ambr").read_text()
    assert "'id': 1" in kept
    assert "'n': 7" not in kept
    file = pytester.path / "test_it.py"
    file.write_text(file.read_text().replace('"id": 1', '"id": 2'))
    run_session(pytester.path, "-p", "no:cacheprovider").assert_outcomes(failed=1)
