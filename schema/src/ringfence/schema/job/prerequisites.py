"""What pending revisions need besides privileges: existing schemas, and no view that depends on what they alter."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.engines.base import Server
from ringfence.schema.engines.dependent_views import DependentView, views
from ringfence.schema.engines.missing_schemas import missing_schemas
from ringfence.schema.lint.pending import Pending
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.revisions.ownership.objects import Objects
from ringfence.schema.revisions.ownership.replay import replay
from ringfence.schema.revisions.recording import Recording
from ringfence.schema.sql.identifiers import spelling

_NAMED = 5
"""The number of tables that a message names."""


def unmet(deployment: Deployment, backend: Server, connection: sa.Connection, pending: Pending) -> list[str]:
    """Return what would make a pending revision fail, each with how to resolve it; the database is only read.

    If a revision cannot be recorded without a database, missing schemas are not reported, because it may create them.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: the admin's.
        pending: the revisions that are to run.
    """
    dialect = connection.dialect
    objects = Objects(spelling(dialect.name), dialect.default_schema_name)
    showing = views(backend, connection) if pending.revisions else ()
    for one in showing:
        objects.make("view", one.view_schema, one.view)
    found: list[str] = []
    readable = True
    for revision in pending.revisions:
        recording = pending.scripts.recording(revision, dialect.name)
        found += _blocked(revision, recording, objects, showing)
        readable = readable and recording.error is None
    wanted = {table.schema for table in deployment.tables.values() if table.schema}
    made = {name for _, name in objects.others.get("schema", ())}
    for name, resolution in missing_schemas(backend, connection, wanted - made).items() if readable else ():
        found.append(
            f"the models have tables in the schema {name}, which the database does not have and no revision makes:"
            f" {resolution}"
        )
    return found


def unrecorded(deployment: Deployment, backend: Backend, connection: sa.Connection) -> str | None:
    """Return why the first revision may not run: tables of the deployment exist, but no revision is recorded.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: the admin's.

    Returns:
        The tables by name, and how to resolve it; None when the database has none of the deployment's tables.
    """
    wanted = {(table.schema, table.name) for table in deployment.tables.values()}
    columns = modelled_columns(deployment, backend.introspection, connection)
    have = sorted({table for schema, table, _ in columns if (schema, table) in wanted})
    if not have:
        return None
    more = f" and {len(have) - _NAMED} more" if len(have) > _NAMED else ""
    return (
        f"the database holds tables of this deployment ({', '.join(have[:_NAMED])}{more}), and no revision is recorded"
        " in it: when they are what the migrations make, record that with `alembic stamp head` (or with"
        " their revision), and run this again"
    )


def _blocked(
    revision: str, recording: Recording, objects: Objects, showing: tuple[DependentView, ...]
) -> Iterator[str]:
    """Yield the operations that a view blocks, unless the revision drops that view first."""
    for done in recording.whole:
        standing = [
            one
            for one in showing
            if _changes(done.operation, one) and objects.has("view", one.view_schema, one.view)
        ]
        for one in {one.quoted: one for one in standing}.values():
            column = getattr(done.operation, "column_name", None)
            what = f"{one.table}.{column}" if column else one.table
            yield (
                f"revision {revision} changes {what}, which the server refuses while the view {one.quoted} shows it:"
                f" in the revision, op.execute({one.drop!r}) before that, and after it op.execute({one.create!r}), with"
                " what is to be different"
            )
        replay(objects, done.operation)


def _changes(operation: MigrateOperation, one: DependentView) -> bool:
    """Return whether an operation drops a column or table that a view uses, or changes the column's type."""
    match operation:
        case ops.DropTableOp():
            return (operation.schema, operation.table_name) == (one.schema, one.table)
        case ops.DropColumnOp():
            pass
        case ops.AlterColumnOp() if operation.modify_type is not None:
            pass
        case _:
            return False
    place = operation.schema, operation.table_name, operation.column_name
    return place == (one.schema, one.table, one.column)
