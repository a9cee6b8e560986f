"""Checked input: the members of a JSON body or the parameters of a query string, as pydantic models."""

import math
import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)

from platform_web.problems import Problem, bad_input

MAX_ID = 2**63 - 1
MAX_DEPTH = 50

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL stores no NUL, UTF-8 no lone surrogate
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# Days that every engine stores, with room to count from them.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)


class Input(BaseModel):
    """The fields of a request: an unknown one is an error, and a JSON value is not converted to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Changes(Input):
    """The fields of a PATCH: a field that is not given is None; null is not a valid value."""

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value


def _storable_text(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("holds a character that not every database can store")
    return text


# pydantic itself converts more: in a query string `5.0` and `1_000` to a number, and `yes` and `1` to true; in both
# kinds of input the seconds since 1970 to a time or a day.


def _from_digits(value: object) -> int:
    if not isinstance(value, str) or not _WHOLE.fullmatch(value):
        raise ValueError("must be a whole number")
    return int(value)


def _from_word(value: object) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _from_day(value: object) -> date:
    mistake = "must be a day, like 2026-11-20"
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError(mistake)
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(mistake) from error


def _from_iso(value: object) -> datetime:
    mistake = "must be a time with its offset, like 2026-11-20T12:00:00+01:00"
    if not isinstance(value, str):
        raise ValueError(mistake)  # noqa: TRY004  # pydantic's
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:  # its text repeats the value
        raise ValueError(mistake) from error


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _storable(value: Any, depth: int = 0) -> Any:
    """Return JSON that every engine stores unchanged.

    MySQL's JSON has no deeper nesting and no larger whole number, and JSON has no infinity.

    Raises:
        ValueError: for any other.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep")
    match value:
        case str():
            _storable_text(value)
        case int() if not -MAX_ID - 1 <= value <= MAX_ID:
            raise ValueError("holds a number that not every database can store")
        case float() if not math.isfinite(value):
            raise ValueError("holds a number that JSON does not have")
        case dict():
            for key, item in value.items():
                _storable(key, depth)
                _storable(item, depth + 1)
        case list():
            for item in value:
                _storable(item, depth + 1)
    return value


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_storable_text)]
# One @, something on each side, no blank or control character: only a mail shows whether it arrives.
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]
QueryInt = Annotated[int, BeforeValidator(_from_digits)]
"""A whole number in a query string: nothing but its digits, with an optional minus."""
QueryBool = Annotated[bool, BeforeValidator(_from_word)]
"""`true` or `false` in a query string."""
Day = Annotated[date, BeforeValidator(_from_day), Field(ge=FIRST_DAY, le=LAST_DAY)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_from_iso),
    Field(ge=datetime.combine(FIRST_DAY, time.min, UTC), le=datetime.combine(LAST_DAY, time.max, UTC)),
    AfterValidator(_in_utc),
]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]

Model = TypeVar("Model", bound=Input)


def from_body(model: type[Model], request: Request) -> Model:
    """Return the members of the request's JSON object.

    Raises:
        Problem: 415 for another kind of body, 400 for other JSON and for wrong, missing and unknown members.
    """
    if not request.is_json:
        raise Problem(415, "Send a JSON object, with Content-Type: application/json.")
    try:
        body = request.get_json()
    except RecursionError as error:
        raise Problem(400, "The body is nested too deeply.") from error
    if not isinstance(body, dict):
        raise Problem(400, "The body is JSON, but not an object.")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _problem(error) from error


def from_query(model: type[Model], request: Request) -> Model:
    """Return the parameters of the request's query string; of one given twice, the first.

    The model has `QueryInt` and `QueryBool` in place of `int` and `bool`.

    Raises:
        Problem: 400 for wrong, missing and unknown parameters.
    """
    try:
        return model.model_validate_strings(request.args.to_dict())
    except ValidationError as error:
        raise _problem(error) from error


def _problem(error: ValidationError) -> Problem:
    """Return a 400 with the first mistake of each field, in pydantic's words and without the value."""
    mistakes: dict[str, str] = {}
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        mistakes.setdefault(str(mistake["loc"][0]), mistake["msg"].removeprefix("Value error, "))
    return bad_input(mistakes)
