"""The backend that MySQL, MariaDB and Galera share: connections, preflight checks and the job's lock."""

import contextlib
import hashlib
import ssl
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT, CR
from sqlalchemy.pool import NullPool

from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.mysql.errors import tls_refusal
from ringfence.runtime.engines.mysql.pymysql_compat import TlsConnection
from ringfence.runtime.errors import BadSettings, NotReady
from ringfence.runtime.settings import Host, Secret, Settings
from ringfence.schema.engines.base import Findings, HeldLock, Identity
from ringfence.schema.engines.ddl_attempts import Attempt, without_effect
from ringfence.schema.engines.mysql.ddl import extend_engine
from ringfence.schema.engines.mysql.exposures import open_to_all
from ringfence.schema.engines.mysql.introspection import MySQLCatalog
from ringfence.schema.engines.mysql.privileges import AdminPrivileges, granted_on
from ringfence.schema.engines.mysql.reflection import FamilyTranslator
from ringfence.schema.engines.mysql.roles import FamilyAccounts
from ringfence.schema.engines.mysql.row_security import Requirements, definer, requirements
from ringfence.schema.engines.mysql.sessions import Sessions, invalidate_after_server_rollback
from ringfence.schema.engines.types import Refusal
from ringfence.schema.errors import LockLost
from ringfence.schema.features import FEATURES
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import Say

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_POLL = 1  # seconds that a single GET_LOCK waits: short, so that a job can be interrupted
_YEAR = 31536000
# Error number -> how to resolve a refused connection, appended to the server's message.
_RESOLUTIONS = {
    1045: "; check DB_USER and DB_PASS; if they are right, an account of a narrower host may shadow it",
    1049: "; check DB_NAME, or make it first: CREATE DATABASE",
}
# Errors that a retry does not resolve: wrong login, locked account, unknown database, host not allowed.
_REFUSED = frozenset({1044, 1045, 1049, 1130, 1698, 3118, 4151})
_WRONG_PASSWORD = frozenset({1045, 1698})
# Error number -> why a login is refused for another reason than its password.
_REFUSALS = {
    1040: "the server has no connection left",
    1129: "the server has blocked this host after failed connections: FLUSH HOSTS",
    1130: "no account of that login is let in from here",
    1203: "the account has no connection left",
    1226: "the account has used up a limit of its resources",
    1251: "it authenticates in a way that this client does not speak",
    1524: "its authentication plugin is not loaded on the server",
    1820: "its password has expired",
    1862: "its password has expired",
    2059: "it authenticates by a plugin that this client does not have",
    3118: "the account is locked",
    3159: "the server takes connections over TLS alone",
    3955: "the account is locked for a while, after failed logins",
    4150: "the account is blocked after failed logins: FLUSH PRIVILEGES",
    4151: "the account is locked",
}
_MODE = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
_NEEDED = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "INDEX",
    "REFERENCES",
    "CREATE TEMPORARY TABLES",
)


class MySQLFamily(Sessions):
    """Backend for one database of a server that speaks MySQL's protocol, used with the admin account.

    Args:
        settings: address, login and password of the admin account.
        identity: the engine and version of the server.
    """

    transactional_ddl = False
    dialect: ClassVar[str]
    """SQLAlchemy's name of the dialect."""
    set_definer_privilege: ClassVar[str]
    """The global privilege that is required to create a view with another account as its DEFINER."""
    catalogs: ClassVar[type[MySQLCatalog]] = MySQLCatalog
    """The class that reads the schema of the database."""
    session: ClassVar[tuple[str, ...]] = ()
    """Statements that each new connection runs after those common to the family."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.accounts = self._accounts()
        self.catalog = self.catalogs(self.engine)

    def _accounts(self) -> FamilyAccounts:
        raise NotImplementedError

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator that writes this server's objects as models, for `ringfence reflect`."""
        return FamilyTranslator(self.dialect)

    def url(self) -> sa.URL:
        """Return the URL with driver and first host, without the password; connections try the hosts in order."""
        first = self.settings.hosts[0]
        return sa.URL.create(
            f"{self.dialect}+pymysql",
            username=self.settings.user,
            host=None if first.host.startswith("/") else first.host,
            port=first.port,
            database=self.settings.name,
            query={"charset": "utf8mb4"},
        )

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """Return an engine without a pool, so that every connection is new; `migrating` makes no difference here."""
        engine = sa.create_engine(
            self.url(),
            poolclass=NullPool,
            hide_parameters=True,
            creator=lambda: self._connect(self.settings.name, migrating=migrating),
        )
        return invalidate_after_server_rollback(extend_engine(engine))

    def _connect(self, database: str | None, *, migrating: bool = False) -> Any:
        """Connect to the first host that accepts the login.

        Args:
            database: the default database; None connects without one.
            migrating: whether the connection runs migrations.

        Raises:
            pymysql.MySQLError: no host accepted the login; the error is that of the last host tried. An error of
                `_REFUSED`
                ends the search at once.
        """
        failure: Exception = pymysql.err.OperationalError(2003, "no host is named")
        for host in self.settings.hosts:
            connection = None
            try:
                connection = TlsConnection(
                    **_address(host),
                    user=self.settings.user,
                    # PyMySQL encodes a password given as str as Latin-1.
                    password=(self.settings.secret() or "").encode(),
                    database=database,
                    charset="utf8mb4",
                    connect_timeout=self.settings.connect_timeout or 10,
                    client_flag=CLIENT.FOUND_ROWS,
                    **self._tls(),
                )
                connection.notice_dead_peer(self.settings)
                self._prepare(connection, migrating=migrating)
            except pymysql.MySQLError as error:
                if connection is not None and connection.open:
                    connection.close()
                failure = error
                if error.args and error.args[0] in _REFUSED:
                    break
            else:
                return connection
        raise failure

    def _prepare(self, connection: Any, *, migrating: bool) -> None:
        """Set the session variables of a new connection.

        Raises:
            pymysql.OperationalError: `sslmode` requires TLS and the connection is not encrypted.
        """
        statements = [f"SET SESSION sql_mode = '{_MODE}'", "SET SESSION time_zone = '+00:00'", *self.session]
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            if self.settings.sslmode not in (None, "disable"):
                cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
                if not cursor.fetchone()[1]:
                    raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")

    def _tls(self) -> dict[str, Any]:
        """Return PyMySQL's arguments for the `sslmode` of the settings.

        Raises:
            BadSettings: the file of `sslrootcert` cannot be read.
        """
        mode = self.settings.sslmode
        if mode is None:
            return {}
        if mode == "disable":
            return {"ssl_disabled": True}
        try:
            context = ssl.create_default_context(cafile=self.settings.sslrootcert)
        except OSError as error:
            raise BadSettings(tls_errors.not_readable(self.settings)) from error
        context.check_hostname = mode == "verify-full"
        if mode == "require":
            context.verify_mode = ssl.CERT_NONE
        return {"ssl": context}

    def login_works(self, login: str, password: Secret) -> bool:
        """Return whether the account can log in with this password.

        The login names no database, because a new account may not have access to it yet.

        Raises:
            pymysql.MySQLError: the attempt failed for another reason than a refused login, such as an unreachable
                server.
        """
        return self.refused_login(login, password) is None

    def refused_login(self, login: str, password: Secret) -> Refusal | None:
        """Return why the account cannot log in with this password; None when it can.

        Raises:
            pymysql.MySQLError: the attempt failed for another reason than a refused login, such as an unreachable
                server.
        """
        settings = replace(self.settings, user=login, password=password, password_file=None)
        try:
            type(self)(settings, self.identity)._connect(None).close()  # noqa: SLF001 - the same class
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else None
            if code in _WRONG_PASSWORD:
                return Refusal(f"the server refuses it ({code})", password=True)
            if code in _REFUSALS or code in _REFUSED:
                return Refusal(f"{_REFUSALS.get(code, 'the server refuses it')} ({code})", password=False)
            raise
        return None

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Return the privileges that the admin lacks, and the declared logins that cannot be used.

        The required privileges are those of the documentation's page on admin rights.
        """
        found = Findings()
        accounts = deployment.accounts.values()
        rights = AdminPrivileges.read(connection)
        me, name = rights.account, self.settings.name
        if not rights.server & {"CREATE USER"}:
            found.errors.append(f"the admin may not create accounts: GRANT CREATE USER ON *.* TO {me}")
        if missing := [right for right in _NEEDED if right not in rights.database]:
            found.errors.append(
                f"the admin lacks {', '.join(missing)} on the database: GRANT {', '.join(missing)} ON"
                f" {granted_on(name)}.* TO {me} WITH GRANT OPTION"
            )
        if not rights.grants:
            found.errors.append(
                f"the admin may not pass its rights on: GRANT {', '.join(_NEEDED)} ON {granted_on(name)}.* TO {me}"
                " WITH GRANT OPTION"
            )
        found.errors += self._row_security_rights(connection, rights, requirements(deployment, name or ""))
        if not rights.catalog:
            found.errors.append(f"the admin may not read who holds what: GRANT SELECT ON `mysql`.* TO {me}")
            return found
        found.errors += open_to_all(connection)
        there = self.accounts.at_declared_hosts(connection, accounts)
        found.errors += there.shadowed(connection, [account.login for account in accounts])
        found.errors += [
            f"{account.origin}: the login {account.login!r} is the account that views run as here; choose another"
            for account in accounts
            if account.login == definer(name or "")
        ]
        longest = FEATURES[self.identity.engine].longest_login or 0
        found.errors += [
            f"{account.origin}: the login {account.login!r} is longer than the {longest} characters that"
            f" {self.identity.engine} admits"
            for account in accounts
            if len(account.login) > longest
        ]
        return found

    def _row_security_rights(
        self, connection: sa.Connection, rights: AdminPrivileges, needed: Requirements
    ) -> Iterator[str]:
        """Yield what the admin lacks to create the views, triggers and functions that the deployment needs."""
        me, routines = rights.account, bool(needed.guards or needed.bound)
        wanted = (
            *(("CREATE VIEW", "SHOW VIEW") if needed.views else ()),
            *(("TRIGGER",) if needed.guards else ()),
            *(("CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE") if needed.bound else ()),
        )
        if missing := ", ".join(right for right in wanted if right not in rights.database):
            yield (
                f"the admin lacks {missing} on the database, for the views that stand before tables: GRANT {missing} ON"
                f" {granted_on(self.settings.name)}.* TO {me} WITH GRANT OPTION"
            )
        if needed.views and self.set_definer_privilege not in rights.server:
            yield (
                "the admin may not let a view run as another account, which scopes and columns need here: GRANT"
                f" {self.set_definer_privilege} ON *.* TO {me}"
            )
        logs, trusts = connection.exec_driver_sql(
            "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators"
        ).one()
        if routines and logs and not trusts and "SUPER" not in rights.server:
            yield (
                "the server logs what it changes and lets nobody but SUPER make triggers and functions, which scopes"
                " need here: SET GLOBAL log_bin_trust_function_creators = ON, and in the server's configuration"
            )

    @contextlib.contextmanager
    def lock(self, *, patience: float, say: Say) -> Iterator[HeldLock]:
        """Hold the job's lock of this database by GET_LOCK, on a connection of its own.

        The server releases the lock when that connection ends, however the job ends.

        Args:
            patience: seconds to wait at most.
            say: reports that the job waits.

        Yields:
            The held lock.

        Raises:
            NotReady: another job held the lock for longer than that.
        """
        name = "ringfence:" + hashlib.sha256(self.settings.name.encode()).hexdigest()[:32]
        engine = self.engine()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"SET SESSION wait_timeout = {_YEAR}")
            deadline = time.monotonic() + patience
            told = False
            while connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, _POLL)).scalar_one() != 1:
                if not told:
                    say("another job holds the lock of this database; waiting for it")
                    told = True
                if time.monotonic() > deadline:
                    holder = connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (name,)).scalar()
                    raise NotReady(
                        f"another job has held the lock of {self.settings} for {patience:g} s; it is connection"
                        f" {holder} in the process list",
                        "locked",
                    )
            yield _Lock(connection)
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column outside the system databases as (schema, table, column); the default schema is None."""
        rows = connection.exec_driver_sql(
            "SELECT IF(table_schema = DATABASE(), NULL, table_schema), table_name, column_name"
            " FROM information_schema.columns"
            " WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, table, column) for schema, table, column in rows)

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return the statements that drop each function and procedure of the default database."""
        rows = connection.exec_driver_sql(
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
        )
        quote = connection.dialect.identifier_preparer.quote_identifier
        return [f"DROP {kind} {quote(name)}" for kind, name in rows]

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return the tables whose storage engine has no transactions, such as MyISAM and Aria."""
        rows = connection.exec_driver_sql(
            "SELECT IF(t.table_schema = DATABASE(), NULL, t.table_schema), t.table_name"
            " FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine"
            " WHERE t.table_type = 'BASE TABLE'"
            " AND COALESCE(e.transactions, 'NO') <> 'YES'"
            " AND t.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, name) for schema, name in rows)

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Return an empty mapping: the server itself checks every foreign key."""
        return defaultdict(int)

    def ddl_attempts(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Attempt]:
        """Yield the DDL that a proof tries as a service; none of it leaves anything behind."""
        yield from without_effect(tables, there)

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return why retrying cannot help after this error, and how to resolve it; None when a retry may help."""
        if error.orig is not None and (why := tls_refusal(error.orig, self.settings)):
            return why
        said = error.orig.args if error.orig is not None else ()
        if not said or said[0] not in _REFUSED:
            return None
        return f"{said[-1]} ({said[0]}){_RESOLUTIONS.get(said[0], '')}"


class _Lock:
    """The lock that `MySQLFamily.lock` holds."""

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
                "the connection that held the deployment's lock is gone; run the job again"
            ) from error


def _address(host: Host) -> dict[str, Any]:
    """Return PyMySQL's arguments for a host: a TCP address, or a Unix socket.

    PyMySQL requires the path of the socket file, so a directory is searched for one.
    """
    if not host.host.startswith("/"):
        return {"host": host.host, "port": host.port}
    path = Path(host.host)
    with contextlib.suppress(OSError):
        if path.is_dir():
            sockets = sorted(item for item in path.iterdir() if stat.S_ISSOCK(item.stat().st_mode))
            named = [item for item in sockets if item.suffix == ".sock" or item.name == "sock"]
            path = next(iter(named or sockets), path / "mysqld.sock")
    return {"unix_socket": str(path)}
