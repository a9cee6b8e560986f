"""Everything that the runtime uses of PyMySQL beside its public face, each with its reason.

`PRIVATE` and `ATTRIBUTES` list the names; the project's tests compare them with the installed PyMySQL.
They were checked with PyMySQL 1.1.1, 1.1.2 and 1.2.4.

- TLS contexts are cached: creating one reads all authorities of the system.
- The greeting is examined before PyMySQL reads it: another server's bytes would be a misleading error, or no error.
- Timeouts can change between statements; PyMySQL takes them at the connection's start only.
- Results return BIT as a number, and types of newer servers as bytes; PyMySQL decodes these as ASCII.
- Connections and unbuffered results are closed without swallowing an exception of a signal handler.
"""

import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.connections import TEXT_TYPES, Connection, MySQLResult
from pymysql.constants import COMMAND, CR, FIELD_TYPE, FLAG

from ringfence.runtime.engines.network_timeouts import notice_dead_peers
from ringfence.runtime.engines.other_protocols import (
    MYSQL,
    POSTGRESQL,
    name_of,
    server_cache,
    wrong_server_message,
)
from ringfence.runtime.engines.sockets import hang_up
from ringfence.runtime.errors import DataError
from ringfence.runtime.interrupts import reraise_interrupt
from ringfence.runtime.settings import Host, Settings

PRIVATE: Final[Mapping[str, str]] = {
    "Connection._get_server_information": "(self)",
    "Connection._create_ssl_ctx": "(self, sslp)",
    "Connection._read_query_result": "(self, unbuffered=False)",
    "Connection._write_bytes": "(self, data)",
    "MySQLResult._get_descriptions": "(self)",
    "MySQLResult._finish_unbuffered_query": "(self)",
}
"""The methods of `pymysql.connections` that are overridden or called here, with their signatures."""

ATTRIBUTES: Final = (
    "_sock", "_rfile", "_closed", "_result", "_read_timeout", "_write_timeout",
)  # fmt: skip
"""The attributes of a connection that are read or set here."""


_GREETING_SECONDS = 1.0
"""How long to wait for a greeting before the address is probed; a server may take longer to greet."""
_MOST_CONTEXTS = 16
_contexts: dict[object, ssl.SSLContext] = {}


class NotMySQL(pymysql.err.OperationalError):
    """The server at the address is not of the MySQL family; retrying does not help."""

    def __init__(self, found: str) -> None:
        db_type = "postgresql" if found == POSTGRESQL else None
        super().__init__(CR.CR_VERSION_ERROR, wrong_server_message(found, MYSQL, db_type))


class TlsConnection(Connection):
    """A connection that shares its TLS context with earlier connections of the same settings."""

    ringfence_host: Host | None = None

    def _get_server_information(self) -> None:
        """Read the greeting, as PyMySQL does, after a check that it is one."""
        self._await_greeting()
        super()._get_server_information()  # type: ignore[misc]  # missing in the stubs

    def _await_greeting(self) -> None:
        wire: socket.socket = self._sock  # type: ignore[attr-defined]  # missing in the stubs
        limit: float = self._read_timeout or self.connect_timeout or _GREETING_SECONDS
        here = Host(str(self.unix_socket or self.host), self.port)
        wire.settimeout(min(_GREETING_SECONDS, limit))
        said = b""
        try:
            said = wire.recv(5, socket.MSG_PEEK)
        except TimeoutError as error:
            reraise_interrupt(error, pymysql.Error)
        found = name_of(said) if len(said) == 5 else None if said else server_cache.other_than(here, MYSQL)
        if found not in (None, MYSQL):
            raise NotMySQL(str(found))
        if said:
            server_cache.right(here, MYSQL)
        # The value that the driver assumes; without a timeout, this limit still applies to the login.
        wire.settimeout(limit)
        self._current_timeout = limit  # read since PyMySQL 1.2, which sets the socket only when it changes

    def notice_dead_peer(self, settings: Settings) -> None:
        """Set socket options that end a connection with a dead peer; see `notice_dead_peers`."""
        notice_dead_peers(self._sock, settings)  # type: ignore[attr-defined]  # missing in the stubs

    def set_timeout(self, seconds: float | None) -> None:
        """Set the longest wait, in seconds, for each part of an answer; None waits for ever.

        The driver applies a changed value to the socket at the next statement.
        """
        self._read_timeout = self._write_timeout = seconds

    def _create_ssl_ctx(self, sslp: Mapping[str, Any] | ssl.SSLContext) -> ssl.SSLContext:
        """Return PyMySQL's TLS context, cached by the settings and the version of the authority file."""
        if isinstance(sslp, ssl.SSLContext):
            return sslp
        key = (tuple(sorted(sslp.items())), _version(sslp.get("ca")))
        context = _contexts.get(key)
        if context is None:
            context = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            if len(_contexts) >= _MOST_CONTEXTS:
                _contexts.clear()
            _contexts[key] = context
        return context


def _version(file: str | None) -> object:
    """Return values that change when a file is replaced; taken before it is read, so no stale context is cached."""
    if file is None:
        return None
    stat = Path(file).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


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


_GOODBYE = struct.pack("<iB", 1, COMMAND.COM_QUIT)


def close_socket(connection: Any) -> None:
    """Close the socket; raises nothing but an interrupt.

    Args:
        connection: PyMySQL's connection.
    """
    if connection._result is not None:
        connection._result.unbuffered_active = False  # otherwise its destructor would read the remaining rows
    ends = connection._rfile, connection._sock
    connection._closed, connection._rfile, connection._sock = True, None, None
    for end in ends:
        if end is not None:
            end.close()


def quit_and_close(connection: Any) -> None:
    """Send COM_QUIT and close the socket; raises nothing but an interrupt.

    Args:
        connection: PyMySQL's connection.
    """
    try:
        if connection.open:
            connection._write_bytes(_GOODBYE)
    except (pymysql.Error, OSError) as error:  # the connection is broken, and is closed anyway
        reraise_interrupt(error, pymysql.Error)
    finally:
        close_socket(connection)


def shut_down_socket(connection: Any) -> None:
    """Shut the socket down from another thread, so that the thread that waits on it gets an error at once.

    Args:
        connection: PyMySQL's connection.
    """
    wire = connection._sock
    with contextlib.suppress(OSError):  # already closed
        if wire is not None:
            hang_up(wire.fileno())


def has_unread_rows(connection: Any, cursor: Any) -> bool:
    """Return whether an unbuffered result has rows that were not read; one of a closed connection has none.

    Args:
        connection: PyMySQL's connection.
        cursor: its unbuffered cursor, or None.
    """
    result = cursor._result if cursor is not None else None
    if result is not None and not connection.open:
        result.unbuffered_active = False  # otherwise its destructor would read from a closed connection
    return bool(result is not None and result.unbuffered_active)


def read_to_end(cursor: Any) -> None:
    """Read the rest of an unbuffered result and drop it; raises the error with which the server ended it.

    Args:
        cursor: the unbuffered cursor.
    """
    cursor._result._finish_unbuffered_query()
