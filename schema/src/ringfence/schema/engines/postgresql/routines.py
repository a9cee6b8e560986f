"""Objects that run with other rights than the caller's, and the functions that the manifest names by signature."""

from collections.abc import Iterable

import sqlalchemy as sa

from ringfence.schema.engines.postgresql.catalog import SIGNATURE
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account

_MANAGED = "SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname = ANY (%(logins)s)"
# A view runs as its owner unless it has security_invoker; a SECURITY DEFINER function always does.
_DEFINER_OBJECTS = f"""
    WITH managed AS ({_MANAGED})
    SELECT 'the view ' || c.oid::regclass, pg_catalog.pg_get_userbyid(c.relowner), 'read it',
           string_agg(DISTINCT managed.rolname, ', ' ORDER BY managed.rolname)
    FROM pg_catalog.pg_class c
    CROSS JOIN LATERAL (SELECT c.relacl AS acl UNION ALL SELECT a.attacl FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) t
    CROSS JOIN LATERAL aclexplode(t.acl) x JOIN managed ON managed.oid = x.grantee
    WHERE c.relkind = 'v' AND NOT coalesce(c.reloptions, '{{}}') && '{{security_invoker=true,security_invoker=on}}'
    GROUP BY c.oid, c.relowner
    UNION ALL
    SELECT 'the function ' || p.oid::regprocedure, pg_catalog.pg_get_userbyid(p.proowner), 'execute it',
           string_agg(DISTINCT managed.rolname, ', ' ORDER BY managed.rolname)
    FROM pg_catalog.pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) x JOIN managed ON managed.oid = x.grantee
    WHERE p.prosecdef GROUP BY p.oid, p.proowner
    UNION ALL
    SELECT 'the trigger ' || quote_ident(g.tgname) || ' of ' || c.oid::regclass,
           pg_catalog.pg_get_userbyid(p.proowner), 'write to it',
           string_agg(DISTINCT managed.rolname, ', ' ORDER BY managed.rolname)
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid AND p.prosecdef
    JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    CROSS JOIN LATERAL (SELECT c.relacl AS acl UNION ALL SELECT a.attacl FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) t
    CROSS JOIN LATERAL aclexplode(t.acl) x JOIN managed ON managed.oid = x.grantee
    WHERE NOT g.tgisinternal AND x.privilege_type <> 'SELECT' GROUP BY g.oid, g.tgname, c.oid, p.proowner
    UNION ALL
    SELECT 'the rule ' || quote_ident(w.rulename) || ' of ' || c.oid::regclass,
           pg_catalog.pg_get_userbyid(c.relowner), 'write to it',
           string_agg(DISTINCT managed.rolname, ', ' ORDER BY managed.rolname)
    FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
    CROSS JOIN LATERAL (SELECT c.relacl AS acl UNION ALL SELECT a.attacl FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) t
    CROSS JOIN LATERAL aclexplode(t.acl) x JOIN managed ON managed.oid = x.grantee
    WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D' AND x.privilege_type <> 'SELECT'
    GROUP BY w.oid, w.rulename, c.oid, c.relowner
    UNION ALL
    SELECT 'the event trigger ' || quote_ident(e.evtname) || ' (' || e.evtevent || ')',
           pg_catalog.pg_get_userbyid(p.proowner), CASE e.evtevent WHEN 'login' THEN 'log in' ELSE 'run DDL' END,
           (SELECT string_agg(managed.rolname, ', ' ORDER BY managed.rolname) FROM managed)
    FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid
    WHERE p.prosecdef AND e.evtenabled <> 'D' AND EXISTS (SELECT FROM managed)
    ORDER BY 1
"""  # noqa: S608 - constant SQL
_FUNCTIONS = f"""
    SELECT s.signature, n.nspname,
           {SIGNATURE},
           pg_catalog.pg_has_role(p.proowner, 'USAGE'), pg_catalog.pg_get_userbyid(p.proowner)
    FROM unnest(%(signatures)s) s(signature)
    LEFT JOIN pg_catalog.pg_proc p ON p.oid = pg_catalog.to_regprocedure(s.signature)
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
"""  # noqa: S608 - constant SQL


def definer_objects(connection: sa.Connection, logins: Iterable[str]) -> list[str]:
    """Describe what the logins may use that runs with another role's rights.

    Args:
        connection: a connection of the admin account.
        logins: managed logins that exist on the server.

    Returns:
        A sentence for each view, function, trigger, rule and event trigger.
    """
    return [
        f"{thing} runs with the rights of {owner}, not of {logged_in}, who may {do}"
        for thing, owner, do, logged_in in connection.exec_driver_sql(
            _DEFINER_OBJECTS, {"logins": list(logins)}
        )
    ]


def functions(connection: sa.Connection, accounts: Iterable[Account]) -> tuple[set[Privilege], list[str]]:
    """Return the privileges on the functions of the manifest, and the signatures that cannot be granted.

    Args:
        connection: a connection of the admin account; a savepoint contains the error of an invalid signature.
        accounts: the accounts of the manifest.

    Returns:
        EXECUTE on the functions with USAGE on their schemas; and an obstacle for each signature that is invalid,
        unknown, or belongs to an owner as whom the admin account may not act.
    """
    asked = [(account, function) for account in accounts for function in account.functions]
    if not asked:
        return set(), []
    signatures = sorted({function.signature for _, function in asked})
    try:
        with connection.begin_nested():
            rows = connection.exec_driver_sql(_FUNCTIONS, {"signatures": signatures}).all()
    except sa.exc.DBAPIError as error:
        return set(), [f"a signature under `functions:` cannot be read: {error.orig}"]
    known = {signature: row for signature, *row in rows}
    privileges: set[Privilege] = set()
    obstacles = []
    for account, function in asked:
        schema, name, may, owner = known[function.signature]
        if schema is None:
            obstacles.append(
                f"{function.origin}: the database has no function {function.signature}; is a migration missing?"
            )
        elif not may:
            obstacles.append(
                f"{function.origin}: {function.signature} belongs to {owner}, who alone can grant it: ALTER ROUTINE"
                f" {quoted(schema)}.{name} OWNER TO the admin"
            )
        else:
            privileges.add(Privilege(account.login, "function", schema, name, "execute"))
            privileges.add(Privilege(account.login, "schema", schema, "", "usage"))
    return privileges, obstacles
