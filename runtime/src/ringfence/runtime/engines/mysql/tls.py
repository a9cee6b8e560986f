"""PyMySQL connections with cached TLS contexts, an adjustable timeout, and a check of the server's greeting.

Creating a TLS context reads all authorities of the system, so contexts are reused.
"""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CR

from ringfence.runtime.engines.network_timeouts import notice_dead_peers
from ringfence.runtime.engines.other_protocols import (
    MYSQL,
    POSTGRESQL,
    name_of,
    server_cache,
    wrong_server_message,
)
from ringfence.runtime.interrupts import reraise_interrupt
from ringfence.runtime.settings import Host, Settings

_GREETING_SECONDS = 1.0
"""How long to wait for a greeting before the address is probed; a server may take longer to greet."""
_MOST = 16
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
        wire.settimeout(
            limit
        )  # the value the driver assumes; without a timeout, this limit still applies to the login
        self._current_timeout = limit

    def notice_dead_peer(self, settings: Settings) -> None:
        """Set socket options that end a connection with a dead peer; see `notice_dead_peers`."""
        notice_dead_peers(self._sock, settings)  # type: ignore[attr-defined]  # missing in the stubs

    def bound(self, seconds: float | None) -> None:
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
            if len(_contexts) >= _MOST:
                _contexts.clear()
            _contexts[key] = context
        return context


def _version(file: str | None) -> object:
    """Return values that change when a file is replaced; taken before it is read, so no stale context is cached."""
    if file is None:
        return None
    stat = Path(file).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
