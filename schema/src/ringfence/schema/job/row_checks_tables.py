"""The tables as the database has them, and what the operations of pending revisions make of them."""

import re
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

from ringfence.schema.job.recovery import writes_rows
from ringfence.schema.sql.text import single_percents

_CONSTANT = re.compile(r"[-+]?\d+(\.\d+)?|'(?:[^'\\]|'')*'|true|false|null", re.IGNORECASE)
"""A default that is the same in every row, and that nothing is changed by when it is asked for."""
_CAST = (sa.Integer, sa.Numeric, sa.String)


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
    tentative: bool = False
    """Whether the query stands in for columns that are to come, and says nothing where the server does not take it."""


@dataclass
class Seen:
    """The tables as the database has them, and what pending revisions make of them."""

    inspector: sa.Inspector
    dialect: sa.Dialect
    engine: str
    added: dict[tuple[str | None, str], dict[str, sa.ColumnElement[Any] | None]] = field(default_factory=dict)
    """table -> column that is to be added -> what rows that are there get; None where the server makes it."""
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

    def new(self, schema: str | None, table: str) -> dict[str, sa.ColumnElement[Any] | None]:
        """The columns that are to be added.

        Args:
            schema: of the table; None for the default.
            table: its name.

        Returns:
            column -> what rows that are there get; None where that is not known.
        """
        return self.added.get((schema, table), {})

    def source(self, schema: str | None, table: str) -> sa.FromClause:
        """The rows of a table, with the columns that are to be added and whose values are known.

        Args:
            schema: of the table; None for the default.
            table: its name.
        """
        plain = sa.table(table, schema=schema)
        come = {name: value for name, value in self.new(schema, table).items() if value is not None}
        if not come:
            return plain
        have: list[sa.ColumnElement[Any]] = [sa.column(one) for one in self.columns(schema, table) or ()]
        have += [value.label(name) for name, value in come.items()]
        return sa.select(*have).select_from(plain).subquery("r")

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
            table = operation.schema, str(operation.table_name)
            seen.added.setdefault(table, {})[str(operation.column.name)] = filled(seen, operation.column)
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


def filled(seen: Seen, column: sa.Column[Any]) -> sa.ColumnElement[Any] | None:
    """What the rows that are there get in a column that is added.

    Args:
        seen: for the dialect.
        column: as the revision adds it.

    Returns:
        NULL or a constant, of the column's type; None where the server makes it, or nothing is known of it.
    """
    default = getattr(column.server_default, "arg", None)
    if column.server_default is None:
        made = column.computed is not None or column.identity is not None or not column.nullable
        value: sa.ColumnElement[Any] | None = None if made else sa.null()
    elif isinstance(default, str):
        value = sa.literal(default, sa.String())
    else:
        text = seen.text(default) if isinstance(default, ClauseElement) else ""
        value = sa.literal_column(text) if _CONSTANT.fullmatch(text) else None
    kind = column.type
    while isinstance(kind, sa.types.TypeDecorator):
        kind = kind.load_dialect_impl(seen.dialect)
    if value is None or not isinstance(kind, _CAST) or isinstance(kind, sa.Enum):
        return value
    return sa.cast(value, kind)
