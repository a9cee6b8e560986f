"""The backend that MySQL, MariaDB and Galera share, and how it connects."""

import contextlib
import ssl
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT, CR
from sqlalchemy.pool import NullPool

from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.mysql.errors import tls_refusal
from ringfence.runtime.engines.mysql.pymysql_compat import TlsConnection
from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Host, Secret, Settings
from ringfence.schema.engines.base import Identity, Locks, Nodes
from ringfence.schema.engines.mysql.accounts import FamilyAccounts
from ringfence.schema.engines.mysql.checks import FamilyChecks
from ringfence.schema.engines.mysql.ddl import FamilyDDL, extend_engine
from ringfence.schema.engines.mysql.introspection import FamilyIntrospection, MySQLCatalog
from ringfence.schema.engines.mysql.sessions import (
    FamilyLocks,
    FamilySessions,
    invalidate_after_server_rollback,
)
from ringfence.schema.engines.single_server import SingleServer
from ringfence.schema.engines.types import Refusal
from ringfence.schema.features import Features

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
    1130: "no account of that login accepts connections from this host",
    1203: "the account has no connection left",
    1226: "the account has used up a limit of its resources",
    1251: "its authentication plugin is not supported by this client",
    1524: "its authentication plugin is not loaded on the server",
    1820: "its password has expired",
    1862: "its password has expired",
    2059: "it authenticates by a plugin that this client does not have",
    3118: "the account is locked",
    3159: "the server accepts connections over TLS only",
    3955: "the account is locked for a while, after failed logins",
    4150: "the account is blocked after failed logins: FLUSH PRIVILEGES",
    4151: "the account is locked",
}
_MODE = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)


class MySQLFamily:
    """Backend for one database of a server that speaks MySQL's protocol, used with the admin account.

    Args:
        settings: address, login and password of the admin account.
        identity: the engine and version of the server.
    """

    features: Features
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
        self.checks: FamilyChecks = FamilyChecks(self)
        self.locks: Locks = FamilyLocks(self)
        self.sessions = FamilySessions(self)
        self.introspection = FamilyIntrospection(self.dialect, self.catalogs(self.engine))
        self.ddl = FamilyDDL()
        self.nodes: Nodes = SingleServer()
        self.accounts = self._accounts()

    def _accounts(self) -> FamilyAccounts:
        raise NotImplementedError

    def at(self, host: Host) -> Self:
        """Return the backend of another host, with the same login."""
        return type(self)(replace(self.settings, hosts=(host,)), self.identity)

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
            creator=lambda: self.connect(self.settings.name, migrating=migrating),
        )
        return invalidate_after_server_rollback(extend_engine(engine))

    def connect(self, database: str | None, *, migrating: bool = False) -> Any:
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
            type(self)(settings, self.identity).connect(None).close()
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else None
            if code in _WRONG_PASSWORD:
                return Refusal(f"the server refuses it ({code})", password=True)
            if code in _REFUSALS or code in _REFUSED:
                return Refusal(f"{_REFUSALS.get(code, 'the server refuses it')} ({code})", password=False)
            raise
        return None

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return why retrying cannot help after this error, and how to resolve it; None when a retry may help."""
        if error.orig is not None and (why := tls_refusal(error.orig, self.settings)):
            return why
        said = error.orig.args if error.orig is not None else ()
        if not said or said[0] not in _REFUSED:
            return None
        return f"{said[-1]} ({said[0]}){_RESOLUTIONS.get(said[0], '')}"


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
