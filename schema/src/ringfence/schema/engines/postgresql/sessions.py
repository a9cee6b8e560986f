"""Sessions and locks of a PostgreSQL server: who blocks DDL, the job's lock, and the timeout of locks."""

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from ringfence.runtime.errors import NotReady
from ringfence.schema.engines.base import HeldLock, OpenConnections, Server
from ringfence.schema.engines.postgresql.quoting import literal
from ringfence.schema.errors import LockLost
from ringfence.schema.text import MessageCallback

_LONG = 5  # seconds after which an open transaction is reported
# lock_not_available; deadlock_detected; serialization_failure, also of a conflict with recovery on a standby
_LOCK_CONFLICTS = frozenset({"55P03", "40P01", "40001"})
_OPEN = """
    SELECT pid, usename, COALESCE(NULLIF(application_name, ''), '-'), state,
           EXTRACT(epoch FROM clock_timestamp() - xact_start)::int
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND xact_start < clock_timestamp() - %s * interval '1 second'
    ORDER BY xact_start
"""
# PostgreSQL scopes advisory locks to a database, so one key serves every deployment.
_LOCK = int.from_bytes(hashlib.sha256(b"ringfence").digest()[:8], "big", signed=True)
_POLL = 0.5  # seconds between attempts; blocking in pg_advisory_lock deadlocks with CREATE INDEX CONCURRENTLY
# Parallel workers also run under the account's name. A role that is not its member sees only the name (type is NULL).
_CONNECTIONS = """
    SELECT usename, CASE WHEN backend_type IS NULL THEN ''
                         ELSE coalesce(pg_catalog.host(client_addr), 'a socket of the server') END, count(*)
    FROM pg_catalog.pg_stat_activity
    WHERE usename = ANY (%s) AND coalesce(backend_type, '') IN ('', 'client backend', 'walsender')
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def open_connections(connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
    """Count the connections of logins to every database of the server, by client address.

    Args:
        connection: a connection of the admin account.
        logins: the roles.
    """
    rows = connection.exec_driver_sql(_CONNECTIONS, (list(logins),))
    return [OpenConnections(login, host, int(number)) for login, host, number in rows]


def terminate_statement(login: str) -> str:
    """Return the statement that terminates the sessions of a login, for an operator.

    Args:
        login: the role.
    """
    where = f"usename = {literal(login)}"
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"  # noqa: S608 - a message


class PostgreSQLSessions:
    """The sessions of a server.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def identifier(self, connection: sa.Connection) -> str:
        """Return the process id of the connection's backend and its start time.

        The operating system reuses process ids, so the id alone does not identify a session.
        """
        return str(
            connection.exec_driver_sql(
                "SELECT pid || ' ' || backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()"
            ).scalar_one()
        )

    def is_busy(self, session: str) -> bool:
        """Return whether the backend process with this id and start time exists."""
        pid, _, began = session.partition(" ")
        with self._server.engine().connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz",
                (int(pid), began),
            )
            return found.first() is not None

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """Return a line for each transaction that is open for more than 5 seconds.

        Only members of pg_read_all_stats see the statements of other accounts; that a transaction is open is visible to
        all.
        """
        return [
            f"{user} ({application}, {state or 'unknown state'}) has had a transaction open for {seconds} s:"
            f" SELECT pg_terminate_backend({pid})"
            for pid, user, application, state, seconds in connection.exec_driver_sql(_OPEN, (_LONG,))
        ]


class PostgreSQLLocks:
    """The deployment's advisory lock, and the timeout of locks.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextlib.contextmanager
    def hold(self, *, patience: float, on_message: MessageCallback) -> Iterator[HeldLock]:
        """Hold the deployment's advisory lock on a connection of its own.

        The server releases the lock when that connection ends, so a lock never outlives its job.

        Raises:
            NotReady: another job held the lock for the whole `patience`.
        """
        engine = self._server.engine()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET idle_session_timeout = 0")
            deadline = time.monotonic() + patience
            announced = False
            while not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar_one():
                if not announced:
                    on_message("another job holds the lock of this database; waiting for it")
                    announced = True
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"another job has held the lock of {self._server.settings} for {patience:g} s; it is the"
                        " session in pg_locks with locktype = 'advisory'",
                        "locked",
                    )
                time.sleep(_POLL)
            yield _Lock(connection)
            # Closing the connection releases the lock too, but only once the server notices.
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    def set_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Set `lock_timeout` for the session."""
        connection.exec_driver_sql(f"SET lock_timeout = {max(1, round(seconds * 1000))}")

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether the statement failed with a lock timeout, a deadlock or a serialization failure."""
        return getattr(error.orig, "pgcode", None) in _LOCK_CONFLICTS


class _Lock:
    """The held advisory lock."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: no other job can take the lock over while its connection is open."""

    def check(self) -> None:
        """Check that the connection that holds the lock is still open.

        Raises:
            LockLost: the connection is closed.
        """
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise LockLost(
                "the connection that held the deployment's lock was lost; run the job again"
            ) from error
