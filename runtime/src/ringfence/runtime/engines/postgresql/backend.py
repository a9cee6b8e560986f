"""PostgreSQL through psycopg2."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions as ext

from ringfence.runtime import errors
from ringfence.runtime.engines.base import Doing, Limits, Mode
from ringfence.runtime.engines.network_timeouts import Bounded, asking, bound, libpq_options
from ringfence.runtime.engines.other_protocols import POSTGRESQL, known
from ringfence.runtime.engines.postgresql.cancel import Canceller
from ringfence.runtime.engines.postgresql.codecs import CODECS, TYPECASTERS, sent
from ringfence.runtime.engines.postgresql.errors import MISSING, connect_error, translate
from ringfence.runtime.engines.postgresql.literals import Quoting, setting_value
from ringfence.runtime.engines.postgresql.session_settings import FORMS, SIGHT, out_of_sight, same_forms
from ringfence.runtime.engines.postgresql.streaming import Portal
from ringfence.runtime.engines.probes import probes
from ringfence.runtime.engines.relations import relation_of
from ringfence.runtime.engines.sockets import hang_up
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote


class PostgreSQL:
    """One server or a group with a writable member, told apart by libpq."""

    paramstyle = "pyformat"
    survives_fork = True
    interruptible = False  # libpq waits in C, and comes back with the answer first
    local_settings_end = True
    replaces = False
    drawing_insert: str | None = (
        "INSERT INTO {relation} ({columns}) SELECT {values} FROM generate_series(1, {count})"
        " ON CONFLICT DO NOTHING"
    )
    sent = staticmethod(sent)
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
        """None: libpq tries several hosts itself, and finds the writable one."""
        return (None,)

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """A connection in autocommit mode that answers in UTF-8 and UTC.

        Raises:
            Unavailable, NotReady: as the server, or its absence, says.
        """
        settings = self._settings
        hosts = self._in_turn()
        arguments: dict[str, Any] = {
            "host": ",".join(item.host for item in hosts),
            "port": ",".join(str(item.port) for item in hosts),
            "dbname": settings.name,
            "user": user,
            "password": secret,
            "connect_timeout": max(2, round(asking(settings))),  # for each host; libpq waits 2 s at least
            "application_name": self._application,
            "client_encoding": "UTF8",
            **libpq_options(settings),
            "connection_factory": _Connection,
            # Said always, for libpq would take it from the environment.
            "target_session_attrs": "read-write" if len(settings.hosts) > 1 else "any",
        }
        if settings.sslmode:
            arguments["sslmode"] = settings.sslmode
        if settings.sslrootcert:
            arguments["sslrootcert"] = settings.sslrootcert
        try:
            connection = psycopg2.connect(**arguments)
        except psycopg2.Error as error:
            raise connect_error(error, self._settings) from error
        try:
            self._prepare(connection)
        except psycopg2.Error as error:
            self.abort(connection)
            raise self.translate(error, Doing()) from error
        except BaseException:  # an interrupt too, whose traceback would keep it open
            self.abort(connection)
            raise
        return connection

    def _prepare(self, connection: Any) -> None:
        self._answered = (connection.info.host, connection.info.port)
        known.right(Host(*self._answered), POSTGRESQL)
        connection.canceller = Canceller(connection)
        connection.autocommit = True
        for typecaster in TYPECASTERS:
            ext.register_type(typecaster, connection)
        if connection.get_parameter_status("TimeZone") not in ("UTC", "Etc/UTC"):
            # For speed alone: moments that come in UTC need no conversion. PgBouncer keeps this setting by client.
            self.control(connection, "SET TIME ZONE 'UTC'")
        self._forms = same_forms(self._ask(connection, FORMS))
        if connection.get_parameter_status("standard_conforming_strings") != "on":
            raise errors.NotReady(
                "the server runs with standard_conforming_strings=off, in which literals cannot be trusted: "
                "set it to on for this database",
                "misconfigured",
            )

    def _in_turn(self) -> Sequence[Host]:
        """The hosts, beginning with the one that was connected to last: a silent one before it costs its whole wait."""
        hosts, answered = self._settings.hosts, self._answered
        return sorted(hosts, key=lambda each: (each.host, each.port) != answered)

    def silent(self, host: Host | None) -> bool:
        """Never: libpq looks after the hosts."""
        return False

    def close(self, connection: Any) -> None:
        """Close for good; never raises."""
        with contextlib.suppress(psycopg2.Error):  # it was broken, which is why it is closed
            connection.close()

    def abort(self, connection: Any) -> None:
        """Close the socket; libpq would say goodbye, and wait until that is sent."""
        with contextlib.suppress(psycopg2.Error, OSError):
            hang_up(connection.fileno())
        self.close(connection)

    def alive(self, connection: Any) -> bool:
        """One empty query tells, and it is not waited for long."""
        try:
            self._ask(connection, "SELECT 1")
        except psycopg2.Error:
            return False
        return not connection.closed  # as the answer and the end of the wait met

    def _ask(self, connection: Any, sql: str, parameters: Any = None) -> Any:
        """The only row, or None, of a question that a server answers at once."""
        with Bounded(connection, asking(self._settings)), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchone()

    def usable(self, connection: Any) -> bool:
        """libpq knows when the connection is gone."""
        status = connection.info.transaction_status
        return bool(connection.closed == 0 and status != ext.TRANSACTION_STATUS_UNKNOWN)

    def quote(self, connection: Any | None) -> Quote:
        """Literals in this connection's encoding."""
        return Quoting(connection)

    def quote_name(self, name: str) -> str:
        """An identifier in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def relation(self, table: Table, verb: str) -> str:
        """As the mirror says."""
        return relation_of(table, verb, ("postgresql",), self.quote_name)

    def restriction(self, table: Table, verb: str, name: str) -> None:
        """None: the server keeps to the scope."""

    def same_json(self, left: str, right: str) -> str:
        """jsonb knows equality, json does not."""
        return f"({left}::jsonb = {right}::jsonb)"

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """A call of nextval, which takes the name as a text."""
        return f"nextval({self._as_text(schema, sequence)})"

    def draw_nothing(self, schema: str | None, sequence: str) -> str | None:
        """It draws for who may not draw alone, and so fails: nextval asks for USAGE or UPDATE, one of them."""
        name = self._as_text(schema, sequence)
        return (
            f"SELECT CASE WHEN NOT has_sequence_privilege({name}, 'USAGE, UPDATE') THEN nextval({name}) END"
        )

    def _as_text(self, schema: str | None, name: str) -> str:
        named = ".".join(self.quote_name(part) for part in (schema, name) if part)
        text = named.replace("'", "''")
        return f"'{text}'"

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """None: RETURNING gives the key."""
        return None

    def returns_keys(self, table: Table) -> bool:
        """It may."""
        return True

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, alone: bool, readable: bool, updatable: bool
    ) -> str | None:
        """ON CONFLICT; to name the key wants the right to read it, and no key means any of them."""
        if not readable:
            return "ON CONFLICT DO NOTHING" if alone and not sets else None
        return f"ON CONFLICT ({', '.join(key)}) DO " + (
            f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
        )

    def upsert_returns(self, *, updatable: bool) -> bool:
        """It may."""
        return True

    def typed_null(self, relation: str, column: str) -> str | None:
        """A CASE of literals alone would be text; the table's row type says more, without reading a row."""
        return f"(NULL::{relation}).{column}"

    def opening(self, mode: Mode) -> str:
        """BEGIN, in the same message as the first statement, with time limit and scopes local to the transaction."""
        sql = ("BEGIN READ ONLY; " if mode.read_only else "BEGIN; ") + self._forms
        if mode.timeout is not None:
            sql += f"SET LOCAL statement_timeout = {max(1, round(mode.timeout * 1000))}; "
        for name, setting in self._bound:
            # Also what is unset: behind a pooler another client may have left a value on this connection.
            sql += f"{setting}{setting_value(mode.scope.get(name, ''))}; "
        return sql

    def begin(self, connection: Any, mode: Mode) -> None:
        """The opening, by itself."""
        connection.limit = bound(mode.timeout)
        self.control(connection, self.opening(mode))

    def unbind(self, connection: Any) -> None:
        """Nothing: settings local to the transaction ended with it."""

    def commit(self, connection: Any) -> None:
        """COMMIT; on an aborted transaction the server would answer ROLLBACK, and that is an error here."""
        with Bounded(connection, connection.limit), connection.cursor() as cursor:
            try:
                cursor.execute("COMMIT")
            except psycopg2.Error as error:
                if (error.pgcode or "").startswith("53"):  # the server answered, and has rolled back
                    raise errors.Unavailable(
                        f"{self._settings}: the server is out of memory or disk ({error.pgcode}): nothing of the "
                        "transaction is stored"
                    ) from error
                raise
            if cursor.statusmessage != "COMMIT":
                raise errors.Misuse(
                    "the transaction had failed before: the server rolled it back, nothing is stored"
                )

    def rollback(self, connection: Any) -> None:
        """ROLLBACK."""
        self.control(connection, "ROLLBACK")

    def in_transaction(self, connection: Any) -> bool:
        """As the server's last answer said; a connection in doubt counts as in one."""
        return bool(connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE)

    def control(self, connection: Any, sql: str) -> None:
        """Run a statement of the session itself."""
        with Bounded(connection, connection.limit), connection.cursor() as cursor:
            cursor.execute(sql)

    def statement(self, sql: str, mode: Mode) -> str:
        """As it is: the time limit is the transaction's."""
        return sql

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement; a server that has become a standby is left for another."""
        limit = connection.limit = bound(mode.timeout)
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
        """A cursor of the transaction."""
        return Portal(number)

    def cancel(self, connection: Any) -> bool:
        """A cancel request, which goes through PgBouncer too."""
        return bool(connection.canceller.request())

    def sever(self, connection: Any) -> None:
        """Shut the socket down under libpq."""
        with contextlib.suppress(psycopg2.Error, OSError):  # gone already
            hang_up(connection.fileno())

    def translate(self, error: Exception, doing: Doing) -> errors.RingfenceError:
        """By SQLSTATE."""
        return translate(error, doing, self._settings, self._mirror)

    def stages(self, connection: Any) -> None:
        """A server in recovery takes no writes: wait for it, or for another."""
        if self._ask(connection, "SELECT pg_is_in_recovery()")[0]:
            raise errors.NotReady(f"{self._settings}: the server is a standby or in recovery", "starting")

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """As on every server."""
        return probes(verb, relation, columns)

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """By the catalog: stable functions run while a statement is planned, before its privileges are looked at."""
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

    def out_of_sight(self, connection: Any, name: str) -> str | None:
        """It may lie in a schema that the account may not use, or does not look into."""
        return out_of_sight(name, self._ask(connection, SIGHT, (name,)))

    def weak_columns(self) -> str | None:
        """It cannot."""
        return None

    def weak_rows(self) -> str | None:
        """By what the server looks at before it looks at the policy."""
        return (
            "the server may evaluate a condition of an upsert before the policy,"
            " and its execution plans count rows outside"
        )

    def dropped(self, connection: Any) -> None:
        """Nothing: psycopg2 calls nobody."""

    def can_alter(self, connection: Any) -> str | None:
        """Superuser, CREATEROLE, CREATEDB, CREATE on a schema or the database, or owning anything in the database."""
        row = self._ask(connection, _CAN_ALTER)
        return str(row[0]) if row else None

    def limits(self, connection: Any) -> Limits:
        """The role's limit, and what the server leaves to ordinary accounts."""
        account, server = self._ask(
            connection,
            "SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int",
        )
        return Limits(account if account is not None and account >= 0 else None, server)

    def flavour(self) -> str:
        """Always postgresql."""
        return "postgresql"


class _Connection(ext.connection):
    """psycopg2's, which remembers the limit of the session that has it."""

    limit: float | None = None
    """The longest wait for an answer, in seconds; None for ever."""
    canceller: Canceller


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
