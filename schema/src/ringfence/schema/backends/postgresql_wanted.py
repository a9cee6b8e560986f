"""What the manifest gives on PostgreSQL, with what that implies there: of every table, or of a few at their cost."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.access.diff import Privilege, table_privileges
from ringfence.schema.access.sequences import draws
from ringfence.schema.backends.postgresql_calls import CHOSEN, calls, chosen

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

Place = tuple[str, str]
"""A table's real schema and name."""

# The sequences that a table's defaults draw from. Identity columns draw without a privilege, and are not here.
_SEQUENCES = """
    SELECT DISTINCT tn.nspname, t.relname, sn.nspname, s.relname
    FROM pg_catalog.pg_attrdef ad
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = ad.oid
         AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_catalog.pg_class t ON t.oid = ad.adrelid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
"""
_COLUMNS = f"""
    SELECT tn.nspname, t.relname, a.attname
    FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE t.relkind IN ('r', 'p') AND {CHOSEN}
"""  # noqa: S608 - our own words


class Few:
    """See Within."""

    def columns(self, connection: sa.Connection, tables: Collection[Place]) -> dict[Place, frozenset[str]]:
        """See Within."""
        found: dict[Place, set[str]] = {}
        for schema, table, column in connection.exec_driver_sql(_COLUMNS, chosen(tables)):
            found.setdefault((schema, table), set()).add(column)
        return {place: frozenset(columns) for place, columns in found.items()}

    def wanted(
        self, connection: sa.Connection, deployment: "Deployment", tables: Collection[Place]
    ) -> set[Privilege]:
        """See Within."""
        return wanted(connection, deployment, deployment.policy.public, tables)


def wanted(
    connection: sa.Connection,
    deployment: "Deployment",
    left_open: Collection[str],
    tables: Collection[Place] | None = None,
) -> set[Privilege]:
    """Table privileges, with usage on schemas and on sequences that an insert draws from, and the functions that
    defaults, checks, indexes and views call.

    Args:
        connection: the admin's.
        deployment: its accounts.
        left_open: what everybody may have.
        tables: those to speak of; None for all.
    """
    default = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    found = table_privileges(deployment.accounts.values(), default)
    if tables is not None:
        found = {privilege for privilege in found if (privilege.schema, privilege.name) in tables}
    sequences = _sequences(connection, tables)
    for account, grant, drawn in draws(deployment):
        place = (grant.schema or default, grant.table)
        if tables is None or place in tables:
            where = str(drawn.schema or default)
            found.add(Privilege(account.login, "sequence", where, str(drawn.name), "usage"))
            found.add(Privilege(account.login, "schema", where, "", "usage"))
    called = calls(connection, tables) if "execute" not in left_open else {}
    for privilege in [privilege for privilege in found if privilege.kind == "table"]:
        found.add(Privilege(privilege.login, "schema", privilege.schema, "", "usage"))
        if privilege.verb == "insert":
            for schema, name in sequences.get((privilege.schema, privilege.name), ()):
                found.add(Privilege(privilege.login, "sequence", schema, name, "usage"))
                found.add(Privilege(privilege.login, "schema", schema, "", "usage"))
        if privilege.verb != "delete":
            reads = privilege.verb == "select"
            for schema, name in called.get((privilege.schema, privilege.name, reads), ()):
                found.add(Privilege(privilege.login, "function", schema, name, "execute"))
    return found


def _sequences(connection: sa.Connection, tables: Collection[Place] | None) -> dict[Place, list[Place]]:
    """What the defaults of each table draw from."""
    ask = connection.exec_driver_sql
    rows = ask(_SEQUENCES) if tables is None else ask(f"{_SEQUENCES} WHERE {CHOSEN}", chosen(tables))
    found: dict[Place, list[Place]] = {}
    for schema, table, sequence_schema, sequence in rows:
        found.setdefault((schema, table), []).append((sequence_schema, sequence))
    return found
