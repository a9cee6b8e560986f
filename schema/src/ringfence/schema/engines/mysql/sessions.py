"""The sessions of a MySQL or MariaDB server: finding and ending them, and waiting for their locks."""

import contextlib
import hashlib
import math
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import pymysql
import sqlalchemy as sa

from ringfence.runtime.engines.mysql.transaction_size import too_large
from ringfence.runtime.errors import NotReady
from ringfence.schema.engines.base import HeldLock, OpenConnections
from ringfence.schema.errors import LockLost
from ringfence.schema.text import MessageCallback

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.family import MySQLFamily

_POLL = 1  # seconds that a single GET_LOCK waits: short, so that a job can be interrupted
_YEAR = 31536000
_LONG = 5  # seconds after which an open transaction is reported as long
# Lock wait timeout, deadlock or failed certification, statement aborted for a lock, changed table definition.
_LOCK_CONFLICTS = frozenset({1205, 1213, 3572, 1412})
_OPEN = """
    SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_started < NOW() - INTERVAL %s SECOND
    ORDER BY trx_started
"""
_NO_PRIVILEGE = frozenset({1227, 1044, 1142})
_NODE = "CONCAT(@@hostname, ':', @@port)"


def open_connections(connection: sa.Connection, table: str, logins: Collection[str]) -> list[OpenConnections]:
    """Return the open connections of some logins, counted by login and client address.

    Args:
        connection: the admin's.
        table: the name of the server's process list.
        logins: user names; not empty.
    """
    rows = connection.exec_driver_sql(
        f"SELECT user, host FROM {table} WHERE user IN %(logins)s ORDER BY user, host",  # noqa: S608 - our words
        {"logins": logins},
    )
    # Over TCP the client's address is followed by its port.
    counts = Counter(
        (str(user), host.rpartition(":")[0] if ":" in host else str(host)) for user, host in rows
    )
    return [OpenConnections(user, host, count) for (user, host), count in counts.items()]


class FamilySessions:
    """The sessions of a server.

    Args:
        backend: the server.
    """

    def __init__(self, backend: "MySQLFamily") -> None:
        self._backend = backend

    def identifier(self, connection: sa.Connection) -> str:
        """Return the number of the connection's session and the address of its server, for which alone it is unique."""
        return str(
            connection.exec_driver_sql(f"SELECT CONCAT(CONNECTION_ID(), ' on ', {_NODE})").scalar_one()
        )

    def is_busy(self, session: str) -> bool:
        """Return whether the session still runs a statement.

        An idle session of the same number belongs to another client, or is about to end.
        """
        with self._connect_to_node_of(session) as (connection, number):
            row = _processes(connection).get(number) if connection else None
            return row is not None and row["Command"] not in {"Sleep", "Killed"}

    def end(self, session: str) -> None:
        """End a session on its node, if it belongs to the admin's login."""
        with self._connect_to_node_of(session) as (connection, number):
            if (
                connection
                and (row := _processes(connection).get(number))
                and row["User"] == self._backend.settings.user
            ):
                with contextlib.suppress(pymysql.MySQLError), connection.cursor() as cursor:
                    cursor.execute("KILL CONNECTION %s", (number,))

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """Return the transactions of other sessions that have been open for long, each with the KILL that ends it.

        Without the privilege PROCESS the list is empty, because the server shows no sessions of others.
        """
        try:
            rows = connection.exec_driver_sql(_OPEN, (_LONG,)).all()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", (None,))[0] in _NO_PRIVILEGE:
                return []
            raise
        known = _processes(connection.connection.dbapi_connection) if rows else {}
        return [
            f"{known[number]['User']} from {known[number]['Host']} has had a transaction open for {seconds} s:"
            f" KILL {number}"
            for number, seconds in rows
            if number in known and known[number]["User"] != "system user"
        ]

    @contextlib.contextmanager
    def _connect_to_node_of(self, session: str) -> Iterator[tuple[Any, int]]:
        """Connect to the node of a session.

        Args:
            session: as `session_of` returned it.

        Yields:
            The connection, None when the node cannot be reached; and the number of the session on that node.
        """
        number, _, node = session.partition(" on ")
        for host in self._backend.settings.hosts:
            try:
                connection = self._backend.at(host).connect(self._backend.settings.name)
            except pymysql.MySQLError:
                continue
            with contextlib.closing(connection):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT {_NODE}")
                    connected = cursor.fetchone()[0]
                if connected == node:
                    yield connection, int(number)
                    return
        yield None, int(number)


class FamilyLocks:
    """The job's lock by GET_LOCK, and the timeouts of locks.

    Args:
        backend: the server.
    """

    def __init__(self, backend: "MySQLFamily") -> None:
        self._backend = backend

    @contextlib.contextmanager
    def hold(self, *, patience: float, on_message: MessageCallback) -> Iterator[HeldLock]:
        """Hold the job's lock of this database by GET_LOCK, on a connection of its own.

        The server releases the lock when that connection ends, however the job ends.

        Args:
            patience: seconds to wait at most.
            on_message: reports that the job waits.

        Yields:
            The held lock.

        Raises:
            NotReady: another job held the lock for longer than that.
        """
        name = "ringfence:" + hashlib.sha256(self._backend.settings.name.encode()).hexdigest()[:32]
        engine = self._backend.engine()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"SET SESSION wait_timeout = {_YEAR}")
            deadline = time.monotonic() + patience
            announced = False
            while connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, _POLL)).scalar_one() != 1:
                if not announced:
                    on_message("another job holds the lock of this database; waiting for it")
                    announced = True
                if time.monotonic() > deadline:
                    holder = connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (name,)).scalar()
                    raise NotReady(
                        f"another job has held the lock of {self._backend.settings} for {patience:g} s; it is"
                        f" connection {holder} in the process list",
                        "locked",
                    )
            yield _Lock(connection)
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))

    def set_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Set how long the session waits for locks.

        Args:
            connection: its session is changed.
            seconds: rounded up, because the server counts whole seconds.
        """
        whole = max(1, math.ceil(seconds))
        connection.exec_driver_sql(
            f"SET SESSION lock_wait_timeout = {whole}, innodb_lock_wait_timeout = {whole}"
        )

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether the statement failed for a lock or a concurrent transaction, and so had no effect."""
        return getattr(error.orig, "args", (None,))[0] in _LOCK_CONFLICTS


class _Lock:
    """The lock that `FamilyLocks.hold` holds."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: the lock cannot be taken over while its connection is open."""

    def check(self) -> None:
        """Check that the connection that holds the lock is still open.

        Raises:
            LockLost: it is not.
        """
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise LockLost(
                "the connection that held the deployment's lock was lost; run the job again"
            ) from error


def invalidate_after_server_rollback(engine: sa.Engine) -> sa.Engine:
    """Mark a connection as broken once the server has rolled back a whole transaction that was too large.

    Without this, the statements that follow would be committed alone. SQLAlchemy then requires a rollback first, as
    after a lost connection.

    Args:
        engine: the engine whose connections are watched; it is returned.
    """

    @sa.event.listens_for(engine, "handle_error")
    def _undone(context: sa.engine.ExceptionContext) -> None:
        if too_large(context.original_exception):
            context.is_disconnect = True

    return engine


def _processes(connection: Any) -> dict[int, dict[str, Any]]:
    """Return the sessions that the server shows to this account, by number."""
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return {row["Id"]: row for row in cursor}
