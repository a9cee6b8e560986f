"""Sessions of a PostgreSQL server: how to identify them, which ones block DDL, and how long to wait for locks."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import sqlalchemy as sa

from ringfence.schema.engines.base import Findings, OpenConnections, Statement
from ringfence.schema.engines.postgresql.quoting import literal

_NEEDED = 3  # further connections: for the migration, for the lock and for catalog queries
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
_FREE = """
    SELECT pg_backend_pid(),
           (SELECT sum(setting::int * CASE name WHEN 'max_connections' THEN 1 ELSE -1 END) FROM pg_catalog.pg_settings
            WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
           - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')
"""
_INVALID_INDEX = """
    SELECT n.nspname
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND n.nspname = COALESCE(%s, current_schema()) AND NOT i.indisvalid
"""


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


class Sessions:
    """The part of the backend that deals with sessions of the server."""

    engine: Callable[..., sa.Engine]

    def check_environment(self, connection: sa.Connection) -> Findings:
        """Check for a pooler, for free connections and for long transactions.

        A pooler gives its clients process ids of its own, which differ from that of `pg_backend_pid()`.
        """
        found = Findings(warnings=self.long_transactions(connection))
        pid, free = connection.exec_driver_sql(_FREE).one()
        driver: Any = connection.connection.dbapi_connection
        if driver.info.backend_pid != pid:
            found.errors.append(
                "the connection goes through a pooler (PgBouncer?), and a lock that is held there protects nothing:"
                " DB_HOST and DB_PORT of the migration must name the server itself"
            )
        if free < _NEEDED:
            found.errors.append(
                f"the server has {max(free, 0)} free connections, and the job needs {_NEEDED}: let services have"
                " smaller pools (DB_POOL_SIZE), or give max_connections more"
            )
        return found

    def compare_nodes(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Return nothing: there is one node."""
        return [], []

    def session_of(self, connection: sa.Connection) -> str:
        """Return the process id of the connection's backend and its start time.

        The operating system reuses process ids, so the id alone does not identify a session.
        """
        return str(
            connection.exec_driver_sql(
                "SELECT pid || ' ' || backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()"
            ).scalar_one()
        )

    def session_is_busy(self, session: str) -> bool:
        """Return whether the backend process with this id and start time exists."""
        pid, _, began = session.partition(" ")
        with self.engine().connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz",
                (int(pid), began),
            )
            return found.first() is not None

    def set_lock_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Set `lock_timeout` for the session."""
        connection.exec_driver_sql(f"SET lock_timeout = {max(1, round(seconds * 1000))}")

    def is_lock_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether the statement failed with a lock timeout, a deadlock or a serialization failure."""
        return getattr(error.orig, "pgcode", None) in _LOCK_CONFLICTS

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

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return the DROP of an invalid index, which a failed CREATE INDEX CONCURRENTLY leaves."""
        found = connection.exec_driver_sql(_INVALID_INDEX, (index, schema)).scalar()
        if found is None:
            return None
        quote = connection.dialect.identifier_preparer.quote_identifier
        return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(found)}.{quote(index)}")
