"""RF2xx: operations that block other sessions while a whole table is read or rewritten."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from ringfence.schema.features import MYSQL_FAMILY, POSTGRESQL, engines_where
from ringfence.schema.lint.rule import (
    ERROR,
    POSTGRESQL_ALONE,
    POSTGRESQL_AND_FAMILY,
    WARNING,
    OperationCheck,
    Rule,
    on,
)
from ringfence.schema.lint.type_changes import rewrites
from ringfence.schema.operations.operations import CreateExcludeOp
from ringfence.schema.sql.table_keys import key_of

# Functions that return a different value for each row, so that a default with them makes the engine write every row.
_VOLATILE = re.compile(
    r"\b(random|rand|uuid|random_normal|gen_random_uuid|uuid_generate_v\d\w*|uuidv4|uuidv7|clock_timestamp|timeofday|nextval"
    r"|setval|gen_random_bytes)\s*\(",
    re.IGNORECASE,
)
_CLUSTER = engines_where(lambda engine: engine.is_cluster)


def _index(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.CreateIndexOp) and not step.is_new(op.schema, op.table_name):
        if not op.kw.get("postgresql_concurrently"):
            key = key_of(op.schema, op.table_name)
            yield f"index {op.index_name} on {key} is made while writers wait"
    elif isinstance(op, ops.AddColumnOp) and op.column.index and not step.is_new(op.schema, op.table_name):
        place = f"{key_of(op.schema, op.table_name)}.{op.column.name}"
        yield f"column {place} comes with an index, which is made while writers wait"


def _not_null(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        not isinstance(op, ops.AlterColumnOp)
        or op.modify_nullable is not False
        or step.is_new(op.schema, op.table_name)
    ):
        return
    key = key_of(op.schema, op.table_name)
    known = step.before.column(key, op.column_name)
    already = known is not None and known.nullable is False
    # MySQL and MariaDB rebuild the table online, so a revision that declares `tightens` needs no warning.
    already = already or (step.engine in MYSQL_FAMILY and step.contract.tightens_column(key, op.column_name))
    if not already and not step.before.never_null(key, op.column_name):
        yield f"column {key}.{op.column_name} becomes NOT NULL: every row is read while others wait"


def _foreign_key(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.CreateForeignKeyOp):
        schema = op.kw.get("source_schema")
        if not step.is_new(schema, op.source_table) and not op.kw.get("postgresql_not_valid"):
            yield (
                f"foreign key {op.constraint_name} on {key_of(schema, op.source_table)} checks every row while writers"
                f" of it and of {op.referent_table} wait"
            )
    elif (
        isinstance(op, ops.AddColumnOp)
        and not step.is_new(op.schema, op.table_name)
        and any(not key.dialect_kwargs.get("postgresql_not_valid") for key in op.column.foreign_keys)
    ):
        place = f"{key_of(op.schema, op.table_name)}.{op.column.name}"
        yield f"column {place} comes with a foreign key, which checks every row while writers wait"


def _type(step: OperationCheck) -> Iterator[str]:
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
    if old is None:
        yield f"column {key}.{op.column_name} gets another type; the type it had is not known: pass existing_type=…"
    elif rewrites(old, op.modify_type, step.engine, step.dialect):
        yield f"column {key}.{op.column_name} goes from {old!r} to {op.modify_type!r}: the table is rewritten"


def _default(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if not isinstance(op, ops.AddColumnOp) or step.is_new(op.schema, op.table_name):
        return
    column = op.column
    place = f"{key_of(op.schema, op.table_name)}.{column.name}"
    if column.identity is not None:
        yield f"column {place} counts itself up: the table is rewritten"
    elif column.computed is not None:
        if column.computed.persisted is not False:
            yield f"column {place} is computed and stored: the table is rewritten"
    elif function := differs_per_row(column):
        yield f"column {place} has a default that differs per row, {function}(): the table is rewritten"


def differs_per_row(column: sa.Column[Any]) -> str | None:
    """Return the name of the function by which a column's server default differs per row; None if there is none.

    Args:
        column: a column of a model or of an operation.
    """
    default = column.server_default
    if not isinstance(default, sa.DefaultClause) or isinstance(default.arg, str):  # a string is a literal
        return None
    found = _VOLATILE.search(str(default.arg))
    return found[1] if found else None


def _unique(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.CreateUniqueConstraintOp) and not step.is_new(op.schema, op.table_name):
        if op.kw.get("postgresql_using_index"):
            return
        key = key_of(op.schema, op.table_name)
        yield f"unique constraint {op.constraint_name} on {key} builds its index while others wait"
    elif isinstance(op, ops.AddColumnOp) and op.column.unique and not step.is_new(op.schema, op.table_name):
        place = f"{key_of(op.schema, op.table_name)}.{op.column.name}"
        yield f"column {place} comes with a unique constraint, whose index is built while others wait"


def _check(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        isinstance(op, ops.CreateCheckConstraintOp)
        and not step.is_new(op.schema, op.table_name)
        and not op.kw.get("postgresql_not_valid")
    ):
        key = key_of(op.schema, op.table_name)
        yield f"check constraint {op.constraint_name} on {key} reads every row while others wait"


def _drop_index(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        isinstance(op, ops.DropIndexOp)
        and not (op.table_name and step.is_new(op.schema, op.table_name))
        and not op.kw.get("postgresql_concurrently")
        # The revision also drops the table or columns of it, which needs the same lock.
        and not (op.table_name and key_of(op.schema, op.table_name) in step.contract.retires)
    ):
        yield f"index {op.index_name} is dropped under a lock that readers queue behind"


def _in_transaction(step: OperationCheck) -> Iterable[str]:
    op = step.operation
    if (
        isinstance(op, ops.CreateIndexOp | ops.DropIndexOp)
        and op.kw.get("postgresql_concurrently")
        and not step.done.autocommit
    ):
        yield f"index {op.index_name} is concurrent inside a transaction, which PostgreSQL refuses"


def _primary_key(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.CreatePrimaryKeyOp) and not step.is_new(op.schema, op.table_name):
        yield f"primary key {op.constraint_name} on {key_of(op.schema, op.table_name)} is built while others wait"


def _exclude(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, CreateExcludeConstraintOp | CreateExcludeOp) and not step.is_new(
        op.schema, op.table_name
    ):
        key = key_of(op.schema, op.table_name)
        yield f"exclusion constraint {op.constraint_name} on {key} builds its index while others wait"


RULES = (
    Rule(
        "RF201",
        "An index is made while writers wait",
        "online.create_index(…) of ringfence.schema.revisions, alone in its revision",
        on((POSTGRESQL, ERROR), (_CLUSTER, WARNING)),
        _index,
    ),
    Rule(
        "RF202",
        "NOT NULL without a checked path",
        "online.set_not_null(…) of ringfence.schema.revisions, in a revision that says `tightens = {table: [column]}`",
        POSTGRESQL_AND_FAMILY,
        _not_null,
    ),
    Rule(
        "RF203",
        "A foreign key checks every row under a lock",
        "online.create_foreign_key(…) of ringfence.schema.revisions, and online.validate(…) in a revision after it",
        POSTGRESQL_AND_FAMILY,
        _foreign_key,
    ),
    Rule(
        "RF204",
        "A change of type rewrites the table",
        "add a column of the new type, backfill it, move the readers, drop the old one later",
        POSTGRESQL_AND_FAMILY,
        _type,
    ),
    Rule(
        "RF205",
        "A new column rewrites the table",
        "add it nullable without the default, backfill it, then set the default",
        POSTGRESQL_AND_FAMILY,
        _default,
    ),
    Rule(
        "RF206",
        "A unique constraint builds its index under a lock",
        "online.create_unique_constraint(…) of ringfence.schema.revisions, alone in its revision",
        on((POSTGRESQL, ERROR), (_CLUSTER, WARNING)),
        _unique,
    ),
    Rule(
        "RF207",
        "A check constraint reads every row under a lock",
        "online.create_check_constraint(…) of ringfence.schema.revisions, and online.validate(…) in a later revision",
        POSTGRESQL_AND_FAMILY,
        _check,
    ),
    Rule(
        "RF208",
        "An index is dropped under a lock",
        "online.drop_index(…) of ringfence.schema.revisions",
        on((POSTGRESQL, WARNING)),
        _drop_index,
    ),
    Rule(
        "RF209",
        "A concurrent index inside a transaction",
        "put it into `with op.get_context().autocommit_block():`, alone in its revision",
        POSTGRESQL_ALONE,
        _in_transaction,
    ),
    Rule(
        "RF210",
        "A primary key is built under a lock",
        "make a unique index concurrently, and ADD PRIMARY KEY USING INDEX",
        POSTGRESQL_AND_FAMILY,
        _primary_key,
    ),
    Rule(
        "RF211",
        "An exclusion constraint is built under a lock",
        "there is no other way: let it be alone in its revision, at a quiet hour",
        on((POSTGRESQL, WARNING)),
        _exclude,
    ),
)
