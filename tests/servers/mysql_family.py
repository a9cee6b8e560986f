"""What MySQL, MariaDB and Galera have in common: databases and accounts on one of them."""

import contextlib
import functools
import hashlib
import re
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from servers.base import Server


def connect(server: "Server", name: str, user: str, password: str, node: int) -> Any:
    """Log in with pymysql."""
    host, port = server.hosts[node]
    return _connecting()(
        host=host,
        port=port,
        user=user,
        password=password,
        database=name or None,
        autocommit=True,
        charset="utf8mb4",
        connect_timeout=10,
    )


@functools.cache
def _connecting() -> Any:
    """PyMySQL's connection, with one TLS context for all.

    PyMySQL makes one for each connection, and reads every authority of the system for it: a quarter of the time of the
    tests' own process.
    """
    from pymysql.connections import Connection

    class Connecting(Connection):
        contexts: ClassVar[list[Any]] = []

        def _create_ssl_ctx(self, sslp: Any) -> Any:
            if not self.contexts:
                self.contexts.append(super()._create_ssl_ctx(sslp))  # type: ignore[misc]
            return self.contexts[0]

    return Connecting


def _as_admin(server: "Server", node: int = 0) -> Any:
    return contextlib.closing(connect(server, "", server.admin_user, server.admin_password, node))


def create(server: "Server", name: str) -> str:
    """Create an empty database."""
    with _as_admin(server) as admin:
        admin.cursor().execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    return name


_OF_ACCOUNTS = re.compile(
    r"\s*(GRANT|REVOKE|(CREATE|ALTER|DROP|RENAME)\s+(USER|ROLE)|SET\s+(PASSWORD|DEFAULT\s+ROLE))\b",
    re.IGNORECASE,
)


def settle(server: "Server", *statements: str) -> None:
    """Wait until every reachable node of a cluster has applied the account statements among these.

    A statement returns when its own node has applied it. Another node applies it a moment later, and accepts a login until
    then that the first refuses. A login cannot wait for that; a session can, by `wsrep_sync_wait`.

    Args:
        server: where the statements ran, on its first node.
        statements: what ran.
    """
    if len(server.hosts) == 1 or not any(map(_OF_ACCOUNTS.match, statements)):
        return
    import pymysql

    for node in range(1, len(server.hosts)):
        try:
            connection = connect(server, "", server.admin_user, server.admin_password, node)
        except pymysql.MySQLError:  # a node that a test has stopped
            continue
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
            cursor.execute("SELECT 1")


def drop(server: "Server", name: str, prefix: str) -> None:
    """Drop the database and the accounts of the prefix, after ending their connections on every node.

    An open transaction would make DROP DATABASE wait for its metadata lock.
    """
    for node in range(len(server.hosts)):
        with _as_admin(server, node) as admin:
            _end_connections(server, admin, name, prefix)
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
        cursor.execute("DROP USER IF EXISTS %s@'localhost'", (definer(name),))
        _drop_accounts(cursor, prefix)


def definer(name: str) -> str:
    """The locked account that the views of a deployment in this database run as."""
    return f"ringfence-{name[:13]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _drop_accounts(cursor: Any, prefix: str) -> None:
    cursor.execute("SELECT user, host FROM mysql.user WHERE LEFT(user, %s) = %s", (len(prefix), prefix))
    for user, host in cursor.fetchall():
        cursor.execute("DROP USER %s@%s", (user, host))


def processlist(server: "Server") -> str:
    """The table of the server's connections.

    MySQL's old one converts the running statements to utf8mb3, and fails with 3854 while any of them holds an emoji.
    """
    return f"{'performance' if server.engine == 'mysql' else 'information'}_schema.processlist"


def _end_connections(server: "Server", admin: Any, name: str, prefix: str) -> None:
    import pymysql

    cursor = admin.cursor()
    cursor.execute(
        f"SELECT id FROM {processlist(server)}"
        " WHERE id <> CONNECTION_ID() AND (db = %s OR LEFT(user, %s) = %s)",
        (name, len(prefix), prefix),
    )
    for (connection,) in cursor.fetchall():
        with contextlib.suppress(pymysql.MySQLError):  # it may have gone by itself
            cursor.execute("KILL %s", (connection,))


def empty(server: "Server", name: str, prefix: str) -> None:
    """Delete every row and the accounts of the prefix, after ending their connections on every node."""
    for node in range(len(server.hosts)):
        with _as_admin(server, node) as admin:
            _end_connections(server, admin, name, prefix)
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute("SET SESSION foreign_key_checks = 0")
        for table in _select(
            cursor, "table_name", "tables", "table_schema = %s AND table_type = 'BASE TABLE'", name
        ):
            if cursor.execute(f"SELECT 1 FROM `{name}`.`{table}` LIMIT 1"):
                cursor.execute(f"DELETE FROM `{name}`.`{table}`")
        _drop_accounts(cursor, prefix)


def fingerprint(server: "Server", name: str) -> object:
    """What the schema is, as far as a test may have changed it."""
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute(
            "SELECT table_name, column_name, column_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2",
            (name,),
        )
        columns = cursor.fetchall()
        triggers = _select(cursor, "trigger_name", "triggers", "trigger_schema = %s", name)
        return columns, sorted(triggers)


def clone(server: "Server", name: str, copy: str) -> str:
    """Create a database with the tables, rows, views, triggers and routines of another."""
    create(server, copy)
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute("SET SESSION foreign_key_checks = 0")
        tables = _select(
            cursor, "table_name", "tables", "table_schema = %s AND table_type = 'BASE TABLE'", name
        )
        for table in tables:
            _replay(cursor, "TABLE", name, table, copy)
        for table in tables:
            columns = _select(
                cursor,
                "column_name",
                "columns",
                "table_schema = %s AND table_name = %s AND COALESCE(generation_expression, '') = ''",
                name,
                table,
            )
            listed = ", ".join(f"`{column}`" for column in columns)
            cursor.execute(
                f"INSERT INTO `{copy}`.`{table}` ({listed}) SELECT {listed} FROM `{name}`.`{table}`"
            )
        for kind in ("FUNCTION", "PROCEDURE"):
            routines = "routine_schema = %s AND routine_type = %s"
            for routine in _select(cursor, "routine_name", "routines", routines, name, kind):
                _replay(cursor, kind, name, routine, copy)
        for view in _select(cursor, "table_name", "views", "table_schema = %s", name):
            _replay(cursor, "VIEW", name, view, copy)
        for trigger in _select(cursor, "trigger_name", "triggers", "trigger_schema = %s", name):
            _replay(cursor, "TRIGGER", name, trigger, copy)
    return copy


def _select(cursor: Any, column: str, catalog: str, where: str, *values: str) -> list[str]:
    cursor.execute(f"SELECT {column} FROM information_schema.{catalog} WHERE {where}", values)
    return [row[0] for row in cursor.fetchall()]


def _replay(cursor: Any, kind: str, name: str, item: str, copy: str) -> None:
    """Create an object of one database in another, from its own SHOW CREATE."""
    cursor.execute(f"SHOW CREATE {kind} `{name}`.`{item}`")
    # Tables and views stand in the second column; what has an sql_mode stands in the third.
    statement = cursor.fetchone()[1 if kind in {"TABLE", "VIEW"} else 2]
    cursor.execute(f"USE `{copy}`")
    cursor.execute(statement.replace(f"`{name}`.", f"`{copy}`."))
