"""Takes secrets of unknown value out of texts: by names, by shapes, in URLs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

MASK = "***"

# shapes of secrets, whatever their names
_SECRET_VALUE = re.compile(
    # a URL with a password
    r"://[^\s/@]{0,200}:[^\s@]{1,200}@|"
    # a long run of letters and digits, but no word, path or variable
    r"(?<![\w./{-])(?=[A-Za-z_\-+=]{0,40}\d)(?=[\d_\-+=]{0,40}[A-Za-z])[\w\-+=]{20,}(?![\w.}/{-])|"
    r"\b(?:gh[pousr]_|github_pat_|sk-|xox[a-z]-|AKIA|eyJ|glpat-)\w|-----BEGIN"
)
# The shapes that only secrets have. A long run may be a hash or an id that a reader needs.
_TOKEN = re.compile(
    r"-----BEGIN [^-\n]*-----(?:.*?-----END [^-\n]*-----|.*)|"
    r"\b(?:gh[pousr]_\w{6,}|github_pat_\w{6,}|sk-[\w-]{16,}|xox[a-z]-[\w-]{6,}|AKIA\w{12,}|"
    r"eyJ[\w-]{6,}(?:\.[\w-]*)*|glpat-[\w-]{6,})",
    re.DOTALL,
)
_TOKEN_BEGINNINGS = (
    *("-----BEGIN ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "sk-", "xox", "AKIA"),
    *("eyJ", "glpat-"),
)
# The user of a URL may have an @ of its own: `ada@server` is one on Azure's PostgreSQL.
_URL_USER_END = re.compile(r"://[^\s:/]*:")
_WORD = re.compile(r"\S+")
_URL_USER = re.compile(r"(?<=://)[^\s:/@]+(?=@)")
# A name begins where a word does: tried from every letter on, one long word takes minutes.
_NAME = re.compile(r"""(?<![\w.%-])(?P<name>[\w.%-]+)(?P<between>\\?["']?\s*[:=]\s*)""")
_NAMED_VALUE = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|"""
    # JSON within a text of JSON or Python
    r"""\\"(?:(?!\\").)*\\"|"""
    # ODBC quotes with braces, and only behind an equals sign
    r"""(?<==)\{[^}]{0,200}\}?|"""
    # characters that close or separate values may stand within an unquoted value, not at its end
    r"""[^\s"',;&{}()\[\]\\](?:[^\s"';&]*[^\s"',;&{}()\[\]\\])?"""
)
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic|Token)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
# these headers have several secrets behind one name: a scheme and pairs, or the pairs of a cookie
_HEADER = re.compile(
    r"""\b(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?P<between>[ \t]*:[ \t]*)"""
    r"""(?:[A-Za-z][\w-]*[ \t]+)?(?:"[^"]*"|[^\s"',;])+"""
    r"""(?:[,;][ \t]*[\w.-]+=(?:"[^"]*"|[^\s"',;]*))*""",
    re.IGNORECASE,
)
# in front of a host, these may begin another part of a URL
_AMBIGUOUS = re.compile(r"[?#;]")
# the container of an Azure URL stands where others have a user
_CONTAINER_SCHEMES = frozenset(("az", "azure", "adl", "abfs", "abfss", "wasb", "wasbs"))
_ABSOLUTE_PATH = re.compile(r"\.{0,2}[/\\]|~|[A-Za-z]:[/\\]")


# the public parts of credentials: a message has to name them
PUBLIC_FIELDS = frozenset(
    (
        *("account", "account_name", "catalog", "client_email", "client_id", "database", "dataset"),
        *("driver", "drivername", "endpoint_url", "host", "http_path", "location", "port"),
        *("project_id", "region", "region_name", "role", "schema", "server_hostname", "type"),
        *("user", "username", "warehouse"),
    )
)


# dlt's types tell which values are secrets. Where nobody has asked dlt for a value yet, the name
# of the value decides. The words of a name stand apart by underscores, see `_words`.
_SECRET_NAME = re.compile(
    r"pass_?w|pass_?(phrase|code|key)|(^|_|db|user|pg|admin|root)pass_?\d*$|pwd|secret|token"
    r"|credential|jwt|salt$"
    r"|(api|access|private|account|storage|signing|license|encryption|client|ssh|shared|master"
    r"|subscription|service|consumer|functions?|(^|_)app(lication)?)_?key"
    r"|^key$|(^|_|basic|http)o?auth(?!or)|authoriz|bearer|cookie|dsn|conn(ection)?_?str|(^|_)pat$"
    r"|(^|_)sas(_|$)|^sas|(^|_)sig$|signature",
    re.IGNORECASE,
)
# A line of a broken file has lost its meaning: there, too much is masked rather than too little.
# The caret shows the place all the same.
_COARSE_NAME = re.compile(r"pass|auth|sas_|salt\b|\bkey\b", re.IGNORECASE)
_TYPICAL = (
    *("access_key", "access_token", "api_key", "apikey", "authorization", "client_secret"),
    *("conn_str", "connection_string", "credentials", "passwd", "password", "private_key"),
    *("secret", "secret_key", "token"),
)
# `api_kee` and `pasword` are as near as that, `tokne` has the same letters, `taken` is neither
_NEAR = 0.82
_LETTERS = [sorted(name) for name in _TYPICAL]
_LEVEL = re.compile(r"__|\.")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"[-\s]")
_VARIABLE = re.compile(r"\{env\.\w+\}")
_VARIABLE_NAME = re.compile(r"\{env\.(\w+)")


def looks_secret(text: str) -> bool:
    """Tell whether something in a text has the shape of a secret, whatever its name."""
    return _SECRET_VALUE.search(text) is not None


def holds_token(text: str) -> bool:
    """Tell whether a text holds a token or a private key, by a shape that only secrets have."""
    # the search looks at each character, and most texts have no beginning of one
    return any(one in text for one in _TOKEN_BEGINNINGS) and _TOKEN.search(text) is not None


def masked_text(text: str) -> str:
    """Return a text without its secrets, as far as names, shapes and URLs tell them."""
    text = _WORD.sub(_without_password, _TOKEN.sub(MASK, text))
    text = _URL_USER.sub(lambda user: MASK if looks_secret(user[0]) else user[0], text)
    text = _HEADER.sub(rf"\g<name>\g<between>{MASK}", text)
    return _without_named(_SCHEME.sub(rf"\g<scheme> {MASK}", text))


def public_url(url: str) -> str:
    """Return a URL, or a path, without user, password and arguments.

    A password without quoting may have any character of a URL's own: where it is not clear what is
    the host, neither is shown.
    """
    scheme, separator, rest = url.rpartition("://") if url.count("://") == 1 else ("", "", url)
    if not separator:
        is_path = "://" not in url and ("@" not in url or _ABSOLUTE_PATH.match(url))
        return url.partition("?")[0] if is_path else MASK
    user, at, place = rest.rpartition("@")
    if _AMBIGUOUS.search(user):
        return f"{scheme}://{MASK}"
    parts = urlsplit(f"{scheme}://{place}")
    shown_place = f"{parts.netloc}{parts.path}".partition(";")[0]
    if not at:
        return f"{scheme}://{shown_place}"
    is_container = scheme.lower() in _CONTAINER_SCHEMES and ":" not in user and "/" not in user
    return f"{scheme}://{user if is_container else MASK}@{shown_place}"


def _without_password(word: re.Match[str]) -> str:
    # by hand: a pattern that looks for the last @ from every URL takes minutes for 100 kB
    last_at = word[0].rfind("@")
    user = _URL_USER_END.search(word[0], 0, max(last_at, 0))
    if user is None or user.end() == last_at:
        return word[0]
    return f"{word[0][: user.end()]}{MASK}{word[0][last_at:]}"


def _without_named(text: str) -> str:
    """Mask the values that stand behind names of secrets.

    The value of another name is searched too: in `url=https://x?token=abc` the token has a name.
    """
    shown_text = []
    start = 0
    for value, quoted in _named_values(text):
        shown_text.append(f"{text[start : value.start()]}{quoted}{MASK}{quoted}")
        start = value.end()
    return "".join(shown_text) + text[start:]


def named_secrets(text: str) -> Iterator[str]:
    """Yield the values that stand behind names of secrets, as in `?sv=1&sig=abc`."""
    for value, quoted in _named_values(text):
        found = value[0].removeprefix(quoted).removesuffix(quoted)
        yield from (found, unquote(found))


def _named_values(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each value behind a name of secrets, and the quotation mark around it."""
    end = 0
    for name in _NAME.finditer(text):
        if name.start() < end or not is_secret_name([unquote(name["name"])]):
            continue
        value = _NAMED_VALUE.match(text, name.end())
        if value is not None:
            quotation = re.match(r"""\\?["']|""", value[0])
            end = value.end()
            yield value, quotation[0] if quotation else ""


def is_secret_name(path: Iterable[str]) -> bool:
    """Tell whether a path holds a name that secrets usually have.

    Args:
        path: The names. A name may be a path itself, as `SOURCES__SHOP__KEY` and `shop.key` are.
    """
    return any(map(_is_one_secret, path))


@lru_cache(maxsize=10_000)
def _is_one_secret(name: str) -> bool:
    # cached: each row has the same few names
    return any(_SECRET_NAME.search(_words(one)) for one in _LEVEL.split(name))


def may_name_secret(text: str) -> bool:
    """Tell whether a text, such as a line of a file, may have a name of secrets in it.

    It is true wherever `is_secret_name` is. It is also true for `author`, because a line has no
    keys, and for `api_kee`, because names in errors may be misspelt.
    """
    if _COARSE_NAME.search(text):
        return True
    words = re.findall(r"[A-Za-z][\w-]*", text)
    if is_secret_name(words) or is_secret_name("_".join(pair) for pair in pairwise(words)):
        return True
    return any(map(_is_nearly_secret_name, words))


def _is_nearly_secret_name(word: str) -> bool:
    name = _words(word).lower()
    parts = (name, *name.split("_"))
    return any(
        sorted(one) in _LETTERS or difflib.get_close_matches(one, _TYPICAL, 1, _NEAR)
        for one in parts
        if one
    )


def is_variable(value: Any) -> bool:
    """Tell whether a value of the manifest is an environment variable as a whole."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None


def uses_variable(value: Any) -> bool:
    """Tell whether a value of the manifest is a text with an environment variable in it."""
    return isinstance(value, str) and _VARIABLE_NAME.search(value) is not None


def names_secret_variable(value: Any) -> bool:
    """Tell whether a value of the manifest uses a variable with a name that secrets have."""
    if isinstance(value, Mapping):
        return any(map(names_secret_variable, value.values()))
    if isinstance(value, list):
        return any(map(names_secret_variable, value))
    return isinstance(value, str) and is_secret_name(_VARIABLE_NAME.findall(value))


def _words(name: str) -> str:
    """Return a name with underscores between its words: `X-Api-Key` and `dbPass` have none."""
    return _SEPARATOR.sub("_", _CASE.sub("_", name))


def without_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with a mask for each span; spans that overlap share one."""
    shown: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not shown:
            shown += [text[end:start], MASK]
        end = max(end, stop)
    return "".join(shown) + text[end:]


def without_parts(text: str, parts: Iterable[str]) -> str:
    """Return a text without some of its parts, wherever they stand in it."""
    spans = []
    for part in {part for part in parts if part}:
        start = text.find(part)
        while start >= 0:
            spans.append((start, start + len(part)))
            # the search goes on inside a part: `ababab` holds `abab` twice
            start = text.find(part, start + 1)
    return without_spans(text, spans) if spans else text
