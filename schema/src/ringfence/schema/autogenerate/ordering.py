"""Helpers of `Arranger`: classify operations, and order them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import rev_id

from ringfence.schema.autogenerate.renames import Drops
from ringfence.schema.comparison.model_statements import StatementOp
from ringfence.schema.operations.operations import CreateSequenceOp, DropSequenceOp
from ringfence.schema.sql.table_keys import key_of


def order_contract_drops(given: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Sort the drops of a contract: foreign keys, other constraints and indexes, columns, tables.

    Adjacent operations of the same table are merged into one batch.

    Args:
        given: the operations of the contract revision.
    """
    merged: list[ops.MigrateOperation] = []
    for one in sorted(given, key=_rank):
        last = merged[-1] if merged else None
        if (
            isinstance(one, ops.ModifyTableOps)
            and isinstance(last, ops.ModifyTableOps)
            and (last.schema, last.table_name) == (one.schema, one.table_name)
        ):
            last.ops = [*last.ops, *one.ops]
        else:
            merged.append(one)
    return merged


def changes_identity(one: ops.AlterColumnOp) -> bool:
    """Whether an operation changes the options of an identity.

    Such an operation already has the old values of all changed options, also of those that no migration declared.

    Args:
        one: a single operation, not a `ModifyTableOps`.
    """
    return isinstance(one.existing_server_default, sa.Identity) and bool(one.modify_server_default)


def changes_beyond_nullability(one: ops.AlterColumnOp) -> bool:
    """Whether an operation changes more of a column than its nullability.

    Args:
        one: a single operation, not a `ModifyTableOps`.
    """
    return (
        one.modify_type is not None
        or one.modify_server_default is not False
        or one.modify_comment is not False
    )


def flattened(found: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """Yield the operations of a script, with every `ModifyTableOps` replaced by its content.

    Args:
        found: the operations of the script.
    """
    for one in found:
        if isinstance(one, ops.ModifyTableOps):
            yield from one.ops
        else:
            yield one


def needed_by_tables(one: ops.MigrateOperation) -> bool:
    """Whether an operation creates what tables may need: a sequence, or an object of a statement marked `first`.

    Args:
        one: a single operation.
    """
    if isinstance(one, StatementOp):
        return one.before_tables
    return isinstance(one, CreateSequenceOp) and not isinstance(one, DropSequenceOp)


def prerequisites(
    found: Iterable[ops.MigrateOperation], enums: Iterable[ops.MigrateOperation]
) -> list[ops.MigrateOperation]:
    """Order what must exist before tables: schemas and extensions, then enums, then other types and sequences.

    Statements of the models keep their order, because a domain may call a function and a function may take a domain.

    Args:
        found: the operations of the script, flattened by `flat`.
        enums: the operations that create enum types.
    """
    given = [one for one in found if needed_by_tables(one)]
    first = [one for one in given if isinstance(one, StatementOp) and one.never_dropped]
    rest = sorted((one for one in given if one not in first), key=lambda one: getattr(one, "order", -1))
    return [*first, *enums, *rest]


def plain(key: ops.CreateForeignKeyOp) -> ops.ModifyTableOps:
    """Wrap the foreign key of a new table in a plain `ModifyTableOps`, since an empty table needs no online variant.

    On SQLite the batch rebuilds the empty table.

    Args:
        key: the operation that creates the foreign key.
    """
    return ops.ModifyTableOps(key.source_table, [key], schema=key.kw.get("source_schema"))


def table_of(one: Any) -> tuple[str | None, str]:
    """Return the schema and the table that an operation changes; the table is "" if it changes none.

    Args:
        one: a single operation, not a `ModifyTableOps`.
    """
    if isinstance(one, ops.CreateForeignKeyOp):
        return one.kw.get("source_schema"), one.source_table
    return getattr(one, "schema", None), getattr(one, "table_name", None) or ""


def _rank(one: ops.MigrateOperation) -> int:
    inner = one.ops[0] if isinstance(one, ops.ModifyTableOps) else one
    if isinstance(inner, ops.DropConstraintOp):
        return 0 if inner.constraint_type == "foreignkey" else 1
    if isinstance(inner, ops.DropIndexOp):
        return 1
    return 2 if isinstance(one, ops.ModifyTableOps) else 3


def is_on_dropped_column(
    one: ops.DropConstraintOp | ops.DropIndexOp, found: Iterable[ops.MigrateOperation]
) -> bool:
    """Whether a dropped index or constraint includes a column that the script drops too.

    Args:
        one: the drop.
        found: the operations of the script, flattened by `flat`.
    """
    item = one.to_index() if isinstance(one, ops.DropIndexOp) else one.to_constraint()
    key = key_of(one.schema, one.table_name or "")
    gone = {
        other.column_name
        for other in found
        if isinstance(other, ops.DropColumnOp) and key_of(other.schema, other.table_name) == key
    }
    return any(column.name in gone for column in getattr(item, "columns", ()))


def recreated(one: ops.DropConstraintOp, found: Iterable[ops.MigrateOperation]) -> bool:
    """Whether the script creates another constraint with the name of a dropped one.

    Args:
        one: the drop.
        found: the operations of the script, flattened by `flat`.
    """
    key = key_of(one.schema, one.table_name)
    return any(
        isinstance(other, ops.AddConstraintOp)
        and key_of(*table_of(other)) == key
        and str(getattr(other, "constraint_name", None)) == str(one.constraint_name)
        for other in found
    )


def new_keys(found: Iterable[ops.MigrateOperation]) -> set[tuple[str, tuple[str, ...]]]:
    """Return (table, columns) of the foreign keys that a script creates.

    Args:
        found: the operations of the script, flattened by `flat`.
    """
    return {
        (key_of(*table_of(one)), tuple(one.local_cols))
        for one in found
        if isinstance(one, ops.CreateForeignKeyOp)
    }


def next_script(previous: ops.MigrationScript, first: ops.MigrationScript) -> ops.MigrationScript:
    """Create an empty script that follows another one.

    Args:
        previous: the script on which it is based.
        first: the first script of the series, which has the message and the version path.
    """
    return ops.MigrationScript(
        rev_id=rev_id(),
        message=first.message,
        upgrade_ops=ops.UpgradeOps([]),
        downgrade_ops=ops.DowngradeOps([]),
        head=previous.rev_id,
        version_path=first.version_path,
    )


def retires_line(retires: Drops, confirmed: Drops) -> str:
    """Return the line of a contract revision that declares what it drops.

    Args:
        retires: table -> the dropped columns; None for the whole table.
        confirmed: the part of `retires` that a person confirmed.

    Returns:
        A line of Python; the lint refuses the drop until the line declares everything in `retires`.
    """
    line = f"retires = {dict(sorted(confirmed.items()))!r}  # None: the whole table"
    every = dict(sorted(retires.items()))
    return line if confirmed else f"{line}. The lint refuses the drop until this line is: retires = {every!r}"
