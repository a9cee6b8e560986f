"""Privileges on the MySQL family: patterns of databases, and what the admin holds and may grant and revoke."""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.base import Statement
from ringfence.schema.engines.mysql import routines
from ringfence.schema.engines.mysql.quoting import quoted
from ringfence.schema.engines.mysql.row_security import relations, views
from ringfence.schema.grants.difference import READABLE, Batch, Difference, Privilege, batches
from ringfence.schema.manifest.model import Account

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts


AccountAt = tuple[str, str]
"""The user name and host of an account; a role of MariaDB has an empty host."""
PUBLIC: AccountAt = ("PUBLIC", "")
"""MariaDB's PUBLIC, whose privileges every account has."""
_ROLE = re.compile(
    r"\s*(?:`((?:[^`]|``)*)`|'((?:[^']|'')*)'|([^`'@,\s]+))(?:@(?:`([^`]*)`|'([^']*)'|([^,\s]+)))?\s*(?:,|$)"
)
_NEXTVAL = re.compile(r"\bnextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)")
IS_ADMINISTRATOR = (
    "'Y' IN ({0}Super_priv, {0}Grant_priv, {0}Create_user_priv, {0}Shutdown_priv, {0}File_priv)"
)
"""SQL condition on a row of mysql.user, with the alias and dot in the braces: whether it may do more than a service."""
# information_schema shows the privileges of other accounts only with SELECT on mysql.*. Each query reads one level.
_GRANT_LEVELS = (
    "SELECT grantee, 'server', '', '', privilege_type, '', is_grantable"
    " FROM information_schema.user_privileges WHERE grantee IN %(grantees)s",
    "SELECT grantee, 'database', table_schema, '', privilege_type, '', is_grantable"
    " FROM information_schema.schema_privileges WHERE grantee IN %(grantees)s AND DATABASE() LIKE table_schema",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, '', is_grantable"
    " FROM information_schema.table_privileges WHERE grantee IN %(grantees)s AND table_schema IN %(schemas)s",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, column_name, is_grantable"
    " FROM information_schema.column_privileges WHERE grantee IN %(grantees)s AND table_schema IN %(schemas)s",
)


class AdminPrivileges:
    """The privileges of the admin, its own and those of its active roles.

    Args:
        account: 'login'@'host'.
        server: its global privileges.
        passes_on: those of them that it may grant and revoke.
        held: (privilege, pattern of databases, whether that matches the job's database, whether it may be granted and
            revoked).
    """

    def __init__(
        self,
        account: str,
        server: Collection[str],
        passes_on: Collection[str],
        held: Iterable[tuple[str, str, bool, bool]],
    ) -> None:
        held = tuple(held)
        self.account = account
        self.server = set(server)
        self.passes_on = set(passes_on)
        self.database = self.server | {right for right, _, matching, _ in held if matching}
        self.grants = bool(self.passes_on) or any(may for _, _, matching, may in held if matching)
        self.catalog = "SELECT" in self.server or any(
            right == "SELECT" and matches(pattern, "mysql") for right, pattern, _, _ in held
        )
        self._patterns = [(right, pattern) for right, pattern, _, may in held if may]

    @classmethod
    def read(cls, connection: sa.Connection) -> "AdminPrivileges":
        """Read the privileges of the connection's account."""
        account, roles = connection.exec_driver_sql("SELECT CURRENT_USER(), CURRENT_ROLE()").one()
        user, _, host = str(account).rpartition("@")
        own = f"'{user}'@'{host}'"
        grantees = [own]
        if roles and roles != "NONE":
            for role in str(roles).split(","):
                plain = role.strip().replace("`", "'")
                grantees.append(plain if "@" in plain else f"'{plain}'@''")
        global_privileges = connection.exec_driver_sql(
            "SELECT privilege_type, is_grantable FROM information_schema.user_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        on_databases = connection.exec_driver_sql(
            "SELECT privilege_type, table_schema, DATABASE() LIKE table_schema, is_grantable = 'YES'"
            " FROM information_schema.schema_privileges WHERE grantee IN %s",
            (tuple(grantees),),
        ).all()
        return cls(
            own,
            {right for right, _ in global_privileges},
            {right for right, may in global_privileges if may == "YES"},
            [(right, pattern, bool(matching), bool(may)) for right, pattern, matching, may in on_databases],
        )

    def may_revoke(self, verb: str, schema: str | None) -> bool:
        """Return whether a REVOKE of this privilege would succeed.

        On Galera a statement that fails is voted on by the hash of its error message. A node whose message differs
        leaves the cluster: https://github.com/mariadb-corporation/galera/issues/634 shows it for a REVOKE (error 1141).

        Args:
            verb: the privilege, in any case.
            schema: the pattern of databases as it was granted; for a table, `escaped_pattern` of its database; None for
                a global privilege.
        """
        wanted = verb.upper()
        if self._holds(wanted, self.passes_on):
            return True
        if schema is None:
            return False
        return self._holds(wanted, {right for right, pattern in self._patterns if covers(pattern, schema)})

    @staticmethod
    def _holds(wanted: str, among: Collection[str]) -> bool:
        return bool(among) if wanted == "GRANT OPTION" else wanted in among


def matches(pattern: str, schema: str) -> bool:
    """Return whether a database pattern of GRANT matches a database.

    Args:
        pattern: `_` and `%` in it are wildcards unless a backslash precedes them.
        schema: the database.
    """
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    words = {"_": ".", "%": ".*"}
    made = "".join(words.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(made, schema, re.DOTALL) is not None


def covers(pattern: str, granted: str) -> bool:
    r"""Return whether the holder of one pattern of GRANT may grant and revoke another.

    The server compares the patterns as text. The holder of `app_db` may revoke `app\_db`, where `_` stands for itself
    alone; the holder of `app\_db` may not revoke `app_db`.

    Args:
        pattern: the pattern that is held with the grant option.
        granted: the pattern of the grant or revoke.
    """
    kinds = {"_": "1", "%": "*"}
    spelled = "".join(
        "e" + part[-1] if len(part) > 1 else kinds.get(part, "c") + part
        for part in re.findall(r"\\.|.", granted, re.DOTALL)
    )
    made = "".join(
        "e" + re.escape(part[-1])
        if len(part) > 1
        else {"_": "[ec1].", "%": "(?:..)*"}.get(part) or "c" + re.escape(part)
        for part in re.findall(r"\\.|.", pattern, re.DOTALL)
    )
    return re.fullmatch(made, spelled, re.DOTALL) is not None


def escaped_pattern(schema: str) -> str:
    """Return the pattern that matches this database alone."""
    return re.sub(r"([_%\\])", r"\\\1", schema)


def unescaped(pattern: str) -> str:
    """Return the database that a pattern without wildcards matches."""
    return re.sub(r"\\(.)", r"\1", pattern)


def granted_on(database: str) -> str:
    """Return a database's name for GRANT ON name.*, where `_` and `%` are wildcards and must be escaped.

    Args:
        database: its name.
    """
    return quoted(escaped_pattern(database))


def revoking(accounts: "FamilyAccounts", privilege: Privilege) -> str:
    """Return the statement that revokes a privilege."""
    (batch,) = batches([privilege], many_objects=False)
    return str(accounts.privileges.revoke(batch))


def unrevocable(accounts: "FamilyAccounts", connection: sa.Connection, difference: Difference) -> list[str]:
    """Return a message for each revoke that the admin may not send, and who may send it.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        difference: of it, the roles, global and database privileges that are to be revoked.
    """
    revoked = [p for p in difference.revoke if p.kind in ("server", "role", "database")]
    if not revoked:
        return []
    rights = AdminPrivileges.read(connection)
    found = []
    for p in revoked:
        if p.kind == "role":
            if not accounts.may_revoke_role(connection, *parse_role_label(p.name)):
                found.append(
                    f"{p}: only an account that holds that role with the admin option can revoke it:"
                    f" {revoking(accounts, p)}"
                )
        elif not rights.may_revoke(p.verb, p.schema if p.kind == "database" else None):
            found.append(f"{p}: only an administrator of the server can revoke it: {revoking(accounts, p)}")
    return found


def role_label(role: str, host: str) -> str:
    """Return the name of a role in a privilege.

    Args:
        role: its name.
        host: its host, which is left out of the result when it is empty or `%`.
    """
    return role if host in ("", "%") and "@" not in role else f"{role}@{host}"


def parse_role_label(name: str) -> AccountAt:
    """Return the role and host of a name that `role_label` returned; without a host that is `%`."""
    role, at, host = name.rpartition("@")
    return (role, host) if at else (name, "%")


def mandatory_roles(variable: str) -> list[AccountAt]:
    """Return the roles in a value of the variable `mandatory_roles`, each with its host."""
    found = []
    for one in _ROLE.finditer(variable):
        name = next((part for part in one.groups()[:3] if part), "")
        host = next((part for part in one.groups()[3:] if part), "%")
        if name:
            found.append((name.replace("``", "`").replace("''", "'"), host))
    return found


def drawn_sequences(default: str) -> list[tuple[str, str]]:
    """Return the schema and name of each sequence of MariaDB that a column's default draws from.

    Args:
        default: as the catalog has it.
    """
    return [
        (schema.replace("``", "`"), name.replace("``", "`")) for schema, name in _NEXTVAL.findall(default)
    ]


class FamilyPrivileges:
    """The privileges that accounts hold by name.

    Args:
        accounts: each login with its host, and the forms of the engine's statements.
    """

    public: frozenset[str] = frozenset()
    revision_queries = None

    def __init__(self, accounts: "FamilyAccounts") -> None:
        self._accounts = accounts

    def declared(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges that the manifest gives on tables, and on the views in front of some of them."""
        default = self._accounts.database(connection)
        found = set()
        for account in deployment.accounts.values():
            login = account.login
            for name in READABLE:
                found.add(Privilege(login, "table", default, name, "select"))
            routed = relations(account, deployment.tables)
            for grant in account.grants:
                if (grant.key, grant.verb) not in routed:
                    found |= _table_privileges(
                        login, grant.schema or default, grant.table, grant.verb, grant.columns
                    )
            for view in views(account, deployment.tables):
                for verb, columns in view.rights.items():
                    found |= _table_privileges(login, view.schema or default, view.name, verb, columns)
        return found

    def declared_functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """Return the EXECUTE privileges that the manifest gives, and a message for each routine that does not exist."""
        return routines.declared_routines(connection, accounts, self._accounts.database(connection))

    def held(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """Return the privileges and roles that the logins hold; GRANT OPTION is a privilege of its own."""
        logins = tuple(logins)
        found = self.held_at(connection, logins, schemas)
        ours = set(self._accounts.pairs(logins))
        for role, at, login, host, _ in connection.exec_driver_sql(self._accounts.memberships):
            if (login, host) in ours:
                found.add(Privilege(login, "role", "", role_label(role, at), "member"))
        return found

    def held_at(
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
        accounts = self._accounts.pairs(tuple(logins), host)
        names = {f"'{login}'@'{at}'": login for login, at in accounts}
        given = {"grantees": in_list(names), "schemas": in_list(schemas)}
        found = set()
        for query in _GRANT_LEVELS:
            rows = connection.exec_driver_sql(query, given)
            for grantee, kind, schema, name, verb, column, grantable in rows:
                login = names[grantee]
                if verb.upper() != "USAGE":
                    found.add(Privilege(login, kind, schema, name, verb.lower(), column))
                if grantable == "YES":
                    found.add(Privilege(login, kind, schema, name, "grant option"))
        return found | routines.held(connection, accounts, given["schemas"])

    def grant(self, batch: Batch, host: str | None = None) -> Statement:
        """Return the GRANT statement of a batch; `host` is the host of its logins, None for each login's own."""
        return Statement.plain(f"GRANT {privileges_and_object(batch)} TO {self._recipients(batch, host)}")

    def revoke(self, batch: Batch, host: str | None = None) -> Statement:
        """Return the REVOKE statement of a batch; `host` is the host of its logins, None for each login's own."""
        if batch.kind == "role":
            role = self._accounts.role_name(*parse_role_label(batch.name))
            return Statement.plain(f"REVOKE {role} FROM {self._recipients(batch, host)}")
        return Statement.plain(f"REVOKE {privileges_and_object(batch)} FROM {self._recipients(batch, host)}")

    def _recipients(self, batch: Batch, host: str | None) -> str:
        return ", ".join(self._accounts.account(login, host) for login in batch.logins)

    def unrevocable(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """Return the revokes of roles, of global and of database privileges that the admin may not send.

        They are found before anything is sent, because each statement commits by itself: the ones before a REVOKE that
        fails stay. On Galera such a REVOKE can also remove a node (see `AdminPrivileges.may_revoke`).
        """
        return unrevocable(self._accounts, connection, difference)

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return whether an open session keeps the privilege after it was revoked.

        The server looks up privileges on tables, columns and routines for each statement, and others not.
        """
        return privilege.kind in ("server", "database", "role")


def _table_privileges(
    login: str, schema: str, name: str, verb: str, columns: tuple[str, ...] | None
) -> set[Privilege]:
    return {Privilege(login, "table", schema, name, verb, column) for column in columns or ("",)}


def in_list(items: Iterable[str]) -> tuple[str, ...]:
    """Return a tuple for SQL's IN, which accepts no empty list; no login, grantee or schema contains a NUL."""
    return tuple(items) or ("\0",)


def privileges_and_object(batch: Batch) -> str:
    """Return the privileges and the object of a GRANT or REVOKE: what precedes TO or FROM."""
    return f"{_verbs(batch)} ON {_object_of(batch)}"


def _verbs(batch: Batch) -> str:
    parts = []
    for verb, columns in batch.verbs:
        listed = f" ({', '.join(map(quoted, columns))})" if columns else ""
        parts.append(f"{verb.upper()}{listed}")
    return ", ".join(parts)


def _object_of(batch: Batch) -> str:
    """Return the object of a GRANT; the pattern of a database comes from the catalog and is already escaped."""
    if batch.kind == "server":
        return "*.*"
    if batch.kind == "database":
        return f"{quoted(batch.schema)}.*"
    routine = f"{batch.kind.upper()} " if batch.kind in ("function", "procedure") else ""
    return f"{routine}{quoted(batch.schema)}.{quoted(batch.name)}"
