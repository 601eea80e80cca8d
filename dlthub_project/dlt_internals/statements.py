"""SQL that code sends through dlt's clients: which files it writes to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

_WORDS = ("attach", "copy", "export", "into outfile")
_SKIPPED = ("OR", "REPLACE", "DATABASE", "IF", "NOT", "EXISTS")


def sql_clients() -> list[type]:
    """Return dlt's classes of clients for embedded databases, as far as they can be imported."""
    from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

    found: list[type] = [DuckDbSqlClient]
    try:
        from dlt.destinations.impl.sqlalchemy.db_api_client import SqlalchemyClient
    except ImportError:
        # SQLAlchemy is not installed
        return found
    return [*found, SqlalchemyClient]


def files_written(sql: str, values: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield the databases that SQL attaches to write to, and the files that it copies to.

    Args:
        sql: One statement or several, of DuckDB or SQLite.
        values: What stands for its parameters.
    """
    lower = sql.lower()
    # of most statements nothing more is to be known
    if not any(word in lower for word in _WORDS):
        return
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(sql, read="duckdb")
    for is_end, group in groupby(tokens, lambda token: token.token_type is TokenType.SEMICOLON):
        if is_end:
            continue
        texts = [(token.text, token.token_type is TokenType.STRING) for token in group]
        words = [text.upper() for text, _ in texts]
        if words[0] == "ATTACH" and "READ_ONLY" not in words and "READONLY" not in words:
            yield _operand(texts, 1, values)
        elif words[0] == "COPY" and "TO" in words:
            yield _operand(texts, words.index("TO") + 1, values)
        elif words[:2] == ["EXPORT", "DATABASE"]:
            yield next((text for text, is_string in texts if is_string), "")


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
