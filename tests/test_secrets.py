"""Secrets: by their names, in URLs, by what they look like, and by value."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import pytest

from dlthub_project.secrets import (
    Redactor,
    is_secret_name,
    looks_secret,
    masked_urls,
    may_name_secret,
    public_url,
    shown,
)

KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("s3cret-value", "a s3cret-value b", "a *** b"),
        ("s3cret-value", "xs3cret-valuex", "x***x"),
        ("pw1", "pw1, pw12 and 'pw1'", "***, pw12 and '***'"),
        ("a b/c?d", "https://x.invalid/a%20b%2Fc%3Fd", "https://x.invalid/***"),
        ("quote'd\"value", repr("quote'd\"value"), "'***'"),
        (KEY, repr(KEY), "'***'"),
        (KEY, "line MIIEvQIBADANBgkqhkiG alone", "line *** alone"),
        ("postgresql://ada:pass-4711@h/d", "password is pass-4711", "password is ***"),
        ("postgresql://ada:a%40b-4711@h/d", "it is a@b-4711", "it is ***"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_known_secret_is_masked_however_it_is_spelt(secret: str, text: str, shown: str) -> None:
    redactor = Redactor()
    redactor.learn(secret, is_secret=True)

    assert redactor.redacted(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'token': 'two words', 'path': '/v1'}", "{'token': '***', 'path': '/v1'}"),
        ('{"api_key": "abc"}', '{"api_key": "***"}'),
        ("{'X-Api-Key': 'abc'}", "{'X-Api-Key': '***'}"),
        ("passphrase=abc jwt=def", "passphrase=*** jwt=***"),
        ("password=abc host=db", "password=*** host=db"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: *** ***"),
        ("sent Basic YWRhOmFkYQ==", "sent Basic ***"),
        (
            "https://ada:abc@db.invalid/x?limit=5&sig=1",
            "https://ada:***@db.invalid/x?limit=5&sig=***",
        ),
        ("table orders, column id: 5", "table orders, column id: 5"),
    ],
)
def test_unknown_secrets_are_masked_by_their_names(text: str, shown: str) -> None:
    assert Redactor().redacted(text) == shown


def test_secrets_in_mappings_are_known_by_their_names() -> None:
    redactor = Redactor()
    value = {"auth": {"token": "tok-4711"}, "headers": [{"X-Api-Key": "key-4712"}], "host": "db.x"}
    redactor.learn(value, is_secret=False)

    assert redactor.redacted("tok-4711 key-4712 db.x") == "*** *** db.x"


@pytest.mark.parametrize(
    ("credentials", "text", "shown"),
    [
        ("/data/shop.duckdb", "cannot open /data/shop.duckdb", "cannot open /data/shop.duckdb"),
        ("duckdb:////data/shop.duckdb", "at duckdb:////data/shop.duckdb", None),
        ("Driver=x;Pwd=4711-pass", "Driver=x;Pwd=4711-pass", "***"),
        ({"password": "4711-pass", "host": "db.x"}, "4711-pass db.x", "*** db.x"),
    ],
)
def test_the_place_of_a_file_is_no_secret(credentials: Any, text: str, shown: str | None) -> None:
    redactor = Redactor()
    redactor.learn({"credentials": credentials}, is_secret=False)

    if isinstance(credentials, dict):
        # all of what is called so counts
        shown = "*** ***"
    assert redactor.redacted(text) == (shown or text)


class Info(NamedTuple):
    """As dlt's own."""

    name: str

    def asdict(self) -> dict[str, Any]:
        return {"name": self.name, "nothing": None}


def test_what_is_kept_is_of_plain_types() -> None:
    redactor = Redactor()
    redactor.learn(4711, is_secret=True)
    redactor.learn({"step": "orders-secret"}, is_secret=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    value = {
        "at": now,
        "infos": (Info("orders"),),
        "names": {"one"},
        "kind": ValueError("pin 4711"),
        "pipeline_name": "orders-secret",
        "raw": b"x",
        1: None,
    }

    assert redactor.redacted(value) == {
        "at": now,
        "infos": [{"name": "orders"}],
        "names": ["one"],
        "kind": "pin ***",
        "pipeline_name": "orders-secret",
        "raw": "b'x'",
    }


def test_the_working_directory_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/ada/shop")
    monkeypatch.setenv("SHOP_PASSWORD", "tea-and-mugs")
    redactor = Redactor()

    redactor.learn_configuration(())

    assert redactor.masked("/home/ada/shop: tea-and-mugs") == "/home/ada/shop: ***"


NAMES = [
    "password",
    "DB_PASSWORD",
    "passphrase",
    "pass",
    "db_pass",
    "passwd",
    "PWD",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "X-Api-Key",
    "api_key",
    "apiKey",
    "accessKeyId",
    "private_key",
    "storage_key",
    "license_key",
    "encryption-key",
    "ssh_key",
    "key",
    "auth",
    "oauth",
    "oauth2",
    "authentication",
    "basic_auth",
    "Authorization",
    "bearer",
    "cookie",
    "credentials",
    "credential",
    "dsn",
    "connection_string",
    "conn_str",
    "connectionString",
    "pat",
    "github_pat",
    "sas",
    "sas_url",
    "azure_sas_url",
    "sig",
    "signature",
    "jwt",
    "salt",
    "password_salt",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_secrets_have_is_one_everywhere(name: str) -> None:
    assert is_secret_name(["sources", name])
    assert may_name_secret(f"  {name}: value")
    assert shown({name: "value-4711", "n": 1}) == f"{{{name}: ***, n: 1}}"
    assert Redactor().redacted(f"{name}=value-4711 n=1") == f"{name}=*** n=1"
    assert masked_urls(f"https://x.invalid/?{name}=value&n=1") == (
        f"https://x.invalid/?{name}=***&n=1"
    )


@pytest.mark.parametrize(
    "name",
    ["author", "authors", "authority", "keyboard", "primary_key", "merge_key", "passenger", "path"],
)
def test_a_name_of_other_things_is_none(name: str) -> None:
    assert not is_secret_name([name])
    assert not may_name_secret(f"{name}: value")


def test_two_words_of_a_line_may_be_a_name() -> None:
    assert may_name_secret("the connection string is here")
    assert may_name_secret("api key")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("snowflake://u:p/w@acc.invalid/db", "snowflake://***@acc.invalid/db"),
        (
            "postgresql://u:p%2Fw@db.invalid:5432/x?sslmode=off",
            "postgresql://***@db.invalid:5432/x",
        ),
        ("postgresql://u:p#w@db.invalid/x", "postgresql://***"),
        ("az://box@acc.invalid/b?sv=1&sig=SECRET", "az://box@acc.invalid/b"),
        ("https://x.invalid/b;AccountKey=SECRET", "https://x.invalid/b"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("/data/lake?token=SECRET", "/data/lake"),
        ("u:pw@db.invalid/x", "***"),
    ],
)
def test_what_is_shown_of_a_place_has_no_secret(url: str, public: str) -> None:
    assert public_url(url) == public


def test_several_urls_of_a_text_are_masked() -> None:
    text = "from mysql://a:pw-1@x.invalid/d to postgresql://b:p/w-2@y.invalid/d?password=pw-3"

    assert masked_urls(text) == (
        "from mysql://a:***@x.invalid/d to postgresql://b:***@y.invalid/d?password=***"
    )


@pytest.mark.parametrize(
    "text",
    [
        "url: postgresql://u:pw@db.invalid/x",
        "value: ghp_a",
        "value: eyJhbGciOi",
        "value: 4f8d2c1e9b7a6530ffee",
        "-----BEGIN KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_one_whatever_it_is_called(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize("text", ["path: ./data/2024/orders_of_2024.csv", "a: {env.TOKEN_1}"])
def test_paths_and_variables_do_not_look_like_secrets(text: str) -> None:
    assert not looks_secret(text)
