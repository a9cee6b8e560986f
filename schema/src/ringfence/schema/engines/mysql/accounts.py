"""The accounts of the MySQL family, composed of their roles, privileges and row security.

An account is a login and a host. The engines differ in the class variables and in the methods that `FamilyAccounts`
leaves to its subclasses.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import (
    Altered,
    Exposure,
    OpenConnections,
    PendingDrops,
    RowSecurity,
    Statement,
)
from ringfence.schema.engines.effective_rights import Effective
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.engines.mysql import quoting, routines, sessions
from ringfence.schema.engines.mysql.effective_rights import EffectiveRightsReader
from ringfence.schema.engines.mysql.exposures import exposures
from ringfence.schema.engines.mysql.exposures.account_state import AccountState
from ringfence.schema.engines.mysql.privileges import FamilyPrivileges, in_list
from ringfence.schema.engines.mysql.quoting import literal
from ringfence.schema.engines.mysql.roles import FamilyLoginSettings, FamilyRoles
from ringfence.schema.engines.mysql.row_security import RowSecurityPlanner, detach
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import ANYWHERE, Account

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.family import MySQLFamily


class FamilyAccounts:
    """The accounts of one server, each login at one host.

    Args:
        backend: connects to the server.
        hosts: login -> the host of its account; a login that is missing here has its account at `%`.
    """

    locked: ClassVar[str]
    """SQL expression on a row `u` of mysql.user: whether the account is locked."""
    memberships: ClassVar[str]
    """Query of the granted roles: (role, its host, login, its host, whether WITH ADMIN OPTION)."""
    states: ClassVar[str]
    """Query of the fields of `AccountState` for `accounts`; its last four columns are the limits."""
    restrictions: ClassVar[str] = ""
    """Query of (login, its partial revokes); empty where the server has none."""
    row_security_planner: ClassVar[type[RowSecurityPlanner]]
    """The class that compares the objects of row security with what the manifest requires."""
    rights_reader: ClassVar[type[EffectiveRightsReader]]
    """The class that computes the effective rights."""

    def __init__(self, backend: "MySQLFamily", hosts: Mapping[str, str] | None = None) -> None:
        self.backend = backend
        self._hosts = hosts or {}
        self.roles = FamilyRoles(self)
        self.settings = FamilyLoginSettings(self)
        self.row_security = FamilyRowSecurity(self)
        self.privileges = self._privileges()
        self.inspection = self._inspection()
        self.connections = self._connections()

    @property
    def hosts(self) -> "FamilyHosts[Self]":
        """Where these accounts are, and the same accounts at other hosts."""
        return FamilyHosts(self)

    def at(self, hosts: Mapping[str, str]) -> Self:
        """Return the accounts of the same server with each login at the host that is given for it."""
        return type(self)(self.backend, hosts)

    def _privileges(self) -> FamilyPrivileges:
        return FamilyPrivileges(self)

    def _inspection(self) -> "FamilyInspection":
        return FamilyInspection(self)

    def _connections(self) -> "FamilyConnections":
        return FamilyConnections(self)

    def host(self, login: str) -> str:
        """Return the host of a login's account."""
        return self._hosts.get(login, ANYWHERE)

    def pairs(self, logins: Iterable[str], host: str | None = None) -> tuple[tuple[str, str], ...]:
        """Return (login, host) pairs for SQL's IN.

        Args:
            logins: user names.
            host: the host of all of them; None for each login's own.

        Returns:
            The pairs; without logins one that matches no account, because IN accepts no empty list.
        """
        return tuple((login, host or self.host(login)) for login in logins) or (("\0", "\0"),)

    def account(self, login: str, host: str | None = None) -> str:
        """Return 'login'@'host' as it is written in SQL; without a host, at the login's own."""
        return quoting.account(login, host or self.host(login))

    @staticmethod
    def database(connection: sa.Connection) -> str:
        """Return the name of the connection's default database."""
        return str(connection.exec_driver_sql("SELECT DATABASE()").scalar_one())

    def identified(self, verb: str, login: str, password: Secret) -> Statement:
        """Return CREATE USER or ALTER USER with a password."""
        sql = f"{verb} {self.account(login)} IDENTIFIED BY "
        return Statement(f"{sql.replace('%', '%%')}%s", (password.reveal(),), f"{sql}'***'", secret=True)

    def with_stored_password(self, login: str, sql: str, value: str) -> Statement:
        """Return a statement that ends with the stored form of a password, which is masked where it is shown."""
        manual = f"-- the password of {self.account(login)} is set by `ringfence access apply`"
        return Statement(
            (sql + value).replace("%", "%%"), shown=f"{sql}'***'", secret=True, manual_sql=manual
        )

    def role_name(self, role: str, host: str) -> str:
        """Return a role as it is written in SQL; `host` is empty on MariaDB, whose roles have none."""
        raise NotImplementedError

    def may_revoke_role(self, connection: sa.Connection, role: str, host: str) -> bool:
        """Return whether the admin may revoke a role from the accounts that it was granted to."""
        raise NotImplementedError

    def granted_to_all(
        self, connection: sa.Connection, ours: Mapping[tuple[str, str], str | None], schemas: frozenset[str]
    ) -> Iterator[Exposure]:
        """Yield what this engine gives to all accounts: by PUBLIC on MariaDB, by `mandatory_roles` on MySQL.

        Args:
            connection: the admin's.
            ours: our accounts as (login, host) -> the login that is reported; None for the account that views run as.
            schemas: the databases of the deployment.
        """
        raise NotImplementedError

    def reset_password(self, state: AccountState) -> Statement:
        """Return the statement that sets an account's present password again, so that it is no longer expired."""
        raise NotImplementedError

    def only_password(self, state: AccountState) -> Statement:
        """Return the statement that removes every way to log in to an account but its present password."""
        raise NotImplementedError

    def processlist(self, connection: sa.Connection) -> str:
        """Return the table that lists the server's connections."""
        return "information_schema.processlist"


AccountsT = TypeVar("AccountsT", bound=FamilyAccounts)


class FamilyHosts(Generic[AccountsT]):
    """Where the accounts of the deployment are: at a host that the manifest declares, and perhaps at a former one.

    Args:
        accounts: each login with its host.
    """

    def __init__(self, accounts: AccountsT) -> None:
        self._accounts = accounts

    def at_declared(self, connection: sa.Connection, accounts: Iterable[Account]) -> AccountsT:
        """Return the accounts with each login at its declared host.

        A managed login that is no longer declared keeps the host that is recorded for it.
        """
        recorded = {login: hosts[0] for login, hosts in mysql_hosts.managed_hosts(connection).items()}
        return self._accounts.at(recorded | {account.login: account.host for account in accounts})

    def at_current(self, connection: sa.Connection) -> Iterator[tuple[AccountsT, list[str]]]:
        """Yield all managed accounts at their recorded hosts.

        A login that is recorded at several hosts, as while its host changes, is in several items.

        Yields:
            The accounts with one host for each login, and these logins.
        """
        left = {login: list(hosts) for login, hosts in mysql_hosts.managed_hosts(connection).items()}
        while left:
            one = self._accounts.at({login: hosts.pop(0) for login, hosts in left.items()})
            yield one, list(left)
            left = {login: hosts for login, hosts in left.items() if hosts}

    def record(
        self, connection: sa.Connection, accounts: Iterable[Account], managed: Iterable[str]
    ) -> list[Statement]:
        """Return the statements that record the declared hosts of accounts before these are created."""
        return mysql_hosts.record_hosts(
            connection, {account.login: account.host for account in accounts}, managed
        )

    def forget(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return the statements that delete the recorded hosts of a dropped login."""
        return [mysql_hosts.forget_hosts(login)] if login in mysql_hosts.recorded_hosts(connection) else []

    def drop_former(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return what drops managed accounts at hosts that are no longer declared, and what prevents that."""
        return mysql_hosts.drop_at_old_hosts(self._accounts, connection, logins)

    def shadowed(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return the accounts that the server may match instead of the managed ones, each with how to resolve it."""
        return mysql_hosts.shadowed(self._accounts, connection, tuple(logins))


class FamilyRowSecurity:
    """Row security by views, triggers and functions.

    Args:
        accounts: each login with its host, and the forms of the engine's statements.
    """

    def __init__(self, accounts: FamilyAccounts) -> None:
        self._accounts = accounts

    def compare(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        managed: Iterable[str],
        pending: PendingDrops,
    ) -> RowSecurity:
        """Return the statements for the views, triggers and functions of row security."""
        return self._accounts.row_security_planner(connection, self._accounts, deployment, pending).changes()

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """Return the statements that drop the views and triggers of these tables, so that the tables can be altered."""
        return detach(connection, self._accounts.database(connection), altered)


class FamilyInspection:
    """What accounts can do beside the privileges that they hold by name.

    Args:
        accounts: each login with its host, and the forms of the engine's statements.
    """

    def __init__(self, accounts: FamilyAccounts) -> None:
        self._accounts = accounts

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Return the exposures of the logins and of the deployment's databases."""
        return exposures(self._accounts, connection, deployment, tuple(logins))

    def effective_rights(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        declared: Collection[Privilege],
    ) -> Effective:
        """Return the effective rights of logins that exist, now and after an apply."""
        reader = self._accounts.rights_reader
        return reader(connection, self._accounts, deployment, logins, declared).found

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return a message for each object that the logins may use and that runs with its definer's privileges.

        Partial revokes that restrict a login are reported too, because no list of its privileges shows them.
        """
        logins = tuple(logins)
        found = routines.definer_objects(
            connection,
            self._accounts.pairs(logins),
            in_list(f"'{u}'@'{h}'" for u, h in self._accounts.pairs(logins)),
        )
        if self._accounts.restrictions:
            rows = connection.exec_driver_sql(
                self._accounts.restrictions, {"accounts": self._accounts.pairs(logins)}
            )
            found += [f"a partial revoke takes rights from {login}: {what}" for login, what in rows]
        return found

    def owned_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return an empty list: tables have no owner on these servers."""
        return []


class FamilyConnections:
    """The open connections of accounts.

    Args:
        accounts: they know the server's process list.
    """

    def __init__(self, accounts: FamilyAccounts) -> None:
        self._accounts = accounts

    def open(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Return the open connections of the logins; without PROCESS the admin sees only its own."""
        return sessions.open_connections(connection, self._accounts.processlist(connection), in_list(logins))

    def how_to_end(self, connection: sa.Connection, login: str) -> str:
        """Return how to end the connections of a login: a query that writes one KILL statement for each."""
        said, table = literal(login), self._accounts.processlist(connection)
        return f"send what this gives: SELECT CONCAT('KILL ', id, ';') FROM {table} WHERE user = {said}"  # noqa: S608 - a message
