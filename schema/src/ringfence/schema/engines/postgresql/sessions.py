"""The sessions of a PostgreSQL server: which is ours, which are in the way, and how long to wait for them."""

from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa

from ringfence.schema.engines.base import Findings, Statement

_NEEDED = 3  # further connections: one that migrates, one that holds the lock, one that looks
_LONG = 5  # seconds that a transaction is open before it is called long
# lock_not_available, deadlock_detected, serialization_failure, and a cancel for a conflict with recovery
_WAITED = frozenset({"55P03", "40P01", "40001"})
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
_HALF_MADE = """
    SELECT n.nspname
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND n.nspname = COALESCE(%s, current_schema()) AND NOT i.indisvalid
"""


class Sessions:
    """What a backend knows of the server's sessions."""

    engine: Callable[..., sa.Engine]

    def circumstances(self, connection: sa.Connection) -> Findings:
        """See Backend. A pooler gives its clients numbers of its own for their sessions."""
        found = Findings(warnings=self.in_the_way(connection))
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

    def disagreeing(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """See Backend. There is one node."""
        return [], []

    def session_of(self, connection: sa.Connection) -> str:
        """See Backend. A process number comes again; with the moment at which it began it does not."""
        return str(
            connection.exec_driver_sql(
                "SELECT pid || ' ' || backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()"
            ).scalar_one()
        )

    def runs(self, session: str) -> bool:
        """See Backend."""
        pid, _, began = session.partition(" ")
        with self.engine().connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz",
                (int(pid), began),
            )
            return found.first() is not None

    def be_patient(self, connection: sa.Connection, seconds: float) -> None:
        """See Backend."""
        connection.exec_driver_sql(f"SET lock_timeout = {max(1, round(seconds * 1000))}")

    def waited(self, error: sa.exc.DBAPIError) -> bool:
        """See Backend."""
        return getattr(error.orig, "pgcode", None) in _WAITED

    def in_the_way(self, connection: sa.Connection) -> list[str]:
        """See Backend. What other accounts run is seen by a member of pg_read_all_stats alone, but that they do is."""
        return [
            f"{user} ({application}, {state or 'unknown state'}) has had a transaction open for {seconds} s:"
            f" SELECT pg_terminate_backend({pid})"
            for pid, user, application, state, seconds in connection.exec_driver_sql(_OPEN, (_LONG,))
        ]

    def half_made(self, connection: sa.Connection, schema: str | None, index: str) -> Statement | None:
        """See Backend: CREATE INDEX CONCURRENTLY leaves an invalid one when it fails."""
        found = connection.exec_driver_sql(_HALF_MADE, (index, schema)).scalar()
        if found is None:
            return None
        quote = connection.dialect.identifier_preparer.quote_identifier
        return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(found)}.{quote(index)}")
