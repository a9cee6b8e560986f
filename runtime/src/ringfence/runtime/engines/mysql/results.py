"""PyMySQL results with BIT as a number, and types of newer servers, which PyMySQL decodes as ASCII, as bytes."""

import functools
from typing import Any

from pymysql.connections import TEXT_TYPES, MySQLResult
from pymysql.constants import FIELD_TYPE, FLAG

from ringfence.runtime.engines.mysql.tls import TlsConnection
from ringfence.runtime.errors import DataError

_BINARY = 63
"""The number of the character set `binary`."""
_ASCII = "ascii"
_WRITTEN = frozenset(range(15)) | {245, 246}
"""Numbers, dates, times, JSON and decimals, which the server sends as text although it declares them binary."""


_PLAIN = (_WRITTEN | TEXT_TYPES) - {FIELD_TYPE.BIT}
"""The types that the driver reads correctly."""


class Result(MySQLResult):
    """A result with BIT as a number, and types that the driver does not know, such as MySQL's VECTOR, as bytes."""

    fields: list[Any]
    converters: list[Any]
    # Called without arguments. The driver's destructor is Python code, in which an interrupt would be lost; it reads
    # the rest of a result, which the streams do here.
    __del__ = int  # type: ignore[assignment]  # a method in the stubs

    def _get_descriptions(self) -> None:
        super()._get_descriptions()  # type: ignore[misc]  # the stubs leave it out
        if _PLAIN.issuperset([field.type_code for field in self.fields]):
            return
        self.converters = [
            _reading(field, pair) for field, pair in zip(self.fields, self.converters, strict=True)
        ]


def _reading(field: Any, pair: Any) -> Any:
    """Return the encoding and the function that decode a column."""
    if field.type_code == FIELD_TYPE.BIT:
        said = bool(field.flags & FLAG.BINARY)
        return None, functools.partial(bits, length=field.length, text=said, named=bool(field.org_name))
    encoding, convert = pair
    unknown = field.charsetnr == _BINARY and field.type_code not in _WRITTEN
    return (None if encoding == _ASCII and unknown else encoding), convert


def bits(value: bytes, *, length: int, text: bool, named: bool) -> int | bytes:
    """Return a BIT(n) value as a number; as bytes, which the driver gives, zero would be true.

    The servers send columns as their bits, and some expressions (COALESCE, GREATEST, a sub-select) as decimal digits,
    under the same type; only MariaDB tells which. Where it is ambiguous, the bytes are returned.

    Args:
        value: the bytes sent.
        length: the column's size in bits.
        text: whether the server declares it as text.
        named: whether the server names the column that it comes from.
    """
    number = int.from_bytes(value, "big")
    if not value.isdigit():
        return number
    if text or len(value) != -(-length // 8) or number >> length:
        return int(value)
    return number if named else value


class RuntimeConnection(TlsConnection):
    """A connection of the runtime, whose results are `Result`; SQLAlchemy needs the driver's own."""

    longest: int | None = None
    """The server's max_allowed_packet in bytes, above which it closes the connection. None until it is known."""

    def query(self, sql: str | bytes, unbuffered: bool = False) -> Any:
        """Send a statement.

        Raises:
            DataError: for a statement longer than the server accepts.
        """
        sent = sql.encode(self.encoding, "surrogateescape") if isinstance(sql, str) else sql
        if self.longest is not None and len(sent) + 1 >= self.longest:
            raise DataError(
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
