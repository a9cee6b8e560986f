"""Tables whose row security shows an account no row, because no policy applies to it; an apply resolves it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.row_security import COMMANDS
from ringfence.schema.grants.difference import READABLE

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# The given verbs on tables with row security where no permissive policy applies to the account.
_MISSING = """
    SELECT r.rolname, n.nspname, c.relname, array_agg(given.verb::text ORDER BY given.verb)
    FROM unnest(%(logins)s::text[], %(schemas)s::text[], %(names)s::text[], %(verbs)s::text[], %(commands)s::text[])
         AS given (login, schema, name, verb, command)
    JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name AND c.relrowsecurity
    JOIN pg_catalog.pg_roles r ON r.rolname = given.login AND NOT r.rolsuper AND NOT r.rolbypassrls
    WHERE NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE')
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_policy p CROSS JOIN LATERAL unnest(p.polroles) whom
          WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd::text IN ('*', given.command)
            AND CASE whom WHEN 0 THEN true ELSE pg_catalog.pg_has_role(r.oid, whom, 'USAGE') END)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def missing_policies(
    connection: sa.Connection, deployment: "Deployment", logins: list[str]
) -> Iterator[Exposure]:
    """Yield an exposure for each table that an account was granted and of which it sees no row.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts of the manifest; the proof also tests tables with a row scope row by row.
        logins: managed logins that exist on the server.
    """
    default = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    managed = set(logins)
    asked = [
        (account.login, grant.schema or default, grant.table, grant.verb)
        for account in deployment.accounts.values()
        if account.login in managed
        for grant in account.grants
    ]
    asked += [
        (account.login, default, name, "select")
        for account in deployment.accounts.values()
        for name in READABLE
    ]
    given = {
        "logins": [login for login, *_ in asked],
        "schemas": [schema for _, schema, *_ in asked],
        "names": [name for _, _, name, _ in asked],
        "verbs": [verb for *_, verb in asked],
        "commands": [COMMANDS[verb] for *_, verb in asked],
    }
    for login, schema, name, verbs in connection.exec_driver_sql(_MISSING, given):
        may = ", ".join(verbs)
        says = f"row security is on for {schema}.{name}, and no policy lets the account {login} {may} a row"
        yield Exposure("row security", login, says, finding="missing", reported_elsewhere=True)
