"""Owners on PostgreSQL: who owns what the deployment uses may do anything with it, past grants and row security."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.backends.exposures import Exposure
from ringfence.schema.backends.postgresql_doors import quoted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# What the deployment uses: its tables and views, their sequences and schemas, and what its accounts, or triggers of its
# tables, call; and what event triggers run in each session.
_USED = """
    WITH given AS (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS given (schema, name)),
        relations AS (
            SELECT c.oid, c.relkind, c.relowner, n.oid AS schema, n.nspname || '.' || c.relname AS name,
                   quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS written
            FROM given JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S'))
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                        WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, name, written, pg_catalog.pg_get_userbyid(relowner)
    FROM relations
    UNION ALL
    SELECT 'SCHEMA', n.nspname, quote_ident(n.nspname), pg_catalog.pg_get_userbyid(n.nspowner)
    FROM pg_catalog.pg_namespace n WHERE n.oid IN (SELECT schema FROM relations)
    UNION ALL
    SELECT 'ROUTINE', p.oid::pg_catalog.regprocedure::text, p.oid::pg_catalog.regprocedure::text,
           pg_catalog.pg_get_userbyid(p.proowner)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                      AND e.objid = p.oid AND e.deptype = 'e')
      AND (EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgfoid = p.oid AND NOT g.tgisinternal
                   AND g.tgrelid IN (SELECT oid FROM relations))
           OR EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtfoid = p.oid)
           OR EXISTS (SELECT FROM aclexplode(p.proacl) x JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
                      WHERE r.rolname = ANY (%(logins)s)))
    ORDER BY 1, 2
"""
# Who can act as each owner: itself and its members; superusers, the admin and the owner of the database aside. The
# members of pg_database_owner, which owns the schema public since 15, are those of the owner of the database.
_WHO = """
    SELECT o.rolname, r.rolname
    FROM pg_catalog.pg_roles o JOIN pg_catalog.pg_roles r ON r.rolcanlogin AND ({acts})
    JOIN pg_catalog.pg_database d ON d.datname = current_database()
    WHERE o.rolname = ANY (%(owners)s) AND NOT o.rolsuper AND o.rolname <> current_user AND o.oid <> d.datdba
      AND o.rolname <> 'pg_database_owner'
      AND NOT r.rolsuper AND r.rolname <> current_user AND r.oid <> d.datdba
    ORDER BY 1, 2
"""
_MEMBER = "r.oid = o.oid OR pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')"
_SETS = "r.oid = o.oid OR pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE') OR pg_catalog.pg_has_role(r.oid, o.oid, 'SET')"
_SET_OPTION_SINCE = (16,)
_OUR_OWN = ("ringfence_release", "ringfence_retired", "ringfence_account", "alembic_version")


def owners(connection: sa.Connection, deployment: "Deployment", logins: list[str]) -> Iterator[Exposure]:
    """What of the deployment belongs to another than those who run it.

    That is the admin, the owner of the database, a superuser, or who owns most of the deployment's tables: where tables
    were made by another admin, or belong to a role that the admin is a member of. A role without any other login among
    its members is nobody.

    Args:
        connection: the admin's.
        deployment: its tables and accounts.
        logins: those of ours that exist.
    """
    default, me = connection.exec_driver_sql("SELECT current_schema(), current_user").one()
    tables = [(table.schema or default, str(table.name)) for table in deployment.tables.values()]
    tables += [(default, name) for name in _OUR_OWN]
    given = {
        "schemas": [schema for schema, _ in tables],
        "names": [name for _, name in tables],
        "logins": logins,
    }
    used = connection.exec_driver_sql(_USED, given).all()
    newer = connection.dialect.server_version_info >= _SET_OPTION_SINCE  # type: ignore[operator]  # known once connected
    query = _WHO.format(acts=_SETS if newer else _MEMBER)
    who: dict[str, list[str]] = {}
    for owner, login in connection.exec_driver_sql(query, {"owners": sorted({row[3] for row in used})}):
        who.setdefault(owner, []).append(login)
    numbers = Counter(owner for kind, _, _, owner in used if kind == "TABLE")
    most = {owner for owner, number in numbers.items() if 2 * number > numbers.total()}
    for kind, name, written, owner in used:
        thing = f"{kind.lower()} {name}"
        if owner in logins:
            says = f"the account {owner} owns {thing}, and so may do anything with it"
            yield Exposure("owner", owner, says, covered=True)
            continue
        outsiders = [login for login in who.get(owner, ()) if login not in logins and login not in most]
        if owner in most or not outsiders:
            continue
        members = [login for login in outsiders if login != owner]
        through = f", of which {', '.join(members)} {'is a member' if len(members) == 1 else 'are members'}"
        says = f"the {thing} belongs to {owner}{through if members else ''}: that may do anything with it"
        yield Exposure(
            "owner", None, says, way_out=f"ALTER {kind} {written} OWNER TO {quoted(me)}", refuses=True
        )
