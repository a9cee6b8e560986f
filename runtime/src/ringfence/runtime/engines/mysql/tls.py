"""PyMySQL's connections: one TLS context for each way to verify, a limit that can change, and a look at the greeting.

To make a context reads every authority of the system.
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
from ringfence.runtime.engines.other_protocols import MYSQL, POSTGRESQL, known, name_of, not_that
from ringfence.runtime.interrupts import let_through
from ringfence.runtime.settings import Host, Settings

_GREETING_SECONDS = 1.0
"""How long a server may take to say who it is before somebody asks; it may take longer to answer."""
_MOST = 16
_contexts: dict[object, ssl.SSLContext] = {}


class NotMySQL(pymysql.err.OperationalError):
    """What answers is no server of this family; no waiting mends that."""

    def __init__(self, found: str) -> None:
        db_type = "postgresql" if found == POSTGRESQL else None
        super().__init__(CR.CR_VERSION_ERROR, not_that(found, MYSQL, db_type))


class Connecting(Connection):
    """A connection whose TLS context is the one of an earlier connection, where both verify the same."""

    ringfence_host: Host | None = None

    def _get_server_information(self) -> None:
        """As PyMySQL, once what has come is seen to be a greeting."""
        self._await_greeting()
        super()._get_server_information()  # type: ignore[misc]  # the stubs leave it out

    def _await_greeting(self) -> None:
        wire: socket.socket = self._sock  # type: ignore[attr-defined]  # the stubs leave it out
        limit: float = self._read_timeout or self.connect_timeout or _GREETING_SECONDS
        here = Host(str(self.unix_socket or self.host), self.port)
        wire.settimeout(min(_GREETING_SECONDS, limit))
        said = b""
        try:
            said = wire.recv(5, socket.MSG_PEEK)
        except TimeoutError as error:
            let_through(error, pymysql.Error)
        found = name_of(said) if len(said) == 5 else None if said else known.other_than(here, MYSQL)
        if found not in (None, MYSQL):
            raise NotMySQL(str(found))
        if said:
            known.right(here, MYSQL)
        wire.settimeout(limit)  # as the driver takes it to be, but for the login of who sets no limit
        self._current_timeout = limit

    def notice_dead_peer(self, settings: Settings) -> None:
        """Have the system end this connection when nobody is there any more: see `notice_dead_peers`."""
        notice_dead_peers(self._sock, settings)  # type: ignore[attr-defined]  # the stubs leave it out

    def bound(self, seconds: float | None) -> None:
        """Wait so long, and no longer, for each part of an answer from now on; None for ever.

        The driver sets it on the socket at the next statement, if it is another than before.
        """
        self._read_timeout = self._write_timeout = seconds

    def _create_ssl_ctx(self, sslp: Mapping[str, Any] | ssl.SSLContext) -> ssl.SSLContext:
        """As PyMySQL makes it, or one that it made from the same words and the same file of authorities."""
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
    """What changes when the file is replaced; asked before the file is read, so that nothing older is kept under it."""
    if file is None:
        return None
    stat = Path(file).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
