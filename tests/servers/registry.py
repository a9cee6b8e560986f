"""Which server each engine has, started when it is first asked for and kept for the whole run."""

import atexit
from collections.abc import Callable
from typing import TypeVar

from servers import external, galera, mariadb, mysql, pgbouncer, postgres, redis
from servers.base import Server
from servers.process import Unavailable
from servers.redis import RedisServer
from servers.tls import Certificate

NEWER = "postgresql-newer"
"""A second PostgreSQL, of another version, when its URL is given."""

Kind = TypeVar("Kind", Server, RedisServer)

_START: dict[str, Callable[[], Server]] = {
    "postgresql": postgres.start,
    "mariadb": mariadb.start,
    "galera": galera.start,
    "mysql": mysql.start,
    "sqlite": lambda: Server("sqlite"),
}
_START_WITH_TLS: dict[str, Callable[[Certificate], Server]] = {
    "postgresql": postgres.start,
    "mariadb": mariadb.start,
}
_REPLICATED: dict[str, tuple[Callable[[], Server], Callable[[Server], Server]]] = {
    "postgresql": (lambda: postgres.start(replicated=True), postgres.replica),
    "mariadb": (lambda: mariadb.start(replicated=True), mariadb.replica),
}
_ATTEMPTS = 3  # another process may have taken a port between our look and the server's


def start(engine: str, tls: Certificate | None = None) -> Server:
    """Start a new private server, with TLS when a certificate is given. Raises Unavailable when this machine has none."""
    return _retry(_START[engine] if tls is None else lambda: _START_WITH_TLS[engine](tls))


def start_replicated(engine: str) -> tuple[Server, Server]:
    """Start a new private server and a replica of it. Raises Unavailable when this machine has none."""
    start_primary, start_replica = _REPLICATED[engine]
    primary = _retry(start_primary)
    try:
        return primary, _retry(lambda: start_replica(primary))
    except BaseException:
        primary.close()
        raise


def _retry(begin: Callable[[], Kind]) -> Kind:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return begin()
        except Unavailable as error:
            if attempt == _ATTEMPTS or "in use" not in str(error):
                raise
    raise AssertionError("unreachable")


class Registry:
    """The servers of one run. A server that could not be had is not tried again."""

    def __init__(self) -> None:
        self._servers: dict[str, Server | RedisServer] = {}
        self._missing: dict[str, str] = {}
        atexit.register(self.close)

    def server(self, engine: str) -> Server:
        """The server of an engine: the one of its URL, else a private one. Raises Unavailable with the reason."""
        if engine == NEWER:
            return self._keep(NEWER, lambda: external.find("postgresql", NEWER))
        return self._keep(engine, lambda: external.find(engine) or start(engine))

    def redis(self) -> RedisServer:
        """The Redis server. Raises Unavailable with the reason."""
        return self._keep("redis", lambda: _retry(redis.start))

    def pgbouncer(self) -> Server:
        """A pooler in front of the PostgreSQL server. Raises Unavailable with the reason."""
        return self._keep("pgbouncer", lambda: _retry(lambda: pgbouncer.start(self.server("postgresql"))))

    def close(self) -> None:
        """Stop all private servers, those in front first."""
        while self._servers:
            self._servers.popitem()[1].close()

    def _keep(self, name: str, begin: Callable[[], Kind | None]) -> Kind:
        if name in self._missing:
            raise Unavailable(self._missing[name])
        if name not in self._servers:
            try:
                begun = begin()
                if begun is None:
                    raise Unavailable(f"{external.variable(name)} is not set")
                self._servers[name] = begun
            except Unavailable as error:
                self._missing[name] = str(error)
                raise
        return self._servers[name]  # type: ignore[return-value]
