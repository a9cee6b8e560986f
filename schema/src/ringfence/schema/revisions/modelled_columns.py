"""The columns of the database, with schemas named as in the models."""

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines.base import Introspection
from ringfence.schema.state.columns import ColumnPath


def modelled_columns(
    deployment: Deployment, introspection: Introspection, connection: sa.Connection
) -> frozenset[ColumnPath]:
    """Return every column of every table of the database, read by a single query.

    A table of the default schema has the schema None, unless the models name that schema explicitly, as in
    `schema="public"`.

    Args:
        deployment: the deployment, with its tables.
        introspection: that of the connection's server.
        connection: the admin's.
    """
    default = connection.dialect.default_schema_name
    explicit = {
        str(table.name) for table in deployment.tables.values() if table.schema and table.schema == default
    }
    if not explicit:
        return introspection.columns(connection)
    return frozenset(
        (default if schema is None and table in explicit else schema, table, column)
        for schema, table, column in introspection.columns(connection)
    )
