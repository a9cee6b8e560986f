"""Small parts of arranging: what an operation is about, and which goes before which."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import rev_id

from ringfence.schema.autogenerate.renames import Retires
from ringfence.schema.comparison.attached import StatementOp
from ringfence.schema.operations.operations import CreateSequenceOp, DropSequenceOp
from ringfence.schema.revisions.table_state import key_of


def in_order_of_contract(given: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Foreign keys first, then what else binds a column, then columns, then tables; in one batch per table.

    Args:
        given: what the contract is to do.
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
    """Whether it gives an identity other options: it says all that differ, also those that no migration named.

    Args:
        one: an operation, not wrapped in one of a table.
    """
    return isinstance(one.existing_server_default, sa.Identity) and bool(one.modify_server_default)


def changes_more(one: ops.AlterColumnOp) -> bool:
    """Whether more is changed of a column than whether it takes NULL.

    Args:
        one: an operation, not wrapped in one of a table.
    """
    return (
        one.modify_type is not None
        or one.modify_server_default is not False
        or one.modify_comment is not False
    )


def flat(found: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """The operations, those within a table's too.

    Args:
        found: the operations of the script.
    """
    for one in found:
        if isinstance(one, ops.ModifyTableOps):
            yield from one.ops
        else:
            yield one


def needed_by_tables(one: ops.MigrateOperation) -> bool:
    """Whether tables may need what an operation makes: a sequence, or a statement of the models that runs before them.

    Args:
        one: the operation; one that drops a sequence makes none.
    """
    if isinstance(one, StatementOp):
        return one.first
    return isinstance(one, CreateSequenceOp) and not isinstance(one, DropSequenceOp)


def stands_on(
    found: Iterable[ops.MigrateOperation], enums: Iterable[ops.MigrateOperation]
) -> list[ops.MigrateOperation]:
    """What tables need before they can be made: schemas and extensions, then enums, then other types and sequences.

    A domain may call a function and a function take a domain: statements of the models keep their order.

    Args:
        found: the operations of the script, flat.
        enums: those that make enum types.
    """
    given = [one for one in found if needed_by_tables(one)]
    first = [one for one in given if getattr(one, "stays", False)]
    rest = sorted((one for one in given if one not in first), key=lambda one: getattr(one, "order", -1))
    return [*first, *enums, *rest]


def alone(key: ops.CreateForeignKeyOp) -> ops.ModifyTableOps:
    """A foreign key of a table that is new: nobody waits for it. SQLite builds the empty table anew.

    Args:
        key: the operation that makes it.
    """
    return ops.ModifyTableOps(key.source_table, [key], schema=key.kw.get("source_schema"))


def place(one: Any) -> tuple[str | None, str]:
    """The schema and the table of an operation; the table is empty where it is about none.

    Args:
        one: an operation, not wrapped in one of a table.
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


def goes_with_column(
    one: ops.DropConstraintOp | ops.DropIndexOp, found: Iterable[ops.MigrateOperation]
) -> bool:
    """Whether what is dropped binds a column that is dropped too.

    Args:
        one: an operation, not wrapped in one of a table.
        found: the operations of the script.
    """
    item = one.to_index() if isinstance(one, ops.DropIndexOp) else one.to_constraint()
    key = key_of(one.schema, one.table_name or "")
    gone = {
        other.column_name
        for other in found
        if isinstance(other, ops.DropColumnOp) and key_of(other.schema, other.table_name) == key
    }
    return any(column.name in gone for column in getattr(item, "columns", ()))


def comes_again(one: ops.DropConstraintOp, found: Iterable[ops.MigrateOperation]) -> bool:
    """Whether a constraint of the same name takes the place of one that is dropped.

    Args:
        one: an operation, not wrapped in one of a table.
        found: the operations of the script.
    """
    key = key_of(one.schema, one.table_name)
    return any(
        isinstance(other, ops.AddConstraintOp)
        and key_of(*place(other)) == key
        and str(getattr(other, "constraint_name", None)) == str(one.constraint_name)
        for other in found
    )


def new_keys(found: Iterable[ops.MigrateOperation]) -> set[tuple[str, tuple[str, ...]]]:
    """(table, columns) of the foreign keys that come.

    Args:
        found: the operations of the script.
    """
    return {
        (key_of(*place(one)), tuple(one.local_cols))
        for one in found
        if isinstance(one, ops.CreateForeignKeyOp)
    }


def script_after(previous: ops.MigrationScript, first: ops.MigrationScript) -> ops.MigrationScript:
    """An empty revision that stands on another.

    Args:
        previous: the revision that it stands on.
        first: the first revision of them all, which has the message.
    """
    return ops.MigrationScript(
        rev_id=rev_id(),
        message=first.message,
        upgrade_ops=ops.UpgradeOps([]),
        downgrade_ops=ops.DowngradeOps([]),
        head=previous.rev_id,
        version_path=first.version_path,
    )


def says_retires(retires: Retires, confirmed: Retires) -> str:
    """The line of a contract's revision that names what it takes away.

    Args:
        retires: table -> the columns that go; None for the whole table.
        confirmed: what of that a person confirmed.

    Returns:
        A line of Python; the lint refuses the drop until it names all of that.
    """
    said = f"retires = {dict(sorted(confirmed.items()))!r}  # None: the whole table"
    every = dict(sorted(retires.items()))
    return said if confirmed else f"{said}. The lint refuses the drop until you say here: {every!r}"
