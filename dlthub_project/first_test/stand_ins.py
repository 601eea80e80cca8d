"""Stand-ins of the same type and form: for values that look personal, and for secrets."""

from __future__ import annotations

import ast
import datetime
import re
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dlthub_project.first_test.literals import is_table, literal, plain
from dlthub_project.secrets import KNOWN, is_secret_name, looks_secret

# words of a column's name. `name` may be that of a thing, and nobody can tell
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
# words for people: their numbers join tables, and tell nothing by themselves
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


class StandIns:
    """Replaces what a test must not hold. One value always has one stand-in, so that keys fit.

    Attributes:
        replaced: The columns of which a value was replaced; `.` parts those of nested values.
    """

    def __init__(self, *, keep_values: bool = False) -> None:
        """Start with none.

        Args:
            keep_values: Whether values that look personal stay; secrets never do.
        """
        self.replaced: dict[str, None] = {}
        self._keep_values = keep_values
        self._made: dict[tuple[type, Any], Any] = {}

    def of_item(self, item: Any) -> Any:
        """Return a row, a page, a frame or an Arrow table with stand-ins."""
        return self._of(item, ())

    def lets_show(self, column: str, code: str, given: str) -> bool:
        """Tell whether a test may show a loaded value: code of the project may have read more.

        Args:
            column: Its column.
            code: Its code, as `literal` returns it.
            given: The code of what is given: the test shows it anyway.
        """
        try:
            value = ast.literal_eval(code)
        except ValueError:
            # of another type, such as a date: its column alone tells
            value = code
        if value is None or not self._is_replaced(value, (column,)):
            return True
        if isinstance(value, str) and code in given:
            return True
        return code in {literal(made) for made in self._made.values()}

    def _of(self, value: Any, path: tuple[str, ...]) -> Any:
        value = plain(value)
        if is_table(value):
            return self._of_table(value)
        if isinstance(value, Mapping):
            return {key: self._of(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self._of(item, path) for item in value)
        if value is None or not self._is_replaced(value, path):
            return value
        self.replaced[".".join(path) or "value"] = None
        return self._stand_in(value, path[-1] if path else "value")

    def _is_replaced(self, value: Any, path: tuple[str, ...]) -> bool:
        if is_secret_value(path, value):
            return True
        if self._keep_values:
            return False
        words = [_CASE.sub("_", name).replace("-", "_").lower() for name in path]
        if any(_PERSONAL.search(word) for word in words):
            return True
        is_number = isinstance(value, int | uuid.UUID) and bool(words) and _NUMBER.search(words[-1])
        if not is_number and any(_PERSON.search(word) for word in words):
            return True
        patterns = (_EMAIL, _PHONE, _IBAN, _CARD, _IP)
        return isinstance(value, str) and any(pattern.search(value) for pattern in patterns)

    def _stand_in(self, value: Any, column: str) -> Any:
        key = type(value), repr(value)
        if key not in self._made:
            self._made[key] = _made(value, column, len(self._made) + 1)
        return self._made[key]

    def _of_table(self, table: Any) -> Any:
        import pyarrow as pa

        module = type(table).__module__.partition(".")[0]
        if module == "polars":
            import polars as pl

            return pl.from_arrow(self._of_table(table.to_arrow()))
        if module == "pandas":
            return self._of_table(pa.Table.from_pandas(table, preserve_index=False)).to_pandas()
        rows = [self._of(row, ()) for row in table.to_pylist()]
        return type(table).from_pylist(rows, schema=table.schema)


def is_secret_value(path: Sequence[str], value: Any) -> bool:
    """Tell whether a value, which stands at a path, is none that a test may show."""
    # flags are no secrets
    if is_secret_name(path) and not isinstance(value, bool):
        return True
    return isinstance(value, str) and (looks_secret(value) or KNOWN.masked(value) != value)


def _made(value: Any, column: str, number: int) -> Any:
    """Return the stand-in number so and so of a value: of its type, and of the form of a text."""
    if isinstance(value, str):
        return _made_text(value, column, number)
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


def _made_text(text: str, column: str, number: int) -> str:
    date = _DATE.fullmatch(text)
    if date:
        day = _FIRST_DAY + datetime.timedelta(days=number)
        return f"{day}{_DIGIT.sub('0', date['rest'])}"
    if _UUID.fullmatch(text):
        return str(uuid.UUID(int=number))
    if _EMAIL.fullmatch(text):
        return f"person{number}@example.invalid"
    if "://" in text:
        return f"https://example.invalid/{number}"
    if _IP.fullmatch(text):
        # of documentation
        return f"192.0.2.{number % 256}"
    digits = len(_DIGIT.findall(text))
    if digits >= 3 and not re.search(r"[A-Za-z]", text):
        # numbers in a text keep its form: `+49 30 1234`
        new = iter(f"{number:0{digits}d}"[-digits:])
        return _DIGIT.sub(lambda _: next(new), text)
    return f"{column} {number}"
