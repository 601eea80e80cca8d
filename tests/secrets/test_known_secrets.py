"""Secrets that are known by value: their parts and spellings, and what is never one."""

from __future__ import annotations

import base64
import html
import json
import os
import pprint
import re
import textwrap
import threading
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import quoteattr

import pytest

from dlthub_project.secrets import KnownSecrets

TOKEN = "q7Rt" + "".join(chr(97 + i * 7 % 26) for i in range(446))


def known(*secrets: object) -> KnownSecrets:
    found = KnownSecrets()
    for secret in secrets:
        found.learn(secret, is_secret=True)
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a {TOKEN} b", "a *** b"),
        (f"{TOKEN[:100]}...{TOKEN[-90:]}", "***...***"),
        (f"of {TOKEN[30:42]}", "of ***"),
        (f"of {TOKEN[30:41]}", f"of {TOKEN[30:41]}"),
        (f"{TOKEN[:20]}{TOKEN[5:25]}", "***"),
    ],
)
def test_twelve_characters_in_a_row_hide(text: str, shown: str) -> None:
    assert known(TOKEN).masked(text) == shown


@pytest.mark.parametrize("user", ["", "a", "ad", "ada"])
def test_a_secret_in_base64_hides_wherever_it_begins(user: str) -> None:
    secret = "p/w?d-4711-of+ada"
    encoded = base64.b64encode(f"{user}:{secret}".encode()).decode()
    shown = known(secret).masked(f"Basic {encoded}; {quote(secret)}; {quote(secret, safe='')}")

    assert shown.count("***") == 3
    assert len(shown.partition(";")[0]) <= len("Basic ***") + len(user) + 8


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhki\nG9w0BAQEFAASCBKcwggS\n-----END KEY-----\n"
PHRASE = "two words <q7Rt> & 'more' ö"


@pytest.mark.parametrize("secret", ["q7Rt-4711-Zx", TOKEN, PEM, PHRASE, "0a1b2c3d4e5f"])
@pytest.mark.parametrize(
    "spelt",
    [
        repr,
        ascii,
        lambda secret: repr(secret.encode()),
        lambda secret: secret.encode().hex(),
        lambda secret: secret.encode().hex().upper(),
        lambda secret: repr(repr(secret)),
        json.dumps,
        lambda secret: json.dumps(json.dumps({"a": secret})),
        lambda secret: json.dumps(secret, ensure_ascii=False),
        html.escape,
        quoteattr,
        quote,
        quote_plus,
        lambda secret: quote(secret, safe="").replace("%3C", "%3c"),
        lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
        lambda secret: f"\x1b[31m{secret[:5]}\x1b[0m{secret[5:]}",
        lambda secret: textwrap.fill(secret, 7),
        lambda secret: textwrap.indent(textwrap.fill(secret, 7), "E     "),
        lambda secret: "\n".join(f"│ {secret[i : i + 7]} │" for i in range(0, len(secret), 7)),
        lambda secret: pprint.pformat([secret], width=12),
    ],
)
def test_a_secret_hides_however_it_is_spelt_or_cut(
    secret: str, spelt: Callable[[str], str]
) -> None:
    text = spelt(secret)
    shown = known(secret).masked(f"it is {text}, said Ada")

    assert shown.startswith("it is ")
    assert shown.endswith(", said Ada")
    assert "***" in shown
    # no line of a key: what is left of one that is cut is as short as that
    left = re.sub(r"\s|\x1b\[\d+m|[│E'\"]|\\\\?n", "", shown)
    bare = re.sub(r"\s|[E'\"]", "", text)
    assert not any(bare[i : i + 12] in left for i in range(len(bare) - 11)), shown


def test_what_stands_on_two_lines_is_left_where_it_is_no_secret() -> None:
    secrets = known("tables", "q7Rt-4711-Zx")
    # blanks without an end take no time
    text = "the table\nof the\n  shop: q7Rt\n4711\n" + " " * 100_000

    assert secrets.masked(text) == text


@pytest.mark.parametrize(
    "value", ["abcde", "duckdb", "PostgreSQL", "pytest", "not-set", True, 12, None]
)
def test_what_is_short_or_common_is_no_secret(value: object) -> None:
    assert known(value).masked(f"it is {value}") == f"it is {value}"


def test_words_and_numbers_beside_secrets_are_none_until_dlt_says_so() -> None:
    secrets = KnownSecrets()
    settings = {
        "table": "orders_2024",
        "since": "2026-11-28",
        "rows": "100000",
        "badge": "4711-badge",
    }
    url = {"base_url": "https://api.invalid/v1", "folder": "/data/in", "password": "hunter"}
    secrets.learn_documents([("secrets.toml", {"sources": {"shop": {**settings, **url}}})])

    text = "orders_2024 2026-11-28 100000 4711-badge https://api.invalid/v1 /data/in hunter"
    assert secrets.masked(text) == text.replace("4711-badge", "***").replace("hunter", "***")
    secrets.learn_look_up("table", "orders_2024", True)
    assert secrets.masked("orders_2024") == "***"


@pytest.mark.parametrize("is_before", [True, False])
def test_words_of_a_manifest_are_no_secrets(is_before: bool) -> None:
    secrets = KnownSecrets()
    if is_before:
        secrets.exempt(["warehouse"])
    secrets.learn({"password": "warehouse"}, is_secret=False)
    secrets.learn({"password": "warehouse-4711"}, is_secret=False)
    assert secrets.masked("warehouse") == ("warehouse" if is_before else "***")
    secrets.exempt(["warehouse"])

    assert secrets.masked("warehouse warehouse-4711") == "warehouse ***"


def test_a_path_that_is_a_secret_leaves_the_folders_of_a_traceback() -> None:
    key = os.path.join(os.getcwd(), "keys", "of-the-warehouse.pem")

    assert known(key).masked(f"{os.getcwd()}/tests: {key}") == f"{os.getcwd()}/tests: ***"


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ({"host": "db.invalid", "password": "4711-pass"}, "4711-pass@db.invalid", "***@db.invalid"),
        ("Server=db.invalid;Uid=ada;Pwd=4711-pass", "db.invalid 4711-pass", "db.invalid ***"),
        ("https://db.invalid/x?sv=2026-11-28&sig=47%2B11x", "db.invalid 47+11x", "db.invalid ***"),
        (
            "s3://key:4711-pass@bucket/lake?token=4712-pass",
            "bucket/lake 4712-pass",
            "bucket/lake ***",
        ),
        ("Endpoint=sb://x.invalid/;SharedAccessKey=4711-p=", "x.invalid 4711-p=", "x.invalid ***"),
        ('{"type": "service_account", "private_key": "k-4711"}', "service_account k-4711", None),
    ],
)
def test_of_a_compound_value_the_secrets_alone_hide(
    value: object, text: str, shown: str | None
) -> None:
    assert known(value).masked(text) == (shown or "service_account ***")


def test_threads_may_learn_while_others_mask() -> None:
    secrets = known("4711-0000")
    learning = threading.Thread(
        target=lambda: [secrets.learn(f"4711-{n:04}", is_secret=True) for n in range(200)]
    )
    learning.start()
    while learning.is_alive():
        assert secrets.masked("a 4711-0000 b") == "a *** b"
    learning.join()

    assert secrets.masked("4711-0199") == "***"


def test_a_long_text_takes_no_longer_for_many_secrets() -> None:
    text = "a line of a log that tells nothing at all: 0123456789\n" * 10_000

    def took(secrets: KnownSecrets) -> float:
        started = time.perf_counter()
        assert secrets.masked(text) == text
        return time.perf_counter() - started

    one, many = known("4711-pass"), known(*(f"secret number {n:06}" for n in range(500)))
    # measured: both 0.1 s
    assert min(took(many) for _ in range(3)) < 5 * min(took(one) for _ in range(3))
    assert took(KnownSecrets()) < 0.001
