"""Privileges on objects other than tables, sequences, schemas and functions, held by an account or by PUBLIC."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.catalog import PARAMETER_PRIVILEGES, is_since
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.types import Statement

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# Every other kind of object with an access list: the keyword of REVOKE, the quoted name, the owner and the list.
_KINDS = """
    SELECT 'FOREIGN DATA WRAPPER' AS kind, quote_ident(fdwname) AS name, fdwowner AS owner, fdwacl AS acl
    FROM pg_catalog.pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
    UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), srvowner, srvacl
    FROM pg_catalog.pg_foreign_server WHERE srvacl IS NOT NULL
    UNION ALL SELECT 'LANGUAGE', quote_ident(lanname), lanowner, lanacl
    FROM pg_catalog.pg_language WHERE lanacl IS NOT NULL
    UNION ALL SELECT 'TYPE', quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.typowner, t.typacl
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typacl IS NOT NULL
    UNION ALL SELECT 'TABLESPACE', quote_ident(spcname), spcowner, spcacl
    FROM pg_catalog.pg_tablespace WHERE spcacl IS NOT NULL
    UNION ALL SELECT 'LARGE OBJECT', oid::text, lomowner, lomacl
    FROM pg_catalog.pg_largeobject_metadata WHERE lomacl IS NOT NULL
"""
_PARAMETERS = "UNION ALL SELECT 'PARAMETER', parname, 10, paracl FROM pg_catalog.pg_parameter_acl"
# PUBLIC has USAGE on languages and types by default. Large objects are grouped, so that one REVOKE covers them.
_RIGHTS = """
    SELECT r.rolname, t.kind, x.privilege_type, array_agg(t.name ORDER BY t.name), count(*),
           pg_catalog.pg_get_userbyid(x.grantor), x.grantor = t.owner AND pg_catalog.pg_has_role(t.owner, 'USAGE')
    FROM ({kinds}) t CROSS JOIN LATERAL aclexplode(t.acl) x
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
    WHERE r.rolname = ANY (%(logins)s) OR x.grantee = 0 AND t.kind NOT IN ('LANGUAGE', 'TYPE')
    GROUP BY r.rolname, t.kind, x.privilege_type, x.grantor, t.owner,
             CASE t.kind WHEN 'LARGE OBJECT' THEN '' ELSE t.name END
    ORDER BY 1 NULLS LAST, 2, 4, 3
"""
# Privileges of PUBLIC on the server's own catalogs and functions that were added since initdb (pg_init_privs). Those of
# information_schema are not recorded there; its views show each role only its own objects.
_SYSTEM = """
    SELECT t.kind, t.name, x.privilege_type, pg_catalog.pg_get_userbyid(x.grantor),
           x.grantor = t.owner AND pg_catalog.pg_has_role(t.owner, 'USAGE')
    FROM (SELECT 'TABLE' AS kind, c.oid::pg_catalog.regclass::text AS name, c.relowner AS owner, c.relacl AS acl,
                 'pg_catalog.pg_class'::pg_catalog.regclass AS class, c.oid
          FROM pg_catalog.pg_class c WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'v')
            AND c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
          UNION ALL
          SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::text, p.proowner, p.proacl,
                 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid
          FROM pg_catalog.pg_proc p WHERE p.proacl IS NOT NULL
            AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace) t
    CROSS JOIN LATERAL aclexplode(t.acl) x
    WHERE x.grantee = 0
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i CROSS JOIN LATERAL aclexplode(i.initprivs) born
                      WHERE i.classoid = t.class AND i.objoid = t.oid AND i.objsubid = 0
                        AND born.grantee = 0 AND born.privilege_type = x.privilege_type)
      AND (t.kind = 'TABLE' OR EXISTS (SELECT FROM pg_catalog.pg_init_privs i
                                       WHERE i.classoid = t.class AND i.objoid = t.oid))
    ORDER BY 1, 2, 3
"""
_MAPPINGS = """
    SELECT m.usename, m.srvname,
           ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_foreign_table f
                 JOIN pg_catalog.pg_class c ON c.oid = f.ftrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE f.ftserver = m.srvid), current_schema()
    FROM pg_catalog.pg_user_mappings m
    WHERE m.umuser = 0 OR m.usename = ANY (%(logins)s) ORDER BY 1, 2
"""
_ELSEWHERE = """
    SELECT r.rolname, coalesce(d.datname, o.datname), bool_or(s.deptype = 'o')
    FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
    LEFT JOIN pg_catalog.pg_database o
           ON s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND o.oid = s.objid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname = ANY (%(logins)s)
      AND s.deptype IN ('a', 'o') AND coalesce(d.datname, o.datname) <> current_database()
    GROUP BY 1, 2 ORDER BY 1, 2
"""
_LETS = {
    "FOREIGN DATA WRAPPER": "create foreign servers of it",
    "FOREIGN SERVER": "create foreign tables that read and write its data",
    "LANGUAGE": "write functions in it",
    "TYPE": "create tables and functions with it",
    "TABLESPACE": "store tables in it",
    "LARGE OBJECT": "read or write it",
    "PARAMETER": "change the parameter for the server or for its own sessions",
}
_OF_ALL_DATABASES = ("TABLESPACE", "PARAMETER")
"""Shared by all databases of a server, so another database may need what PUBLIC has on these."""
_SHOWN = 5


def object_privileges(
    connection: sa.Connection, deployment: "Deployment", logins: list[str]
) -> Iterator[Exposure]:
    """Yield an exposure for each privilege that the manifest does not give, and for each user mapping.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts; one that uses a foreign table needs a user mapping for its server.
        logins: managed logins that exist on the server.
    """
    ask = connection.exec_driver_sql
    newer = is_since(connection, PARAMETER_PRIVILEGES)
    query = _RIGHTS.format(kinds=_KINDS + (_PARAMETERS if newer else ""))
    for login, kind, right, names, number, grantor, may in ask(query, {"logins": logins}):
        whom = quoted(login) if login else "PUBLIC"
        some = ", ".join(names[:_SHOWN]) + (f" and {number - _SHOWN} more" if number > _SHOWN else "")
        has = f"the account {login} has" if login else "PUBLIC has"
        says = f"{has} {right} on {kind.lower()} {some}, and may {_LETS[kind]}"
        sql = f"REVOKE {right} ON {kind} {', '.join(names)} FROM {whom}"
        if login is None and kind in _OF_ALL_DATABASES:
            resolution = (
                "no apply revokes it, because every database of the server may need it; if it is not meant:"
                f" {sql}"
            )
            yield Exposure("right", None, says, resolution=resolution, finding=None)
        else:
            yield _revoked("right", login, says, sql, grantor, may)
    for kind, name, right, grantor, may in ask(_SYSTEM):
        says = f"PUBLIC has {right} on {kind.lower()} {name} of the server itself"
        yield _revoked("public", None, says, f"REVOKE {right} ON {kind} {name} FROM PUBLIC", grantor, may)
    yield from _mappings(connection, deployment, logins)
    for login, database, owns in ask(_ELSEWHERE, {"logins": logins}):
        yield Exposure(
            "other database",
            login,
            f"the account {login} {'owns something' if owns else 'was granted rights'} in the database {database}",
            resolution=f"where that is not meant: in {database}, REASSIGN OWNED and DROP OWNED BY {quoted(login)}",
            finding=None,
        )


def _revoked(kind: str, login: str | None, says: str, sql: str, grantor: str, may: bool) -> Exposure:
    if may:
        return Exposure(kind, login, says, repair=Statement.plain(f"{sql} CASCADE"))
    return Exposure(kind, login, says, resolution=f"as {grantor}: {sql} CASCADE", refuses=True)


def _mappings(connection: sa.Connection, deployment: "Deployment", logins: list[str]) -> Iterator[Exposure]:
    """Yield an exposure for each user mapping (a login of a foreign server) that no granted foreign table needs.

    A person has to drop it, because the password in it cannot be recovered.
    """
    granted = {
        account.login: {(grant.schema, grant.table) for grant in account.grants}
        for account in deployment.accounts.values()
    }
    for user, server, tables, default in connection.exec_driver_sql(_MAPPINGS, {"logins": logins}):
        login = user if user in logins else None
        mapped = {tuple(table.split(".", 1)) for table in tables}
        uses = {(schema or default, table) for schema, table in granted.get(login or "", ())}
        if uses & mapped:
            continue
        sql = f"DROP USER MAPPING FOR {quoted(login) if login else 'PUBLIC'} SERVER {quoted(server)}"
        whose = f"the account {login} has" if login else "PUBLIC has"
        yield Exposure(
            "user mapping",
            login,
            f"{whose} a user mapping, a login of another server, for the foreign server {server}",
            resolution=f"this also deletes the password in it: {sql}",
            refuses=login is not None,
            finding="excess" if login else None,
        )
