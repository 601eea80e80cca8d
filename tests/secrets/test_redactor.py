"""Secrets in what is kept of a run: known ones by value, others by name."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import pytest

from dlthub_project.secrets import KnownSecrets, Redactor

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
        ("Authorization: Bearer abc.def-ghi", "Authorization: ***"),
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
    known = KnownSecrets()

    known.learn_configuration(())

    assert known.masked("/home/ada/shop: tea-and-mugs") == "/home/ada/shop: ***"


@pytest.mark.parametrize(
    "key", ["password", "X-Api-Key", "dbPass", "SHOP__KEY", "connection string"]
)
@pytest.mark.parametrize("value", ["a sesame", ["a sesame"], {"of": {"shop": "a sesame"}}])
def test_a_key_with_a_name_of_secrets_hides_all_texts_below_it(key: str, value: Any) -> None:
    redacted = Redactor().redacted({"headers": [{key: value}], "path": "/v1"})

    assert "sesame" not in repr(redacted)
    assert redacted["path"] == "/v1"


def test_counts_of_a_table_with_a_name_of_secrets_are_kept() -> None:
    value = {"row_counts": {"tokens": 3}, "resolved": [{"key": "limit", "is_secret_hint": True}]}

    assert Redactor().redacted(value) == value


@pytest.mark.parametrize(
    "name", ["SOURCES__SHOP__KEY", "SOURCES__SHOP__SIG", "SOURCES__SHOP__DBPASS"]
)
def test_the_last_part_of_a_variable_tells_that_it_is_a_secret(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "tea-and-mugs")
    of_configuration, of_environment = KnownSecrets(), Redactor()

    of_configuration.learn_configuration(())
    of_environment.learn_environment()

    assert of_configuration.masked("it is tea-and-mugs") == "it is ***"
    assert of_environment.masked("it is tea-and-mugs") == "it is ***"


def test_the_password_of_a_user_with_a_server_is_known() -> None:
    redactor = Redactor()
    redactor.learn("postgresql://ada@server:pass-4711@db.invalid/shop", is_secret=False)

    assert redactor.masked("wrong password pass-4711 of ada@server") == (
        "wrong password *** of ada@server"
    )
