"""Writes a test of a pipeline, tries it, and puts it where it belongs."""

from __future__ import annotations

import ast
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dlthub_project.context import PROFILE_VARIABLE
from dlthub_project.errors import ProjectError
from dlthub_project.first_test.later_run import (
    TWICE,
    Described,
    code_of_cursors,
    code_of_test,
    needs_second_run,
)
from dlthub_project.first_test.literals import Code, imports_of, literal
from dlthub_project.first_test.made_up_values import StandIns
from dlthub_project.first_test.recorded_rows import RecordedRows
from dlthub_project.first_test.recording import Recorded, record
from dlthub_project.sandbox import ENVIRONMENT_VARIABLE
from dlthub_project.secrets import KNOWN

if TYPE_CHECKING:
    from dlthub_project.entities import DltEntityFactory

# the hints of a database's columns that decide how rows are loaded
_HINTS = ("data_type", "nullable", "precision", "scale", "timezone", "primary_key", "merge_key")
_WIDTH_OF_COLUMNS = 60
# no resource can have this name
_FIRST, _SECOND = "first run", "second run"
_RUN_TWICE, _RUN_AGAIN = "each row twice, and a second run", "a second run"
# variables of this process that would choose profile and sandbox of the tests
_NOT_FOR_TESTS = (PROFILE_VARIABLE, ENVIRONMENT_VARIABLE)


@dataclass(frozen=True)
class Written:
    """A test that was written, and passed.

    Attributes:
        path: The file.
        row_counts: The rows of each table that it expects.
        replaced: The columns whose values are made up.
        left_out: The columns whose values it does not compare, as `table.column`.
    """

    path: Path
    row_counts: Mapping[str, int]
    replaced: Sequence[str]
    left_out: Sequence[str]


def write_first_test(
    entities: DltEntityFactory,
    pipeline: str,
    path: Path,
    *,
    rows: int,
    limit: int,
    names: Sequence[str] | None = None,
    keep_values: bool = False,
    in_files: bool = False,
    run_tests: Callable[[Path, Path], str] | None = None,
) -> Written:
    """Record a limited run, write a test that repeats it without network, and run the test.

    Args:
        entities: The entities of the project.
        pipeline: The pipeline.
        path: The file of the test; an existing one is replaced.
        rows: The number of rows of each resource at most.
        limit: The number of pages that each resource yields at most.
        names: The resources; None for all that the sources select.
        keep_values: Whether values that look personal stay.
        in_files: Whether the rows stand in the files of a recording beside the test.
        run_tests: Runs a file of tests in a folder, and returns why it fails, or nothing; None for
            pytest in a process of its own.

    Raises:
        EntityNotFound: There is no such pipeline, source or resource.
        PipelineStepFailed: A source failed.
        ProjectError: What was recorded cannot be written as code, or the test does not pass.
    """
    folder = Path(entities.project.project_dir).resolve()
    if folder not in path.resolve().parents:
        # a test outside of the project is run from where the command is called
        folder = Path.cwd()
    recorded = record(entities, pipeline, rows=rows, limit=limit, names=names)
    stand_ins = StandIns(keep_values=keep_values)
    items, made_up = {}, {}
    for resource in recorded:
        stand_ins.replaced = {}
        items[resource.name] = _code_of_items(resource, stand_ins)
        made_up[resource.name] = stand_ins.replaced
    trial = _Trial(folder, path, run_tests or _run_pytest)
    if not in_files:
        return _written(trial, pipeline, recorded, items, made_up, stand_ins)
    kept = RecordedRows(path, pipeline)
    is_written = False
    try:
        files = kept.write(recorded, stand_ins)
        written = _written(trial, pipeline, recorded, items, made_up, stand_ins, files)
        is_written = True
    finally:
        if not is_written:
            kept.discard()
    return written


def _written(
    trial: _Trial,
    pipeline: str,
    recorded: Sequence[Recorded],
    shown: Mapping[str, list[Any]],
    made_up: Mapping[str, Collection[str]],
    stand_ins: StandIns,
    files: Mapping[str, str] | None = None,
) -> Written:
    """Write the test.

    Args:
        trial: Runs tests.
        pipeline: The pipeline.
        recorded: What was recorded.
        shown: What is given, with stand-ins, as code.
        made_up: The columns with stand-ins, by resource.
        stand_ins: The object that has made the stand-ins.
        files: The files that hold the rows, by resource; None if the test itself holds them.
    """
    items: Mapping[str, Any] = shown if files is None else files
    given = _given(recorded, items, _needing_more(trial, pipeline, recorded, items))
    replaced = list(dict.fromkeys(column for name in given.names for column in made_up[name]))
    trials = {_FIRST: given, _SECOND: given, _RUN_AGAIN: replace(given, describer="describe_two")}
    if files is None:
        twice = given.arguments.replace("GIVEN", TWICE, 1)
        trials[_RUN_TWICE] = replace(trials[_RUN_AGAIN], arguments=twice)
    found, failure = trial.runs(pipeline, trials)
    if _FIRST in found and _SECOND in found:
        if not found[_FIRST]["row_counts"]:
            raise ProjectError(
                f"The limited run of pipeline `{pipeline}` has loaded no rows, so a test of it "
                "would test nothing.",
                "Take more with --rows and --limit, or other --resources.",
            )
        text, left_out = _test(
            pipeline, given, found, replaced, stand_ins.lets_show, literal(shown)
        )
        if _holds_secret(text):
            raise ProjectError(
                f"What pipeline `{pipeline}` loads holds a secret, and a test must not.",
                "Take the secret out of the rows, or leave their resource out with --resources.",
            )
        failure = trial.failure_of(text)
        if not failure:
            trial.write(text)
            return Written(trial.path, found[_FIRST]["row_counts"], replaced, left_out)
    listed = ", ".join(f"`{name}`" for name in replaced)
    raise ProjectError(
        f"Pipeline `{pipeline}` does not run on what was recorded of it, so there is no test.\n"
        f"{failure}",
        f"If it needs the values of {listed}, which are made up: --keep-values."
        if listed and not stand_ins.keeps_values
        else "",
    )


def _needing_more(
    trial: _Trial, pipeline: str, recorded: Sequence[Recorded], items: Mapping[str, Any]
) -> set[str]:
    """Return the transformers that do not run, alone, on what is given to their parents."""
    by_name = {r.name: r for r in recorded}
    alone = {}
    for resource in recorded:
        if resource.parents and resource.is_selected:
            own = [resource, *(by_name[name] for name in resource.parents)]
            parents = {r.name for r in own if r.parents and r is not resource}
            given = _given(own, items, parents)
            name = resource.name.rpartition(".")[2]
            alone[resource.name] = replace(
                given, arguments=f"{given.arguments}, resources=[{literal(name)}]"
            )
    return alone.keys() - trial.runs(pipeline, alone)[0].keys() if alone else set()


@dataclass(frozen=True)
class _Given:
    """The code of the arguments `given=` and `hints=`.

    Attributes:
        rows: The rows that are given.
        hints: The hints; empty if there are none.
        names: The resources that get the rows.
        transformers: Those of them that have a parent.
        arguments: The arguments of a run that give them.
        describer: The function of a trial that runs, and describes what is loaded.
    """

    rows: str
    hints: str
    names: Sequence[str]
    transformers: Sequence[str]
    arguments: str = "given=GIVEN"
    describer: str = "describe"

    @property
    def definitions(self) -> str:
        return f"GIVEN = {self.rows}\n" + (f"\nHINTS = {self.hints}\n" if self.hints else "")


def _code_of_items(recorded: Recorded, stand_ins: StandIns) -> list[Any]:
    """Return what is to be given to a resource, with stand-ins."""
    items: list[Any] = []
    for item in recorded.items:
        value = stand_ins.of_item(item.value)
        if item.table is not None:
            value = Code(f"dlt.mark.with_table_name({literal(value)}, {literal(item.table)})")
        items.append(value)
    return items


def _given(
    recorded: Sequence[Recorded], items: Mapping[str, Any], transformers: Collection[str]
) -> _Given:
    """Return the code that gives to some transformers, and to what all others are made from."""
    run = [r for r in recorded if r.is_selected and r.name not in transformers]
    needed = {name for r in run for name in (r.name, *r.parents) if not r.parents & {*transformers}}
    given = [r for r in recorded if r.name in transformers or (r.name in needed and not r.parents)]
    hints: dict[str, Any] = {}
    for resource in given:
        columns = {
            name: {key: column[key] for key in _HINTS if column.get(key) is not None}
            for name, column in resource.columns.items()
            if not name.startswith("_dlt_")
        }
        if columns:
            hints[resource.name] = {"columns": columns}
    rows = literal({resource.name: items[resource.name] for resource in given})
    arguments = "given=GIVEN, hints=HINTS" if hints else "given=GIVEN"
    names = [resource.name for resource in given]
    given_to = [resource.name for resource in given if resource.parents]
    return _Given(rows, literal(hints) if hints else "", names, given_to, arguments)


def _test(
    pipeline: str,
    given: _Given,
    found: Mapping[str, Described],
    replaced: Sequence[str],
    may_show: Callable[[str, str, str], bool],
    shown: str,
) -> tuple[str, list[str]]:
    """Return the test, and the columns that it does not compare."""
    first, second = found[_FIRST], found[_SECOND]
    body = [f"    run = dlt_project.run({literal(pipeline)}, {given.arguments})", ""]
    left_out: list[str] = []
    counts = literal(first["row_counts"], 1, len("assert run.row_counts == "))
    body.append(f"    assert run.row_counts == {counts}")
    body += code_of_cursors(first, second, may_show, shown)
    for table, of_table in first["tables"].items():
        name = literal(table)
        start = f"assert run.columns({name}) == "
        body += ["", f"    {start}{literal(of_table['columns'], 1, len(start))}"]
        rows, again = of_table["rows"], second["tables"].get(table, {}).get("rows")
        if not rows or again is None or len(again) != len(rows):
            continue
        same = [
            column
            for column in rows[0]
            if all(r.get(column) is not None and may_show(column, r[column], shown) for r in rows)
            and [r.get(column) for r in rows] == [r.get(column) for r in again]
        ]
        others = [column for column in rows[0] if column not in same]
        left_out += [f"{table}.{column}" for column in others]
        if not same:
            continue
        chosen = name
        if others:
            body.append(f"    # not compared: {', '.join(others)}")
            chosen = f"{name}, columns={literal(same)}"
            if "\n" in chosen or len(chosen) > _WIDTH_OF_COLUMNS:
                body.append(f"    columns = {literal(same, 1, len('columns = '))}")
                chosen = f"{name}, columns=columns"
        start = f"assert run.rows({chosen}) == "
        code = literal([{c: Code(r[c]) for c in same} for r in rows], 1, len(start))
        body.append(f"    {start}{code}")
    test_name = re.sub(r"\W", "_", pipeline).strip("_")
    functions = ["\n".join([f"def test_{test_name}(dlt_project):", *body, ""])]
    if needs_second_run(first):
        run = f"dlt_project.run({literal(pipeline)}, {given.arguments})".replace(
            "given=GIVEN", "given={}", 1
        )
        again = code_of_test(
            f"test_{test_name}_again", run, found.get(_RUN_TWICE), found.get(_RUN_AGAIN)
        )
        functions += [again] if again else []
    today = datetime.datetime.now(datetime.timezone.utc).date()
    note = f"# Recorded on {today}."
    if replaced:
        note += f"\n# Values of these columns are made up: {', '.join(replaced)}."
    if given.transformers:
        listed = ", ".join(given.transformers)
        note += f"\n# These transformers need more than rows, such as a network: {listed}."
    code = "\n\n".join([given.definitions, *functions])
    title = f'"""The first test of pipeline {pipeline}: edit it."""'
    imports = imports_of(code)
    parts = [title, "", *imports, *([""] if imports else []), note, code]
    return "\n".join(parts), left_out


def _holds_secret(code: str) -> bool:
    """Tell whether a value of a row is a secret that this process knows."""
    values = (
        v for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Dict) for v in node.values
    )
    texts = (v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))
    return any(KNOWN.masked(text) != text for text in texts)


class _Trial:
    """Runs tests beside the place of the new test, where the same conftests count."""

    def __init__(self, folder: Path, path: Path, run_tests: Callable[[Path, Path], str]) -> None:
        self._folder = folder
        self.path = path
        self._run_tests = run_tests

    def runs(self, pipeline: str, given: Mapping[str, _Given]) -> tuple[dict[str, Described], str]:
        """Return what each run has loaded, each in a test of its own, and why other runs failed."""
        with tempfile.TemporaryDirectory() as folder:
            code = ["from dlthub_project.first_test.expectations import describe, describe_two", ""]
            paths = {name: Path(folder, f"{n}.json") for n, name in enumerate(given)}
            for number, (name, own) in enumerate(given.items()):
                code += [
                    f"def test_{number}(dlt_project):",
                    *(f"    {line}" for line in own.definitions.splitlines() if line),
                    f"    run = lambda: dlt_project.run({literal(pipeline)}, {own.arguments})",
                    f"    {own.describer}(run, {literal(str(paths[name]))})",
                    "",
                ]
            failure = self.failure_of("\n".join((*imports_of("\n".join(code)), *code)))
            found = {
                name: json.loads(path.read_text(encoding="utf-8"))
                for name, path in paths.items()
                if path.exists()
            }
        return found, failure

    def failure_of(self, text: str) -> str:
        """Return why tests fail; nothing if they pass."""
        is_new = not self.path.parent.is_dir()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(f"test_{self.path.stem}_{uuid4().hex[:8]}.py")
        path.write_text(text, encoding="utf-8")
        try:
            return self._run_tests(self._folder, path)
        finally:
            path.unlink()
            if is_new and not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()

    def write(self, text: str) -> None:
        """Put the test in its place, as a whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{uuid4().hex[:8]}")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, self.path)


def _run_pytest(folder: Path, path: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_TESTS}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", path],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else _reason(done.stdout + done.stderr)


def _reason(output: str) -> str:
    """Return pytest's reason for a failure; all of its output if it gives none."""
    told = [line[1:].rstrip() for line in output.splitlines() if re.match(r"E  ", line)]
    return KNOWN.masked("\n".join(told[:15]) or output[-2000:])
