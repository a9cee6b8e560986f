"""Let the server create the tables of a reflected file in a scratch, and compare them with the existing ones."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.schema.comparison.differences import compare
from ringfence.schema.comparison.snapshot import Models, Name, Snapshot
from ringfence.schema.errors import JobFailed
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.reflect.result import Reflected

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines import Backend


def differences(
    backend: "Backend",
    connection: sa.Connection,
    deployment: "Deployment",
    snapshot: Snapshot,
    found: Reflected,
    written: Collection[Name],
) -> list[str]:
    """List the differences between the database and what the file's models would create.

    Objects that the file leaves out are not compared. If the server refuses the models, its message is the result.

    Args:
        backend: the engine and the database.
        connection: a connection of the admin account.
        deployment: the deployment, whose other models are created together with the file's.
        snapshot: the snapshot of the database.
        found: the file, and what it leaves out.
        written: the tables, enum types and sequences that the file contains.
    """
    given: dict[str, Any] = {}
    exec(compile(found.text, "reflected", "exec"), given)  # noqa: S102 - text that `reflect` generated
    metadata: sa.MetaData = given["metadata"]
    others = [each for each in deployment.metadata if each is not metadata]
    made = [table for each in (*others, metadata) for table in each.tables.values() if not is_view(table)]
    tables = {str(table.key): table for table in made}
    try:
        wanted = backend.introspection.catalog.reference(connection, Models((*others, metadata), tables))
    except JobFailed as error:
        return [str(error)]
    keys = {each.key for each in written if each.kind == "table"}
    return [
        str(each)
        for each in compare(wanted, snapshot)
        if each.name not in found.names_left_out
        and (
            each.name in written
            or (each.name.table and each.name.key in keys and each.name.kind != "trigger")
        )
    ]
