"""PyMySQL's results, with bits as numbers, and types of newer servers that it would take for ASCII as bytes."""

import functools
from typing import Any

from pymysql.connections import TEXT_TYPES, MySQLResult
from pymysql.constants import FIELD_TYPE, FLAG

from ringfence.runtime.engines.mysql.tls import Connecting
from ringfence.runtime.errors import BadValue

_BINARY = 63
"""The number of the character set that is none."""
_ASCII = "ascii"
_WRITTEN = frozenset(range(15)) | {245, 246}
"""Numbers, dates, times, JSON and decimals, which the server sends as text though it says that they are binary."""


_PLAIN = (_WRITTEN | TEXT_TYPES) - {FIELD_TYPE.BIT}
"""What the driver reads as it should."""


class Result(MySQLResult):
    """A result that gives BIT as a number, and what the driver does not know, such as MySQL's VECTOR, as bytes."""

    fields: list[Any]
    converters: list[Any]
    # Called with nothing. The driver's own is Python, in which an exception from outside would be dropped; what is left
    # of a result, which that would read, is the streams' to end.
    __del__ = int  # type: ignore[assignment]  # the stubs have a method

    def _get_descriptions(self) -> None:
        super()._get_descriptions()  # type: ignore[misc]  # the stubs leave it out
        if _PLAIN.issuperset([field.type_code for field in self.fields]):
            return
        self.converters = [
            _reading(field, pair) for field, pair in zip(self.fields, self.converters, strict=True)
        ]


def _reading(field: Any, pair: Any) -> Any:
    """The encoding and the function that read a column."""
    if field.type_code == FIELD_TYPE.BIT:
        said = bool(field.flags & FLAG.BINARY)
        return None, functools.partial(bits, length=field.length, text=said, named=bool(field.org_name))
    encoding, convert = pair
    unknown = field.charsetnr == _BINARY and field.type_code not in _WRITTEN
    return (None if encoding == _ASCII and unknown else encoding), convert


def bits(value: bytes, *, length: int, text: bool, named: bool) -> int | bytes:
    """BIT(n) as a number: as bytes, which the driver gives, a zero would be true.

    The servers send columns as their bits, and some expressions (COALESCE, GREATEST, a sub-select) as decimal digits,
    under the same type; MariaDB alone says which. Where none does, the bytes are given as they came.

    Args:
        value: as it was sent.
        length: of the column, in bits.
        text: whether the server says that it is text.
        named: whether the server names a column that it comes from.
    """
    number = int.from_bytes(value, "big")
    if not value.isdigit():
        return number
    if text or len(value) != -(-length // 8) or number >> length:
        return int(value)
    return number if named else value


class Reading(Connecting):
    """A connection of the runtime, which reads what `Result` reads; SQLAlchemy wants the driver's own."""

    longest: int | None = None
    """The bytes that the server takes at once; it closes the connection over more. None until it was asked."""

    def query(self, sql: str | bytes, unbuffered: bool = False) -> Any:
        """Send a statement. Raises BadValue for one that is too long."""
        sent = sql.encode(self.encoding, "surrogateescape") if isinstance(sql, str) else sql
        if self.longest is not None and len(sent) + 1 >= self.longest:
            raise BadValue(
                f"the statement has {len(sent):,} bytes, and the server takes {self.longest:,} at once"
                " (max_allowed_packet): store a long value in parts, send fewer rows in a statement, or have it raised"
            )
        return super().query(sent, unbuffered)

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        self._result = None
        result = Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows
