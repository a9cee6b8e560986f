"""Limits and settings of PostgreSQL roles, and what prevents a role from being dropped."""

from collections.abc import Iterable

import sqlalchemy as sa

from ringfence.schema.engines.postgresql.quoting import literal, quoted

_ROLE = """
    SELECT rolname, CASE WHEN rolconnlimit >= 0 THEN rolconnlimit::text END,
           CASE WHEN rolvaliduntil = '-infinity' THEN '-infinity'
                WHEN isfinite(rolvaliduntil)
                THEN to_char(rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00' END
    FROM pg_catalog.pg_roles WHERE rolname = ANY (%s)
"""
_SETTINGS = """
    SELECT r.rolname, unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s
    JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    WHERE r.rolname = ANY (%s)
      AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
"""
# Dependencies on a role in other databases; in this one, all but the ACL entries and policies that an apply removes.
_DEPENDENCIES = """
    SELECT r.rolname, s.deptype, d.datname,
           CASE WHEN s.dbid IN (0, here.oid) THEN pg_catalog.pg_describe_object(s.classid, s.objid, s.objsubid) END
    FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
    JOIN pg_catalog.pg_database here ON here.datname = current_database()
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND r.rolname = ANY (%s)
      AND (s.deptype <> 'a' OR s.dbid NOT IN (0, here.oid)
           OR s.dbid = 0 AND NOT (s.classid = 'pg_catalog.pg_database'::regclass AND s.objid = here.oid))
      AND NOT (s.dbid = here.oid AND s.classid = 'pg_catalog.pg_policy'::regclass
               AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.oid = s.objid AND cardinality(p.polroles) = 1))
    ORDER BY 1, 2, 3, 4
"""
_PATH = "search_path"


def limits(connection: sa.Connection, logins: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the limits and settings of roles that differ from those of a new role.

    Args:
        connection: a connection of the admin account.
        logins: the roles.

    Returns:
        login -> name -> value: `connection_limit`, `valid_until` in UTC, and the role's settings in this database.
    """
    given = (list(logins),)
    found: dict[str, dict[str, str]] = {}
    for login, number, until in connection.exec_driver_sql(_ROLE, given):
        for word, value in (("connection_limit", number), ("valid_until", until)):
            if value is not None:
                found.setdefault(login, {})[word] = value
    for login, setting in connection.exec_driver_sql(_SETTINGS, given):
        word, _, value = setting.partition("=")
        if word == _PATH:
            value = ", ".join(part.strip().strip('"') for part in value.split(","))
        found.setdefault(login, {})[word] = value
    return found


def limit(connection: sa.Connection, login: str, word: str, value: str | None) -> str:
    """Return the statement that sets or resets a limit or a setting of a role; a setting applies to this database only.

    Args:
        connection: a connection of the admin account to that database.
        login: the role.
        word: a name as `limits` returns it.
        value: the new value; None for that of a new role.
    """
    role = f"ALTER ROLE {quoted(login)}"
    if word == "connection_limit":
        return f"{role} CONNECTION LIMIT {-1 if value is None else int(value)}"
    if word == "valid_until":
        return f"{role} VALID UNTIL '{value or 'infinity'}'"
    database = str(connection.engine.url.database)
    here = f"{role} IN DATABASE {quoted(database)}"
    if value is None:
        return f"{here} RESET {quoted(word)}"
    path = ", ".join(quoted(part.strip()) for part in value.split(","))
    listed = path if word == _PATH else literal(value)
    return f"{here} SET {quoted(word)} = {listed}"


def drop_obstacles(connection: sa.Connection, logins: Iterable[str]) -> dict[str, list[str]]:
    """Return why roles must not be dropped.

    Args:
        connection: a connection of the admin account.
        logins: the roles.

    Returns:
        login -> what it owns, and what it was granted in other databases or beyond what an apply revokes.
    """
    found: dict[str, list[str]] = {}
    for login, kind, database, name in connection.exec_driver_sql(_DEPENDENCIES, (list(logins),)):
        described = name or f"something in the database {database}"
        reason = f"owns {described}" if kind == "o" else f"was granted rights on {described}"
        found.setdefault(login, []).append(reason)
    return {login: list(dict.fromkeys(reasons)) for login, reasons in found.items()}
