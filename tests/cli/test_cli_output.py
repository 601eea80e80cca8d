"""What commands print, ask and exit with, whichever command it is."""

from __future__ import annotations

import argparse
import datetime
import decimal
import io
import json
import sys
import uuid

import pytest
from dlt._workspace.cli import echo
from terminal import Terminal

from dlthub_project.cli.command import told_with_status
from dlthub_project.cli.output import (
    Facts,
    NotConfirmed,
    Table,
    confirm,
    show,
)
from dlthub_project.secrets import KNOWN

TEXT = argparse.Namespace()
JSON = argparse.Namespace(format="json")


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return stream


def test_a_table_in_a_pipe_is_text_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show(TEXT, [], Table(("table", "rows"), [("items", 12345), ("item__tags", None)], title="shop"))

    assert capsys.readouterr().out.splitlines() == [
        "shop",
        "table       rows",
        "items       12,345",
        "item__tags  -",
    ]


def test_numbers_stand_to_the_right_and_no_cell_breaks_a_line_or_holds_an_escape_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("a\nb", 1), ("[red]x[/]\x1b[31m", 1000)]
    show(TEXT, [], Table(("name", "n"), rows))

    assert capsys.readouterr().out.splitlines() == [
        "name                   n",
        "a\\nb                   1",
        "[red]x[/]\\x1b[31m  1,000",
    ]


@pytest.mark.parametrize(("width", "is_cut"), [("40", True), ("200", False)])
def test_a_table_on_a_terminal_has_a_box_of_its_width_and_loses_no_letter(
    monkeypatch: pytest.MonkeyPatch, width: str, is_cut: bool
) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("NO_COLOR", "1")
    name = "items_[b]" + "abcdefghij" * 5
    show(TEXT, [], Table(("table", "rows"), [(name, 3)]))

    lines = [line for line in terminal.getvalue().splitlines() if line.startswith("│")]
    assert "".join(line.strip("│ ").split("│")[0].strip() for line in lines) == name
    assert (len(lines) > 1) == is_cut
    assert max(map(len, terminal.getvalue().splitlines())) <= int(width)


@pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_it_wants_none(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_coloured: bool
) -> None:
    terminal = on_terminal(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    show(TEXT, [], Table(("table",), [("items",)]))

    assert ("\x1b[" in terminal.getvalue()) == is_coloured


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show(TEXT, [], Table(("name",), [], title="Pipelines", empty="none is declared"), "That is all")

    assert capsys.readouterr().out == "Pipelines: none is declared\nThat is all\n"


def test_facts_stand_in_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show(TEXT, {}, Facts({"name": "shop", "is loaded": True, "tables": ["a", "b"], "sources": []}))

    assert capsys.readouterr().out.splitlines() == [
        "name       shop",
        "is loaded  yes",
        "tables     a, b",
        "sources    -",
    ]


def test_json_has_every_value_of_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "id": 1,
        "price": decimal.Decimal("1.50"),
        "at": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
        "on": datetime.date(2026, 1, 2),
        "time": datetime.time(3, 4),
        "uid": uuid.UUID(int=1),
        "raw": b"\x00\xff",
        "ratio": float("nan"),
        "ok": True,
        "tags": ("ä", None),
    }
    show(JSON, [row], "not printed")

    assert json.loads(capsys.readouterr().out) == [
        {
            "id": 1,
            "price": "1.50",
            "at": "2026-01-02T03:04:00+00:00",
            "on": "2026-01-02",
            "time": "03:04:00",
            "uid": "00000000-0000-0000-0000-000000000001",
            "raw": "AP8=",
            "ratio": None,
            "ok": True,
            "tags": ["ä", None],
        }
    ]


def test_a_secret_is_masked_in_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    secret = 'p"ss-W0rd-of-shop'
    KNOWN.learn(secret, is_secret=True)
    parts = (Table(("a",), [(secret,)], title=secret), Facts({"b": secret}, title=secret), secret)
    show(TEXT, {}, *parts)
    show(JSON, {"a": secret, "b": [f"x {secret}"]})

    told = capsys.readouterr().out
    assert "ss-W0rd" not in told
    assert json.loads(told[told.index("{") :]) == {"a": "***", "b": ["x ***"]}


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_a_yes_lets_a_command_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    confirm("Drop dataset shop?")

    told = capsys.readouterr()
    # the question does not go where the output goes
    assert (told.out, told.err) == ("", "Drop dataset shop? [y/N] ")


@pytest.mark.parametrize("answer", ["\n", "n\n", "", "yesterday\n"])
def test_anything_else_ends_it(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    with pytest.raises(NotConfirmed, match=r"^Nothing was removed\.$"):
        confirm("Drop dataset shop?")


@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), Terminal("y\n")], ids=["pipe", "terminal"])
def test_nobody_is_asked_without_a_terminal_or_when_dlt_may_not_ask(
    monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(echo, "ALWAYS_CHOOSE_DEFAULT", stdin.isatty())

    with pytest.raises(NotConfirmed, match=r"(?s)Drop dataset shop\?.*--yes"):
        confirm("Drop dataset shop?")


def test_yes_on_the_command_line_answers_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(echo, "ALWAYS_CONFIRM", True)
    confirm("Drop dataset shop?")


def test_a_refusal_has_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised, told_with_status():
        raise NotConfirmed("Nothing was removed.")

    assert raised.value.code == 4
    assert capsys.readouterr() == ("", "Nothing was removed.\n")
