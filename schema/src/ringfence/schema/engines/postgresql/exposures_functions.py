"""Roles outside the manifest that lose EXECUTE on functions once an apply revokes it from PUBLIC."""

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.function_calls import OPEN_TO_ALL, ROUTINES, SIGNATURE
from ringfence.schema.engines.postgresql.quoting import quoted

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


def losing(
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
    who = sorted({name for _, names in rows for name in names})
    whom = ", ".join(map(quoted, who[:_SHOWN]))
    yield Exposure(
        "public",
        None,
        f"{_some(who)} may execute {_some(functions)} as everybody does, and an apply closes that",
        way_out=f"before it, GRANT EXECUTE ON ROUTINE {', '.join(functions[:_SHOWN])} TO {whom} where they call them,"
        " or leave it open with `public: [execute]` in the manifest",
        finding=None,
    )


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
