"""The tables as the database has them, and what the operations of pending revisions make of them."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

from ringfence.schema.migrate.there import writes_rows
from ringfence.schema.sql_text import single_percents


@dataclass(frozen=True)
class Look:
    """One question to the rows."""

    does: str
    holds: str
    rows: sa.Select[Any]
    way_out: str
    sure: bool = True
    """Whether the operation itself leaves these rows as they are until it fails over them."""
    counts: str = "row"
    """What `rows` gives: rows, or values."""


@dataclass
class Seen:
    """The tables as the database has them, and what pending revisions make of them."""

    inspector: sa.Inspector
    dialect: sa.Dialect
    engine: str
    added: dict[tuple[str | None, str], dict[str, bool]] = field(default_factory=dict)
    """table -> column that is to be added -> whether rows that are there get a value."""
    other: set[tuple[str | None, str]] = field(default_factory=set)
    """Tables that are made, dropped or renamed: what stands under their name now is something else."""
    made: set[tuple[str | None, str]] = field(default_factory=set)
    """Those of them that are made, and so have no rows but those that a statement writes."""
    dropped: dict[tuple[str | None, str], set[str]] = field(default_factory=dict)
    """table -> columns that are dropped: one that is added under such a name is another."""
    renamed: set[tuple[str | None, str]] = field(default_factory=set)
    """Tables with columns that are renamed: a condition may name what the database does not have yet."""
    later: dict[str, Look] = field(default_factory=dict)
    """Constraints that bind new rows alone until they are validated."""
    written: bool = False
    """Whether a statement that may write rows runs before."""

    def columns(self, schema: str | None, table: str) -> dict[str, bool] | None:
        """The columns of a table as the database has it.

        Args:
            schema: of the table; None for the default.
            table: its name.

        Returns:
            column -> whether it may be NULL; None for a table that does not exist, or is not the one that is meant.
        """
        if (schema, table) in self.other or not self.inspector.has_table(table, schema):
            return None
        gone = self.dropped.get((schema, table), set())
        columns = self.inspector.get_columns(table, schema)
        return {one["name"]: bool(one["nullable"]) for one in columns if one["name"] not in gone}

    def keys(self, schema: str | None, table: str) -> list[str]:
        """The columns that identify a row.

        Args:
            schema: of the table; None for the default.
            table: its name.

        Returns:
            Those of the primary key; all columns where there is none.
        """
        key = self.inspector.get_pk_constraint(table, schema)["constrained_columns"]
        return list(key) or [str(one["name"]) for one in self.inspector.get_columns(table, schema)]

    def text(self, element: ClauseElement | str) -> str:
        """A condition or an expression as SQL of the dialect.

        Args:
            element: as the revision gives it; a text is taken as it is.
        """
        if isinstance(element, str):
            return element
        words = {"literal_binds": True, "include_table": False}
        return single_percents(str(element.compile(dialect=self.dialect, compile_kwargs=words)), self.dialect)

    def typed(self, kind: TypeEngine[Any]) -> str:
        """A type as SQL of the dialect.

        Args:
            kind: as the revision gives it.
        """
        return str(kind.compile(dialect=self.dialect))


def note(seen: Seen, operation: MigrateOperation) -> None:
    """Take down what an operation changes for those after it.

    Args:
        seen: what the operations before it made of the tables; it is changed.
        operation: of a revision.
    """
    match operation:
        case ops.CreateTableOp():
            seen.other.add((operation.schema, str(operation.table_name)))
            seen.made.add((operation.schema, str(operation.table_name)))
        case ops.DropTableOp():
            seen.other.add((operation.schema, str(operation.table_name)))
            seen.made.discard((operation.schema, str(operation.table_name)))
        case ops.RenameTableOp():
            both = {
                (operation.schema, str(operation.table_name)),
                (operation.schema, operation.new_table_name),
            }
            seen.other |= both
            seen.made -= both
        case ops.AddColumnOp():
            column = operation.column
            filled = column.server_default is not None or column.computed is not None or not column.nullable
            table = operation.schema, str(operation.table_name)
            seen.added.setdefault(table, {})[str(column.name)] = filled or column.identity is not None
        case ops.DropColumnOp():
            table = operation.schema, str(operation.table_name)
            seen.dropped.setdefault(table, set()).add(str(operation.column_name))
            seen.added.get(table, {}).pop(str(operation.column_name), None)
        case ops.AlterColumnOp() if operation.modify_name is not None or operation.modify_type is not None:
            seen.written = True  # a new type may make NULL of a value, and the name is another's from now on
            if operation.modify_name is not None:
                seen.renamed.add((operation.schema, str(operation.table_name)))
        case ops.BulkInsertOp():
            seen.written = True
        case ops.ExecuteSQLOp():
            element = operation.sqltext
            seen.written = seen.written or writes_rows(str(element), element)
