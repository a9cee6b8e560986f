"""Privileges that the manifest gives on PostgreSQL, and those that they imply, for all tables or for a few."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.postgresql.catalog import OF_TABLES, table_parameters
from ringfence.schema.engines.postgresql.function_calls import Call, calls
from ringfence.schema.engines.types import RelationKey
from ringfence.schema.grants.difference import Privilege, table_privileges
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

    def wanted(
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
