"""No secret and no person stands in a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest

from dlthub_project.errors import RecordingStale
from dlthub_project.recordings import Masks
from dlthub_project.secrets import KNOWN
from pytest_dlthub import DltItems
from pytest_dlthub.recordings.recorder import Recorder

Recording = Callable[..., AbstractContextManager[Recorder]]

SECRET = "hunter2-of-the-shop"


@pytest.fixture(autouse=True)
def known_secret() -> Iterator[None]:
    """Have the process know a secret, as it does of each that dlt resolves."""
    known = KNOWN.values()
    KNOWN.learn(SECRET, is_secret=True)
    KNOWN.learn("77001234", is_secret=True)
    yield
    KNOWN.forget()
    for one in known:
        KNOWN.learn(one, is_secret=True)


@pytest.mark.parametrize(
    "row",
    [
        {"note": SECRET},
        {"note": f"see https://shop.invalid?key={SECRET}&x=1"},
        {"nested": [{"deep": {"note": SECRET}}]},
        {"raw": SECRET.encode()},
        {"pin": 77001234},
        {"pair": (1, SECRET)},
        {"note": "ghp_abcdefghij0123456789"},
        {"access_token": "whatever it is"},
        {"text": f"two\nlines with {SECRET}"},
    ],
    ids=lambda row: next(iter(row)),
)
def test_secret_is_never_in_a_file(recording: Recording, folder: Path, row: dict[str, Any]) -> None:
    @dlt.resource
    def orders() -> Any:
        yield [{"id": 1, **row}]

    with recording(mode="new"):
        DltItems()(orders, given="recorded")
    with recording():
        (found,) = DltItems()(orders, given="recorded")

    files = b"".join(path.read_bytes() for path in folder.iterdir())
    assert SECRET.encode() not in files
    assert b"77001234" not in files
    assert b"ghp_abcdefghij" not in files
    assert b"whatever it is" not in files
    # the type of the value stays
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in {"id": 1, **row}.items()
    }


def test_secret_in_arguments_and_in_arrow_is_in_no_file(recording: Recording, folder: Path) -> None:
    @dlt.resource
    def orders(note: str) -> Any:
        yield pa.table({"id": [1], "note": [note], "nested": [{"note": note}]})

    with recording(mode="new"):
        DltItems()(orders(SECRET), given="recorded")

    from pyarrow import parquet

    assert SECRET not in str(parquet.read_table(folder / "orders.parquet").to_pylist())
    assert SECRET not in (folder / "recording.yml").read_text()


def test_person_in_an_argument_is_in_no_file_and_compared_all_the_same(
    recording: Recording, folder: Path
) -> None:
    @dlt.resource
    def orders(of: Any) -> Any:
        yield [{"id": 1}]

    first, second = "ada@shop.invalid", [{"first_name": "Ada"}]
    for argument, other in ((first, "bob@shop.invalid"), (second, [{"first_name": "Bob"}])):
        with recording(mode="all"):
            DltItems()(orders(argument), given="recorded")
        assert "da" not in (folder / "recording.yml").read_text().partition("arguments")[2]
        with recording(), pytest.raises(RecordingStale, match="of was"):
            DltItems()(orders(other), given="recorded")


def test_field_whose_name_is_a_secret_is_refused(recording: Recording, folder: Path) -> None:
    @dlt.resource
    def orders() -> Any:
        yield [{SECRET: 1}]

    with recording(mode="new"), pytest.raises(Exception, match="name is a secret"):
        DltItems()(orders, given="recorded")
    assert not folder.exists()


def test_one_value_has_one_stand_in_in_all_resources_and_runs(
    recording: Recording, folder: Path
) -> None:
    @dlt.source
    def shop() -> Any:
        @dlt.resource
        def customers() -> Any:
            yield [{"email": "ada@shop.invalid"}, {"email": "bob@shop.invalid"}]

        @dlt.resource
        def orders() -> Any:
            yield pa.table({"buyer": ["bob@shop.invalid", None]})

        return customers, orders

    with recording(mode="new", masks=["email", "orders.buyer"]):
        DltItems()(shop(), given="recorded")
    with recording():
        found = DltItems()(shop(), given="recorded")

    customers = [row["email"] for row in found["customers"]]
    assert found["orders"][0].to_pylist() == [{"buyer": customers[1]}, {"buyer": None}]
    assert len({*customers}) == 2
    assert not {*customers} & {"ada@shop.invalid", "bob@shop.invalid"}


@pytest.mark.parametrize(
    ("patterns", "masked"),
    [
        (["email"], {"c.email", "c.contact.email"}),
        (["c.email"], {"c.email"}),
        (["contact.*"], {"c.contact.email", "c.contact.phone"}),
        (["*.Phone"], {"c.contact.phone"}),
        (["contact"], {"c.contact.email", "c.contact.phone"}),
        (["email", "!c.contact.email"], {"c.email"}),
        (["d.email", "c"], set()),
    ],
)
def test_patterns_name_fields_by_the_end_of_their_path(
    patterns: list[str], masked: set[str]
) -> None:
    masks = Masks(patterns)
    row = {"email": "a@b.invalid", "contact": {"email": "c@d.invalid", "phone": "12345678"}}

    masks.of_page("c", [row])

    assert {*masks.fields} == masked
    assert row["email"] == "a@b.invalid"


def test_stand_ins_keep_type_and_shape() -> None:
    row = {
        "mail": "ada@b.invalid",
        "phone": "+49 30 12345",
        "born": "1815-12-10",
        "age": 36,
        "x": None,
    }

    (found,), is_plain = Masks(["*"]).of_page("c", [row])

    assert is_plain
    assert found["mail"].endswith("@example.invalid")
    assert (len(found["phone"]), found["phone"][:1]) == (len(row["phone"]), "+")
    assert (len(found["born"]), type(found["age"]), found["x"]) == (10, int, None)
    assert not {*row.values()} - {None} & {*found.values()}


def test_what_looks_personal_and_is_shown_is_told(recording: Recording) -> None:
    @dlt.resource
    def customers() -> Any:
        yield [{"id": 1, "email": "a@b.invalid", "note": None, "first_name": "Ada"}]

    with recording(mode="new", masks=["email"]) as recorder:
        DltItems()(customers, given="recorded")

    told = "\n".join(recorder.notes)
    assert "look personal, and are shown: customers.first_name." in told
    assert "stand-ins: customers.email" in told
