"""Logins outside the manifest that reach every table by a predefined role or by REPLICATION."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.quoting import quoted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# Superusers, the admin and members of the database's owner administer the server and are left out. The last column has
# the members of the predefined role through which the login has it, the login itself first. Reading or writing tables
# needs CONNECT on this database; replication and access to files do not.
_OTHERS = """
    WITH others AS (
        SELECT r.oid, r.rolname, r.rolreplication,
               pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT') AS connects
        FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_database d ON d.datname = current_database()
        WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
          AND NOT r.rolname = ANY (%(known)s) AND NOT pg_catalog.pg_has_role(r.oid, d.datdba, 'USAGE'))
    SELECT others.rolname, every.rolname, ARRAY(
        SELECT m.rolname::text FROM pg_catalog.pg_auth_members am JOIN pg_catalog.pg_roles m ON m.oid = am.member
        WHERE am.roleid = every.oid AND (m.oid = others.oid OR pg_catalog.pg_has_role(others.oid, m.oid, 'MEMBER'))
        ORDER BY m.oid = others.oid DESC, 1)
    FROM others JOIN pg_catalog.pg_roles every ON every.rolname = ANY (%(predefined)s)
         AND pg_catalog.pg_has_role(others.oid, every.oid, 'MEMBER')
    WHERE others.connects OR every.rolname NOT IN ('pg_read_all_data', 'pg_write_all_data')
    UNION ALL
    SELECT others.rolname, '', NULL FROM others WHERE others.rolreplication
    ORDER BY 1, 2
"""
_PREDEFINED = {
    "pg_read_all_data": "may read every table and view",
    "pg_write_all_data": "may write to every table and view",
    "pg_read_server_files": "may read the files of the server, every table's too, past grants and row scopes",
    "pg_write_server_files": "may write the files of the server, every table's too",
    "pg_execute_server_program": "may run programs on the server, which reach every table's files",
}
"""https://www.postgresql.org/docs/current/predefined-roles.html"""
_REPLICATES = "has REPLICATION: it may read every change of the whole server, past grants and row scopes"


def unmanaged_logins(
    connection: sa.Connection, deployment: "Deployment", logins: list[str]
) -> Iterator[Exposure]:
    """Yield an exposure for each login that reaches every table and is neither an account nor an administrator.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts; logins under `protected:` of its manifest are left out.
        logins: managed logins that exist on the server.

    Yields:
        One exposure per login and role or attribute; it is advice only, because another application may need it.
    """
    declared = [account.login for account in deployment.accounts.values()]
    given = {
        "known": [*logins, *declared, *sorted(deployment.policy.protected)],
        "predefined": list(_PREDEFINED),
    }
    protect = "or name its login under `protected:` if that is meant"
    for login, role, members in connection.exec_driver_sql(_OTHERS, given):
        who = f"{login}, which is not an account of the manifest,"
        if not role:
            says, sql = f"{who} {_REPLICATES}", f"ALTER ROLE {quoted(login)} NOREPLICATION"
        else:
            above = role if login in members else f"{', '.join(members)}, and by that of {role}"
            says = f"{who} {_PREDEFINED[role]}: it is a member of {above}"
            sql = f"REVOKE {quoted(role)} FROM {quoted(login if login in members else members[0])}"
        yield Exposure("login", None, says, resolution=f"{sql}, {protect}", finding=None)
