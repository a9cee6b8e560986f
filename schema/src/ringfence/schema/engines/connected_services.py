"""Which services are connected, and with which mirror: by the name of the connection, or by its account."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.engines.base import Backend, Server

# The runtime sets application_name to `ringfence:SERVICE@REVISION`; PostgreSQL truncates that to 63 bytes, and a name
# of that length may have lost a part of its revision.
_PREFIX = "ringfence:"
_LONGEST = 63
_NAMED = """
    SELECT usename, application_name, count(*) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usename = ANY(%(logins)s) GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Connected:
    """A number of connections of one account with the same mirror."""

    login: str
    count: int
    revision: str | None = None
    """The revision of the mirror that the service uses; None where the server does not show it."""


def connected(backend: Backend, connection: sa.Connection, logins: Iterable[str]) -> tuple[Connected, ...]:
    """Return which of these accounts are connected now.

    Args:
        backend: The engine.
        connection: A connection of the admin account.
        logins: The services' accounts.
    """
    if backend.accounts is None:
        return ()
    look = _FINDERS.get(backend.identity.engine, _by_account)
    return tuple(look(backend, connection, tuple(logins)))


def _by_account(backend: Backend, connection: sa.Connection, logins: tuple[str, ...]) -> Iterator[Connected]:
    counts: Counter[str] = Counter()
    for one in backend.accounts.connections.open(connection, logins) if backend.accounts is not None else ():
        counts[one.login] += one.count
    for login, count in counts.items():
        yield Connected(login, count)


def _by_name(backend: Server, connection: sa.Connection, logins: tuple[str, ...]) -> Iterator[Connected]:
    for login, name, count in connection.exec_driver_sql(_NAMED, {"logins": list(logins)}):
        service = name if name.startswith(_PREFIX) and len(name.encode()) < _LONGEST else ""
        yield Connected(login, int(count), service.rpartition("@")[2] or None)


_FINDERS: Mapping[str, Callable[[Backend, sa.Connection, tuple[str, ...]], Iterator[Connected]]] = {
    "postgresql": _by_name,
}
