"""Detects which other server answers at a database's address: a wrong DB_TYPE or DB_PORT, which retrying cannot fix."""

import contextlib
import re
import socket
import struct
import time
from typing import Final

from ringfence.runtime.settings import Host

POSTGRESQL: Final = "a PostgreSQL server"
MYSQL: Final = "a MySQL or MariaDB server"

_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 60.0
# First send nothing: a server that speaks first might close the connection on unexpected input, and its greeting would
# be lost. Then PostgreSQL's TLS request, and a line that Redis and HTTP servers answer.
_QUESTIONS = (b"", struct.pack("!ii", 8, 80877103), b"PING\r\n\r\n")
_ANSWERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb"..\0.[\x09\x0a\xff]", MYSQL),
        (rb"[SN](?:\Z|E\0)", POSTGRESQL),
        (rb".\0\0\0\x0b", "a MySQL server's X protocol, which is on a port of its own,"),
        (rb"HTTP/|\s*<", "an HTTP server"),
        (rb"\+PONG|-NOAUTH|-ERR|-DENIED", "a Redis or Valkey server"),
        (rb"SSH-", "an SSH server"),
        (rb"\x15\x03", "a server that takes TLS from the first byte on"),
        (rb"220[ -]|\* OK|\+OK", "a mail or FTP server"),
    )
)


def name_of(said: bytes) -> str | None:
    """Return the kind of server that sends these first bytes; None for no bytes."""
    if not said:
        return None
    return next((name for pattern, name in _ANSWERS if pattern.match(said)), "a server of another protocol")


def detect_server(host: Host) -> str | None:
    """Return the kind of server at an address, found by up to three connections of one second each; None if unknown.

    Args:
        host: the address, or the path of a socket.
    """
    for question in _QUESTIONS:
        said = b""
        with contextlib.suppress(OSError), _connected(host) as wire:
            wire.sendall(question)
            while len(said) < 5 and said not in (b"S", b"N") and (more := wire.recv(64)):
                said += more
        if found := name_of(said):
            return found
    return None


def _connected(host: Host) -> socket.socket:
    if not host.host.startswith("/"):
        return socket.create_connection((host.host, host.port), _SECONDS)
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    wire.settimeout(_SECONDS)
    try:
        wire.connect(host.host)
    except OSError:
        wire.close()
        raise
    return wire


def wrong_server_message(found: str, wanted: str, db_type: str | None) -> str:
    """Return the error message for a server of the wrong kind.

    Args:
        found: the server found.
        wanted: the server expected.
        db_type: the DB_TYPE that would fit the server found; None where there is none.
    """
    way = f"is it DB_TYPE={db_type}, or another DB_PORT?" if db_type else "check DB_HOST and DB_PORT"
    return f"{found} answers there, and not {wanted}: {way}"


class ServerCache:
    """Caches which addresses were identified, so that they are not probed repeatedly.

    A server that is only slow would count each probe as a failed login.
    """

    def __init__(self) -> None:
        self._right: set[tuple[Host, str]] = set()
        self._asked: dict[tuple[Host, str], float] = {}

    def right(self, host: Host, wanted: str) -> None:
        """Record that the expected server answers at this address."""
        self._right.add((host, wanted))

    def other_than(self, host: Host, wanted: str) -> str | None:
        """Return the kind of server at an address if it is not the expected one; None if unknown or probed recently.

        Args:
            host: the address, or the path of a socket.
            wanted: the expected kind, `POSTGRESQL` or `MYSQL`.
        """
        now = time.monotonic()
        if (host, wanted) in self._right or self._asked.get((host, wanted), now) > now:
            return None
        found = detect_server(host)
        if found in (None, wanted):
            self._asked[host, wanted] = now + _ASK_AGAIN_SECONDS
            return None
        return found


server_cache = ServerCache()
