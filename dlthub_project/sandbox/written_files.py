"""Which files SQL writes: what it attaches, copies and exports, and settings that name a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

# what a statement that writes a file begins with, behind comments; each has one way to be read
_BEGINNING = (
    r"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*"
    r"(?:attach|call|copy|create|explain|export|pragma|prepare|set|vacuum)\b"
)
_FIRST = re.compile(_BEGINNING, re.IGNORECASE)
_LATER = re.compile(";" + _BEGINNING, re.IGNORECASE)
_WORDS = ("attach", "copy", "export", "vacuum", "secret", "_directory", "_output", "log")
# settings of DuckDB that name a file or folder which it writes
_SETTINGS = (
    "EXTENSION_DIRECTORY",
    "HOME_DIRECTORY",
    "LOG_QUERY_PATH",
    "PROFILE_OUTPUT",
    "PROFILING_OUTPUT",
    "SECRET_DIRECTORY",
    "TEMP_DIRECTORY",
)
# DuckDB takes these for FALSE
_OFF = ("FALSE", "F", "NO", "N", "OFF", "0")
_FILE_TYPES = ("", "duckdb", "sqlite")
_SKIPPED = ("=", "TO", "OR", "REPLACE", "DATABASE", "IF", "NOT", "EXISTS")


def may_write(sql: str) -> bool:
    """Tell, in a microsecond, whether a statement may write a file: those of rows do not.

    Batches of `INSERT` may have megabytes, and a text in them any word. A text that looks like
    another statement counts as one.
    """
    if _FIRST.match(sql) is None and (";" not in sql or _LATER.search(sql) is None):
        return False
    lower = sql.lower()
    return any(word in lower for word in _WORDS)


def files_written(sql: str, values: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield the databases that SQL attaches to write to, and the files that it writes.

    Args:
        sql: One statement or several, of DuckDB or SQLite.
        values: What stands for its parameters.
    """
    # of most statements nothing more is to be known
    if not may_write(sql):
        return
    for texts in _statements(sql):
        words = [text.upper() for text, _ in texts]
        if words[0] == "ATTACH":
            options = _options(texts)
            if options.get("READ_ONLY", options.get("READONLY", "FALSE")) in _OFF:
                kind, place = options.get("TYPE", "").lower(), _operand(texts, 1, values)
                # a connection string of another system may look like the name of a file
                yield place if kind in _FILE_TYPES else f"{kind}://{place}"
        elif words[:3] == ["COPY", "FROM", "DATABASE"]:
            # into one that is attached
            continue
        elif words[0] in ("COPY", "EXPLAIN", "PREPARE") and "COPY" in words and "TO" in words:
            yield _operand(texts, words.index("TO", words.index("COPY")) + 1, values)
        elif words[:2] == ["EXPORT", "DATABASE"]:
            yield next((text for text, is_string in texts if is_string), "")
        elif words[0] == "VACUUM" and "INTO" in words:
            yield _operand(texts, words.index("INTO") + 1, values)
        elif words[0] in ("SET", "PRAGMA") and (named := {*words[:3]} & {*_SETTINGS}):
            yield _operand(texts, words.index(named.pop()) + 1, values)
        elif words[0] == "CREATE" and {"PERSISTENT", "SECRET"} <= {*words[:5]}:
            yield os.path.expanduser("~/.duckdb/stored_secrets")
        elif words[:2] == ["CALL", "ENABLE_LOGGING"]:
            yield from (text for text, is_string in texts if is_string and "/" in text)


def _statements(sql: str) -> Iterator[list[tuple[str, bool]]]:
    """Yield the words of each statement, and whether they are texts."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(sql, read="duckdb")
    for is_end, group in groupby(tokens, lambda token: token.token_type is TokenType.SEMICOLON):
        if is_end:
            continue
        first, *others = group
        if first.token_type is TokenType.COMMAND:
            # what follows it is one text
            others = [token for rest in others for token in sqlglot.tokenize(rest.text, "duckdb")]
        yield [(t.text, t.token_type is TokenType.STRING) for t in (first, *others)]


def _options(texts: list[tuple[str, bool]]) -> dict[str, str]:
    """Return the options in the brackets of a statement, by name; one without a value is TRUE."""
    words = [text.upper() for text, _ in texts if text != "="]
    if ("(", False) not in texts:
        return {}
    start = [text for text, _ in texts if text != "="].index("(") + 1
    found: dict[str, str] = {}
    for is_between, group in groupby(words[start:], lambda word: word in (",", ")")):
        if not is_between:
            name, *values = group
            found[name] = values[0] if values else "TRUE"
    return found


def _operand(texts: list[tuple[str, bool]], start: int, values: tuple[Any, ...]) -> str:
    for text, is_string in texts[start:]:
        if is_string:
            return text
        if text in ("?", ":", "$", "%"):
            # a parameter: the first one is the file
            return str(values[0]) if values else text
        if text.upper() not in _SKIPPED:
            return text
    return ""
