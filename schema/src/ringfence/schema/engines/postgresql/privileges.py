"""Privileges on PostgreSQL: those that the manifest gives, with what they imply, and those that roles hold."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.postgresql import routines
from ringfence.schema.engines.postgresql.catalog import (
    BEYOND_REVOKE,
    MEMBERSHIP_OPTIONS,
    OF_TABLES,
    SIGNATURE,
    is_since,
    table_parameters,
)
from ringfence.schema.engines.postgresql.function_calls import Call, calls
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.types import RelationKey, Statement
from ringfence.schema.grants.difference import (
    GRANT_OPTION,
    Batch,
    Difference,
    Privilege,
    batches,
    table_privileges,
)
from ringfence.schema.manifest.model import Account
from ringfence.schema.manifest.scopes import columns
from ringfence.schema.manifest.sequences import sequence_uses

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_COLUMNS = f"""
    SELECT tn.nspname, t.relname, a.attname
    FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE t.relkind IN ('r', 'p') AND {OF_TABLES}
"""  # noqa: S608 - constant SQL
# DDL holds its lock until its transaction ends: SHARE for CREATE INDEX, a stronger one for triggers and ALTER TABLE.
_ALTERED = """
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
_SCHEMA_USAGE = """
    SELECT n.nspname, pg_catalog.has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION'),
           ARRAY(SELECT r.rolname::text FROM aclexplode(n.nspacl) x JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
                 WHERE x.privilege_type = 'USAGE')
    FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY (%s)
"""
# aclexplode returns no row for a NULL acl, which stands for the owner's default privileges.
_OBJECTS = f"""
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
_HELD = f"{_OBJECTS} x.is_grantable {_OF_OURS}"
_BEYOND = f"""
    {_OBJECTS} pg_catalog.pg_get_userbyid(x.grantor) {_OF_OURS}
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


class RevisionPrivileges:
    """Grants in a revision's transaction: the same privileges, read for a few tables only."""

    def columns(
        self, connection: sa.Connection, tables: Collection[RelationKey]
    ) -> dict[RelationKey, frozenset[str]]:
        """Return the columns of these tables."""
        found: dict[RelationKey, set[str]] = {}
        for schema, table, column in connection.exec_driver_sql(_COLUMNS, table_parameters(tables)):
            found.setdefault((schema, table), set()).add(column)
        return {key: frozenset(columns) for key, columns in found.items()}

    def declared(
        self, connection: sa.Connection, deployment: "Deployment", tables: Collection[RelationKey]
    ) -> set[Privilege]:
        """Return the privileges that the admin account is to grant for these tables."""
        return declared_privileges(connection, deployment, deployment.policy.public, tables)

    def altered(self, connection: sa.Connection) -> frozenset[RelationKey]:
        """Return the tables and views on which this transaction holds a lock that DDL takes."""
        return frozenset((str(schema), str(table)) for schema, table in connection.exec_driver_sql(_ALTERED))


def declared_privileges(
    connection: sa.Connection,
    deployment: "Deployment",
    left_open: Collection[str],
    tables: Collection[RelationKey] | None = None,
) -> set[Privilege]:
    """Return the privileges on tables, with USAGE on schemas and the sequences and functions that the verbs call.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts and the tables of the models.
        left_open: privileges that the manifest leaves to PUBLIC.
        tables: only privileges for these tables; None for all.

    Returns:
        For all tables, every privilege that the accounts are to hold, including those that another role granted and
        that no REVOKE of the admin account removes; for some tables, the privileges that the admin account is to grant.
    """
    default = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    found = table_privileges(deployment.accounts.values(), default)
    if tables is not None:
        found = {privilege for privilege in found if (privilege.schema, privilege.name) in tables}
    for account, grant, drawn in sequence_uses(deployment.accounts.values(), deployment.tables):
        key = (grant.schema or default, grant.table)
        if tables is None or key in tables:
            where = str(drawn.schema or default)
            found.add(Privilege(account.login, "sequence", where, str(drawn.name), "usage"))
            found.add(Privilege(account.login, "schema", where, "", "usage"))
    for privilege in [privilege for privilege in found if privilege.kind == "table"]:
        found.add(Privilege(privilege.login, "schema", privilege.schema, "", "usage"))
    called = calls(connection, tables)
    schemas = _schemas(connection, {call.callee[0] for call in called if call.kind == "sequence"})
    for login, call in required_calls(deployment, list(found), called, default):
        # With all tables, what another role granted must not count as excess; with a few, only grants are made.
        if call.needs_grant(left_open) or (tables is None and login in call.not_revocable_from):
            found |= _privileges(login, call, schemas)
    return found


def required_calls(
    deployment: "Deployment", found: Iterable[Privilege], called: Iterable[Call], default: str
) -> Iterator[tuple[str, Call]]:
    """Yield each login with each function and sequence that its verbs call; a pair can come twice.

    Args:
        deployment: the accounts with their row scopes.
        found: the accounts' privileges on tables.
        called: what each verb on each table calls.
        default: the schema of tables that name none.
    """
    by_verb: dict[tuple[str, str, str], list[Call]] = {}
    for call in called:
        by_verb.setdefault((call.schema, call.table, call.verb), []).append(call)
    for privilege in found if by_verb else ():
        for call in by_verb.get((privilege.schema, privilege.name, privilege.verb), ()):
            if privilege.kind == "table" and call.applies_to(privilege.login, privilege.column):
                yield privilege.login, call
    for account in deployment.accounts.values() if by_verb else ():
        for grant in account.grants:
            # A policy casts the compared value to the column's type; the account then executes the checks of that type.
            for call in by_verb.get((grant.schema or default, grant.table, "type"), ()):
                if call.column in columns(grant.scope):
                    yield account.login, call


def _schemas(connection: sa.Connection, names: Collection[str]) -> dict[str, tuple[bool, list[str]]]:
    """Return for each schema whether the admin account may grant USAGE on it, and the roles that were granted it."""
    rows = connection.exec_driver_sql(_SCHEMA_USAGE, (list(names),)) if names else ()
    return {name: (may, holders) for name, may, holders in rows}


def _privileges(login: str, call: Call, schemas: Mapping[str, tuple[bool, list[str]]]) -> set[Privilege]:
    schema, name = call.callee
    if call.kind == "function":
        return {Privilege(login, "function", schema, name, "execute")}
    found = {Privilege(login, "sequence", schema, name, "usage")}
    # nextval() of a regclass constant needs no USAGE on the schema: it is added only if it can be granted or is held.
    may, holders = schemas[schema]
    if may or login in holders:
        found.add(Privilege(login, "schema", schema, "", "usage"))
    return found


class PostgreSQLPrivileges:
    """The privileges that roles hold by name in one database, read from the ACLs of the system catalogs."""

    revision_queries = RevisionPrivileges()

    def __init__(self) -> None:
        self._grantors: dict[tuple[str, str], str] = {}
        self.public: frozenset[str] = frozenset()

    def declared(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges of the manifest, with CONNECT where PUBLIC does not have it."""
        privileges = declared_privileges(connection, deployment, self.public)
        if not self._public_connects(connection):
            database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
            privileges |= {
                Privilege(account.login, "database", "", database, "connect")
                for account in deployment.accounts.values()
            }
        return privileges

    def declared_functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """Return EXECUTE on the manifest's functions, and an obstacle for each that cannot be granted."""
        return routines.functions(connection, accounts)

    def held(
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
        if self._public_connects(connection):
            found = {p for p in found if (p.kind, p.verb) != ("database", "connect")}
        return found

    def _public_connects(self, connection: sa.Connection) -> bool:
        given = {"left_open": "connect" in self.public}
        return bool(connection.exec_driver_sql(_PUBLIC, given).scalar_one())

    def grant(self, batch: Batch) -> Statement:
        """Return the GRANT of a batch."""
        return Statement.plain(f"GRANT {_verbs(batch)} ON {_objects(batch)} TO {_roles(batch)}")

    def revoke(self, batch: Batch) -> Statement:
        """Return the REVOKE of a batch.

        A membership is revoked as its grantor, as last read by `held`.
        """
        if batch.kind == "role":
            key = (batch.logins[0], batch.name)
            by = f" GRANTED BY {quoted(self._grantors[key])}" if key in self._grantors else ""
            return Statement.plain(f"REVOKE {quoted(batch.name)} FROM {_roles(batch)}{by} CASCADE")
        if batch.passes_on:
            verbs = _verbs(batch).replace(f"{GRANT_OPTION} ".upper(), "")
            return Statement.plain(
                f"REVOKE {GRANT_OPTION.upper()} {verbs} ON {_objects(batch)} FROM {_roles(batch)} CASCADE"
            )
        return Statement.plain(f"REVOKE {_verbs(batch)} ON {_objects(batch)} FROM {_roles(batch)}")

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
                (batch,) = batches([held], many_objects=False)
                found.append(
                    f"{held} was granted by {grantor}, who alone can revoke it: as {quoted(grantor)},"
                    f" {self.revoke(batch)}"
                )
        return found

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return True for a membership: a session that ran SET ROLE keeps that role."""
        return privilege.kind == "role"


def _roles(batch: Batch) -> str:
    return ", ".join(map(quoted, batch.logins))


def _verbs(batch: Batch) -> str:
    parts = []
    for verb, names in batch.verbs:
        listed = f" ({', '.join(map(quoted, names))})" if names else ""
        parts.append(f"{verb.upper()}{listed}")
    return ", ".join(parts)


def _objects(batch: Batch) -> str:
    if batch.kind in ("schema", "database"):
        listed = [quoted(schema or name) for schema, name in batch.objects]
    elif batch.kind == "function":  # the server has quoted the signature
        return "ROUTINE " + ", ".join(f"{quoted(schema)}.{name}" for schema, name in batch.objects)
    else:
        listed = [f"{quoted(schema)}.{quoted(name)}" for schema, name in batch.objects]
    return f"{batch.kind.upper()} {', '.join(listed)}"
