"""What is checked on PostgreSQL before a job: the rights of the admin account, and the state of the server."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.engines.base import Findings
from ringfence.schema.engines.postgresql.introspection import lacks_scratch
from ringfence.schema.engines.postgresql.quoting import quoted as _quoted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.postgresql.server import PostgreSQL

_NEEDED = 3  # further connections: for the migration, for the lock and for catalog queries
_FREE = """
    SELECT pg_backend_pid(),
           (SELECT sum(setting::int * CASE name WHEN 'max_connections' THEN 1 ELSE -1 END) FROM pg_catalog.pg_settings
            WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
           - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')
"""
# Tables whose owner the admin may not act as: GRANT and ALTER TABLE require ownership.
_NOT_OWNED = """
    SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
"""


class PostgreSQLChecks:
    """The checks of one database.

    Args:
        backend: the server.
    """

    def __init__(self, backend: "PostgreSQL") -> None:
        self._backend = backend

    def admin(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check that the admin account has the privileges that the job needs.

        The required privileges are those of the documentation page on admin rights.
        """
        found = Findings()
        accounts = deployment.accounts.values()
        schemas = {grant.schema for account in accounts for grant in account.grants} | {None}
        me, superuser, createrole, schema = connection.exec_driver_sql(
            "SELECT rolname, rolsuper, rolcreaterole, current_schema() FROM pg_catalog.pg_roles"
            " WHERE rolname = current_user"
        ).one()
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on":
            found.errors.append("the server is read-only (a standby?): DB_HOST must name the primary")
        if superuser:
            found.warnings.append(
                f"{me} is a superuser, and the job needs less: a role with LOGIN and CREATEROLE that owns the"
                " database and its tables"
            )
            return found
        if not createrole:
            found.errors.append(f"{me} may not create accounts: ALTER ROLE {_quoted(me)} CREATEROLE")
        if schema is None:
            found.errors.append(
                f"no schema of {me}'s search_path exists or may be used: GRANT USAGE, CREATE ON SCHEMA public"
                f" TO {_quoted(me)}"
            )
        for name in sorted(filter(None, {schema} | schemas)):
            may = connection.exec_driver_sql(
                "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = %s",
                (name,),
            ).scalar()
            if may is False:
                found.errors.append(
                    f"{me} may not create tables in schema {name}: GRANT USAGE, CREATE ON SCHEMA {_quoted(name)}"
                    f" TO {_quoted(me)}, or make it the owner of the database"
                )
        for where, table, owner in connection.exec_driver_sql(_NOT_OWNED):
            managed = (
                table.startswith("ringfence_")
                or table == "alembic_version"
                or any(
                    grant.table == table and (grant.schema or schema) == where
                    for account in accounts
                    for grant in account.grants
                )
            )
            if managed:
                found.errors.append(
                    f"{me} may neither alter nor grant {where}.{table}: ALTER TABLE {_quoted(where)}.{_quoted(table)}"
                    f" OWNER TO {_quoted(me)} (it belongs to {owner})"
                )
        found.errors += self._lacks_scratch(connection, deployment, schema)
        found.errors += self._backend.accounts.roles.unmanageable(
            connection, [account.login for account in accounts]
        )
        return found

    def environment(self, connection: sa.Connection) -> Findings:
        """Check for a pooler, for free connections and for long transactions.

        A pooler gives its clients process ids of its own, which differ from that of `pg_backend_pid()`.
        """
        found = Findings(warnings=self._backend.sessions.long_transactions(connection))
        pid, free = connection.exec_driver_sql(_FREE).one()
        driver: Any = connection.connection.dbapi_connection
        if driver.info.backend_pid != pid:
            found.errors.append(
                "the connection goes through a pooler (PgBouncer?), and an advisory lock held through it protects"
                " nothing:"
                " DB_HOST and DB_PORT of the migration must name the server itself"
            )
        if free < _NEEDED:
            found.errors.append(
                f"the server has {max(free, 0)} free connections, and the job needs {_NEEDED}: reduce the pools"
                " of the services (DB_POOL_SIZE), or raise max_connections"
            )
        return found

    def _lacks_scratch(
        self, connection: sa.Connection, deployment: "Deployment", default: str | None
    ) -> Iterator[str]:
        """Yield an error if the admin account cannot create the scratch schemas for comparing models and database.

        Args:
            connection: the admin's connection.
            deployment: its models name the schemas.
            default: the default schema; with None nothing is checked.
        """
        if default is not None:
            models = Models(tuple(deployment.metadata), deployment.tables)
            named = {
                schema or default
                for schema in self._backend.introspection.catalog.schemas(connection, models)
            }
            if lacks := lacks_scratch(connection, named):
                yield lacks
