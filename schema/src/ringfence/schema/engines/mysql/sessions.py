"""The sessions of a MySQL or MariaDB server: which is ours, which are in the way, and how long to wait for them."""

import contextlib
import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import pymysql
import sqlalchemy as sa

from ringfence.runtime.engines.mysql.transaction_size import too_large
from ringfence.runtime.settings import Settings
from ringfence.schema.engines.base import Findings, Identity, Opened, Statement

_NEEDED = 4  # connections: one that migrates, one that holds the lock, two that look
_LONG = 5  # seconds that a transaction is open before it is called long
# Lock wait timeout, deadlock or lost certification, statement aborted for a lock, and a table definition that changed.
_WAITED = frozenset({1205, 1213, 3572, 1412})
_OPEN = """
    SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_started < NOW() - INTERVAL %s SECOND
    ORDER BY trx_started
"""
_NO_RIGHT = frozenset({1227, 1044, 1142})
_PLACE = "CONCAT(@@hostname, ':', @@port)"


def opened(connection: sa.Connection, table: str, logins: Collection[str]) -> list[Opened]:
    """The connections of some logins, by the address that each comes from.

    Args:
        connection: the admin's.
        table: the server's list of processes.
        logins: not empty.
    """
    rows = connection.exec_driver_sql(
        f"SELECT user, host FROM {table} WHERE user IN %(logins)s ORDER BY user, host",  # noqa: S608 - our words
        {"logins": logins},
    )
    # By TCP the port of the client stands behind its address.
    counts = Counter(
        (str(user), host.rpartition(":")[0] if ":" in host else str(host)) for user, host in rows
    )
    return [Opened(user, host, count) for (user, host), count in counts.items()]


class Sessions:
    """What a backend knows of the server's sessions."""

    settings: Settings
    identity: Identity

    def circumstances(self, connection: sa.Connection) -> Findings:
        """See Backend."""
        found = Findings(warnings=self.in_the_way(connection))
        used = int(connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'").one()[1])
        most = int(connection.exec_driver_sql("SELECT @@GLOBAL.max_connections").scalar_one())
        if most - used < _NEEDED:
            found.errors.append(
                f"{used} of the server's {most} connections are taken, and the job needs {_NEEDED}: let services have"
                " smaller pools (DB_POOL_SIZE), or give max_connections more"
            )
        return found

    def disagreeing(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """See Backend. There is one node."""
        return [], []

    def session_of(self, connection: sa.Connection) -> str:
        """See Backend. A number is good for one node alone."""
        return str(
            connection.exec_driver_sql(f"SELECT CONCAT(CONNECTION_ID(), ' on ', {_PLACE})").scalar_one()
        )

    def runs(self, session: str) -> bool:
        """See Backend. An idle session of that number is another's, or is about to end."""
        with self._beside(session) as (connection, number):
            row = _processes(connection).get(number) if connection else None
            return row is not None and row["Command"] not in {"Sleep", "Killed"}

    def end(self, session: str) -> None:
        """End a session of our own account, on the node it is on."""
        with self._beside(session) as (connection, number):
            if (
                connection
                and (row := _processes(connection).get(number))
                and row["User"] == self.settings.user
            ):
                with contextlib.suppress(pymysql.MySQLError), connection.cursor() as cursor:
                    cursor.execute("KILL CONNECTION %s", (number,))

    def be_patient(self, connection: sa.Connection, seconds: float) -> None:
        """See Backend. The server counts whole seconds."""
        whole = max(1, math.ceil(seconds))
        connection.exec_driver_sql(
            f"SET SESSION lock_wait_timeout = {whole}, innodb_lock_wait_timeout = {whole}"
        )

    def waited(self, error: sa.exc.DBAPIError) -> bool:
        """See Backend."""
        return getattr(error.orig, "args", (None,))[0] in _WAITED

    def in_the_way(self, connection: sa.Connection) -> list[str]:
        """See Backend. Without the right PROCESS the server shows none of others."""
        try:
            rows = connection.exec_driver_sql(_OPEN, (_LONG,)).all()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", (None,))[0] in _NO_RIGHT:
                return []
            raise
        known = _processes(connection.connection.dbapi_connection) if rows else {}
        return [
            f"{known[number]['User']} from {known[number]['Host']} has had a transaction open for {seconds} s:"
            f" KILL {number}"
            for number, seconds in rows
            if number in known and known[number]["User"] != "system user"
        ]

    def half_made(self, connection: sa.Connection, schema: str | None, index: str) -> Statement | None:
        """See Backend: a statement happens, or not."""
        return None

    def _connect(self, database: str | None, *, migrating: bool = False) -> Any:
        raise NotImplementedError

    @contextlib.contextmanager
    def _beside(self, session: str) -> Iterator[tuple[Any, int]]:
        """A connection to the node of a session, None when it is not to be reached, and the session's number there."""
        number, _, place = session.partition(" on ")
        for host in self.settings.hosts:
            alone: Any = type(self)(replace(self.settings, hosts=(host,)), self.identity)  # type: ignore[call-arg]
            try:
                connection = alone._connect(self.settings.name)  # noqa: SLF001 - the same class
            except pymysql.MySQLError:
                continue
            with contextlib.closing(connection):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT {_PLACE}")
                    here = cursor.fetchone()[0]
                if here == place:
                    yield connection, int(number)
                    return
        yield None, int(number)


def end_undone(engine: sa.Engine) -> sa.Engine:
    """Have a connection take nothing more once the server has undone its whole transaction: that would be kept alone.

    Args:
        engine: whose connections these are. SQLAlchemy then wants a rollback first, as after a connection that broke.
    """

    @sa.event.listens_for(engine, "handle_error")
    def _undone(context: sa.engine.ExceptionContext) -> None:
        if too_large(context.original_exception):
            context.is_disconnect = True

    return engine


def _processes(connection: Any) -> dict[int, dict[str, Any]]:
    """What the server shows us of its sessions."""
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return {row["Id"]: row for row in cursor}
