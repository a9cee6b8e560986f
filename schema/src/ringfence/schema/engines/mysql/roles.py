"""Accounts and their privileges on the MySQL family, where an account is a login and a host."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import (
    Altered,
    Exposure,
    Login,
    OpenConnections,
    PasswordComparison,
    PendingDrops,
    RowSecurity,
    Statement,
)
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.engines.mysql import passwords as mysql_passwords
from ringfence.schema.engines.mysql import privileges, quoting, routines, sessions
from ringfence.schema.engines.mysql.effective_rights import EffectiveRightsMixin
from ringfence.schema.engines.mysql.exposures import exposures
from ringfence.schema.engines.mysql.exposures.account_state import AccountState
from ringfence.schema.engines.mysql.exposures.other_databases import drop_obstacles
from ringfence.schema.engines.mysql.quoting import literal, quoted, statement
from ringfence.schema.engines.mysql.row_security import RowSecurityPlanner, detach, relations, views
from ringfence.schema.grants.difference import READABLE, Batch, Bundle, Difference, Privilege
from ringfence.schema.manifest.model import ANYWHERE, Account

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.family import MySQLFamily

# information_schema shows the privileges of other accounts only with SELECT on mysql.*. Each query reads one level.
_LEVELS = (
    "SELECT grantee, 'server', '', '', privilege_type, '', is_grantable"
    " FROM information_schema.user_privileges WHERE grantee IN %(grantees)s",
    "SELECT grantee, 'database', table_schema, '', privilege_type, '', is_grantable"
    " FROM information_schema.schema_privileges WHERE grantee IN %(grantees)s AND DATABASE() LIKE table_schema",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, '', is_grantable"
    " FROM information_schema.table_privileges WHERE grantee IN %(grantees)s AND table_schema IN %(schemas)s",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, column_name, is_grantable"
    " FROM information_schema.column_privileges WHERE grantee IN %(grantees)s AND table_schema IN %(schemas)s",
)
_IS_ADMINISTRATOR = privileges.IS_ADMINISTRATOR.format("u.")


class FamilyAccounts(EffectiveRightsMixin):
    """The accounts of one server: the privileges that they hold, and the statements that change them.

    Args:
        backend: connects to the server.
        hosts: login -> the host of its account; a login that is missing here has its account at `%`.
    """

    atomic = False
    detach_for_type_change = False
    grants_many_objects = False
    revision_queries = None
    audit_prefixes = ()
    public_privileges: frozenset[str] = frozenset()
    locked: ClassVar[str]
    """SQL expression on a row `u` of mysql.user: whether the account is locked."""
    memberships: ClassVar[str]
    """Query of the granted roles: (role, its host, login, its host, whether WITH ADMIN OPTION)."""
    states: ClassVar[str]
    """Query of the fields of `login_state.AccountState` for `accounts`; its last four columns are the limits."""
    restrictions: ClassVar[str] = ""
    """Query of (login, its partial revokes); empty where the server has none."""
    row_security_planner: ClassVar[type[RowSecurityPlanner]]
    """The class that compares the objects of row security with what the manifest requires."""

    def __init__(self, backend: "MySQLFamily", hosts: Mapping[str, str] | None = None) -> None:
        self.backend = backend
        self._hosts = hosts or {}

    def at_declared_hosts(self, connection: sa.Connection, accounts: Iterable[Account]) -> Self:
        """Return the same with each login at its declared host.

        A login of ours that is no longer declared keeps the host that is recorded for it.
        """
        there = {login: hosts[0] for login, hosts in mysql_hosts.managed_hosts(connection).items()}
        return type(self)(self.backend, there | {account.login: account.host for account in accounts})

    def at_current_hosts(self, connection: sa.Connection) -> Iterator[tuple[Self, list[str]]]:
        """Yield all our accounts at their recorded hosts.

        A login that is recorded at several hosts, as while its host changes, is in several items.

        Yields:
            The accounts with one host for each login, and these logins.
        """
        left = {login: list(hosts) for login, hosts in mysql_hosts.managed_hosts(connection).items()}
        while left:
            one = type(self)(self.backend, {login: hosts.pop(0) for login, hosts in left.items()})
            yield one, list(left)
            left = {login: hosts for login, hosts in left.items() if hosts}

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

    def _accounts(self, batch: Batch, host: str | None) -> str:
        return ", ".join(self.account(login, host) for login in batch.logins)

    def record_hosts(
        self, connection: sa.Connection, accounts: Iterable[Account], mine: Iterable[str]
    ) -> list[Statement]:
        """Return the statements that record the declared hosts of accounts before these are created."""
        return mysql_hosts.record_hosts(
            connection, {account.login: account.host for account in accounts}, mine
        )

    def forget_hosts(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return the statements that delete the recorded hosts of a dropped login."""
        return [mysql_hosts.forget_hosts(login)] if login in mysql_hosts.recorded_hosts(connection) else []

    def drop_at_old_hosts(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return the statements that drop our accounts at hosts that are no longer declared, and what prevents that."""
        return mysql_hosts.drop_at_old_hosts(self, connection, logins)

    def existing(
        self, connection: sa.Connection, logins: Iterable[str], host: str | None = None
    ) -> Mapping[str, Login]:
        """Return those of the logins that exist on the server.

        Args:
            connection: the admin's.
            logins: user names.
            host: the host of all of them; None for each login's own.
        """
        rows = connection.exec_driver_sql(
            f"SELECT u.User, {self.locked}, {_IS_ADMINISTRATOR}, u.User = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"  # noqa: S608 - our own words
            " FROM mysql.user u WHERE (u.User, u.Host) IN %(accounts)s",
            {"accounts": self.pairs(logins, host)},
        )
        found = {}
        for login, locked, strong, admin in rows:
            reason = "holds rights over the whole server" if strong else None
            found[login] = Login(login, not locked, "is the admin itself" if admin else reason)
        return found

    def shadowed(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return the accounts that the server may match instead of ours, each with how to resolve it."""
        return mysql_hosts.shadowed(self, connection, tuple(logins))

    def declared_privileges(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges that the manifest gives on tables, and on the views in front of some of them."""
        default = self.database(connection)
        found = set()
        for account in deployment.accounts.values():
            login = account.login
            for name in READABLE:
                found.add(Privilege(login, "table", default, name, "select"))
            routed = relations(account, deployment.tables)
            for grant in account.grants:
                if (grant.key, grant.verb) not in routed:
                    found |= _privileges(
                        login, grant.schema or default, grant.table, grant.verb, grant.columns
                    )
            for view in views(account, deployment.tables):
                for verb, columns in view.rights.items():
                    found |= _privileges(login, view.schema or default, view.name, verb, columns)
        return found

    @staticmethod
    def database(connection: sa.Connection) -> str:
        """Return the name of the connection's default database."""
        return str(connection.exec_driver_sql("SELECT DATABASE()").scalar_one())

    def held_privileges(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """Return the privileges and roles that the logins hold; GRANT OPTION is a privilege of its own."""
        logins = tuple(logins)
        found = self.held_by(connection, logins, schemas)
        mine = set(self.pairs(logins))
        for role, at, login, host, _ in connection.exec_driver_sql(self.memberships):
            if (login, host) in mine:
                found.add(Privilege(login, "role", "", privileges.role_label(role, at), "member"))
        return found

    def held_by(
        self,
        connection: sa.Connection,
        logins: Iterable[str],
        schemas: Iterable[str],
        host: str | None = None,
    ) -> set[Privilege]:
        """Return the privileges that the logins hold, without their roles.

        Args:
            connection: the admin's.
            logins: user names.
            schemas: the databases of the deployment.
            host: the host of all of them; None for each login's own.
        """
        accounts = self.pairs(tuple(logins), host)
        names = {f"'{login}'@'{at}'": login for login, at in accounts}
        given = {"grantees": _list(names), "schemas": _list(schemas)}
        found = set()
        for query in _LEVELS:
            rows = connection.exec_driver_sql(query, given)
            for grantee, kind, schema, name, verb, column, grantable in rows:
                login = names[grantee]
                if verb.upper() != "USAGE":
                    found.add(Privilege(login, kind, schema, name, verb.lower(), column))
                if grantable == "YES":
                    found.add(Privilege(login, kind, schema, name, "grant option"))
        return found | routines.held(connection, accounts, given["schemas"])

    def functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """Return the EXECUTE privileges that the manifest gives, and a message for each routine that does not exist."""
        return routines.declared_routines(connection, accounts, self.database(connection))

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return a message for each object that the logins may use and that runs with its definer's privileges.

        Partial revokes that restrict a login are reported too, because no list of its privileges shows them.
        """
        logins = tuple(logins)
        found = routines.definer_objects(
            connection, self.pairs(logins), _list(f"'{u}'@'{h}'" for u, h in self.pairs(logins))
        )
        if self.restrictions:
            rows = connection.exec_driver_sql(self.restrictions, {"accounts": self.pairs(logins)})
            found += [f"a partial revoke takes rights from {login}: {what}" for login, what in rows]
        return found

    def compare_nodes(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Return two empty lists: there are no other nodes."""
        return [], []

    def row_security(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: PendingDrops
    ) -> RowSecurity:
        """Return the statements for the views, triggers and functions of row security."""
        return self.row_security_planner(connection, self, deployment, going).changes()

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """Return the statements that drop the views and triggers of these tables, so that the tables can be altered."""
        return detach(connection, self.database(connection), altered)

    def owners(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return an empty list: tables have no owner on these servers."""
        return []

    def literal(self, text: str) -> str:
        """Return a text as an SQL literal."""
        return literal(text)

    def unrevocable(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """Return the revokes of roles, of global and of database privileges that the admin may not send.

        They are found before anything is sent, because a REVOKE that fails does harm where each statement commits by
        itself.
        """
        return privileges.unrevocable(self, connection, difference)

    def other_passwords(
        self, connection: sa.Connection, passwords: Mapping[str, Secret]
    ) -> PasswordComparison:
        """Return which of the accounts have another password than the one given.

        The stored hash is compared where its form is known. Otherwise a login is tried, which may be refused for
        another reason than the password.
        """
        return mysql_passwords.compare_passwords(self, connection, passwords)

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates an account without privileges; without a password it is locked."""
        locked = f"CREATE USER IF NOT EXISTS {self.account(login)} ACCOUNT LOCK"
        if password is None:
            return statement(locked)
        pasted = f"{locked}; -- unlocked, with its password, by `ringfence access apply`"
        return replace(self._identified("CREATE USER IF NOT EXISTS", login, password), manual_sql=pasted)

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that sets the password of an account."""
        pasted = f"-- the password of {self.account(login)} is set by `ringfence access apply`"
        return replace(self._identified("ALTER USER", login, password), manual_sql=pasted)

    def _identified(self, verb: str, login: str, password: Secret) -> Statement:
        sql = f"{verb} {self.account(login)} IDENTIFIED BY "
        return Statement(_escaped(sql) + "%s", (password.reveal(),), f"{sql}'***'", secret=True)

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that unlocks or locks an account."""
        return statement(f"ALTER USER {self.account(login)} ACCOUNT {'UNLOCK' if enabled else 'LOCK'}")

    def grant(self, batch: Batch, host: str | None = None) -> Statement:
        """Return the GRANT statement of a batch; `host` is the host of its logins, None for each login's own."""
        return statement(f"GRANT {_verbs(batch)} ON {_thing(batch)} TO {self._accounts(batch, host)}")

    def revoke(self, batch: Batch, host: str | None = None) -> Statement:
        """Return the REVOKE statement of a batch; `host` is the host of its logins, None for each login's own."""
        if batch.kind == "role":
            role = self.role_name(*privileges.parse_role_label(batch.name))
            return statement(f"REVOKE {role} FROM {self._accounts(batch, host)}")
        return statement(f"REVOKE {_verbs(batch)} ON {_thing(batch)} FROM {self._accounts(batch, host)}")

    def limits(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the connection limit of each login that has one."""
        rows = connection.exec_driver_sql(
            "SELECT User, max_user_connections FROM mysql.user"
            " WHERE max_user_connections <> 0 AND (User, Host) IN %(accounts)s",
            {"accounts": self.pairs(logins)},
        )
        return {login: {"connection_limit": str(number)} for login, number in rows}

    def limit(self, connection: sa.Connection, login: str, word: str, value: str | None) -> Statement:
        """Return the statement that sets the connection limit of a login.

        Args:
            connection: the admin's.
            login: a user name.
            word: the manifest's name of the limit; `connection_limit` is the only one here.
            value: the number of connections; None or "0" for no limit.
        """
        return statement(f"ALTER USER {self.account(login)} WITH MAX_USER_CONNECTIONS {int(value or 0)}")

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return why logins must not be dropped: privileges in other databases, and objects that they define."""
        return drop_obstacles(self, connection, tuple(logins))

    def open_connections(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Return the open connections of the logins; without PROCESS the admin sees only its own."""
        return sessions.open_connections(connection, self.processlist(connection), _list(logins))

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return whether an open session keeps the privilege after it was revoked.

        The server looks up privileges on tables, columns and routines for each statement, and others not.
        """
        return privilege.kind in ("server", "database", "role")

    def how_to_end_connections(self, connection: sa.Connection, login: str) -> str:
        """Return how to end the connections of a login: a query that writes one KILL statement for each."""
        said, table = literal(login), self.processlist(connection)
        return f"send what this gives: SELECT CONCAT('KILL ', id, ';') FROM {table} WHERE user = {said}"  # noqa: S608 - a message

    def processlist(self, connection: sa.Connection) -> str:
        """Return the table that lists the server's connections."""
        return "information_schema.processlist"

    def drop(self, login: str) -> Statement:
        """Return the statement that drops an account."""
        return statement(f"DROP USER IF EXISTS {self.account(login)}")

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Return the exposures of the logins and of the deployment's databases."""
        return exposures(self, connection, deployment, tuple(logins))

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

    def _secret(self, login: str, sql: str, value: str) -> Statement:
        """Return a statement that ends with the stored form of a password, which is masked where it is shown."""
        pasted = f"-- the password of {self.account(login)} is set by `ringfence access apply`"
        return Statement(_escaped(sql + value), shown=f"{sql}'***'", secret=True, manual_sql=pasted)

    @staticmethod
    def what(bundle: Bundle | Batch) -> str:
        """Return the privileges and the object of a GRANT or REVOKE: what precedes TO or FROM."""
        return f"{_verbs(bundle)} ON {_thing(bundle)}"

    @staticmethod
    def statement(sql: str) -> Statement:
        """Return a statement without secrets and parameters."""
        return statement(sql)


def _privileges(
    login: str, schema: str, name: str, verb: str, columns: tuple[str, ...] | None
) -> set[Privilege]:
    return {Privilege(login, "table", schema, name, verb, column) for column in columns or ("",)}


def _escaped(sql: str) -> str:
    """Double the percent signs: PyMySQL formats every statement, also one without parameters."""
    return sql.replace("%", "%%")


def _list(items: Iterable[str]) -> tuple[str, ...]:
    """Return a tuple for SQL's IN, which accepts no empty list; no login, grantee or schema contains a NUL."""
    return tuple(items) or ("\0",)


def _verbs(bundle: Bundle | Batch) -> str:
    parts = []
    for verb, columns in bundle.verbs:
        listed = f" ({', '.join(map(quoted, columns))})" if columns else ""
        parts.append(f"{verb.upper()}{listed}")
    return ", ".join(parts)


def _thing(bundle: Bundle | Batch) -> str:
    """Return the object of a GRANT; the pattern of a database comes from the catalog and is already escaped."""
    if bundle.kind == "server":
        return "*.*"
    if bundle.kind == "database":
        return f"{quoted(bundle.schema)}.*"
    routine = f"{bundle.kind.upper()} " if bundle.kind in ("function", "procedure") else ""
    return f"{routine}{quoted(bundle.schema)}.{quoted(bundle.name)}"
