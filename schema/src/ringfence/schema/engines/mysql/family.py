"""What MySQL, MariaDB and Galera have in common, through PyMySQL."""

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
from ringfence.runtime.engines.mysql.tls import Connecting
from ringfence.runtime.errors import BadSettings, NotReady
from ringfence.runtime.settings import Host, Secret, Settings
from ringfence.schema.engines.base import Findings, Held, Identity, Say
from ringfence.schema.engines.ddl_attempts import Try, without_effect
from ringfence.schema.engines.mysql import exposures
from ringfence.schema.engines.mysql.admin_rights import Rights
from ringfence.schema.engines.mysql.ddl import extend_engine
from ringfence.schema.engines.mysql.introspection import MySQLCatalog
from ringfence.schema.engines.mysql.introspection_tokens import granted_on
from ringfence.schema.engines.mysql.reflection import FamilyTranslator
from ringfence.schema.engines.mysql.roles import FamilyAccounts
from ringfence.schema.engines.mysql.row_security import Needs, definer, needs
from ringfence.schema.engines.mysql.sessions import Sessions, end_undone
from ringfence.schema.engines.types import Refusal
from ringfence.schema.errors import LockLost
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_POLL = 1  # seconds a single GET_LOCK waits: short, so that a job can be stopped
_YEAR = 31536000
# Refusals that waiting does not mend: wrong login, locked account, no such database, not from this host.
_WAYS_OUT = {
    1045: "; check DB_USER and DB_PASS; if they are right, an account of a narrower host may shadow it",
    1049: "; check DB_NAME, or make it first: CREATE DATABASE",
}
_REFUSED = frozenset({1044, 1045, 1049, 1130, 1698, 3118, 4151})
_WRONG_PASSWORD = frozenset({1045, 1698})
# What a login is refused for beside its password.
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
    """One database of a server that speaks MySQL's protocol, under the admin account."""

    transactional_ddl = False
    dialect: ClassVar[str]
    longest_login: ClassVar[int]
    names_definer: ClassVar[str]
    """The right to let a view run as another account."""
    catalogs: ClassVar[type[MySQLCatalog]] = MySQLCatalog
    session: ClassVar[tuple[str, ...]] = ()
    """Statements for each new connection, beside those common to the family."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.accounts = self._accounts()
        self.catalog = self.catalogs(self.engine)

    def _accounts(self) -> FamilyAccounts:
        raise NotImplementedError

    def translator(self, connection: sa.Connection) -> Translator:
        """See Backend."""
        return FamilyTranslator(self.dialect)

    def url(self) -> sa.URL:
        """The address with the driver named, and the first host: connections try the others in turn."""
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
        """See Backend."""
        engine = sa.create_engine(
            self.url(),
            poolclass=NullPool,
            hide_parameters=True,
            creator=lambda: self._connect(self.settings.name, migrating=migrating),
        )
        return end_undone(extend_engine(engine))

    def _connect(self, database: str | None, *, migrating: bool = False) -> Any:
        """Log in at the first host that takes the login; the last error is raised when none does."""
        failure: Exception = pymysql.err.OperationalError(2003, "no host is named")
        for host in self.settings.hosts:
            connection = None
            try:
                connection = Connecting(
                    **_address(host),
                    user=self.settings.user,
                    # PyMySQL would encode a text as Latin-1.
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
        statements = [f"SET SESSION sql_mode = '{_MODE}'", "SET SESSION time_zone = '+00:00'", *self.session]
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            if self.settings.sslmode not in (None, "disable"):
                cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
                if not cursor.fetchone()[1]:
                    raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")

    def _tls(self) -> dict[str, Any]:
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
        """See Backend. Without the database, which a new account may not be allowed to enter yet."""
        return self.refused_login(login, password) is None

    def refused_login(self, login: str, password: Secret) -> Refusal | None:
        """Why the account cannot log in with this password; None when it can.

        Raises:
            pymysql.MySQLError: when the server is not reached.
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
        """See Backend; the rights are those of the page on admin rights."""
        found = Findings()
        accounts = deployment.accounts.values()
        rights = Rights.read(connection)
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
        found.errors += self._fence_rights(connection, rights, needs(deployment, name or ""))
        if not rights.catalog:
            found.errors.append(f"the admin may not read who holds what: GRANT SELECT ON `mysql`.* TO {me}")
            return found
        found.errors += exposures.open_to_all(connection)
        there = self.accounts.at(connection, accounts)
        found.errors += there.shadowed(connection, [account.login for account in accounts])
        found.errors += [
            f"{account.origin}: the login {account.login!r} is the account that views run as here; choose another"
            for account in accounts
            if account.login == definer(name or "")
        ]
        found.errors += [
            f"{account.origin}: the login {account.login!r} is longer than the {self.longest_login} characters that"
            f" {self.identity.engine} admits"
            for account in accounts
            if len(account.login) > self.longest_login
        ]
        return found

    def _fence_rights(self, connection: sa.Connection, rights: Rights, needed: Needs) -> Iterator[str]:
        """What the admin lacks for views, guards and functions, where there are to be any."""
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
        if needed.views and self.names_definer not in rights.server:
            yield (
                "the admin may not let a view run as another account, which scopes and columns need here: GRANT"
                f" {self.names_definer} ON *.* TO {me}"
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
    def lock(self, *, patience: float, say: Say) -> Iterator[Held]:
        """See Backend. A connection of its own holds it, so that it ends with the job, however that ends."""
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
        """See Backend."""
        rows = connection.exec_driver_sql(
            "SELECT IF(table_schema = DATABASE(), NULL, table_schema), table_name, column_name"
            " FROM information_schema.columns"
            " WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, table, column) for schema, table, column in rows)

    def drop_routines(self, connection: sa.Connection) -> list[str]:
        """See Backend."""
        rows = connection.exec_driver_sql(
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
        )
        quote = connection.dialect.identifier_preparer.quote_identifier
        return [f"DROP {kind} {quote(name)}" for kind, name in rows]

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Those of MyISAM, Aria and their like."""
        rows = connection.exec_driver_sql(
            "SELECT IF(t.table_schema = DATABASE(), NULL, t.table_schema), t.table_name"
            " FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine"
            " WHERE t.table_type = 'BASE TABLE'"
            " AND COALESCE(e.transactions, 'NO') <> 'YES'"
            " AND t.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, name) for schema, name in rows)

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """None: the server checks foreign keys whatever happens."""
        return defaultdict(int)

    def ddl_tries(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Try]:
        """See Backend."""
        yield from without_effect(tables, there)

    def refused(self, error: sa.exc.DBAPIError) -> str | None:
        """See Backend."""
        if error.orig is not None and (why := tls_refusal(error.orig, self.settings)):
            return why
        said = error.orig.args if error.orig is not None else ()
        if not said or said[0] not in _REFUSED:
            return None
        return f"{said[-1]} ({said[0]}){_WAYS_OUT.get(said[0], '')}"


class _Lock:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def guard(self, connection: sa.Connection) -> None:
        """Nobody takes this lock over while its connection lives."""

    def check(self) -> None:
        """Raise LockLost when the connection that holds it is gone."""
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise LockLost(
                "the connection that held the deployment's lock is gone; run the job again"
            ) from error


def _address(host: Host) -> dict[str, Any]:
    """A TCP address, or the socket in a folder; PyMySQL wants the socket's own path."""
    if not host.host.startswith("/"):
        return {"host": host.host, "port": host.port}
    path = Path(host.host)
    with contextlib.suppress(OSError):
        if path.is_dir():
            sockets = sorted(item for item in path.iterdir() if stat.S_ISSOCK(item.stat().st_mode))
            named = [item for item in sockets if item.suffix == ".sock" or item.name == "sock"]
            path = next(iter(named or sockets), path / "mysqld.sock")
    return {"unix_socket": str(path)}
