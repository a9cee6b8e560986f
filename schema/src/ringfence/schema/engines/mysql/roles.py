"""Accounts and their rights on the MySQL family: an account is a login and a host."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Altered, Compared, Exposure, Fence, Going, Login, Opened, Statement
from ringfence.schema.engines.mysql import exposures as mysql_exposures
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.engines.mysql import memberships as mysql_memberships
from ringfence.schema.engines.mysql import routines, sessions
from ringfence.schema.engines.mysql.effective_rights import Looking
from ringfence.schema.engines.mysql.login_state import State
from ringfence.schema.engines.mysql.other_databases import ties
from ringfence.schema.engines.mysql.row_security import Fencing, detach
from ringfence.schema.engines.mysql.views import relations, views
from ringfence.schema.grants.difference import READABLE, Batch, Bundle, Difference, Privilege
from ringfence.schema.manifest.model import ANYWHERE, Account

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.family import MySQLFamily

# The catalogs show other accounts' rights to who may SELECT on mysql.*; each query reads one level.
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
_STRONG = "'Y' IN (Super_priv, Grant_priv, Create_user_priv, Shutdown_priv, File_priv)"


class FamilyAccounts(Looking):
    """The accounts of a server, with what they hold in one database and above it."""

    atomic = False
    firm = False
    several = False
    within = None
    audits = ()
    left_open: frozenset[str] = frozenset()
    locked: ClassVar[str]
    """An expression on a row of mysql.user: whether the account is locked."""
    memberships: ClassVar[str]
    """A query for (role, its host, login, its host, whether with the admin option)."""
    states: ClassVar[str]
    """A query for the fields of `mysql_login_state.State` of the accounts given, the last four being the limits."""
    restrictions: ClassVar[str] = ""
    """A query for (login, what is taken) where the server knows partial revokes."""
    fencing: ClassVar[type[Fencing]]
    """How views and functions are told from what they were."""

    def __init__(self, backend: "MySQLFamily", hosts: Mapping[str, str] | None = None) -> None:
        self.backend = backend
        self._hosts = hosts or {}

    def at(self, connection: sa.Connection, accounts: Iterable[Account]) -> Self:
        """See Accounts. A login that is no longer declared is where it was."""
        there = {login: hosts[0] for login, hosts in mysql_hosts.ours(connection).items()}
        return type(self)(self.backend, there | {account.login: account.host for account in accounts})

    def everywhere(self, connection: sa.Connection) -> Iterator[tuple[Self, list[str]]]:
        """See Accounts."""
        left = {login: list(hosts) for login, hosts in mysql_hosts.ours(connection).items()}
        while left:
            one = type(self)(self.backend, {login: hosts.pop(0) for login, hosts in left.items()})
            yield one, list(left)
            left = {login: hosts for login, hosts in left.items() if hosts}

    def host(self, login: str) -> str:
        """Where a login is an account."""
        return self._hosts.get(login, ANYWHERE)

    def pairs(self, logins: Iterable[str], host: str | None = None) -> tuple[tuple[str, str], ...]:
        """(login, host), for IN, which takes no empty list."""
        return tuple((login, host or self.host(login)) for login in logins) or (("\0", "\0"),)

    def account(self, login: str, host: str | None = None) -> str:
        """'login'@'host', as it is written in SQL."""
        return mysql_hosts.account(login, host or self.host(login))

    def _accounts(self, batch: Batch, host: str | None) -> str:
        return ", ".join(self.account(login, host) for login in batch.logins)

    def noted(
        self, connection: sa.Connection, accounts: Iterable[Account], mine: Iterable[str]
    ) -> list[Statement]:
        """See Accounts."""
        return mysql_hosts.noted(connection, {account.login: account.host for account in accounts}, mine)

    def forgotten(self, connection: sa.Connection, login: str) -> list[Statement]:
        """See Accounts."""
        return [mysql_hosts.forgotten(login)] if login in mysql_hosts.recorded(connection) else []

    def moved(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """See Accounts."""
        return mysql_hosts.moved(self, connection, logins)

    def existing(
        self, connection: sa.Connection, logins: Iterable[str], host: str | None = None
    ) -> Mapping[str, Login]:
        """See Accounts."""
        rows = connection.exec_driver_sql(
            f"SELECT u.User, {self.locked}, {_STRONG}, u.User = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"  # noqa: S608 - our own words
            " FROM mysql.user u WHERE (u.User, u.Host) IN %(accounts)s",
            {"accounts": self.pairs(logins, host)},
        )
        found = {}
        for login, locked, strong, admin in rows:
            reason = "holds rights over the whole server" if strong else None
            found[login] = Login(login, not locked, "is the admin itself" if admin else reason)
        return found

    def shadowed(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Accounts that the server may take for ours, each with the way out."""
        return mysql_hosts.shadowed(self, connection, tuple(logins))

    def wanted(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """The privileges on tables, and on the views that stand before some of them."""
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
        """The database of the connection."""
        return str(connection.exec_driver_sql("SELECT DATABASE()").scalar_one())

    def held(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """See Accounts. A right to pass rights on is a privilege like the others."""
        logins = tuple(logins)
        found = self.held_by(connection, logins, schemas)
        mine = set(self.pairs(logins))
        for role, at, login, host, _ in connection.exec_driver_sql(self.memberships):
            if (login, host) in mine:
                found.add(Privilege(login, "role", "", mysql_memberships.named(role, at), "member"))
        return found

    def held_by(
        self,
        connection: sa.Connection,
        logins: Iterable[str],
        schemas: Iterable[str],
        host: str | None = None,
    ) -> set[Privilege]:
        """What logins hold, roles aside; at one host, or each at its own."""
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
        """See Accounts."""
        return routines.wanted(connection, accounts, self.database(connection))

    def elevated(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """See Accounts; and what a partial revoke takes from a login, which no list of its rights shows."""
        logins = tuple(logins)
        found = routines.elevated(
            connection, self.pairs(logins), _list(f"'{u}'@'{h}'" for u, h in self.pairs(logins))
        )
        if self.restrictions:
            rows = connection.exec_driver_sql(self.restrictions, {"accounts": self.pairs(logins)})
            found += [f"a partial revoke takes rights from {login}: {what}" for login, what in rows]
        return found

    def elsewhere(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Nothing: there is one server."""
        return [], []

    def fence(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: Going
    ) -> Fence:
        """See Accounts."""
        return self.fencing(connection, self, deployment, going).fence()

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """See Accounts."""
        return detach(connection, self.database(connection), altered)

    def owners(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Nothing: tables belong to nobody here."""
        return []

    def literal(self, text: str) -> str:
        """See Accounts."""
        return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"

    def beyond(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """Revokes above the database, which take more than the least rights; a REVOKE that fails may do harm."""
        return mysql_exposures.beyond(self, connection, difference)

    def other_passwords(self, connection: sa.Connection, passwords: Mapping[str, Secret]) -> Compared:
        """By what the server stores, else by logging in, which may be refused for another reason than the password."""
        return mysql_exposures.compared(self, connection, passwords)

    def create(self, login: str, password: Secret | None) -> Statement:
        """See Accounts."""
        locked = f"CREATE USER IF NOT EXISTS {self.account(login)} ACCOUNT LOCK"
        if password is None:
            return _statement(locked)
        pasted = f"{locked}; -- unlocked, with its password, by `ringfence access apply`"
        return replace(self._identified("CREATE USER IF NOT EXISTS", login, password), pasted=pasted)

    def set_password(self, login: str, password: Secret) -> Statement:
        """See Accounts."""
        pasted = f"-- the password of {self.account(login)} is set by `ringfence access apply`"
        return replace(self._identified("ALTER USER", login, password), pasted=pasted)

    def _identified(self, verb: str, login: str, password: Secret) -> Statement:
        sql = f"{verb} {self.account(login)} IDENTIFIED BY "
        return Statement(_escaped(sql) + "%s", (password.reveal(),), f"{sql}'***'", secret=True)

    def enable(self, login: str, enabled: bool) -> Statement:
        """See Accounts."""
        return _statement(f"ALTER USER {self.account(login)} ACCOUNT {'UNLOCK' if enabled else 'LOCK'}")

    def grant(self, batch: Batch, host: str | None = None) -> Statement:
        """See Accounts."""
        return _statement(f"GRANT {_verbs(batch)} ON {_thing(batch)} TO {self._accounts(batch, host)}")

    def revoke(self, batch: Batch, host: str | None = None) -> Statement:
        """See Accounts."""
        if batch.kind == "role":
            role = self.role_name(*mysql_memberships.parted(batch.name))
            return _statement(f"REVOKE {role} FROM {self._accounts(batch, host)}")
        return _statement(f"REVOKE {_verbs(batch)} ON {_thing(batch)} FROM {self._accounts(batch, host)}")

    def limits(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """See Accounts."""
        rows = connection.exec_driver_sql(
            "SELECT User, max_user_connections FROM mysql.user"
            " WHERE max_user_connections <> 0 AND (User, Host) IN %(accounts)s",
            {"accounts": self.pairs(logins)},
        )
        return {login: {"connection_limit": str(number)} for login, number in rows}

    def limit(self, connection: sa.Connection, login: str, word: str, value: str | None) -> Statement:
        """See Accounts. There is one such word; zero is no limit."""
        return _statement(f"ALTER USER {self.account(login)} WITH MAX_USER_CONNECTIONS {int(value or 0)}")

    def ties(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """See Accounts."""
        return ties(self, connection, tuple(logins))

    def opened(self, connection: sa.Connection, logins: Iterable[str]) -> list[Opened]:
        """See Accounts. Without PROCESS the admin sees none but its own."""
        return sessions.opened(connection, self.processlist(connection), _list(logins))

    def outlasts(self, privilege: Privilege) -> bool:
        """See Accounts: tables, columns and routines are looked up anew for each statement, the rest is not."""
        return privilege.kind in ("server", "database", "role")

    def ending(self, connection: sa.Connection, login: str) -> str:
        """See Accounts. A statement each."""
        said, table = mysql_hosts.text(login), self.processlist(connection)
        return f"send what this gives: SELECT CONCAT('KILL ', id, ';') FROM {table} WHERE user = {said}"  # noqa: S608 - a message

    def processlist(self, connection: sa.Connection) -> str:
        """The table of the server's connections."""
        return "information_schema.processlist"

    def drop(self, login: str) -> Statement:
        """See Accounts."""
        return _statement(f"DROP USER IF EXISTS {self.account(login)}")

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """See Accounts."""
        return mysql_exposures.gathered(self, connection, deployment, tuple(logins))

    def role_name(self, role: str, host: str) -> str:
        """A role as it is written in SQL."""
        raise NotImplementedError

    def may_revoke_role(self, connection: sa.Connection, role: str, host: str) -> bool:
        """Whether the admin may take a role from who was granted it."""
        raise NotImplementedError

    def everybody(
        self, connection: sa.Connection, ours: Mapping[tuple[str, str], str | None], schemas: frozenset[str]
    ) -> Iterator[Exposure]:
        """What this engine gives to all accounts, by a name or by a variable."""
        raise NotImplementedError

    def renewed(self, state: State) -> Statement:
        """What gives an account the password that it has already, as from now."""
        raise NotImplementedError

    def only_password(self, state: State) -> Statement:
        """What takes every other way to log in from an account."""
        raise NotImplementedError

    def _secret(self, login: str, sql: str, value: str) -> Statement:
        """A statement that ends with the stored form of a password."""
        pasted = f"-- the password of {self.account(login)} is set by `ringfence access apply`"
        return Statement(_escaped(sql + value), shown=f"{sql}'***'", secret=True, pasted=pasted)

    @staticmethod
    def what(bundle: Bundle | Batch) -> str:
        """What a GRANT or REVOKE says before TO or FROM."""
        return f"{_verbs(bundle)} ON {_thing(bundle)}"

    @staticmethod
    def statement(sql: str) -> Statement:
        """A statement that holds no secret and no parameter."""
        return _statement(sql)


def _privileges(
    login: str, schema: str, name: str, verb: str, columns: tuple[str, ...] | None
) -> set[Privilege]:
    return {Privilege(login, "table", schema, name, verb, column) for column in columns or ("",)}


def _statement(sql: str) -> Statement:
    return Statement(_escaped(sql), shown=sql)


def _escaped(sql: str) -> str:
    """PyMySQL formats every statement with its parameters, also when there are none."""
    return sql.replace("%", "%%")


def _list(items: Iterable[str]) -> tuple[str, ...]:
    """For IN, which takes no empty list; no login, grantee or schema holds a NUL."""
    return tuple(items) or ("\0",)


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _verbs(bundle: Bundle | Batch) -> str:
    parts = []
    for verb, columns in bundle.verbs:
        listed = f" ({', '.join(map(_name, columns))})" if columns else ""
        parts.append(f"{verb.upper()}{listed}")
    return ", ".join(parts)


def _thing(bundle: Bundle | Batch) -> str:
    """What a GRANT is on. A database's pattern comes from the catalog, where it is escaped already."""
    if bundle.kind == "server":
        return "*.*"
    if bundle.kind == "database":
        return f"{_name(bundle.schema)}.*"
    routine = f"{bundle.kind.upper()} " if bundle.kind in ("function", "procedure") else ""
    return f"{routine}{_name(bundle.schema)}.{_name(bundle.name)}"
