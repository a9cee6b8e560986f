"""Errors as problem documents (RFC 9457): one table says what each error of the database means over HTTP."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from flask import Flask, Response, json, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from ringfence.runtime import errors

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER = 5
"""Seconds after which a client may try again when the database was away."""

log = logging.getLogger(__name__)


class Problem(Exception):
    """An answer of 400 and up; `errors` says per field of the request what is wrong with it."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = dict(errors or {})
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The problem as an HTTP response."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        answer = Response(json.dumps(document), status=self.status, content_type=CONTENT_TYPE)
        answer.headers.update(self.headers)
        return answer


def bad_input(errors: Mapping[str, str]) -> Problem:
    """A 400 that names every wrong field at once."""
    return Problem(400, "The request has fields that are not as they should be.", errors)


def not_found(what: str, key: object) -> Problem:
    """A 404 that names the thing that does not exist."""
    return Problem(404, f"There is no {what} {key}.")


def register(app: Flask) -> None:
    """Answer every error of this application with a problem document."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(errors.RingfenceError, _from_database)
    app.register_error_handler(Exception, _unforeseen)


def _from_http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:  # a redirect is no problem
        return error.get_response()
    problem = Problem(error.code, error.description or "").response()
    for name, value in error.get_headers(request.environ):  # Allow of a 405 and its like
        if name.lower() != "content-type":
            problem.headers[name] = value
    return problem


@dataclass(frozen=True)
class _Meaning:
    """What an error of the database means to a client; `field` is said of each column that it names."""

    status: int
    detail: str
    field: str = ""
    retry_after: int | None = None
    level: int = logging.DEBUG


# First match first.
_MEANINGS: tuple[tuple[type[errors.RingfenceError], _Meaning], ...] = (
    (
        errors.AccessDenied,
        _Meaning(403, "This service's database account may not do this.", level=logging.WARNING),
    ),
    (
        errors.UniqueViolation,
        _Meaning(409, "Another record has the same value.", "is already taken"),
    ),
    (
        errors.ForeignKeyViolation,
        _Meaning(
            409, "The record it refers to does not exist, or is still referred to.", "refers to no record"
        ),
    ),
    (errors.IntegrityError, _Meaning(400, "The database refuses the record.", "is not acceptable")),
    (errors.DataError, _Meaning(400, "A value cannot be stored as it is.", level=logging.INFO)),
    (
        errors.CommitUnknown,
        _Meaning(
            503,
            "It is not known whether this was stored: look before you send it again.",
            level=logging.ERROR,
        ),
    ),
    (errors.Conflict, _Meaning(503, "Another transaction won; send the request again.", retry_after=1)),
    (
        errors.Timeout,
        _Meaning(503, "The database took too long.", retry_after=RETRY_AFTER, level=logging.WARNING),
    ),
    (
        errors.Unavailable,
        _Meaning(503, "The database is away at the moment.", retry_after=RETRY_AFTER, level=logging.WARNING),
    ),
    (
        errors.NotReady,
        _Meaning(
            503, "The database is not ready for this service.", retry_after=RETRY_AFTER, level=logging.WARNING
        ),
    ),
)


def _from_database(error: errors.RingfenceError) -> Response:
    meaning = next((meaning for kind, meaning in _MEANINGS if isinstance(error, kind)), None)
    if meaning is None:
        return _unforeseen(error)
    log.log(meaning.level, "%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
    columns = error.columns if isinstance(error, errors.IntegrityError) else ()
    headers = {} if meaning.retry_after is None else {"Retry-After": str(meaning.retry_after)}
    return Problem(meaning.status, meaning.detail, dict.fromkeys(columns, meaning.field), headers).response()


def _unforeseen(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(500, "The service failed; its log says how.").response()
