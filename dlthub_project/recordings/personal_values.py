"""Finds values that look personal, and makes stand-ins of the same type and form."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

# words of a column's name. `name` is none of them: it may be the name of a thing
_PERSONAL = re.compile(
    r"(?:^|_)(?:"
    r"(?:e_?)?mails?(?:_?address(?:es)?)?|"
    r"names?|(?:first|last|full|given|family|middle|maiden|nick|display|user|screen|real)_?names?|"
    r"surnames?|forenames?|initials|salutation|login|handle|username|"
    r"(?:tele)?phones?(?:_?numbers?)?|mobiles?|cell|fax|tel|whatsapp|skype|twitter|linkedin|"
    r"facebook|instagram|contacts?|"
    r"address(?:es)?|addr|street|house(?:_?number)?|zip(?:_?code)?|post(?:al)?_?codes?|city|town|"
    r"village|county|lat(?:itude)?|lng|lon(?:gitude)?|geo|coordinates?|location|"
    r"dob|birth(?:s|day|date|place|_?year)?|born|age|gender|sex|nationality|citizenship|religion|"
    r"ethnicity|race|marital|"
    r"ssn|sin|nin|nino|passport|national_?id|id_?card|tax_?(?:id|number)|vat(?:_?number)?|"
    r"driv(?:er|ing)s?_?licen[cs]e|licen[cs]e_?plate|iban|bic|swift|account_?(?:number|holder)|"
    r"card(?:_?(?:number|holder))?|pan|cvv|cvc|salary|income|wage|"
    r"ip(?:v4|v6)?(?:_?addr(?:ess)?)?|remote_?addr|mac_?address|user_?agent|device_?id|imei|"
    r"photo|picture|avatar|portrait|signature|biography|bio|diagnosis|medication|blood|health|"
    r"comments?|notes?|message|remarks?|description|body|text|bio"
    r")(?:_|\d|$)"
)
# words for people: columns such as `user_id` join tables, and reveal nobody
_PERSON = re.compile(
    r"(?:^|_)(?:customer|client|patient|owner|author|person|people|employee|manager|user|member|"
    r"passenger|student|guest|tenant|borrower)s?(?:_|\d|$)"
)
_NUMBER = re.compile(r"(?:^|_)id$")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+\d[\d\s()/.-]{7,}\d")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"\b(?:\d[ -]?){13,19}\b")
_IP = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?P<rest>(?:[T ].*)?)")
_DIGIT = re.compile(r"\d")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FIRST_DAY = datetime.date(2000, 1, 1)


class _Told(NamedTuple):
    """Whether the names at a path speak of personal data, of persons, and of a number."""

    is_personal: bool
    is_of_person: bool
    is_number: bool


@lru_cache(maxsize=10_000)
def _told_by(path: tuple[str, ...]) -> _Told:
    words = [_CASE.sub("_", name).replace("-", "_").lower() for name in path]
    return _Told(
        any(_PERSONAL.search(word) for word in words),
        any(_PERSON.search(word) for word in words),
        bool(words) and _NUMBER.search(words[-1]) is not None,
    )


def looks_personal(path: Sequence[str], value: Any) -> bool:
    """Tell whether a value looks like one of a person, by the names at its path or by its form."""
    told = _told_by(tuple(path))
    is_number = told.is_number and isinstance(value, int | uuid.UUID)
    if told.is_personal or (told.is_of_person and not is_number):
        return True
    patterns = (_EMAIL, _PHONE, _IBAN, _CARD, _IP)
    return isinstance(value, str) and any(pattern.search(value) for pattern in patterns)


def stand_in(value: Any, column: str, number: int) -> Any:
    """Return the n-th stand-in for a value: of the same type, and, for a text, of the same form."""
    if isinstance(value, str):
        return _text_of_form(value, column, number)
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return number
    if isinstance(value, float):
        return float(number)
    if isinstance(value, Decimal):
        return Decimal(number).scaleb(value.as_tuple().exponent) if value.is_finite() else value  # type: ignore[arg-type]  # an int where it is finite
    if isinstance(value, uuid.UUID):
        return uuid.UUID(int=number)
    day = _FIRST_DAY + datetime.timedelta(days=number)
    if isinstance(value, datetime.datetime):
        return datetime.datetime(day.year, day.month, day.day, tzinfo=value.tzinfo)
    if isinstance(value, datetime.date):
        return day
    if isinstance(value, datetime.time):
        return datetime.time(number // 60 % 24, number % 60, tzinfo=value.tzinfo)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{column} {number}".encode()
    if isinstance(value, datetime.timedelta):
        return datetime.timedelta(seconds=number)
    return value


def _text_of_form(text: str, column: str, number: int) -> str:
    # first a cheap test: few texts match, and a pattern takes longer
    if "@" in text and _EMAIL.fullmatch(text):
        return f"person{number}@example.invalid"
    date = _DATE.fullmatch(text) if text[:1].isdigit() else None
    if date:
        day = _FIRST_DAY + datetime.timedelta(days=number)
        return f"{day}{_DIGIT.sub('0', date['rest'])}"
    if _UUID.fullmatch(text):
        return str(uuid.UUID(int=number))
    if "://" in text:
        return f"https://example.invalid/{number}"
    if _IP.fullmatch(text):
        # addresses that are reserved for documentation
        return f"192.0.2.{number % 256}"
    digits = len(_DIGIT.findall(text))
    if digits >= 3 and not re.search(r"[A-Za-z]", text):
        # numbers in a text keep its form: `+49 30 1234`
        new = iter(f"{number:0{digits}d}"[-digits:])
        return _DIGIT.sub(lambda _: next(new), text)
    return f"{column} {number}"
