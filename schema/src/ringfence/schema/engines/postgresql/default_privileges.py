"""What PostgreSQL gives to PUBLIC by default, now and for future objects: its revocation, and who loses by that."""

from collections.abc import Collection, Iterable, Iterator

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.catalog import NOT_SYSTEM, OF_EXTENSION, SIGNATURE
from ringfence.schema.engines.postgresql.function_calls import OPEN_TO_ALL, ROUTINES
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.types import Statement

_CREATE = f"""
    SELECT n.nspname, pg_catalog.pg_has_role(n.nspowner, 'USAGE')
    FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) x
    WHERE x.grantee = 0 AND x.privilege_type = 'CREATE' AND {NOT_SYSTEM}
"""  # noqa: S608 - constant SQL
_DATABASE = """
    SELECT d.datname, x.privilege_type, pg_catalog.pg_has_role(d.datdba, 'USAGE')
    FROM pg_catalog.pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    WHERE x.grantee = 0 AND d.datname = current_database() ORDER BY 2
"""
# Unmanaged logins that hold or own something in this database or are connected, with CONNECT from PUBLIC alone.
_BY_PUBLIC = """
    SELECT r.rolname FROM pg_catalog.pg_roles r
    WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user AND NOT r.rolname = ANY (%(logins)s)
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_database d
          CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
          WHERE d.datname = current_database() AND x.privilege_type = 'CONNECT'
            AND CASE x.grantee WHEN 0 THEN false ELSE pg_catalog.pg_has_role(r.oid, x.grantee, 'USAGE') END)
      AND (EXISTS (
               SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d ON d.oid = s.dbid
               WHERE d.datname = current_database() AND s.refclassid = 'pg_catalog.pg_authid'::regclass
                 AND s.deptype IN ('a', 'o') AND pg_catalog.pg_has_role(r.oid, s.refobjid, 'USAGE'))
           OR EXISTS (
               SELECT FROM pg_catalog.pg_stat_activity a
               WHERE a.datname = current_database() AND a.usesysid = r.oid))
    ORDER BY 1
"""
_EXECUTE = f"""
    SELECT n.nspname, {SIGNATURE}, pg_catalog.pg_has_role(p.proowner, 'USAGE')
    {ROUTINES} AND {OPEN_TO_ALL}
    ORDER BY 1, 2
"""
_TABLES = f"""
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, x.privilege_type, t.col,
           pg_catalog.pg_has_role(c.relowner, 'USAGE')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT NULL::name AS col, c.relacl AS acl UNION ALL
                        SELECT a.attname, a.attacl FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) t
    CROSS JOIN LATERAL aclexplode(t.acl) x
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND x.grantee = 0 AND {NOT_SYSTEM}
      AND NOT {OF_EXTENSION.format("pg_catalog.pg_class", "c")}
    ORDER BY 2, 3, 4, 5
"""  # noqa: S608 - constant SQL
# The entries of functions and types for all schemas include what PUBLIC has by default, and are left out.
_DEFAULTS = """
    SELECT pg_catalog.pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype, r.rolname, x.privilege_type,
           pg_catalog.pg_has_role(d.defaclrole, 'USAGE')
    FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL aclexplode(d.defaclacl) x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
    WHERE r.rolname = ANY (%(logins)s)
       OR x.grantee = 0 AND (d.defaclobjtype IN ('r', 'S', 'L') OR d.defaclobjtype = 'f' AND d.defaclnamespace <> 0
                             OR d.defaclobjtype = 'n' AND x.privilege_type = 'CREATE')
    ORDER BY 1, 2, 3, 4, 5
"""
_OBJECTS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}
# A superuser's default privileges would also apply to extensions that it creates, and lock their users out.
_NEXT = """
    SELECT NOT r.rolsuper AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_default_acl d
        WHERE d.defaclrole = r.oid AND d.defaclnamespace = 0 AND d.defaclobjtype = 'f'
          AND NOT EXISTS (SELECT FROM aclexplode(d.defaclacl) x WHERE x.grantee = 0))
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
OPEN = ("create", "connect", "temp", "execute")
"""The privileges of PUBLIC that the manifest can leave in place under `public:`."""


def exposures(connection: sa.Connection, logins: Iterable[str], left_open: frozenset[str]) -> list[Exposure]:
    """Return what PUBLIC holds, and default privileges that give the accounts something.

    Args:
        connection: a connection of the admin account.
        logins: managed logins.
        left_open: words of OPEN that the manifest leaves to PUBLIC.

    Returns:
        One exposure for each privilege, with the REVOKE as repair where the admin account may send it.
    """
    found: list[Exposure] = []
    logins = list(logins)
    if "connect" not in left_open and (needed := _needing_connect(connection, logins)):
        # Revoking CONNECT would shut out logins that the manifest does not know.
        left_open |= {"connect"}
        found.append(Exposure("public", None, needed, finding=None))
    for kind, says, sql, may in _held_by_public(connection, logins, left_open):
        if may:
            found.append(Exposure(kind, None, says, repair=Statement.plain(sql)))
        else:
            found.append(
                Exposure(kind, None, says, resolution=f"its owner can revoke it: {sql}", finding=None)
            )
    return found


def _needing_connect(connection: sa.Connection, logins: list[str]) -> str | None:
    """Describe who could no longer connect if PUBLIC lost CONNECT; None if no other login needs it."""
    names = [str(name) for (name,) in connection.exec_driver_sql(_BY_PUBLIC, {"logins": logins})]
    if not names:
        return None
    database = quoted(str(connection.exec_driver_sql("SELECT current_database()").scalar_one()))
    return (
        f"PUBLIC keeps CONNECT on the database, because {', '.join(names)} could not connect without it: send"
        f" GRANT CONNECT ON DATABASE {database} TO {', '.join(map(quoted, names))}, and the next apply revokes it from"
        " PUBLIC; or leave it with `public: [connect]` in the manifest"
    )


def _held_by_public(
    connection: sa.Connection, logins: list[str], left_open: frozenset[str]
) -> Iterator[tuple[str, str, str, bool]]:
    """Yield kind, sentence, the statement that revokes it, and whether the admin account may revoke it."""
    ask = connection.exec_driver_sql
    if "create" not in left_open:
        for schema, may in ask(_CREATE):
            sql = f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC"
            yield "public", f"PUBLIC may create tables in schema {schema}", sql, may
    for database, right, may in ask(_DATABASE):
        if right.lower()[:7] not in left_open and not (right == "TEMPORARY" and "temp" in left_open):
            sql = f"REVOKE {right} ON DATABASE {quoted(database)} FROM PUBLIC"
            yield "public", f"PUBLIC has {right} on the database {database}", sql, may
    if "execute" not in left_open:
        for schema, signature, may in ask(_EXECUTE):
            sql = f"REVOKE EXECUTE ON ROUTINE {quoted(schema)}.{signature} FROM PUBLIC"
            yield "public", f"PUBLIC may execute {schema}.{signature}", sql, may
        if ask(_NEXT).scalar():
            sql = "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC"
            yield (
                "default privilege",
                "PUBLIC may execute the functions that the admin will create",
                sql,
                True,
            )
    for kind, schema, name, right, column, may in ask(_TABLES):
        listed = f" ({quoted(column)})" if column else ""
        sql = f"REVOKE {right}{listed} ON {kind} {quoted(schema)}.{quoted(name)} FROM PUBLIC"
        yield "public", f"PUBLIC has {right} on {kind.lower()} {schema}.{name}", sql, may
    for owner, schema, kind, grantee, right, may in ask(_DEFAULTS, {"logins": logins}):
        where = f" IN SCHEMA {quoted(schema)}" if schema else ""
        role = quoted(grantee) if grantee else "PUBLIC"
        sql = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)}{where} REVOKE {right} ON {_OBJECTS[kind]} FROM {role}"
        yield (
            "default privilege",
            f"default privileges of {owner} give {grantee or 'PUBLIC'} {right} on new {_OBJECTS[kind].lower()}",
            sql,
            may,
        )


# Considered are roles that own objects in this database, because their views, functions and triggers call with their
# rights, and logins that hold a privilege here or are connected. A role keeps EXECUTE that it has by its own grant, by
# a membership, or as the owner.
_LOSE = f"""
    WITH closed AS (
            SELECT p.oid, p.proowner, p.proacl, quote_ident(n.nspname) || '.' || {SIGNATURE} AS name
            {ROUTINES} AND {OPEN_TO_ALL} AND pg_catalog.pg_has_role(p.proowner, 'USAGE')),
        here AS (
            SELECT s.refobjid AS role, s.deptype FROM pg_catalog.pg_shdepend s
            JOIN pg_catalog.pg_database d ON d.oid = s.dbid AND d.datname = current_database()
            WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype IN ('a', 'o')),
        others AS (
            SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r
            WHERE NOT r.rolsuper AND r.rolname <> current_user AND NOT r.rolname = ANY (%(known)s)
              AND left(r.rolname, 3) <> 'pg_'
              AND (EXISTS (SELECT FROM here WHERE here.role = r.oid AND here.deptype = 'o')
                   OR r.rolcanlogin
                      AND (EXISTS (SELECT FROM here WHERE pg_catalog.pg_has_role(r.oid, here.role, 'USAGE'))
                           OR EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                                      WHERE a.datname = current_database() AND a.usesysid = r.oid))))
    SELECT closed.name, array_agg(others.rolname::text ORDER BY others.rolname)
    FROM closed JOIN others ON NOT pg_catalog.pg_has_role(others.oid, closed.proowner, 'USAGE')
         AND NOT EXISTS (SELECT FROM aclexplode(closed.proacl) x
                         WHERE x.grantee <> 0 AND x.privilege_type = 'EXECUTE'
                           AND pg_catalog.pg_has_role(others.oid, x.grantee, 'USAGE'))
    GROUP BY closed.oid, closed.name ORDER BY 1
"""  # noqa: S608 - constant SQL
_SHOWN = 5


def losing_execute(
    connection: sa.Connection, known: Collection[str], left_open: Collection[str]
) -> Iterator[Exposure]:
    """Yield an exposure if roles outside the manifest have EXECUTE from PUBLIC alone, and the next apply revokes it.

    Args:
        connection: a connection of the admin account.
        known: the logins of the manifest, which are granted by name what their verbs call, and its protected logins.
        left_open: privileges that the manifest leaves to PUBLIC.

    Yields:
        At most one exposure for all functions; it is advice only.
    """
    if "execute" in left_open:
        return
    rows = connection.exec_driver_sql(_LOSE, {"known": sorted(known)}).all()
    if not rows:
        return
    functions = [str(name) for name, _ in rows]
    roles = sorted({name for _, names in rows for name in names})
    listed = ", ".join(map(quoted, roles[:_SHOWN]))
    yield Exposure(
        "public",
        None,
        f"{_some(roles)} may execute {_some(functions)} through PUBLIC only, and an apply revokes that",
        resolution=f"before it, GRANT EXECUTE ON ROUTINE {', '.join(functions[:_SHOWN])} TO {listed} if they call"
        " them, or leave it with `public: [execute]` in the manifest",
        finding=None,
    )


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
