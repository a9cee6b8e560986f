"""RF1xx: operations that destroy data, or that remove or rename what running services use."""

from collections.abc import Iterator

from alembic.operations import ops

from ringfence.schema.lint.rule import EVERYWHERE, OperationCheck, Rule
from ringfence.schema.lint.type_changes import narrows
from ringfence.schema.sql.table_keys import key_of


def _drop_table(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.DropTableOp) and not step.is_new(op.schema, op.table_name):
        key = key_of(op.schema, op.table_name)
        if not step.contract.retires_column(key):
            yield f"table {key} is dropped, with its rows"


def _drop_column(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.DropColumnOp) and not step.is_new(op.schema, op.table_name):
        key = key_of(op.schema, op.table_name)
        if not step.contract.retires_column(key, op.column_name):
            yield f"column {key}.{op.column_name} is dropped, with its values"


def _rename_table(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.RenameTableOp) and not step.is_new(op.schema, op.table_name):
        yield (
            f"table {key_of(op.schema, op.table_name)} is renamed to {op.new_table_name}: a service that"
            " uses the old name fails at once"
        )


def _rename_column(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        isinstance(op, ops.AlterColumnOp)
        and op.modify_name is not None
        and op.modify_name != op.column_name
        and not step.is_new(op.schema, op.table_name)
    ):
        yield (
            f"column {key_of(op.schema, op.table_name)}.{op.column_name} is renamed to {op.modify_name}: a service"
            " that uses the old name fails at once"
        )


def _narrow(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        not isinstance(op, ops.AlterColumnOp)
        or op.modify_type is None
        or step.is_new(op.schema, op.table_name)
    ):
        return
    key = key_of(op.schema, op.table_name)
    known = step.before.column(key, op.column_name)
    old = (known.type if known else None) or op.existing_type
    if old is not None and narrows(old, op.modify_type, step.engine, step.dialect):
        yield f"column {key}.{op.column_name} goes from {old!r} to {op.modify_type!r}, which does not hold every value"


RULES = (
    Rule(
        "RF101",
        "A table is dropped",
        "stop using it, deploy, and drop it in a revision of its own that says `retires = {table: None}`",
        EVERYWHERE,
        _drop_table,
    ),
    Rule(
        "RF102",
        "A column is dropped",
        "stop using it, deploy, and drop it in a revision of its own that says `retires = {table: [column]}`",
        EVERYWHERE,
        _drop_column,
    ),
    Rule(
        "RF103",
        "A table is renamed",
        "make the new table, write both, move the readers, drop the old one later",
        EVERYWHERE,
        _rename_table,
    ),
    Rule(
        "RF104",
        "A column is renamed",
        "add the new column, write both, backfill, move the readers, drop the old one later",
        EVERYWHERE,
        _rename_column,
    ),
    Rule(
        "RF105",
        "A column's type becomes narrower",
        "add a column of the new type, backfill and check it, move the readers, drop the old one later",
        EVERYWHERE,
        _narrow,
    ),
)
