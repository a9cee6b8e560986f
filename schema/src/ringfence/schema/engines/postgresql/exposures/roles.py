"""Role memberships of and in accounts on PostgreSQL, and role attributes that give an account more."""

from collections.abc import Iterator

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.catalog import MEMBERSHIP_OPTIONS, is_since
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.engines.types import Statement

# The options are read through json, because versions before 16 lack their columns.
_EDGE = """
    am.roleid, am.member, am.admin_option AS admin, coalesce(g.rolname, '') AS grantor,
    coalesce((to_jsonb(am) ->> 'inherit_option')::boolean, true) AS inherits,
    coalesce((to_jsonb(am) ->> 'set_option')::boolean, true) AS sets,
    coalesce(am.grantor = 10, false) AS automatic
"""
# Members of each account, without the admin and superusers, and for each the roles that are its members in turn.
_MEMBERS = f"""
    WITH RECURSIVE ours AS (SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname = ANY (%(logins)s)),
        others AS (SELECT oid, rolname, rolcanlogin, rolcreaterole FROM pg_catalog.pg_roles
                   WHERE NOT rolsuper AND rolname <> current_user AND NOT rolname = ANY (%(logins)s)),
        edges AS (
            SELECT {_EDGE} FROM pg_catalog.pg_auth_members am JOIN ours ON ours.oid = am.roleid
            LEFT JOIN pg_catalog.pg_roles g ON g.oid = am.grantor),
        behind AS (
            SELECT others.oid AS first, others.oid AS role FROM edges JOIN others ON others.oid = edges.member
            UNION SELECT behind.first, am.member FROM behind JOIN others ON others.oid = behind.role
            JOIN pg_catalog.pg_auth_members am ON am.roleid = behind.role)
    SELECT ours.rolname, o.rolname, e.grantor, e.admin, e.inherits, e.sets, e.automatic AND o.rolcreaterole,
           ARRAY(SELECT r.rolname::text FROM behind b JOIN others r ON r.oid = b.role
                 WHERE b.first = o.oid AND r.rolcanlogin ORDER BY 1),
           EXISTS (SELECT FROM behind b JOIN pg_catalog.pg_roles r ON r.oid = b.role
                   WHERE b.first = o.oid AND (r.rolname = current_user OR r.rolsuper)),
           me.rolsuper, me.rolcreaterole OR pg_catalog.pg_has_role(ours.oid, 'MEMBER WITH ADMIN OPTION'),
           CASE e.grantor WHEN '' THEN false ELSE pg_catalog.pg_has_role(e.grantor, 'USAGE') END
    FROM edges e JOIN ours ON ours.oid = e.roleid JOIN others o ON o.oid = e.member
    JOIN pg_catalog.pg_roles me ON me.rolname = current_user
    ORDER BY 1, 2, 3
"""  # noqa: S608 - constant SQL
_MEMBERSHIPS = f"""
    WITH RECURSIVE edges AS (
            SELECT {_EDGE} FROM pg_catalog.pg_auth_members am
            JOIN pg_catalog.pg_roles ours ON ours.oid = am.member AND ours.rolname = ANY (%(logins)s)
            LEFT JOIN pg_catalog.pg_roles g ON g.oid = am.grantor),
        above AS (
            SELECT edges.roleid AS first, edges.roleid AS role FROM edges
            UNION SELECT above.first, am.roleid FROM above JOIN pg_catalog.pg_auth_members am ON am.member = above.role)
    SELECT pg_catalog.pg_get_userbyid(e.member), r.rolname, e.grantor,
           ARRAY(SELECT u.rolname::text FROM above a JOIN pg_catalog.pg_roles u ON u.oid = a.role
                 WHERE a.first = e.roleid AND a.role <> e.roleid ORDER BY 1),
           me.rolsuper,
           NOT r.rolsuper AND (me.rolcreaterole OR pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')),
           CASE e.grantor WHEN '' THEN false ELSE pg_catalog.pg_has_role(e.grantor, 'USAGE') END
    FROM edges e JOIN pg_catalog.pg_roles r ON r.oid = e.roleid
    JOIN pg_catalog.pg_roles me ON me.rolname = current_user
    ORDER BY 1, 2, 3
"""  # noqa: S608 - constant SQL
_REACHES = {
    "pg_read_all_data": "read every table and view",
    "pg_write_all_data": "write to every table and view",
    "pg_read_server_files": "read files of the server",
    "pg_write_server_files": "write files of the server",
    "pg_execute_server_program": "run programs on the server",
    "pg_signal_backend": "end sessions of others",
    "pg_maintain": "lock, vacuum and reindex every table",
    "pg_monitor": "see the statements and settings of others",
    "pg_read_all_stats": "see the statements of others",
    "pg_read_all_settings": "see every setting",
    "pg_create_subscription": "copy data in from elsewhere",
    "pg_database_owner": "act as the owner of the database",
}
"""What predefined roles allow: https://www.postgresql.org/docs/current/predefined-roles.html"""
_ATTRIBUTES = """
    SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolreplication, r.rolcreaterole, r.rolcreatedb,
           me.rolsuper, me.rolbypassrls, me.rolreplication, me.rolcreaterole, me.rolcreatedb,
           pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
    FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_roles me ON me.rolname = current_user
    WHERE r.rolname = ANY (%(logins)s) AND r.rolname <> current_user
      AND (r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole OR r.rolcreatedb)
    ORDER BY 1
"""
_ATTRIBUTE_WORDS = (
    ("BYPASSRLS", "sees and writes every row of the tables that it was given, past all row scopes"),
    ("REPLICATION", "may read every change of the whole server"),
    ("CREATEROLE", "may make and alter roles"),
    ("CREATEDB", "may make databases"),
)
_LASTING = {"BYPASSRLS", "REPLICATION"}
"""Attributes whose effect open sessions keep: in prepared statements, and in a replication session."""
_SUPERUSERS_ALONE = {"BYPASSRLS", "REPLICATION"}
"""Before 16, only superusers change these: https://www.postgresql.org/docs/15/sql-alterrole.html"""


def members(connection: sa.Connection, logins: list[str]) -> Iterator[Exposure]:
    """Yield an exposure for each member of an account: it has the account's rights or can give them to itself.

    The admin account's own membership is left out. The membership that PostgreSQL 16 and later gives the creator of a
    role is reported as advice.

    Args:
        connection: a connection of the admin account.
        logins: managed logins.
    """
    newer = _newer(connection)
    rows = connection.exec_driver_sql(_MEMBERS, {"logins": logins})
    for ours, member, grantor, admin, inherits, sets, automatic, behind, to_admin, *may in rows:
        if to_admin and not behind:
            continue
        through = [name for name in behind if name != member]
        whom = f"{member}, and through it {', '.join(through)}," if through else member
        if automatic and newer and admin and not (inherits or sets):
            yield Exposure(
                "membership",
                ours,
                f"{member} created the role {ours}, and so may still give it to itself or to others",
                resolution=f"where it is no admin any more: {_revoke(ours, member, grantor, newer=True)}",
                finding=None,
            )
            continue
        does = "has all its rights" if inherits else "may take all its rights" if sets else "may give it away"
        yield _membership(
            ours,
            f"{whom} is a member of the account {ours}, and {does}",
            _revoke(ours, member, grantor, newer=newer),
            grantor,
            newer=newer,
            may=may,
            # A session that ran SET ROLE keeps the account's rights.
            lasts=tuple((name, f"the rights of {ours}") for name in (member, *through)),
        )


def memberships(connection: sa.Connection, logins: list[str]) -> Iterator[Exposure]:
    """Yield an exposure for each role of which an account is a member; an apply revokes it with the other privileges.

    Args:
        connection: a connection of the admin account.
        logins: managed logins.
    """
    newer = _newer(connection)
    for login, role, grantor, above, *may in connection.exec_driver_sql(_MEMBERSHIPS, {"logins": logins}):
        does = [_REACHES[name] for name in (role, *above) if name in _REACHES]
        through = f", and by that of {', '.join(above)}" if above else ""
        lets = f": it may {', '.join(does)}" if does else ""
        yield _membership(
            login,
            f"the account {login} is a member of {role}{through}{lets}",
            _revoke(role, login, grantor, newer=newer),
            grantor,
            newer=newer,
            may=may,
            covered=True,
        )


def _membership(
    login: str,
    says: str,
    sql: str,
    grantor: str,
    *,
    newer: bool,
    may: list[bool],
    covered: bool = False,
    lasts: tuple[tuple[str, str], ...] = (),
) -> Exposure:
    superuser, manages, as_grantor = may
    if superuser or (as_grantor if newer else manages):
        repair = None if covered else Statement.plain(sql)
        return Exposure(
            "membership", login, says, repair=repair, reported_elsewhere=covered, lasting_connections=lasts
        )
    who = grantor if newer and grantor else "a superuser"
    return Exposure("membership", login, says, resolution=f"as {who}: {sql}", refuses=True)


def _revoke(role: str, member: str, grantor: str, *, newer: bool) -> str:
    by = f" GRANTED BY {quoted(grantor)}" if newer and grantor else ""
    return f"REVOKE {quoted(role)} FROM {quoted(member)}{by} CASCADE"


def attributes(connection: sa.Connection, logins: list[str]) -> Iterator[Exposure]:
    """Yield an exposure for each attribute by which an account may do more; superusers are also refused elsewhere.

    Args:
        connection: a connection of the admin account.
        logins: managed logins.
    """
    newer = _newer(connection)
    for login, superuser, *has in connection.exec_driver_sql(_ATTRIBUTES, {"logins": logins}):
        if superuser:
            says = f"the account {login} is a superuser, and may do anything on the server"
            yield Exposure("attribute", login, says, reported_elsewhere=True)
            continue
        i_am, mine, manages = has[4], has[5:9], has[9]
        for number, (word, does) in enumerate(_ATTRIBUTE_WORDS):
            if not has[number]:
                continue
            sql = f"ALTER ROLE {quoted(login)} NO{word}"
            if newer:
                may = mine[2] and manages and (word == "CREATEROLE" or mine[number])
            else:
                may = mine[2] and word not in _SUPERUSERS_ALONE and not has[1]
            says = f"the account {login} has {word}: it {does}"
            if i_am or may:
                lasts = ((login, word),) if word in _LASTING else ()
                yield Exposure(
                    "attribute", login, says, repair=Statement.plain(sql), lasting_connections=lasts
                )
            else:
                yield Exposure("attribute", login, says, resolution=f"as a superuser: {sql}", refuses=True)


def _newer(connection: sa.Connection) -> bool:
    return bool(is_since(connection, MEMBERSHIP_OPTIONS))
