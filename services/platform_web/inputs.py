"""Checked input: the fields of a JSON body or a query string, with every mistake told at once."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TypeVar

from flask import Request

from platform_web.problems import Problem, bad_input

MAX_ID = 2**63 - 1
MAX_DEPTH = 50

# Days that every engine stores, with room to count from them.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)

# One @, something on each side, no blank or control character: whether mail arrives there only mail can tell.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE = re.compile(r"-?[0-9]{1,19}")

T = TypeVar("T")


class _Wrong(Exception):
    """What a value must be and is not."""


class Fields:
    """Reads named values, remembers what is wrong with each, and complains once, in `done`.

    A value that is wrong reads as None, and so does one that was not given.
    """

    def __init__(self, given: Mapping[str, object]) -> None:
        self.given = given
        self.known: set[str] = set()
        self.errors: dict[str, str] = {}

    @classmethod
    def of_body(cls, request: Request) -> "Fields":
        """The members of the request's JSON object. Raises Problem for another kind of body."""
        if not request.is_json:
            raise Problem(415, "Send a JSON object, with Content-Type: application/json.")
        try:
            body = request.get_json()
        except RecursionError as error:
            raise Problem(400, "The body is nested too deeply.") from error
        if not isinstance(body, dict):
            raise Problem(400, "The body is JSON, but not an object.")
        return cls(body)

    @classmethod
    def of_query(cls, request: Request) -> "Fields":
        """The parameters of the request's query string; of one given twice, the first."""
        return cls(request.args.to_dict())

    def done(self) -> None:
        """Raise a 400 when a field was wrong, missing or unknown."""
        unknown = dict.fromkeys(sorted(set(self.given) - self.known), "is not a field of this request")
        if self.errors or unknown:
            raise bad_input(self.errors | unknown)

    def text(self, name: str, *, least: int = 1, most: int, required: bool = False) -> str | None:
        """A string of `least` to `most` characters."""
        return self._read(name, lambda value: _text(value, least, most), required)

    def email(self, name: str, *, most: int, required: bool = False) -> str | None:
        """An e-mail address of at most `most` characters."""
        return self._read(name, lambda value: _email(value, most), required)

    def boolean(self, name: str) -> bool | None:
        """A JSON boolean, or `true` or `false` in a query string."""
        return self._read(name, _boolean)

    def integer(self, name: str, *, least: int = 1, most: int = MAX_ID) -> int | None:
        """A whole number, also as the digits of a query string."""
        return self._read(name, lambda value: _integer(value, least, most))

    def day(self, name: str) -> date | None:
        """A calendar day, YYYY-MM-DD."""
        return self._read(name, _day)

    def instant(self, name: str) -> datetime | None:
        """A moment in ISO 8601 with its offset, as a UTC datetime."""
        return self._read(name, _instant)

    def json_object(self, name: str) -> dict[str, object] | None:
        """A JSON object."""
        return self._read(name, _json_object)

    def _read(self, name: str, read: Callable[[object], T], required: bool = False) -> T | None:
        self.known.add(name)
        try:
            if name in self.given:
                return read(self.given[name])
            if required:
                raise _Wrong("is required")
        except _Wrong as wrong:
            self.errors[name] = str(wrong)
        return None


def _text(value: object, least: int, most: int) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise _Wrong(f"must be a text of {least} to {most} characters")
    _storable(value)
    return value


def _email(value: object, most: int) -> str:
    text = _text(value, 1, most)
    if not _EMAIL.fullmatch(text):
        raise _Wrong("must be an e-mail address")
    return text


def _boolean(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _integer(value: object, least: int, most: int) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Wrong(f"must be a whole number from {least} to {most}")
    return value


def _day(value: object) -> date:
    wrong = _Wrong("must be a day, like 2026-11-20")
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise wrong
    try:
        return _storable_day(date.fromisoformat(value))
    except ValueError as error:
        raise wrong from error


def _instant(value: object) -> datetime:
    wrong = _Wrong("must be a time with its offset, like 2026-11-20T12:00:00+01:00")
    if not isinstance(value, str):
        raise wrong
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise wrong
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise wrong from error
    _storable_day(moment.date())
    return moment


def _json_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Wrong("must be a JSON object")
    _storable(value)
    return value


def _storable_day(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise _Wrong(f"must be from {FIRST_DAY} to {LAST_DAY}")
    return day


def _storable(value: object, depth: int = 0) -> None:
    """Refuse what some database cannot hold, or would hold changed.

    PostgreSQL stores no NUL, UTF-8 no half of a surrogate pair, MySQL's JSON no deeper nesting and no wider whole
    number, and JSON itself no infinity.
    """
    if depth > MAX_DEPTH:
        raise _Wrong(f"is nested more than {MAX_DEPTH} deep")
    match value:
        case str() if "\x00" in value or _SURROGATE.search(value):
            raise _Wrong("holds a character that not every database can store")
        case int() if not -MAX_ID - 1 <= value <= MAX_ID:
            raise _Wrong("holds a number that not every database can store")
        case float() if not math.isfinite(value):
            raise _Wrong("holds a number that JSON does not know")
        case dict():
            for key, item in value.items():
                _storable(key, depth)
                _storable(item, depth + 1)
        case list():
            for item in value:
                _storable(item, depth + 1)
