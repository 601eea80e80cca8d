"""The tests of contracts with dlt say what each leans on: what to look at when dlt moves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import contracts
import pytest
from contracts import MARK, place_of
from sessions import run_session

CONTRACTS = sorted(Path(__file__).parent.glob("test_dlt_internals*.py"))


def names_of(test: ast.FunctionDef) -> list[str]:
    marks = [
        decorator
        for decorator in test.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(f".{MARK}")
    ]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


@pytest.mark.parametrize("file", CONTRACTS, ids=lambda file: file.stem)
def test_each_contract_names_what_of_dlt_it_leans_on_and_dlt_has_it(file: Path) -> None:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    tests = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]

    assert tests
    for test in tests:
        names = names_of(test)
        assert names, f"{test.name}: mark it with pytest.mark.{MARK}"
        for name in names:
            assert re.fullmatch(r"dlt/[\w/]+\.py:\d+ [\w.]+", place_of(name))


def test_a_broken_contract_tells_where_dlts_code_is(pytester: pytest.Pytester) -> None:
    support = str(Path(contracts.__file__).parent)
    pytester.makeconftest(f"import sys; sys.path.insert(0, {support!r}); from contracts import *")
    pytester.makepyfile(
        f"""
        import dlt
        import pytest

        @pytest.mark.{MARK}("dlt.load.load:Load.complete_package")
        def test_broken():
            assert False
        """
    )

    result = run_session(pytester.path, "-W", "ignore")

    result.stdout.re_match_lines([r".* leans on .*", r"dlt/load/load\.py:\d+ Load\.comp.*"])
