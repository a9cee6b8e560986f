"""Roles of PostgreSQL and the privileges that they hold, read from the system catalogs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

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
from ringfence.schema.engines.effective_rights import Effective
from ringfence.schema.engines.postgresql import passwords as role_passwords
from ringfence.schema.engines.postgresql import role_settings, routines, row_security, sessions
from ringfence.schema.engines.postgresql.catalog import BEYOND_REVOKE, MEMBERSHIP_OPTIONS, SIGNATURE, is_since
from ringfence.schema.engines.postgresql.effective_rights import effective
from ringfence.schema.engines.postgresql.exposures import exposures
from ringfence.schema.engines.postgresql.privileges import RevisionPrivileges, declared_privileges
from ringfence.schema.engines.postgresql.quoting import literal, quoted, statement
from ringfence.schema.grants.difference import GRANT_OPTION, Batch, Difference, Privilege, batches
from ringfence.schema.grants.passwords import matches_verifier, scram_verifier
from ringfence.schema.manifest.model import Account
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.postgresql.server import PostgreSQL

_ROLES = """
    SELECT rolname, rolcanlogin,
           CASE WHEN rolsuper THEN 'is a superuser'
                WHEN rolname = current_user THEN 'is the admin itself' END,
           CASE WHEN rolbypassrls THEN 'bypasses row security'
                WHEN rolcreaterole THEN 'may create roles'
                WHEN rolcreatedb THEN 'may create databases'
                WHEN rolreplication THEN 'may replicate' END
    FROM pg_catalog.pg_roles WHERE rolname = ANY (%s)
"""
# aclexplode returns no row for a NULL acl, which stands for the owner's default privileges.
_THINGS = f"""
    WITH ours AS (SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname = ANY (%(logins)s)),
         things AS (
             SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
                    n.nspname AS schema, c.relname AS name, '' AS col, c.relowner AS owner, c.relacl AS acl
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             UNION ALL
             SELECT 'table', n.nspname, c.relname, a.attname, c.relowner, a.attacl
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
             UNION ALL
             SELECT 'function', n.nspname,
                    {SIGNATURE}, '',
                    p.proowner, p.proacl
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE p.proacl IS NOT NULL
             UNION ALL
             SELECT 'schema', n.nspname, '', '', n.nspowner, n.nspacl FROM pg_catalog.pg_namespace n
             WHERE n.nspacl IS NOT NULL
             UNION ALL
             SELECT 'database', '', d.datname, '', d.datdba, d.datacl FROM pg_catalog.pg_database d
             WHERE d.datacl IS NOT NULL AND d.datname = current_database())
    SELECT DISTINCT ours.rolname, t.kind, t.schema, t.name, lower(x.privilege_type), t.col,
"""  # noqa: S608 - constant SQL
_OF_OURS = " FROM things t CROSS JOIN LATERAL aclexplode(t.acl) x JOIN ours ON ours.oid = x.grantee"
_HELD = f"{_THINGS} x.is_grantable {_OF_OURS}"
_BEYOND = f"""
    {_THINGS} pg_catalog.pg_get_userbyid(x.grantor) {_OF_OURS}
    WHERE {BEYOND_REVOKE.format("t")}
    ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
_MEMBER = """
    SELECT m.rolname, 'role', '', r.rolname, 'member', '', g.rolname, g.rolname = current_user
    FROM pg_catalog.pg_auth_members am LEFT JOIN pg_catalog.pg_roles g ON g.oid = am.grantor
    JOIN pg_catalog.pg_roles m ON m.oid = am.member JOIN pg_catalog.pg_roles r ON r.oid = am.roleid
    WHERE m.rolname = ANY (%(logins)s)
"""
# Whether PUBLIC has CONNECT and keeps it: the manifest leaves it open, or the admin may not revoke it.
_PUBLIC = """
    SELECT EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
                   WHERE x.grantee = 0 AND x.privilege_type = 'CONNECT'
                     AND (%(left_open)s OR NOT pg_catalog.pg_has_role(d.datdba, 'USAGE')))
    FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""
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

    atomic = True
    detach_for_type_change = True
    grants_many_objects = True
    revision_queries = RevisionPrivileges()
    audit_prefixes = role_settings.AUDITS

    def __init__(self, backend: "PostgreSQL") -> None:
        self._backend = backend
        self._grantors: dict[tuple[str, str], str] = {}
        self.public_privileges: frozenset[str] = frozenset()

    def at_declared_hosts(self, connection: sa.Connection, accounts: Iterable[Account]) -> Self:
        """Return this object: a role has no host."""
        return self

    def at_current_hosts(self, connection: sa.Connection) -> Iterator[tuple[Self, list[str]]]:
        """Yield this object once, with every managed login: a role has no host."""
        yield self, list(releases.accounts(connection))

    def record_hosts(
        self, connection: sa.Connection, accounts: Iterable[Account], mine: Iterable[str]
    ) -> list[Statement]:
        """Return no statement: a role has no host."""
        return []

    def forget_hosts(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return no statement: a role has no host."""
        return []

    def drop_at_old_hosts(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return no statement and no obstacle: a role has no host."""
        return [], []

    def existing(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Login]:
        """Return the logins that exist, with the attributes that make a role unfit for a service."""
        rows = connection.exec_driver_sql(_ROLES, (list(logins),))
        return {name: Login(name, enabled, strong, may) for name, enabled, strong, may in rows}

    def unmanageable(self, connection: sa.Connection, logins: list[str]) -> list[str]:
        """Return an error for each role that the admin account may not alter.

        From PostgreSQL 16 on, CREATEROLE covers only roles on which the admin account has the ADMIN option.

        Args:
            connection: a connection of the admin account.
            logins: the roles to check.
        """
        if not is_since(connection, MEMBERSHIP_OPTIONS):
            return []
        rows = connection.exec_driver_sql(
            "SELECT rolname, current_user FROM pg_catalog.pg_roles r WHERE rolname = ANY (%s)"
            " AND NOT pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')",
            (logins,),
        )
        return [
            f"{me} may not change the account {name}: GRANT {quoted(name)} TO {quoted(me)} WITH ADMIN OPTION"
            for name, me in rows
        ]

    def declared_privileges(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges of the manifest, with CONNECT where PUBLIC does not have it."""
        wanted = declared_privileges(connection, deployment, self.public_privileges)
        if not self._everybody_connects(connection):
            database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
            wanted |= {
                Privilege(account.login, "database", "", database, "connect")
                for account in deployment.accounts.values()
            }
        return wanted

    def held_privileges(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """Return the privileges and memberships that the logins were granted by name.

        Every schema of the database is read, because a managed role may hold nothing beyond the manifest. CONNECT is
        left out while PUBLIC has it and keeps it.

        Args:
            connection: a connection of the admin account.
            logins: the roles to look at.
            schemas: has no effect here.
        """
        given = {"logins": list(logins)}
        found = set()
        for *row, passes_on in connection.exec_driver_sql(_HELD, given):
            found.add(held := Privilege(*row))
            if passes_on:
                found.add(replace(held, verb=f"{GRANT_OPTION} {held.verb}"))
        for *row, grantor, is_owner in connection.exec_driver_sql(_MEMBER, given):
            found.add(member := Privilege(*row))
            # From 16 on a membership can be revoked only as its grantor; before, the grantor has no effect.
            if is_since(connection, MEMBERSHIP_OPTIONS) and not is_owner:
                self._grantors[member.login, member.name] = grantor
        if self._everybody_connects(connection):
            found = {p for p in found if (p.kind, p.verb) != ("database", "connect")}
        return found

    def _everybody_connects(self, connection: sa.Connection) -> bool:
        given = {"left_open": "connect" in self.public_privileges}
        return bool(connection.exec_driver_sql(_PUBLIC, given).scalar_one())

    def functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """Return EXECUTE on the manifest's functions, and an obstacle for each that cannot be granted."""
        return routines.functions(connection, accounts)

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Describe the views, functions and triggers of the logins that run with another role's rights."""
        return routines.definer_objects(connection, logins)

    def compare_nodes(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Return nothing: there is one server."""
        return [], []

    def row_security(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: PendingDrops
    ) -> RowSecurity:
        """Compare row security on the server with the scopes of the manifest."""
        return row_security.compare_row_security(connection, deployment, managed, going)

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """Return statements that replace the conditions of Ringfence's policies on these columns by `false`."""
        return row_security.detach(connection, altered)

    def owners(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """Return a line for each object that a login owns, with the statement that reassigns it."""
        return [
            f"the account {login} owns {thing}, and so may do anything with it: REASSIGN OWNED BY {quoted(login)} TO"
            f" {quoted(admin)}"
            for login, thing, admin in connection.exec_driver_sql(_OWNED, (list(logins),))
        ]

    def literal(self, text: str) -> str:
        """Return a text as an SQL literal, for display."""
        return literal(text)

    def unrevocable(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """Return a line for each privilege that a REVOKE of the admin account would leave in place.

        Each line names the grantor and the statement that the grantor must send.
        """
        taken = {replace(p, verb=p.verb.removeprefix(GRANT_OPTION).strip()) for p in difference.revoke}
        found = []
        for *row, grantor in connection.exec_driver_sql(
            _BEYOND, {"logins": sorted({p.login for p in taken})}
        ):
            held = Privilege(*row)
            # A REVOKE on a table also revokes the privilege on its columns.
            if held in taken or replace(held, column="") in taken:
                (batch,) = batches([held], things=False)
                found.append(
                    f"{held} was granted by {grantor}, who alone can take it away: as {quoted(grantor)},"
                    f" {self.revoke(batch)}"
                )
        return found

    def other_passwords(
        self, connection: sa.Connection, passwords: Mapping[str, Secret]
    ) -> PasswordComparison:
        """Compare passwords with the stored verifiers if the admin may read them, else by logging in."""
        if not connection.exec_driver_sql(
            "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
        ).scalar_one():
            return role_passwords.compare_passwords(self._backend, connection, passwords)
        rows = connection.exec_driver_sql(
            "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = ANY (%s)",
            (list(passwords),),
        )
        return PasswordComparison(
            {
                login
                for login, stored in rows
                if stored is None or not matches_verifier(passwords[login].reveal(), stored)
            }
        )

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates a role with LOGIN; without a password, none is set."""
        bare = f"CREATE ROLE {quoted(login)} LOGIN"
        if password is None:
            return statement(bare)
        sql = f"{bare} PASSWORD "
        verifier = scram_verifier(password.reveal())
        return Statement(
            f"{sql.replace('%', '%%')}%s", (verifier,), f"{sql}'***'", secret=True, manual_sql=f"{bare};"
        )

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that sets a password, sent as a SCRAM verifier."""
        sql = f"ALTER ROLE {quoted(login)} PASSWORD "
        return Statement(
            f"{sql.replace('%', '%%')}%s",
            (scram_verifier(password.reveal()),),
            f"{sql}'***'",
            secret=True,
            manual_sql=f"-- the password of {quoted(login)} is set by `ringfence access apply`",
        )

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that gives the role LOGIN or NOLOGIN."""
        return statement(f"ALTER ROLE {quoted(login)} {'LOGIN' if enabled else 'NOLOGIN'}")

    def grant(self, batch: Batch) -> Statement:
        """Return the GRANT of a batch."""
        return statement(f"GRANT {_verbs(batch)} ON {_things(batch)} TO {_roles(batch)}")

    def revoke(self, batch: Batch) -> Statement:
        """Return the REVOKE of a batch.

        A membership is revoked as its grantor, as last read by `held_privileges`.
        """
        if batch.kind == "role":
            key = (batch.logins[0], batch.name)
            by = f" GRANTED BY {quoted(self._grantors[key])}" if key in self._grantors else ""
            return statement(f"REVOKE {quoted(batch.name)} FROM {_roles(batch)}{by} CASCADE")
        if batch.passes_on:
            verbs = _verbs(batch).replace(f"{GRANT_OPTION} ".upper(), "")
            return statement(
                f"REVOKE {GRANT_OPTION.upper()} {verbs} ON {_things(batch)} FROM {_roles(batch)} CASCADE"
            )
        return statement(f"REVOKE {_verbs(batch)} ON {_things(batch)} FROM {_roles(batch)}")

    def limits(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the limits and settings of each role that differ from those of a new role."""
        return role_settings.limits(connection, logins)

    def limit(self, connection: sa.Connection, login: str, word: str, value: str | None) -> Statement:
        """Return the statement that sets or resets one limit or setting."""
        return statement(role_settings.limit(connection, login, word, value))

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return why each role must not be dropped."""
        return role_settings.drop_obstacles(connection, logins)

    def open_connections(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Count the connections of the logins to every database of the server."""
        return sessions.open_connections(connection, logins)

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return True for a membership: a session that ran SET ROLE keeps that role."""
        return privilege.kind == "role"

    def how_to_end_connections(self, connection: sa.Connection, login: str) -> str:
        """Return the statement that terminates the sessions of a login."""
        return sessions.terminate_statement(login)

    def drop(self, login: str) -> Statement:
        """Return the DROP ROLE of a login."""
        return statement(f"DROP ROLE {quoted(login)}")

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Return the exposures of the server and of the managed accounts."""
        return exposures(connection, deployment, logins)

    def effective(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> Effective:
        """Return the effective rights of the logins, now and after an apply."""
        return effective(connection, deployment, logins, wanted, self.public_privileges)


def _roles(batch: Batch) -> str:
    return ", ".join(map(quoted, batch.logins))


def _verbs(batch: Batch) -> str:
    parts = []
    for verb, columns in batch.verbs:
        listed = f" ({', '.join(map(quoted, columns))})" if columns else ""
        parts.append(f"{verb.upper()}{listed}")
    return ", ".join(parts)


def _things(batch: Batch) -> str:
    if batch.kind in ("schema", "database"):
        listed = [quoted(schema or name) for schema, name in batch.things]
    elif batch.kind == "function":  # the server has quoted the signature
        return "ROUTINE " + ", ".join(f"{quoted(schema)}.{name}" for schema, name in batch.things)
    else:
        listed = [f"{quoted(schema)}.{quoted(name)}" for schema, name in batch.things]
    return f"{batch.kind.upper()} {', '.join(listed)}"
