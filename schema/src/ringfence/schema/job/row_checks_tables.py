"""The tables in the database, and how the operations of pending revisions change them."""

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
"""A default that is the same in every row and whose evaluation has no side effect."""
_CAST = (sa.Integer, sa.Numeric, sa.String)


@dataclass(frozen=True)
class RowCheck:
    """A query for rows that would make an operation fail."""

    does: str
    """What the operation does, such as `makes customer.nick NOT NULL`."""
    holds: str
    """What is wrong with the rows, such as `hold NULL there`."""
    rows: sa.Select[Any]
    resolution: str
    """How to resolve it."""
    certain: bool = True
    """Whether the operation itself leaves these rows unchanged until it fails."""
    counts: str = "row"
    """What `rows` selects: `row` or `value`."""
    tentative: bool = False
    """Whether the query simulates columns that do not exist yet; an error of the server then means that nothing is
    known.
    """


@dataclass
class TableChanges:
    """The tables in the database, and the changes that earlier operations of pending revisions make to them."""

    inspector: sa.Inspector
    dialect: sa.Dialect
    engine: str
    added: dict[tuple[str | None, str], dict[str, sa.ColumnElement[Any] | None]] = field(default_factory=dict)
    """(schema, table) -> added column -> its value in existing rows; None if the server computes it."""
    other: set[tuple[str | None, str]] = field(default_factory=set)
    """Tables that are created, dropped or renamed: the table that has this name now is a different one."""
    made: set[tuple[str | None, str]] = field(default_factory=set)
    """Those of them that are created, and have only rows that a statement of a revision writes."""
    dropped: dict[tuple[str | None, str], set[str]] = field(default_factory=dict)
    """(schema, table) -> dropped columns; a column added later with such a name is a different one."""
    renamed: set[tuple[str | None, str]] = field(default_factory=set)
    """Tables with renamed columns: a condition may use a name that the database does not have yet."""
    later: dict[str, RowCheck] = field(default_factory=dict)
    """Constraint name -> the check to make when the constraint is validated; until then it applies to new rows only."""
    written: bool = False
    """Whether an earlier statement may write rows."""

    def columns(self, schema: str | None, table: str) -> dict[str, bool] | None:
        """Return the columns of a table in the database.

        Args:
            schema: the table's schema; None for the default.
            table: its name.

        Returns:
            column -> whether it is nullable; None if the table does not exist, or the name stands for a different
            table.
        """
        if (schema, table) in self.other or not self.inspector.has_table(table, schema):
            return None
        gone = self.dropped.get((schema, table), set())
        columns = self.inspector.get_columns(table, schema)
        return {one["name"]: bool(one["nullable"]) for one in columns if one["name"] not in gone}

    def new(self, schema: str | None, table: str) -> dict[str, sa.ColumnElement[Any] | None]:
        """Return the columns that earlier operations add to a table.

        Args:
            schema: the table's schema; None for the default.
            table: its name.

        Returns:
            column -> its value in existing rows; None if it is unknown.
        """
        return self.added.get((schema, table), {})

    def source(self, schema: str | None, table: str) -> sa.FromClause:
        """Return the rows of a table, including added columns whose values are known.

        Args:
            schema: the table's schema; None for the default.
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
        """Return the columns that identify a row: those of the primary key, or all columns if it has none.

        Args:
            schema: the table's schema; None for the default.
            table: its name.
        """
        key = self.inspector.get_pk_constraint(table, schema)["constrained_columns"]
        return list(key) or [str(one["name"]) for one in self.inspector.get_columns(table, schema)]

    def text(self, element: ClauseElement | str) -> str:
        """Return a condition or an expression as SQL of the dialect; text is returned unchanged."""
        if isinstance(element, str):
            return element
        words = {"literal_binds": True, "include_table": False}
        return single_percents(str(element.compile(dialect=self.dialect, compile_kwargs=words)), self.dialect)

    def typed(self, kind: TypeEngine[Any]) -> str:
        """Return a type as SQL of the dialect."""
        return str(kind.compile(dialect=self.dialect))


def apply(seen: TableChanges, operation: MigrateOperation) -> None:
    """Record what an operation changes for those after it.

    Args:
        seen: the tables after the operations before it; it is changed.
        operation: an operation of a revision.
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
            seen.written = True  # a conversion may yield NULL, and the old name no longer means this column
            if operation.modify_name is not None:
                seen.renamed.add((operation.schema, str(operation.table_name)))
        case ops.BulkInsertOp():
            seen.written = True
        case ops.ExecuteSQLOp():
            element = operation.sqltext
            seen.written = seen.written or writes_rows(str(element), element)


def filled(seen: TableChanges, column: sa.Column[Any]) -> sa.ColumnElement[Any] | None:
    """Return the value of an added column in existing rows.

    Args:
        seen: provides the dialect.
        column: the column as the revision adds it.

    Returns:
        NULL or a constant, of the column's type; None if the server computes the value, or it is unknown.
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
