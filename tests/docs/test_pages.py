"""What finds out that a page is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pages import Command, File, read_page, run_program

PAGE = """
Text.

```python
# tests/test_it.py
def test_it(): ...
```

```toml
# .dlt/.workspace
```

```python
print("no file")
```

```console
$ pytest
1 passed in 0.01s
$ pytest -q
```
"""


def test_files_and_commands_are_read_in_the_order_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    assert list(read_page(page)) == [
        File("tests/test_it.py", "# tests/test_it.py\ndef test_it(): ...\n"),
        File(".dlt/.workspace", "# .dlt/.workspace\n"),
        Command("pytest", ("1 passed in 0.01s",)),
        Command("pytest -q", ()),
    ]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("2 passed in 0.71s", "=== 2 passed in 12.05s (0:00:12) ==="),
        ("2 passed, 1 warning in 1.2s", "2 passed, 1 warning in 0.5s"),
        ("sandbox …/main", "sandbox /tmp/x/main"),
        ("E   ValueError: a (b)", "E       ValueError: a (b)"),
    ],
)
def test_durations_and_indents_do_not_count(shown: str, printed: str) -> None:
    assert Command("pytest", (shown,)).missing_in(f"first\n{printed}\nlast\n") == []


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("2 passed", "12 passed"),
        ("2 passed", "1 passed"),
        ("sandbox …/main", "sandbox\n/main"),
        ("ValueError: a.b", "ValueError: a-b"),
    ],
)
def test_a_line_that_was_not_printed_is_missing(shown: str, printed: str) -> None:
    assert Command("pytest", (shown,)).missing_in(f"{printed}\n") == [shown]


@pytest.mark.parametrize(
    ("code", "shown", "message"),
    [
        ("print(1)", "2", "did not print\n2\nbut\n1"),
        ("raise SystemExit(3)", "1 passed", "ended with 3"),
        ("print('1 failed')", "1 failed", "ended with 0"),
    ],
)
def test_a_command_that_does_not_do_what_is_shown_is_an_error(
    tmp_path: Path, code: str, shown: str, message: str
) -> None:
    command = Command(f'{sys.executable} -c "{code}"', (shown,))

    with pytest.raises(AssertionError, match=message):
        command.run(tmp_path, {}, run_program)
