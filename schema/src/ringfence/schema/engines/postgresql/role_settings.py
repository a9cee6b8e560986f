"""What PostgreSQL keeps of a role beside its rights, and what ties a role to the server."""

from collections.abc import Iterable

import sqlalchemy as sa

from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.engines.types import Opened

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
# Anything of another database, and here what is no right in an ACL, and no policy, that an apply takes away.
_TIES = """
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
# Parallel workers bear the name of the account too. Who is no member of an account sees its name alone.
_OPENED = """
    SELECT usename, CASE WHEN backend_type IS NULL THEN ''
                         ELSE coalesce(pg_catalog.host(client_addr), 'a socket of the server') END, count(*)
    FROM pg_catalog.pg_stat_activity
    WHERE usename = ANY (%s) AND coalesce(backend_type, '') IN ('', 'client backend', 'walsender')
    GROUP BY 1, 2 ORDER BY 1, 2
"""
_PATH = "search_path"
AUDITS = ("log_", "pgaudit.", "auto_explain.", "pg_stat_statements.")
"""Prefixes of the settings that control logging and auditing, which an apply does not reset."""


def limits(connection: sa.Connection, logins: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the server keeps of roles, where that is not what a new role has.

    Args:
        connection: the admin's.
        logins: the roles.

    Returns:
        login -> word -> value: `connection_limit`, `valid_until` in UTC, and settings of this database by their names.
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
    """The statement that sets one of these; settings hold in this database alone.

    Args:
        connection: the admin's, which says which database that is.
        login: the role.
        word: one of `limits`.
        value: None for what a new role has.
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
    if word == _PATH:
        listed = ", ".join(quoted(part.strip()) for part in value.split(","))
    else:
        listed = "'" + value.replace("'", "''") + "'"
    return f"{here} SET {quoted(word)} = {listed}"


def ties(connection: sa.Connection, logins: Iterable[str]) -> dict[str, list[str]]:
    """Why roles must not be dropped.

    Args:
        connection: the admin's.
        logins: the roles.

    Returns:
        login -> what it owns or was granted, elsewhere or beyond what an apply takes away.
    """
    found: dict[str, list[str]] = {}
    for login, kind, database, thing in connection.exec_driver_sql(_TIES, (list(logins),)):
        where = thing or f"something in the database {database}"
        tie = f"owns {where}" if kind == "o" else f"was granted rights on {where}"
        found.setdefault(login, []).append(tie)
    return {login: list(dict.fromkeys(every)) for login, every in found.items()}


def opened(connection: sa.Connection, logins: Iterable[str]) -> list[Opened]:
    """See Accounts; to every database of the server."""
    rows = connection.exec_driver_sql(_OPENED, (list(logins),))
    return [Opened(login, host, int(number)) for login, host, number in rows]


def ending(login: str) -> str:
    """See Accounts."""
    said = "'" + login.replace("'", "''") + "'"
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {said}"  # noqa: S608 - a message
