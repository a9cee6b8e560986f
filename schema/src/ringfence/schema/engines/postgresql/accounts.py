"""The accounts of a PostgreSQL server, composed of their roles, privileges and row security."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.base import (
    Altered,
    Exposure,
    OpenConnections,
    PendingDrops,
    RowSecurity,
    Statement,
)
from ringfence.schema.engines.effective_rights import Effective
from ringfence.schema.engines.postgresql import routines, row_security, sessions
from ringfence.schema.engines.postgresql.effective_rights import effective
from ringfence.schema.engines.postgresql.exposures import exposures
from ringfence.schema.engines.postgresql.privileges import PostgreSQLPrivileges
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.postgresql.roles import PostgreSQLLoginSettings, PostgreSQLRoles
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.postgresql.server import PostgreSQL

# Objects that a role owns in this database, and shared objects such as databases and tablespaces.
_OWNED = """
    SELECT r.rolname, pg_catalog.pg_describe_object(s.classid, s.objid, 0), current_user
    FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o' AND r.rolname = ANY (%s)
      AND s.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    ORDER BY 1, 2
"""


class PostgreSQLAccounts:
    """The roles of a server, with their privileges in one database.

    Args:
        backend: the database in which privileges are read and changed.
    """

    def __init__(self, backend: "PostgreSQL") -> None:
        self.roles = PostgreSQLRoles(backend)
        self.settings = PostgreSQLLoginSettings()
        self.privileges = PostgreSQLPrivileges()
        self.row_security = PostgreSQLRowSecurity()
        self.inspection = PostgreSQLInspection(self.privileges)
        self.connections = PostgreSQLConnections()

    @property
    def hosts(self) -> "PostgreSQLHosts":
        """The hosts of these accounts, of which there are none."""
        return PostgreSQLHosts(self)


class PostgreSQLHosts:
    """A role has no host, so there is one set of accounts, and nothing to record.

    Args:
        accounts: the accounts.
    """

    def __init__(self, accounts: PostgreSQLAccounts) -> None:
        self._accounts = accounts

    def at_declared(self, connection: sa.Connection, accounts: Iterable[Account]) -> PostgreSQLAccounts:
        """Return all accounts."""
        return self._accounts

    def at_current(self, connection: sa.Connection) -> Iterator[tuple[PostgreSQLAccounts, list[str]]]:
        """Yield all accounts once, with every managed login."""
        yield self._accounts, list(releases.accounts(connection))

    def record(
        self, connection: sa.Connection, accounts: Iterable[Account], managed: Iterable[str]
    ) -> list[Statement]:
        """Return no statement."""
        return []

    def forget(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return no statement."""
        return []

    def drop_former(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return no statement and no obstacle."""
        return [], []


class PostgreSQLRowSecurity:
    """Row security by policies."""

    def compare(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        managed: Iterable[str],
        pending: PendingDrops,
    ) -> RowSecurity:
        """Compare row security on the server with the scopes of the manifest."""
        return row_security.compare_row_security(connection, deployment, managed, pending)

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """Return statements that replace the conditions of Ringfence's policies on these columns by `false`."""
        return row_security.detach(connection, altered)


class PostgreSQLInspection:
    """What roles can do beside the privileges that they hold by name.

    Args:
        privileges: they know what PUBLIC keeps.
    """

    def __init__(self, privileges: PostgreSQLPrivileges) -> None:
        self._privileges = privileges

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Return the exposures of the server and of the managed accounts."""
        return exposures(connection, deployment, logins)

    def effective_rights(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        declared: Collection[Privilege],
    ) -> Effective:
        """Return the effective rights of the logins, now and after an apply."""
        return effective(connection, deployment, logins, declared, self._privileges.public)

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Describe the views, functions and triggers of the logins that run with another role's rights."""
        return routines.definer_objects(connection, logins)

    def owned_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return a line for each object that a login owns, with the statement that reassigns it."""
        return [
            f"the account {login} owns {thing}, and so may do anything with it: REASSIGN OWNED BY {quoted(login)} TO"
            f" {quoted(admin)}"
            for login, thing, admin in connection.exec_driver_sql(_OWNED, (list(logins),))
        ]


class PostgreSQLConnections:
    """The open connections of roles."""

    def open(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Count the connections of the logins to every database of the server."""
        return sessions.open_connections(connection, logins)

    def how_to_end(self, connection: sa.Connection, login: str) -> str:
        """Return the statement that terminates the sessions of a login."""
        return sessions.terminate_statement(login)
