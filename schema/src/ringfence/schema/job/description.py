"""Describes in words and as SQL what a revision would do, from its recorded operations; nothing is sent."""

import io
import warnings
from dataclasses import dataclass

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import CommandError

from ringfence.schema.alembic_compat import preserved_state
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.recovery import Kind, kind
from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp, UnindexForeignKeyOp
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateEnumOp,
    CreateExcludeOp,
    CreateSequenceOp,
    DropEnumLabelOp,
    DropEnumOp,
    DropSequenceOp,
    ReplaceEnumOp,
)
from ringfence.schema.revisions.recording import RecordedOperation, Recording
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.sql.text import single_percents
from ringfence.schema.text import counted

_SHOWN = 100  # characters of SQL text in a description
_UNPRINTED = (NotImplementedError, sa.exc.SQLAlchemyError, TypeError, ValueError)
_COPIED = (CommandError, UserWarning)  # raised by Alembic for ALTERs that SQLite needs a table copy for


@dataclass(frozen=True)
class RevisionDescription:
    """The description of one pending revision."""

    revision: str
    message: str
    """The author's one-line message."""
    file: str
    """The revision's file, relative to the deployment."""
    operations: tuple[str, ...]
    """Each operation in words."""
    sql: tuple[str, ...]
    """Statements, each with its semicolon; a SQL comment stands for an operation that copies the table or cannot be
    printed.
    """
    retires: tuple[str, ...]
    """Tables, and columns as `table.column`, that the revision removes."""
    touches: frozenset[tuple[str | None, str]]
    """(schema, table) of the tables that it changes."""
    reads_database: bool = False
    """Whether what it does may depend on what it reads from the database."""

    def as_dict(self) -> dict[str, object]:
        """Return the description as a dictionary that can be written as JSON."""
        return {
            "revision": self.revision,
            "message": self.message,
            "file": self.file,
            "operations": list(self.operations),
            "sql": list(self.sql),
            "retires": list(self.retires),
        }


def describe(script: Script, recording: Recording, dialect: sa.Dialect, file: str) -> RevisionDescription:
    """Describe what a revision does on a dialect.

    Args:
        script: the revision.
        recording: what its upgrade calls on this dialect.
        dialect: the server's dialect.
        file: the revision's file, as shown to the user.
    """
    operations = [_words(done.operation) for done in recording.done]
    sql = [line for done in recording.whole for line in _sql(done, dialect)]
    if recording.error is not None:
        note = f"line {recording.line} asks the database, so what follows is only known when it runs"
        operations.append(note)
        sql.append(f"-- {note}")
    found = [_retired(done.operation) for done in recording.done]
    touched = {_table(done.operation) for done in recording.done}
    return RevisionDescription(
        script.revision,
        (script.doc or "").strip(),
        file,
        tuple(operations),
        tuple(sql),
        tuple(dict.fromkeys(filter(None, found))),
        frozenset(item for item in touched if item is not None),
        recording.asked and any(_reads(done.operation) for done in recording.done),
    )


def _reads(op: MigrateOperation) -> bool:
    return isinstance(op, ops.ExecuteSQLOp) and kind(str(op.sqltext), None) is Kind.QUERY


def _table(op: MigrateOperation) -> tuple[str | None, str] | None:
    """Return the table that an operation changes; None for SQL text."""
    name = getattr(op, "table_name", None) or getattr(op, "source_table", None)
    return (getattr(op, "schema", None), str(name)) if name else None


def _retired(op: MigrateOperation) -> str | None:
    match op:
        case ops.DropTableOp():
            return key_of(op.schema, op.table_name)
        case ops.RenameTableOp():
            return key_of(op.schema, op.table_name)
        case ops.DropColumnOp():
            return f"{key_of(op.schema, op.table_name)}.{op.column_name}"
        case ops.AlterColumnOp() if op.modify_name is not None:
            return f"{key_of(op.schema, op.table_name)}.{op.column_name}"
    return None


def _words(op: MigrateOperation) -> str:  # noqa: C901 - one line for each operation
    match op:
        case ops.CreateTableOp():
            return f"make the table {key_of(op.schema, op.table_name)}"
        case ops.DropTableOp():
            return f"drop the table {key_of(op.schema, op.table_name)}"
        case ops.RenameTableOp():
            return f"rename the table {key_of(op.schema, op.table_name)} to {op.new_table_name}"
        case ops.AddColumnOp():
            return f"add the column {key_of(op.schema, op.table_name)}.{op.column.name} ({op.column.type!r})"
        case ops.DropColumnOp():
            return f"drop the column {key_of(op.schema, op.table_name)}.{op.column_name}"
        case ops.AlterColumnOp():
            return f"alter the column {key_of(op.schema, op.table_name)}.{op.column_name}: {_altered(op)}"
        case ops.CreateIndexOp():
            return f"make the index {op.index_name} on {key_of(op.schema, op.table_name)}"
        case ops.DropIndexOp():
            return f"drop the index {op.index_name}"
        case ops.DropConstraintOp():
            return f"drop the constraint {op.constraint_name} of {key_of(op.schema, op.table_name)}"
        case ops.AddConstraintOp():
            table = _table(op) or (None, "?")
            return f"add the constraint {getattr(op, 'constraint_name', None) or '(unnamed)'} to {key_of(*table)}"
        case ops.BulkInsertOp():
            return f"insert {counted(len(op.rows), 'row')} into {op.table.fullname}"
        case ops.ExecuteSQLOp():
            text = " ".join(str(op.sqltext).split())
            return f"run {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
    return _own_words(op)


def _own_words(op: MigrateOperation) -> str:  # noqa: C901 - one line for each operation
    """Describe an operation of `ringfence.schema.revisions.online`."""
    match op:
        case CreateEnumOp():
            return f"make the enum type {key_of(op.schema, op.name)} ({', '.join(op.labels)})"
        case DropEnumOp():
            return f"drop the enum type {key_of(op.schema, op.name)}"
        case DropEnumLabelOp():
            return f"take the label {op.label} out of the enum type {key_of(op.schema, op.name)}"
        case AddEnumLabelOp():
            return f"add the label {op.label} to the enum type {key_of(op.schema, op.name)}"
        case ReplaceEnumOp():
            return f"recreate the enum type {key_of(op.schema, op.name)} ({', '.join(op.labels)})"
        case ChangeLabelsOp():
            return f"change the labels of {key_of(op.schema, op.table_name)}.{op.column_name}"
        case DropSequenceOp():
            return f"drop the sequence {key_of(op.schema, op.name)}"
        case CreateSequenceOp():
            return f"make the sequence {key_of(op.schema, op.name)}"
        case CreateExcludeOp():
            return f"add the EXCLUDE constraint {op.constraint_name} to {key_of(op.schema, op.table_name)}"
        case UnindexForeignKeyOp():
            return f"drop the foreign key {op.name}'s own index on {key_of(op.schema, op.table_name)}"
        case IndexForeignKeyOp():
            return f"give the foreign key {op.name} an index of its own on {key_of(op.schema, op.table_name)}"
    return type(op).__name__


def _altered(op: ops.AlterColumnOp) -> str:
    parts = []
    if op.modify_name is not None:
        parts.append(f"name {op.modify_name}")
    if op.modify_type is not None:
        parts.append(f"type {op.modify_type!r}")
    if op.modify_nullable is not None:
        parts.append("NULL" if op.modify_nullable else "NOT NULL")
    if op.modify_server_default is not False:
        parts.append("another default" if op.modify_server_default is not None else "no default")
    return ", ".join(parts) or "its comment"


def _sql(done: RecordedOperation, dialect: sa.Dialect) -> list[str]:
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect=dialect, opts={"as_sql": True, "output_buffer": buffer, "literal_binds": True}
    )
    try:
        # Ringfence's own operations call `alembic.op`, which therefore needs this context, as in a real run.
        with preserved_state(), Operations.context(context) as operations, warnings.catch_warnings():
            warnings.filterwarnings("error", "Skipping unsupported ALTER", UserWarning)
            operations.invoke(done.operation)
    except JobFailed as error:
        return [f"-- {_words(done.operation)}: {error}"]
    except (*_UNPRINTED, *_COPIED) as error:
        copied = done.batch or isinstance(error, _COPIED)
        where = (
            "in a copy of the table, which takes its place"
            if copied
            else "in words that depend on the server"
        )
        return [f"-- {_words(done.operation)}: {where}"]
    printed = single_percents(buffer.getvalue(), dialect)
    return [line.strip() for line in printed.split("\n\n") if line.strip()]
