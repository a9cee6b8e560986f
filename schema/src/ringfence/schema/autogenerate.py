"""What autogenerate writes, made right: revisions that run on every engine, upwards and downwards."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.sql.elements import False_, True_
from sqlalchemy.types import TypeEngine

from ringfence.schema import columns


def render_item(type_: str, obj: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write into a migration what Alembic would write wrongly; for `context.configure(render_item=…)`.

    A type of ours, or of the deployment's own, comes with its import. A server default of true or false stays what
    it is: Alembic would write the 1 or 0 of the engine it compares with, which PostgreSQL refuses.

    Returns:
        The source text, or False to leave it to Alembic.
    """
    if type_ == "type" and isinstance(obj, TypeEngine) and not type(obj).__module__.startswith("sqlalchemy."):
        module = "ringfence.schema.models" if isinstance(obj, columns.PORTABLE) else type(obj).__module__
        autogen_context.imports.add(f"import {module}")
        return f"{module}.{obj!r}"
    if (
        type_ == "server_default"
        and isinstance(obj, sa.DefaultClause)
        and isinstance(obj.arg, True_ | False_)
    ):
        value = "true" if isinstance(obj.arg, True_) else "false"
        return f"{autogen_context.opts['sqlalchemy_module_prefix']}{value}()"
    return False


def tidy(context: MigrationContext, revision: object, directives: list[Any]) -> None:
    """Mend what is to be written; for `context.configure(process_revision_directives=…)`.

    A table that is dropped takes its indexes with it: dropping them first fails on MySQL and MariaDB, where a foreign
    key needs them. And it leaves its native enum types behind on PostgreSQL, where the next upgrade would stumble.
    """
    given = context.opts.get("target_metadata") or ()
    metadata = (given,) if isinstance(given, sa.MetaData) else tuple(given)
    for script in directives:
        for container in (script.upgrade_ops, script.downgrade_ops):
            if container is not None:
                _tidy(container, metadata)


class DropEnumOp(ops.MigrateOperation):
    """Drops a native enum type where the engine has such; elsewhere it does nothing."""

    def __init__(self, name: str, schema: str | None) -> None:
        self.name = name
        self.schema = schema


@renderers.dispatch_for(DropEnumOp)
def _render_drop_enum(context: AutogenContext, operation: DropEnumOp) -> str:
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    return f"sa.Enum(name={operation.name!r}{schema}).drop(op.get_bind(), checkfirst=True)"


def _tidy(container: ops.OpContainer, metadata: Sequence[sa.MetaData]) -> None:
    dropped = {(op.schema, op.table_name): op for op in container.ops if isinstance(op, ops.DropTableOp)}
    if not dropped:
        return
    kept: list[ops.MigrateOperation] = []
    for operation in container.ops:
        if isinstance(operation, ops.ModifyTableOps) and (operation.schema, operation.table_name) in dropped:
            operation.ops = [op for op in operation.ops if not isinstance(op, ops.DropIndexOp)]
            if operation.ops:
                kept.append(operation)
        elif (
            not isinstance(operation, ops.DropIndexOp)
            or (operation.schema, operation.table_name) not in dropped
        ):
            kept.append(operation)
    gone = [operation.to_table() for operation in dropped.values()]
    stays = [
        table
        for one in metadata
        for table in one.tables.values()
        if (table.schema, table.name) not in dropped
    ]
    used = {enum for table in stays for enum in _enums(table)}
    enums = dict.fromkeys(enum for table in gone for enum in _enums(table) if enum not in used)
    container.ops = [*kept, *(DropEnumOp(*enum) for enum in enums)]


def _enums(table: sa.Table) -> Iterator[tuple[str, str | None]]:
    for column in table.columns:
        if isinstance(column.type, sa.Enum) and column.type.native_enum and column.type.name:
            yield str(column.type.name), column.type.schema
