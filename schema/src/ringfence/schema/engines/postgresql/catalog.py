"""Parts of catalog queries that several modules share, and the versions in which PostgreSQL's catalogs changed."""

from collections.abc import Collection

import sqlalchemy as sa

from ringfence.schema.engines.types import RelationKey

NOT_SYSTEM = "n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'"
"""Condition on a schema `n` of pg_namespace: it is not one of the server's own."""
OF_EXTENSION = """EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = '{0}'::regclass AND e.objid = {1}.oid
                           AND e.deptype = 'e')"""
"""Condition on an object of the catalog {0} with the alias {1}: it is a member of an extension.

Such an object keeps the privileges that the extension's author chose.
"""
SIGNATURE = "quote_ident(p.proname) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'"
"""The name of a routine `p` of pg_proc with the types of its arguments, for GRANT."""
OF_TABLES = "(tn.nspname, t.relname) IN (SELECT * FROM unnest(%(schemas)s::name[], %(names)s::name[]))"
"""Condition on a relation `t` of pg_class in a schema `tn`: it is one of those in `table_parameters`."""
BEYOND_REVOKE = """CASE WHEN pg_catalog.pg_has_role({0}.owner, 'USAGE') THEN x.grantor <> {0}.owner
                                ELSE NOT pg_catalog.pg_has_role(x.grantor, 'USAGE') END"""
"""Condition on an ACL entry `x` of the object {0}: a REVOKE of the admin account would leave it in place.

A REVOKE runs as the owner if the admin is the owner or a member of it, else as the grantor. It leaves privileges that
another role granted, with an error, with a warning or silently.
"""

PARAMETER_PRIVILEGES = (15,)
"""Since this version, SET and ALTER SYSTEM on a parameter can be granted.

https://www.postgresql.org/docs/15/catalog-pg-parameter-acl.html
"""
MEMBERSHIP_OPTIONS = (16,)
"""Since this version, a membership has INHERIT and SET options, and is revoked as its grantor.

CREATEROLE then covers only the roles on which its holder has ADMIN.
https://www.postgresql.org/docs/16/catalog-pg-auth-members.html
"""
PARTITIONED_NOT_VALID = (18,)
"""Since this version, a foreign key of a partitioned table can be added NOT VALID.

https://www.postgresql.org/docs/18/sql-altertable.html
"""


def is_since(connection: sa.Connection, since: tuple[int, ...]) -> bool:
    """Return whether the server is of a version or a later one.

    Args:
        connection: a connection of the admin account.
        since: the version.
    """
    return (connection.dialect.server_version_info or ()) >= since


def table_parameters(tables: Collection[RelationKey]) -> dict[str, list[str]]:
    """Return the parameters of a query that contains OF_TABLES, or that joins the given `schemas` and `names`.

    Args:
        tables: schema and name of each table.
    """
    return {"schemas": [schema for schema, _ in tables], "names": [name for _, name in tables]}
