"""What each operation of a revision asks of the rows, and what it changes for the operations after it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.sql import ClauseElement

from ringfence.schema.arranged_ops import ChangeLabelsOp, labels_gone
from ringfence.schema.backends.online_looks import validated
from ringfence.schema.migrate.there import writes_rows
from ringfence.schema.sql_text import single_percents

_LONGEST = 63
"""Bytes of a name on PostgreSQL."""
_ORDER = re.compile(r"\s+(ASC|DESC)?(\s*NULLS\s+(FIRST|LAST))?\s*\Z", re.IGNORECASE)
"""How an index sorts an expression, which is nothing to group by."""
_FILL = "fill them first, by `ringfence backfill` where one is declared (`ringfence backfill --list`)"


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


def looks(seen: Seen, operation: MigrateOperation) -> Iterator[Look]:
    """What an operation would fail over, each as a query for the rows.

    Args:
        seen: what the operations before it made of the tables.
        operation: of a revision.
    """
    match operation:
        case ops.AlterColumnOp() if operation.modify_nullable is False:
            yield from _null(seen, operation)
        case ops.CreatePrimaryKeyOp() | ops.CreateUniqueConstraintOp():
            name = operation.constraint_name or "(unnamed)"
            table = str(operation.table_name)
            yield from _twice(
                seen,
                operation.schema,
                table,
                list(operation.columns),
                f"the constraint {name}",
                distinct=not operation.kw.get(f"{seen.dialect.name}_nulls_not_distinct"),
            )
        case ops.CreateIndexOp() if operation.unique:
            yield from _index(seen, operation)
        case ops.CreateCheckConstraintOp():
            look = _check(seen, operation)
            yield from _or_later(seen, operation.constraint_name, operation.kw, look)
        case ops.CreateForeignKeyOp():
            look = _key(seen, operation)
            yield from _or_later(seen, operation.constraint_name, operation.kw, look)
        case ChangeLabelsOp() if gone := labels_gone(operation):
            yield from _labels(seen, operation, gone)
        case ops.ExecuteSQLOp():
            yield from _validated(seen, str(operation.sqltext))


def _named(schema: str | None, table: str, column: str = "") -> str:
    return ".".join(filter(None, (schema, table, column)))


def _rows(seen: Seen, schema: str | None, table: str, condition: Any) -> sa.Select[Any]:
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in seen.keys(schema, table)]
    return sa.select(*columns).select_from(sa.table(table, schema=schema)).where(condition)


def _null(seen: Seen, operation: ops.AlterColumnOp) -> Iterator[Look]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None:
        return
    does, holds = f"makes {_named(schema, table, column)} NOT NULL", "hold NULL there"
    if known.get(column):
        condition: sa.ColumnClause[Any] = sa.column(column)
        sure = not operation.kw.get("postgresql_using")  # which is computed first, and may fill them
        yield Look(does, holds, _rows(seen, schema, table, condition.is_(None)), _FILL, sure)
    elif seen.added.get((schema, table), {}).get(column) is False:
        way_out = "run `ringfence migrate --expand`, which goes up to a contract, and fill them by `ringfence backfill`"
        yield Look(does, "will hold NULL in the new column", _rows(seen, schema, table, sa.true()), way_out)


def _index(seen: Seen, operation: ops.CreateIndexOp) -> Iterator[Look]:
    name = seen.dialect.name
    where = operation.kw.get(f"{name}_where")
    lengths = operation.kw.get(f"{name}_length") or {}
    if lengths:  # a prefix of a value is what must not stand twice
        return
    yield from _twice(
        seen,
        operation.schema,
        str(operation.table_name),
        list(operation.columns),
        f"the index {operation.index_name or '(unnamed)'}",
        None if where is None else seen.text(where),
        distinct=not operation.kw.get(f"{name}_nulls_not_distinct"),
    )


def _twice(
    seen: Seen,
    schema: str | None,
    table: str,
    columns: list[Any],
    what: str,
    where: str | None = None,
    *,
    distinct: bool = True,
) -> Iterator[Look]:
    """Values that stand in several rows; NULL is like no other, unless said so."""
    known = seen.columns(schema, table)
    names = {one for one in columns if isinstance(one, str)}
    if known is None or not columns or not names <= known.keys():
        return
    parts: list[sa.ColumnElement[Any]] = [
        sa.column(one) if isinstance(one, str) else sa.literal_column(f"({_ORDER.sub('', seen.text(one))})")
        for one in columns
    ]
    rows = sa.select(*parts).select_from(sa.table(table, schema=schema)).group_by(*parts)
    rows = rows.having(sa.func.count() > sa.literal_column("1"))
    if distinct:
        rows = rows.where(*(one.is_not(None) for one in parts))
    if where is not None:
        rows = rows.where(sa.literal_column(f"({where})"))
    yield Look(
        f"makes {what} on {_named(schema, table)} unique",
        "stand in several rows",
        rows,
        "give all but one row of each another value, or take these rows out",
        counts="value",
    )


def _check(seen: Seen, operation: ops.CreateCheckConstraintOp) -> Look | None:
    schema, table = operation.schema, str(operation.table_name)
    condition = operation.condition
    new = seen.added.get((schema, table)) or (schema, table) in seen.renamed
    if new or seen.columns(schema, table) is None:
        return None
    name = str(operation.constraint_name or "(unnamed)")
    text = seen.text(condition)
    if name.startswith(f"nn_{table}_"[:_LONGEST]) and text.upper().endswith(" IS NOT NULL"):
        return None  # a step of `online.set_not_null`, whose column is looked at by itself
    return _breaks(seen, schema, table, name, text)


def _breaks(seen: Seen, schema: str | None, table: str, name: object, text: str) -> Look:
    return Look(
        f"checks {name} on {_named(schema, table)}",
        f"break it ({' '.join(text.split())})",
        _rows(seen, schema, table, sa.literal_column(f"NOT ({text})")),
        "give them a value that it takes",
    )


def _key(seen: Seen, operation: ops.CreateForeignKeyOp) -> Look | None:
    schema, table = operation.kw.get("source_schema"), str(operation.source_table)
    other = operation.kw.get("referent_schema"), str(operation.referent_table)
    return _orphans(
        seen,
        (schema, table),
        list(operation.local_cols),
        other,
        list(operation.remote_cols),
        operation.constraint_name or "(unnamed)",
    )


def _orphans(
    seen: Seen,
    place: tuple[str | None, str],
    local: list[str],
    other: tuple[str | None, str],
    remote: list[str],
    name: object,
) -> Look | None:
    known = seen.columns(*place)
    if known is None or not set(local) <= known.keys():
        return None
    schema, table = place
    child = sa.table(table, *map(sa.column, known), schema=schema).alias("a")
    condition = sa.and_(*(child.c[one].is_not(None) for one in local))
    parents = seen.columns(*other)
    if parents is None or not set(remote) <= parents.keys():
        if other not in seen.made:
            return None  # a table or column that is renamed, or new and filled by the server: nothing is known of it
    else:
        parent = sa.table(other[1], *map(sa.column, remote), schema=other[0]).alias("b")
        pairs = zip(local, remote, strict=True)
        same = sa.and_(*(parent.c[there] == child.c[here] for here, there in pairs))
        condition &= ~sa.exists(sa.select(sa.literal_column("1")).select_from(parent).where(same))
    rows = sa.select(*(child.c[one] for one in seen.keys(*place))).where(condition)
    return Look(
        f"makes the foreign key {name} of {_named(*place)}",
        f"refer to no row of {_named(*other)}",
        rows,
        "mend them, or take them out",
    )


def _or_later(seen: Seen, name: object, options: Any, look: Look | None) -> Iterator[Look]:
    """On PostgreSQL one may bind new rows alone: then its `validate` fails over the old ones."""
    if look is None:
        return
    if options.get(f"{seen.dialect.name}_not_valid"):
        seen.later[str(name)] = look
    else:
        yield look


def _validated(seen: Seen, statement: str) -> Iterator[Look]:
    """A constraint that is validated: one of a pending revision, or one that the database has."""
    names = validated(statement)
    if names is None:
        return
    schema, table, name = names
    if name in seen.later:
        yield seen.later.pop(name)
    elif seen.columns(schema, table) is not None:
        for check in seen.inspector.get_check_constraints(table, schema):
            if check["name"] == name:
                yield _breaks(seen, schema, table, name, check["sqltext"])
        for key in seen.inspector.get_foreign_keys(table, schema):
            if key["name"] == name:
                other = key["referred_schema"], key["referred_table"]
                look = _orphans(
                    seen,
                    (schema, table),
                    key["constrained_columns"],
                    other,
                    key["referred_columns"],
                    name,
                )
                yield from [look] if look is not None else []


def _labels(seen: Seen, operation: ChangeLabelsOp, gone: list[str]) -> Iterator[Look]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None or column not in known:
        return
    cell = sa.cast(sa.column(column, sa.String()), sa.String(255))
    held = ", ".join(map(repr, gone))
    yield Look(
        f"takes labels from {_named(schema, table, column)}",
        f"hold {held}",
        _rows(seen, schema, table, cell.in_(gone)),
        "give them another value first",
    )
