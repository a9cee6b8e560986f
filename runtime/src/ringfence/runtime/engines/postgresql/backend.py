"""The PostgreSQL backend, through psycopg2."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions as ext

from ringfence.runtime import errors
from ringfence.runtime.engines.base import Limits, Mode, StatementContext
from ringfence.runtime.engines.network_timeouts import Bounded, client_timeout, prompt_timeout
from ringfence.runtime.engines.other_protocols import POSTGRESQL, server_cache
from ringfence.runtime.engines.postgresql.cancel import Canceller
from ringfence.runtime.engines.postgresql.codecs import CODECS, TYPECASTERS, to_driver
from ringfence.runtime.engines.postgresql.connection import open_connection
from ringfence.runtime.engines.postgresql.errors import MISSING, connect_error, translate
from ringfence.runtime.engines.postgresql.features import FEATURES
from ringfence.runtime.engines.postgresql.literals import Quoting, setting_value
from ringfence.runtime.engines.postgresql.session_settings import (
    FORMAT_QUERY,
    SCHEMA_QUERY,
    format_settings,
    hidden_table_reason,
)
from ringfence.runtime.engines.postgresql.streaming import Portal
from ringfence.runtime.engines.relations import double_quoted, on_conflict, probes, relation_of
from ringfence.runtime.engines.sockets import hang_up
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote


class PostgreSQL:
    """The backend for one server, or for a group with one writable member, which libpq finds."""

    features = FEATURES
    to_driver = staticmethod(to_driver)
    driver_error: type[Exception] = psycopg2.Error

    def __init__(self, settings: Settings, mirror: Mirror) -> None:
        self.codecs: Mapping[str, Make] = CODECS
        self._settings = settings
        self._mirror = mirror
        self._bound = tuple(
            (name, f"SET LOCAL {self.quote_name(item['setting'])} = ") for name, item in mirror.scopes.items()
        )
        self._answered: tuple[str, int] | None = None
        self._forms = ""
        self._application = f"ringfence:{mirror.service}@{mirror.revision or 'none'}"[:63]

    def hosts(self) -> tuple[Host | None, ...]:
        """Return a single None: libpq tries the hosts itself, and finds the writable one."""
        return (None,)

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """Return a connection in autocommit mode with UTF-8 and UTC.

        Raises:
            Unavailable: when the server cannot be reached.
            NotReady: when it refuses the login or is misconfigured.
        """
        try:
            connection = open_connection(self._settings, self._in_turn(), user, secret, self._application)
        except psycopg2.Error as error:
            raise connect_error(error, self._settings) from error
        try:
            self._prepare(connection)
        except psycopg2.Error as error:
            self.abort(connection)
            raise self.translate(error, StatementContext()) from error
        except BaseException:  # an interrupt too, whose traceback would keep the connection open
            self.abort(connection)
            raise
        return connection

    def _prepare(self, connection: Any) -> None:
        self._answered = (connection.info.host, connection.info.port)
        server_cache.right(Host(*self._answered), POSTGRESQL)
        connection.canceller = Canceller(connection)
        connection.autocommit = True
        for typecaster in TYPECASTERS:
            ext.register_type(typecaster, connection)
        if connection.get_parameter_status("TimeZone") not in ("UTC", "Etc/UTC"):
            # For speed alone: timestamps in UTC need no conversion. PgBouncer keeps this setting per client.
            self.control(connection, "SET TIME ZONE 'UTC'")
        self._forms = format_settings(self._ask(connection, FORMAT_QUERY))
        if connection.get_parameter_status("standard_conforming_strings") != "on":
            raise errors.NotReady(
                "the server runs with standard_conforming_strings=off, in which literals cannot be trusted: "
                "set it to on for this database",
                "misconfigured",
            )

    def _in_turn(self) -> Sequence[Host]:
        """Return the hosts, the last connected one first: an unresponsive host before it would cost a whole timeout."""
        hosts, answered = self._settings.hosts, self._answered
        return sorted(hosts, key=lambda each: (each.host, each.port) != answered)

    def recently_unresponsive(self, host: Host | None) -> bool:
        """Return False: libpq chooses the hosts."""
        return False

    def close(self, connection: Any) -> None:
        """Close the connection; never raises a driver's error."""
        with contextlib.suppress(psycopg2.Error):  # the connection is broken, and is closed anyway
            connection.close()

    def abort(self, connection: Any) -> None:
        """Shut the socket down first: libpq would send a message and wait until it is sent."""
        with contextlib.suppress(psycopg2.Error, OSError):
            hang_up(connection.fileno())
        self.close(connection)

    def alive(self, connection: Any) -> bool:
        """Run a query, with a short timeout."""
        try:
            self._ask(connection, "SELECT 1")
        except psycopg2.Error:
            return False
        return not connection.closed  # closed if the answer arrived just as the timeout expired

    def _ask(self, connection: Any, sql: str, parameters: Any = None) -> Any:
        """Return the only row, or None, of a query that a server answers at once."""
        with Bounded(connection, prompt_timeout(self._settings)), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchone()

    def usable(self, connection: Any) -> bool:
        """Return whether libpq considers the connection open."""
        status = connection.info.transaction_status
        return bool(connection.closed == 0 and status != ext.TRANSACTION_STATUS_UNKNOWN)

    def quote(self, connection: Any | None) -> Quote:
        """Return the quoting for this connection's encoding."""
        return Quoting(connection)

    def quote_name(self, name: str) -> str:
        """Return an identifier in double quotes."""
        return double_quoted(name)

    def relation(self, table: Table, verb: str) -> str:
        """Return the relation that the mirror names for this engine."""
        return relation_of(table, verb, ("postgresql",), self.quote_name)

    def restriction(self, table: Table, verb: str, name: str) -> None:
        """Return None: the server enforces the scope."""

    def json_equals(self, left: str, right: str) -> str:
        """Return SQL that compares as jsonb, as json has no equality."""
        return f"({left}::jsonb = {right}::jsonb)"

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """Return a call of nextval, which takes the sequence's name as text."""
        return f"nextval({self._as_text(schema, sequence)})"

    def sequence_privilege_probe(self, schema: str | None, sequence: str) -> str | None:
        """Return a select that calls nextval, and so fails, only without the privilege: USAGE or UPDATE."""
        name = self._as_text(schema, sequence)
        return (
            f"SELECT CASE WHEN NOT has_sequence_privilege({name}, 'USAGE, UPDATE') THEN nextval({name}) END"
        )

    def _as_text(self, schema: str | None, name: str) -> str:
        named = ".".join(self.quote_name(part) for part in (schema, name) if part)
        text = named.replace("'", "''")
        return f"'{text}'"

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """Return None: RETURNING gives the key."""
        return None

    def returns_keys(self, table: Table) -> bool:
        """Return True."""
        return True

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, only_conflict: bool, readable: bool, updatable: bool
    ) -> str | None:
        """Return ON CONFLICT; naming the key requires SELECT on it, and without a name it means any unique key."""
        return on_conflict(key, sets, only_conflict=only_conflict, readable=readable)

    def upsert_returns(self, *, updatable: bool) -> bool:
        """Return True."""
        return True

    def typed_null(self, relation: str, column: str) -> str | None:
        """Return a NULL of the table's row type, as a CASE of literals alone would be text; reads no row."""
        return f"(NULL::{relation}).{column}"

    def opening(self, mode: Mode) -> str:
        """Return BEGIN with transaction-local timeout and scopes, sent in the same message as the first statement."""
        sql = ("BEGIN READ ONLY; " if mode.read_only else "BEGIN; ") + self._forms
        if mode.timeout is not None:
            sql += f"SET LOCAL statement_timeout = {max(1, round(mode.timeout * 1000))}; "
        for name, setting in self._bound:
            # Unset scopes too: behind a pooler another client may have left a value on this connection.
            sql += f"{setting}{setting_value(mode.scope.get(name, ''))}; "
        return sql

    def begin(self, connection: Any, mode: Mode) -> None:
        """Send the opening by itself."""
        connection.limit = client_timeout(mode.timeout)
        self.control(connection, self.opening(mode))

    def unbind(self, connection: Any) -> None:
        """Do nothing: transaction-local settings ended with the transaction."""

    def commit(self, connection: Any) -> None:
        """Send COMMIT.

        Raises:
            InterfaceError: when the transaction had failed, and the server answered ROLLBACK.
            Unavailable: when the server is out of memory or disk; nothing is stored.
        """
        with Bounded(connection, connection.limit), connection.cursor() as cursor:
            try:
                cursor.execute("COMMIT")
            except psycopg2.Error as error:
                if (error.pgcode or "").startswith("53"):  # the server's answer means that it has rolled back
                    raise errors.Unavailable(
                        f"{self._settings}: the server is out of memory or disk ({error.pgcode}): nothing of the "
                        "transaction is stored"
                    ) from error
                raise
            if cursor.statusmessage != "COMMIT":
                raise errors.InterfaceError(
                    "the transaction had failed before: the server rolled it back, nothing is stored"
                )

    def rollback(self, connection: Any) -> None:
        """Send ROLLBACK."""
        self.control(connection, "ROLLBACK")

    def in_transaction(self, connection: Any) -> bool:
        """Return the transaction state of the server's last answer; an unknown state counts as a transaction."""
        return bool(connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE)

    def control(self, connection: Any, sql: str) -> None:
        """Run a statement of the session itself."""
        with Bounded(connection, connection.limit), connection.cursor() as cursor:
            cursor.execute(sql)

    def statement(self, sql: str, mode: Mode) -> str:
        """Return the statement unchanged: the timeout is a setting of the transaction."""
        return sql

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement; close the connection if the server has become a standby.

        Raises:
            ConnectionLost: when the server accepts no writes any more.
        """
        limit = connection.limit = client_timeout(mode.timeout)
        try:
            if limit is None:
                cursor.execute(sql, parameters)
            else:
                with Bounded(connection, limit):
                    cursor.execute(sql, parameters)
        except psycopg2.errors.ReadOnlySqlTransaction as error:
            if mode.read_only:
                raise
            self.close(connection)
            raise errors.ConnectionLost(
                f"{self._settings}: the server takes no writes any more; the next connection looks for one that does"
            ) from error

    def stream(self, connection: Any, mode: Mode, number: int) -> Portal:
        """Return a cursor of the transaction."""
        return Portal(number)

    def cancel(self, connection: Any) -> bool:
        """Send a cancel request, which PgBouncer passes on."""
        return bool(connection.canceller.request())

    def shut_down_socket(self, connection: Any) -> None:
        """Shut libpq's socket down."""
        with contextlib.suppress(psycopg2.Error, OSError):  # already closed
            hang_up(connection.fileno())

    def translate(self, error: Exception, context: StatementContext) -> errors.RingfenceError:
        """Return the RingfenceError for the SQLSTATE."""
        return translate(error, context, self._settings, self._mirror)

    def check_ready(self, connection: Any) -> None:
        """Check that the server is not in recovery, in which it accepts no writes.

        Raises:
            NotReady: when it is.
        """
        if self._ask(connection, "SELECT pg_is_in_recovery()")[0]:
            raise errors.NotReady(f"{self._settings}: the server is a standby or in recovery", "starting")

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """Return EXPLAIN statements, as on every server."""
        return probes(verb, relation, columns)

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """Return the answer of the catalog: stable functions run in the planner, before privileges are checked."""
        if getattr(error, "pgcode", None) in MISSING:
            return None
        names = [column[1:-1].replace('""', '"') for column in columns]
        row = self._ask(
            connection,
            "SELECT coalesce(bool_and(has_column_privilege(%s::regclass, name, 'SELECT')),"
            " has_any_column_privilege(%s::regclass, 'SELECT')) FROM unnest(%s::text[]) name",
            (relation, relation, names),
        )
        return bool(row[0])

    def why_not_found(self, connection: Any, name: str) -> str | None:
        """Return the reason if the table is in a schema that the account may not use or that its search_path lacks."""
        return hidden_table_reason(name, self._ask(connection, SCHEMA_QUERY, (name,)))

    def column_leak(self) -> str | None:
        """Return None: it cannot."""
        return None

    def row_leak(self) -> str | None:
        """Return what the server may evaluate before the policy."""
        return (
            "the server may evaluate a condition of an upsert before the policy,"
            " and its execution plans count rows outside"
        )

    def take_swallowed_exception(self, connection: Any) -> None:
        """Return None: psycopg2 has no callbacks."""

    def can_alter(self, connection: Any) -> str | None:
        """Return superuser, CREATEROLE, CREATEDB, CREATE on the database or a schema, or ownership of a relation."""
        row = self._ask(connection, _CAN_ALTER)
        return str(row[0]) if row else None

    def connection_limits(self, connection: Any) -> Limits:
        """Return the role's limit, and the number of connections for roles that are not superusers."""
        account, server = self._ask(
            connection,
            "SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int",
        )
        return Limits(account if account is not None and account >= 0 else None, server)

    def flavour(self) -> str:
        """Return postgresql."""
        return "postgresql"


_CAN_ALTER = """
SELECT why FROM (
  SELECT 'is a superuser' AS why FROM pg_roles WHERE rolname = current_user AND rolsuper
  UNION ALL SELECT 'may create roles' FROM pg_roles WHERE rolname = current_user AND rolcreaterole
  UNION ALL SELECT 'may create databases' FROM pg_roles WHERE rolname = current_user AND rolcreatedb
  UNION ALL SELECT 'may create schemas in this database'
    WHERE has_database_privilege(current_user, current_database(), 'CREATE')
  UNION ALL SELECT 'may create objects in schema ' || nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
      AND has_schema_privilege(current_user, oid, 'CREATE')
  UNION ALL SELECT 'owns ' || c.oid::regclass::text FROM pg_class c
    WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND pg_has_role(current_user, c.relowner, 'USAGE') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
) reasons LIMIT 1
"""
