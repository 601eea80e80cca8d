"""Stand-ins: which values are replaced, and by what."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dlthub_project.first_test.made_up_values import StandIns
from dlthub_project.secrets import KNOWN

SECRET = "hush-hush-very-secret-9"


@pytest.mark.parametrize(
    "column",
    [
        *("email", "e_mail", "eMail", "contact_email", "emailAddress", "E-Mail", "mail"),
        *("name", "first_name", "lastName", "full_name", "customer", "customerName", "user"),
        *("phone", "phone_number", "mobile", "fax", "tel", "address", "street", "zip", "zip_code"),
        *("postcode", "postal_code", "city", "lat", "longitude", "birth_date", "dob", "birthday"),
        *("age", "gender", "ssn", "passport", "iban", "card_number", "salary", "ip", "ip_address"),
        *("user_agent", "comment", "notes", "message", "description", "author", "owner", "login"),
    ],
)
def test_columns_that_look_personal_are_replaced(column: str) -> None:
    stand_ins = StandIns()
    made = stand_ins.of_item([{"id": 1, column: "Ada"}])[0][column]

    assert made != "Ada"
    assert isinstance(made, str)
    assert list(stand_ins.replaced) == [column]
    assert StandIns(keep_values=True).of_item({column: "Ada"}) == {column: "Ada"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("id", 7), ("customer_id", 7), ("user_id", uuid.UUID(int=3)), ("price", Decimal("1.5"))),
        *(("status", "open"), ("page", 3), ("image", "x.png"), ("sku", "tea"), ("created_at", 5)),
        *(("homepage_rank", 1), ("language", "de"), ("currency", "EUR"), ("message_count", None)),
        ("updated_at", datetime.datetime(2026, 1, 1, 3, 4, 5, tzinfo=datetime.timezone.utc)),
    ],
)
def test_others_stay(column: str, value: Any) -> None:
    assert StandIns().of_item({column: value}) == {column: value}


@pytest.mark.parametrize(
    "value",
    [
        "write to ada@example.com",
        "call +49 30 1234567",
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "from 10.1.2.3",
    ],
)
def test_a_text_that_looks_personal_is_replaced_whatever_its_column(value: str) -> None:
    assert StandIns().of_item([{"x": {"y": [value]}}]) != [{"x": {"y": [value]}}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("token", "abcdef"), ("api_key", "abcdef"), ("x", SECRET), ("x", f"Bearer {SECRET}")),
        *(("password", 123456), ("x", "ghp_abcdefghijklmnop"), ("x", "https://u:pw@db.invalid")),
    ],
)
def test_secrets_are_replaced_even_if_values_are_kept(column: str, value: Any) -> None:
    KNOWN.learn(SECRET, is_secret=True)
    made = StandIns(keep_values=True).of_item({column: value})[column]

    assert str(value) not in str(made)
    assert type(made) is type(value)


def test_a_stand_in_has_type_and_form_and_is_the_same_for_the_same_value() -> None:
    rows = [
        {
            "phone": "+49 30 1234",
            "birth_date": "1990-01-02",
            "zip": 12345,
            "salary": Decimal("9.50"),
        },
        {
            "phone": "+49 30 1235",
            "birth_date": "1990-01-02T03:04:05Z",
            "zip": 12345,
            "salary": None,
        },
    ]
    first, second = StandIns().of_item(rows)

    assert [len(first["phone"]), first["phone"][:1], first["phone"][3]] == [11, "+", " "]
    assert first["phone"] != second["phone"]
    assert datetime.date.fromisoformat(first["birth_date"])
    assert second["birth_date"].endswith("T00:00:00Z")
    assert (first["zip"], type(first["zip"])) == (second["zip"], int)
    assert first["salary"].as_tuple().exponent == -2
    assert second["salary"] is None


@pytest.mark.parametrize(
    ("value", "second"),
    [
        (1.5, 3.0),
        (b"x", b"y"),
        (uuid.UUID(int=99), uuid.UUID(int=98)),
        (datetime.date(1990, 1, 2), datetime.date(1991, 1, 2)),
        (datetime.time(3, 4), datetime.time(3, 5)),
        (
            datetime.datetime(1990, 1, 2, 3, tzinfo=datetime.timezone.utc),
            datetime.datetime(1991, 1, 2, 3, tzinfo=datetime.timezone.utc),
        ),
        (datetime.timedelta(hours=1), datetime.timedelta(hours=2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_stand_ins_of_two_values_differ_and_have_their_type(value: Any, second: Any) -> None:
    stand_ins = StandIns()
    first = stand_ins.of_item({"birth": value})["birth"]
    other = stand_ins.of_item({"birth": second})

    assert first != value
    assert type(first) is type(value)
    assert getattr(first, "tzinfo", None) == getattr(value, "tzinfo", None)
    assert other["birth"] != first


def test_nested_values_have_the_path_of_their_column() -> None:
    stand_ins = StandIns()
    row = {"customer": {"id": 7, "vip": True, "name": "Ada"}, "lines": [{"note": "hi", "n": 1}]}
    made = stand_ins.of_item(row)

    assert list(stand_ins.replaced) == ["customer.vip", "customer.name", "lines.note"]
    assert (made["customer"]["id"], made["lines"][0]["n"]) == (7, 1)


def test_frames_and_arrow_tables_keep_their_types() -> None:
    table = pa.table({"id": pa.array([1, 2], pa.int8()), "name": ["Ada", "Bob"]})
    made = StandIns().of_item(table)

    assert made.schema == table.schema
    assert made["id"] == table["id"]
    assert len({*made["name"].to_pylist()} | {"Ada", "Bob"}) == 4
    assert isinstance(StandIns().of_item(table.to_batches()[0]), pa.RecordBatch)
    assert StandIns().of_item([pl.from_arrow(table)])[0].columns == ["id", "name"]
    frame = StandIns().of_item(pd.DataFrame({"id": [1], "email": ["ada@example.com"]}))
    assert frame["email"][0] == "person1@example.invalid"
