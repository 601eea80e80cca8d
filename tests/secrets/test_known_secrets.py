"""Secrets that are known by value: their parts and spellings, and what is never one."""

from __future__ import annotations

import base64
import os
import threading
import time
from urllib.parse import quote

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


@pytest.mark.parametrize("value", ["abcde", "duckdb", "PostgreSQL", "not-set", True, 12, None])
def test_what_is_short_or_common_is_no_secret(value: object) -> None:
    assert known(value).masked(f"it is {value}") == f"it is {value}"


def test_words_of_a_manifest_are_no_secrets() -> None:
    secrets = KnownSecrets()
    secrets.exempt(["warehouse"])
    secrets.learn({"password": "warehouse"}, is_secret=False)
    secrets.learn({"password": "warehouse-4711"}, is_secret=False)

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
