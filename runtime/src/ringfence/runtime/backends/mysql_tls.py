"""PyMySQL's connections with one TLS context for each way to verify, and with a limit that can change.

To make a context reads every authority of the system.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymysql.connections import Connection

from ringfence.runtime.settings import Host

_MOST = 16
_contexts: dict[object, ssl.SSLContext] = {}


class Connecting(Connection):
    """A connection whose TLS context is the one of an earlier connection, where both verify the same."""

    ringfence_host: Host | None = None

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
