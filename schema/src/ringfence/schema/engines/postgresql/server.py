"""Backend for PostgreSQL through psycopg2."""

from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from ringfence.runtime.engines.network_timeouts import libpq_options
from ringfence.runtime.engines.postgresql.errors import other_server, tls_refusal
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.engines.base import Identity
from ringfence.schema.engines.postgresql.accounts import PostgreSQLAccounts
from ringfence.schema.engines.postgresql.checks import PostgreSQLChecks
from ringfence.schema.engines.postgresql.ddl import PostgreSQLDDL
from ringfence.schema.engines.postgresql.introspection import PostgreSQLIntrospection
from ringfence.schema.engines.postgresql.passwords import other_password, refusal
from ringfence.schema.engines.postgresql.sessions import PostgreSQLLocks, PostgreSQLSessions
from ringfence.schema.engines.single_server import SingleServer
from ringfence.schema.features.postgresql import FEATURES

APPLICATION = "ringfence-schema"
# Parts of messages of a server that refuses logins only for the moment (libpq has no SQLSTATE before a login).
_PASSING = ("starting up", "shutting down", "recovery", "too many", "connection slots")
# Part of the message about a refused login -> how to resolve it. The first match is used.
_RESOLUTIONS = {
    "authentication failed": "; check DB_USER and DB_PASS",
    'role "': "; check DB_USER",
    " does not exist": "; check DB_NAME, or make it first: CREATE DATABASE",
}


def identify(connection: sa.Connection) -> Identity:
    """Read the version of the server.

    Args:
        connection: a connection of the admin account.

    Returns:
        The engine, always `postgresql`, and the server's version string.
    """
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return Identity("postgresql", str(version))


class PostgreSQL:
    """Backend for one database of a PostgreSQL server, connected as the admin account.

    Args:
        settings: connection settings of the admin account.
        identity: engine and version of the server.
    """

    features = FEATURES

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.checks = PostgreSQLChecks(self)
        self.locks = PostgreSQLLocks(self)
        self.sessions = PostgreSQLSessions(self)
        self.introspection = PostgreSQLIntrospection(self.engine)
        self.ddl = PostgreSQLDDL()
        self.nodes = SingleServer()
        self.accounts = PostgreSQLAccounts(self)

    def url(self) -> sa.URL:
        """Return the URL with the driver and without the password; libpq itself tries several hosts in order."""
        query = {
            "host": ",".join(host.host for host in self.settings.hosts),
            "port": ",".join(str(host.port) for host in self.settings.hosts),
            "application_name": APPLICATION,
        }
        if self.settings.sslmode:
            query["sslmode"] = self.settings.sslmode
        if self.settings.sslrootcert:
            query["sslrootcert"] = self.settings.sslrootcert
        return sa.URL.create(
            "postgresql+psycopg2", username=self.settings.user, database=self.settings.name, query=query
        )

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """Create an engine without a pool, whose connections use the time zone UTC.

        Args:
            migrating: has no effect here.
        """
        engine = sa.create_engine(
            self.url(),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, round(self.settings.connect_timeout or 10)),
                **libpq_options(self.settings),
            },
            use_native_hstore=False,  # otherwise each connection queries the OID of hstore; values travel as text
        )

        @event.listens_for(engine, "do_connect")
        def log_in(dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
            if (secret := self.settings.secret()) is not None:
                parameters["password"] = secret

        @event.listens_for(engine, "connect")
        def in_utc(connection: Any, record: object) -> None:
            # Services connect in UTC too, so `current_date` in a migration gives the same day.
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            connection.commit()

        return engine

    def login_works(self, login: str, password: Secret) -> bool:
        """Return whether the account can log in with this password.

        A server that accepts any password (`trust`) proves nothing, so the answer is False there.
        """
        if refusal(self, login, password) is not None:
            return False
        return refusal(self, login, other_password(password)) is not None

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return why another attempt to log in is useless; None if a later one may succeed.

        libpq gives no SQLSTATE before a login, so the decision rests on the text of the server's message.
        """
        text = str(error.orig)
        if not isinstance(error.orig, psycopg2.OperationalError):
            return None
        if why := tls_refusal(error.orig, self.settings) or other_server(text, self.settings):
            return why
        if "no password supplied" in text:
            return "the server asks for a password, and neither DB_PASS nor DB_PASS_FILE is set"
        if "FATAL:" not in text:
            return None
        said = text.rpartition("FATAL:")[2].strip()
        if any(passing in said for passing in _PASSING):
            return None
        return said + next((way for sign, way in _RESOLUTIONS.items() if sign in said), "")


KINDS = {"postgresql": PostgreSQL}
