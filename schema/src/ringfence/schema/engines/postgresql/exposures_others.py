"""Logins on PostgreSQL that no manifest names, and that reach every table by a predefined role or a role attribute."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.identifiers import quoted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# Superusers, the admin and who acts as the owner of the database run the server. Whose predefined role it is: the login
# itself, or a role that it is a member of. To read tables one has to connect; to replicate or to read files, elsewhere.
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


def others(connection: sa.Connection, deployment: "Deployment", logins: list[str]) -> Iterator[Exposure]:
    """Who reaches every table, and is neither an account nor an administrator.

    Args:
        connection: the admin's.
        deployment: what its manifest calls `protected:` is known.
        logins: those of ours that exist.

    Yields:
        For each login and each such role or attribute one; advice, for somebody else may need it.
    """
    declared = [account.login for account in deployment.accounts.values()]
    given = {
        "known": [*logins, *declared, *sorted(deployment.policy.protected)],
        "predefined": list(_PREDEFINED),
    }
    meant = "or write its login under `protected:` where that is meant"
    for login, role, members in connection.exec_driver_sql(_OTHERS, given):
        who = f"{login}, which is none of the manifest's accounts,"
        if not role:
            says, sql = f"{who} {_REPLICATES}", f"ALTER ROLE {quoted(login)} NOREPLICATION"
        else:
            above = role if login in members else f"{', '.join(members)}, and by that of {role}"
            says = f"{who} {_PREDEFINED[role]}: it is a member of {above}"
            sql = f"REVOKE {quoted(role)} FROM {quoted(login if login in members else members[0])}"
        yield Exposure("login", None, says, way_out=f"{sql}, {meant}", finding=None)
