"""The backend of MySQL, MariaDB and Galera, through PyMySQL."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pymysql
from pymysql.constants import SERVER_STATUS

from ringfence.runtime import errors
from ringfence.runtime.engines.base import Limits, Mode, StatementContext
from ringfence.runtime.engines.galera.flavour import GaleraFlavour
from ringfence.runtime.engines.mariadb.flavour import MariaDBFlavour
from ringfence.runtime.engines.mysql.codecs import CODECS, Quoting, to_driver
from ringfence.runtime.engines.mysql.connection import IDENTITY, open_connection, verify
from ringfence.runtime.engines.mysql.errors import (
    MISSING,
    READ_ONLY,
    UNUSABLE_NODE,
    connect_error,
    got_no_answer,
    number_of,
    translate,
)
from ringfence.runtime.engines.mysql.features import FEATURES
from ringfence.runtime.engines.mysql.flavour import MySQLFlavour
from ringfence.runtime.engines.mysql.parameters import expand_lists
from ringfence.runtime.engines.mysql.pymysql_compat import close_socket, quit_and_close, shut_down_socket
from ringfence.runtime.engines.mysql.streaming import Unbuffered
from ringfence.runtime.engines.mysql.transaction_size import left_cluster
from ringfence.runtime.engines.network_timeouts import (
    CANCEL_SECONDS,
    UnresponsiveHosts,
    client_timeout,
    prompt_timeout,
)
from ringfence.runtime.engines.relations import probes, relation_of
from ringfence.runtime.engines.watchdog import Watchdog
from ringfence.runtime.interrupts import reraise_interrupt
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Codec, Make, Quote, codec_for


class MySQL:
    """The backend for one server, or for several nodes of which any synced one is used."""

    features = FEATURES
    to_driver = staticmethod(to_driver)
    driver_error: type[Exception] = pymysql.Error

    def __init__(self, settings: Settings, mirror: Mirror) -> None:
        self.codecs: Mapping[str, Make] = CODECS
        self._settings = settings
        self._mirror = mirror
        self._program = f"ringfence:{mirror.service}@{mirror.revision or 'none'}"
        self._flavour: MySQLFlavour | MariaDBFlavour | GaleraFlavour = MySQLFlavour()
        self._silent = UnresponsiveHosts()
        self._bound: Mapping[str, Codec] = {
            name: codec_for(CODECS, item["type"], item.get("params", {}), f"scopes.{name}")
            for name, item in mirror.scopes.items()
        }

    def hosts(self) -> tuple[Host | None, ...]:
        """Return the nodes, in the configured order."""
        return self._settings.hosts

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """Return a connection in autocommit and strict mode with utf8mb4, all verified.

        Raises:
            Unavailable: when the server cannot be reached.
            NotReady: when it refuses the login or is not ready for work.
        """
        connection = self._open(host, user, secret)
        try:
            self._flavour = verify(connection, self._settings)
        except pymysql.Error as error:
            self.close(connection)
            self._note(error, host)
            if got_no_answer(error):
                raise connect_error(error, self._settings, host) from error
            if number_of(error) == 1047:
                raise errors.NotReady(
                    f"{self._settings}: the node is not part of its cluster now", "joining"
                ) from error
            raise self.translate(error, StatementContext()) from error
        except errors.RingfenceError:
            self.close(connection)
            raise
        except BaseException:  # an interrupt, whose traceback would keep the connection open
            self.abort(connection)
            raise
        self._silent.clear(host)
        connection.ringfence_host = host
        return connection

    def _open(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        try:
            return open_connection(self._settings, host, user, secret, self._program)
        except (pymysql.Error, OSError, RuntimeError) as error:
            self._note(error, host)
            raise connect_error(error, self._settings, host) from error

    def _note(self, error: Exception, host: Host | None) -> None:
        """Remember the host of a broken connection if it did not answer."""
        if got_no_answer(error):
            self._silent.note(host)

    def recently_unresponsive(self, host: Host | None) -> bool:
        """Return whether this host did not answer recently and there are others."""
        return len(self._settings.hosts) > 1 and self._silent.holds(host)

    def close(self, connection: Any) -> None:
        """Close the connection; never raises a driver's error."""
        connection.set_timeout(prompt_timeout(self._settings))
        quit_and_close(connection)

    def abort(self, connection: Any) -> None:
        """Close the socket."""
        close_socket(connection)

    def alive(self, connection: Any) -> bool:
        """Send COM_PING, without reconnecting and with a short timeout."""
        connection.set_timeout(prompt_timeout(self._settings))
        try:
            connection.ping(reconnect=False)
        except (pymysql.Error, OSError) as error:
            reraise_interrupt(error, pymysql.Error)
            self._note(error, connection.ringfence_host)
            return False
        return True

    def usable(self, connection: Any) -> bool:
        """Return whether PyMySQL still has its socket, which it drops when the connection breaks."""
        return bool(connection.open)

    def quote(self, connection: Any | None) -> Quote:
        """Return the quoting for this connection's escape mode."""
        return Quoting(connection)

    def quote_name(self, name: str) -> str:
        """Return an identifier in backticks."""
        return "`" + name.replace("`", "``") + "`"

    def relation(self, table: Table, verb: str) -> str:
        """Return the relation that the mirror names for this family."""
        return relation_of(table, verb, ("mysql", "mariadb", "galera"), self.quote_name)

    def restriction(self, table: Table, verb: str, name: str) -> None:
        """Return None: the server enforces the scope."""

    def json_equals(self, left: str, right: str) -> str:
        """Return the connected server's SQL for comparing JSON."""
        return self._flavour.json_equals(left, right)

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """Return NEXTVAL on MariaDB; on MySQL, which has no sequences, DEFAULT for AUTO_INCREMENT."""
        return self._flavour.next_value(self._qualified(schema, sequence))

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """Return LASTVAL on MariaDB, None on MySQL."""
        return self._flavour.last_value(self._qualified(schema, sequence))

    def sequence_privilege_probe(self, schema: str | None, sequence: str) -> str | None:
        """Return a select without rows, for which MariaDB checks the privileges all the same; None on MySQL."""
        drawn = self._flavour.next_value(self._qualified(schema, sequence))
        return f"SELECT {drawn} FROM DUAL WHERE 1 = 0" if self._flavour.has_sequences else None

    def _qualified(self, schema: str | None, name: str) -> str:
        return ".".join(self.quote_name(part) for part in (schema, name) if part)

    def returns_keys(self, table: Table) -> bool:
        """Return whether RETURNING works: on MariaDB, except for a view for inserts alone, which cannot be read."""
        other = {self.relation(table, verb) for verb in table.verbs if verb != "insert"}
        readable = self.relation(table, "insert") in other or all(
            column.selectable for column in table.columns.values() if column.insertable
        )
        return self._flavour.returns_keys and readable

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, only_conflict: bool, readable: bool, updatable: bool
    ) -> str | None:
        """Return ON DUPLICATE KEY UPDATE, which names no key and updates the row that conflicts on any of them."""
        if not sets or not only_conflict or not (updatable or self._flavour.upserts_in_part):
            return None
        return f"ON DUPLICATE KEY UPDATE {', '.join(sets)}"

    def upsert_returns(self, *, updatable: bool) -> bool:
        """Return whether RETURNING works: on MariaDB, which requires UPDATE on the key."""
        return updatable and self._flavour.returns_keys

    def typed_null(self, relation: str, column: str) -> str | None:
        """Return None: the value is converted to the column's type."""
        return None

    def opening(self, mode: Mode) -> str | None:
        """Return None: this driver sends one statement at a time."""
        return None

    def begin(self, connection: Any, mode: Mode) -> None:
        """Send START TRANSACTION, after setting the session variables of all bound scopes, NULL for unset ones.

        The driver's timeout is that of the mode from here on.
        """
        connection.set_timeout(client_timeout(mode.timeout))
        if self._bound:
            connection.ringfence_bound = True
            quote = self.quote(connection)
            values = (
                codec.literal(mode.scope[name], quote) if name in mode.scope else "NULL"
                for name, codec in self._bound.items()
            )
            variables = map(self._variable, self._bound)
            connection.query(
                "SET " + ", ".join(f"{name} = {value}" for name, value in zip(variables, values, strict=True))
            )
        connection.query("START TRANSACTION READ ONLY" if mode.read_only else "START TRANSACTION")

    def _variable(self, name: str) -> str:
        return f"@{self.quote_name(f'ringfence_{name}')}"

    def unbind(self, connection: Any) -> None:
        """Set every scope variable that `begin` set to NULL."""
        if getattr(connection, "ringfence_bound", False):
            connection.query("SET " + ", ".join(f"{self._variable(name)} = NULL" for name in self._bound))
            connection.ringfence_bound = False

    def commit(self, connection: Any) -> None:
        """Send COMMIT; on Galera, conflicts between nodes are reported here."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        """Send ROLLBACK."""
        connection.rollback()

    def in_transaction(self, connection: Any) -> bool:
        """Return the transaction state of the server's last answer."""
        return bool(connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def control(self, connection: Any, sql: str) -> None:
        """Run a statement of the session itself."""
        connection.query(sql)

    def statement(self, sql: str, mode: Mode) -> str:
        """Return the statement with its time limit, where the engine has that in the text."""
        return sql if mode.timeout is None else self._flavour.statement(sql, mode.timeout)

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement; on MySQL proper a watchdog cancels it when its time is up."""
        watchdog = None
        if mode.timeout is not None and self._flavour.watched:
            watchdog = Watchdog(lambda: self.cancel(connection), mode.timeout)
        try:
            cursor.execute(*expand_lists(sql, parameters))
        except pymysql.Error as error:
            if number_of(error) in UNUSABLE_NODE or left_cluster(
                error
            ):  # the next connection uses another node
                self.close(connection)
            self._note(error, connection.ringfence_host)
            if number_of(error) in READ_ONLY and not mode.read_only:
                raise errors.Unavailable(
                    f"{self._settings}: the server makes every transaction a read-only one (transaction_read_only)"
                ) from error
            raise
        finally:
            if watchdog is not None and watchdog.stop() and connection.open:
                # A KILL QUERY that arrives late hits this statement instead of the next.
                with contextlib.suppress(pymysql.Error):
                    connection.query("DO 0")

    def stream(self, connection: Any, mode: Mode, number: int) -> Unbuffered:
        """Return an unbuffered result."""
        return Unbuffered(connection, lambda: self.cancel(connection))

    def cancel(self, connection: Any) -> bool:
        """Send KILL QUERY from a new connection, if that reaches the same node."""
        host = Host(connection.host, connection.port)
        if connection.unix_socket:
            host = Host(str(connection.unix_socket), connection.port)
        try:
            login = self._settings.login()
            secret = login.password.reveal() if login.password else None
            killer = open_connection(self._settings, host, login.user, secret, self._program, CANCEL_SECONDS)
        except (pymysql.Error, OSError, RuntimeError, errors.RingfenceError):
            return False
        try:
            with killer.cursor() as cursor:
                cursor.execute(IDENTITY)
                same = cursor.fetchone() == (connection.ringfence_node,)
                if same:
                    cursor.execute(f"KILL QUERY {int(connection.ringfence_id)}")
        except pymysql.Error as error:
            return not got_no_answer(error)  # already closed
        finally:
            self.close(killer)
        return bool(same)

    def shut_down_socket(self, connection: Any) -> None:
        """Shut the driver's socket down."""
        shut_down_socket(connection)

    def translate(self, error: Exception, context: StatementContext) -> errors.RingfenceError:
        """Return the RingfenceError for the driver's error number."""
        return translate(error, context, self._settings, self._mirror)

    def check_ready(self, connection: Any) -> None:
        """Check that a Galera node has joined and is synced; other servers are ready when they answer."""
        with connection.cursor() as cursor:
            self._flavour.check_ready(cursor)

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """Return EXPLAIN statements, but a select of no rows itself, as EXPLAIN tests no privileges of a view."""
        made = probes(verb, relation, columns)
        return [sql.removeprefix("EXPLAIN ") for sql in made] if verb == "select" else made

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """Return True unless the error number means a missing object: privileges are checked before anything runs."""
        return None if number_of(error) in MISSING else True

    def why_not_found(self, connection: Any, name: str) -> str | None:
        """Return None: there is one schema."""
        return None

    def column_leak(self) -> str | None:
        """Return the flavour's weakness."""
        return self._flavour.column_leak

    def row_leak(self) -> str | None:
        """Return the flavour's weakness."""
        return self._flavour.row_leak

    def take_swallowed_exception(self, connection: Any) -> None:
        """Return None: PyMySQL has no callbacks."""

    def can_alter(self, connection: Any) -> str | None:
        """Return a DDL or account privilege that SHOW GRANTS lists."""
        with connection.cursor() as cursor:
            for line in self._flavour.grants(cursor):
                granted = re.match(r"GRANT (.+?) ON ", line)
                rights = re.sub(r"\(.*?\)", "", granted[1]) if granted else ""  # without column lists
                for right in rights.upper().split(","):
                    if right.strip() in _ALTERING:
                        return f"holds {right.strip()}"
                if " WITH GRANT OPTION" in line.upper() or " WITH ADMIN OPTION" in line.upper():
                    return "may pass on its grants"
        return None

    def connection_limits(self, connection: Any) -> Limits:
        """Return the account's effective `max_user_connections`, and `max_connections`."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.max_user_connections, @@max_connections")
            account, server = cursor.fetchone()
        return Limits(account or None, server)

    def flavour(self) -> str:
        """Return mysql, mariadb or galera, by the server connected to last."""
        return self._flavour.name


_ALTERING = frozenset(
    "ALL PRIVILEGES|CREATE|ALTER|DROP|INDEX|CREATE VIEW|TRIGGER|CREATE ROUTINE|ALTER ROUTINE|EVENT|SUPER|"
    "CREATE USER|CREATE TABLESPACE|REFERENCES|CREATE ROLE|DROP ROLE|SET USER|SET_ANY_DEFINER|SYSTEM_USER".split(
        "|"
    )
)
