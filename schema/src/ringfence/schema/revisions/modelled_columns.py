"""The columns of the database, with the schemas as the models name them."""

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.state.columns import ColumnPath


def modelled_columns(
    deployment: Deployment, backend: Backend, connection: sa.Connection
) -> frozenset[ColumnPath]:
    """Every column of every table of the database, in a single query.

    A table of the default schema has the schema None, unless the models name that schema themselves, as
    `schema="public"` does: then it has the schema that they say.

    Args:
        deployment: with its tables.
        backend: of the connection.
        connection: the admin's.
    """
    default = connection.dialect.default_schema_name
    explicit = {
        str(table.name) for table in deployment.tables.values() if table.schema and table.schema == default
    }
    if not explicit:
        return backend.columns(connection)
    return frozenset(
        (default if schema is None and table in explicit else schema, table, column)
        for schema, table, column in backend.columns(connection)
    )
