"""Builds, for each operation of a revision, the queries for rows that would make it fail."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops

from ringfence.schema.engines.postgresql.online_ddl import validated_constraint
from ringfence.schema.features import MYSQL_FAMILY
from ringfence.schema.job.row_checks_tables import RowCheck, TableChanges, filled
from ringfence.schema.job.row_checks_types import misfits
from ringfence.schema.operations.operations import ChangeLabelsOp, removed_labels
from ringfence.schema.sql.table_keys import referred_column, referred_table, split_key

_LONGEST = 63
"""The maximum length of a name on PostgreSQL, in bytes."""
_ORDER = re.compile(r"\s+(ASC|DESC)?(\s*NULLS\s+(FIRST|LAST))?\s*\Z", re.IGNORECASE)
"""The sort order after an index expression, which GROUP BY does not accept."""
_FILL = "fill them first, by `ringfence backfill` where one is declared (`ringfence backfill --list`)"


def row_checks(seen: TableChanges, operation: MigrateOperation) -> Iterator[RowCheck]:
    """Yield a query for each way in which rows would make an operation fail.

    Args:
        seen: the tables after the operations before it.
        operation: an operation of a revision.
    """
    match operation:
        case ops.AddColumnOp():
            yield from _added(seen, operation)
        case ops.AlterColumnOp():
            if operation.modify_nullable is False:
                yield from _null(seen, operation)
            yield from _retyped(seen, operation)
        case ops.CreatePrimaryKeyOp() | ops.CreateUniqueConstraintOp():
            yield from _constraint(seen, operation)
        case ops.CreateIndexOp() if operation.unique:
            yield from _index(seen, operation)
        case ops.CreateCheckConstraintOp():
            look = _check(seen, operation)
            yield from _or_later(seen, operation.constraint_name, operation.kw, look)
        case ops.CreateForeignKeyOp():
            look = _key(seen, operation)
            yield from _or_later(seen, operation.constraint_name, operation.kw, look)
        case ChangeLabelsOp() if gone := removed_labels(operation):
            yield from _labels(seen, operation, gone)
        case ops.ExecuteSQLOp():
            yield from _validated(seen, str(operation.sqltext))


def _named(schema: str | None, table: str, column: str = "") -> str:
    return ".".join(filter(None, (schema, table, column)))


def _rows(seen: TableChanges, schema: str | None, table: str, condition: Any) -> sa.Select[Any]:
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in seen.keys(schema, table)]
    return sa.select(*columns).select_from(seen.source(schema, table)).where(condition)


def _null(seen: TableChanges, operation: ops.AlterColumnOp) -> Iterator[RowCheck]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None:
        return
    does, holds = f"makes {_named(schema, table, column)} NOT NULL", "hold NULL there"
    if known.get(column):
        condition: sa.ColumnClause[Any] = sa.column(column)
        sure = not operation.kw.get("postgresql_using")  # USING is computed first, and may replace the NULLs
        yield RowCheck(does, holds, _rows(seen, schema, table, condition.is_(None)), _FILL, sure)
    elif isinstance(_bare(seen.new(schema, table).get(column)), sa.Null):
        resolution = (
            "run `ringfence migrate --expand`, which goes up to a contract revision, and fill them by"
            " `ringfence backfill`"
        )
        yield RowCheck(
            does, "will hold NULL in the new column", _rows(seen, schema, table, sa.true()), resolution
        )


def _bare(value: sa.ColumnElement[Any] | None) -> sa.ColumnElement[Any] | None:
    return value.clause if isinstance(value, sa.Cast) else value


def _added(seen: TableChanges, operation: ops.AddColumnOp) -> Iterator[RowCheck]:
    """Check an added column that is NOT NULL without a default, or whose default violates its own foreign key."""
    schema, table, column = operation.schema, str(operation.table_name), operation.column
    if seen.columns(schema, table) is None:
        return
    value = filled(seen, column)
    given = column.server_default is not None or column.computed is not None or column.identity is not None
    if not (
        column.nullable or given or column.primary_key or seen.engine in MYSQL_FAMILY
    ):  # MySQL and MariaDB fill in zero or ''
        yield RowCheck(
            f"adds {_named(schema, table, str(column.name))} NOT NULL without a default",
            "will hold NULL in the new column",
            _rows(seen, schema, table, sa.true()),
            "give it a server default, or add it nullable, fill it by `ringfence backfill`, and set NOT NULL later",
        )
    if value is None or isinstance(_bare(value), sa.Null):
        return
    seen.added.setdefault((schema, table), {})[str(column.name)] = value
    for key in column.foreign_keys:
        other = split_key(referred_table(key))
        look = _orphans(
            seen, (schema, table), [str(column.name)], other, [referred_column(key)], key.name or "(unnamed)"
        )
        yield from [look] if look is not None else []


def _null_in_key(seen: TableChanges, operation: ops.CreatePrimaryKeyOp) -> Iterator[RowCheck]:
    """Check for NULL in the columns of a new primary key, which become NOT NULL."""
    schema, table = operation.schema, str(operation.table_name)
    known = seen.columns(schema, table) or {}
    empty = [sa.column(str(one)).is_(None) for one in operation.columns if known.get(str(one))]
    if empty:
        does = f"makes {', '.join(map(str, operation.columns))} the primary key of {_named(schema, table)}"
        yield RowCheck(does, "hold NULL there", _rows(seen, schema, table, sa.or_(*empty)), _FILL)


def _retyped(seen: TableChanges, operation: ops.AlterColumnOp) -> Iterator[RowCheck]:
    """Check for values that the new type of a column cannot hold."""
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    new = operation.modify_type
    if (
        new is None
        or operation.kw.get("postgresql_using")
        or column not in (seen.columns(schema, table) or {})
    ):
        return
    old = next(one["type"] for one in seen.inspector.get_columns(table, schema) if one["name"] == column)
    found = misfits(sa.column(column), old, new, seen.engine, seen.dialect)
    if found is not None:
        condition, holds = found
        does = f"makes {_named(schema, table, column)} {seen.typed(new)}"
        yield RowCheck(does, holds, _rows(seen, schema, table, condition), "give them a value that it takes")


def _constraint(
    seen: TableChanges, operation: ops.CreatePrimaryKeyOp | ops.CreateUniqueConstraintOp
) -> Iterator[RowCheck]:
    if isinstance(operation, ops.CreatePrimaryKeyOp):
        yield from _null_in_key(seen, operation)
    yield from _duplicates(
        seen,
        operation.schema,
        str(operation.table_name),
        list(operation.columns),
        f"the constraint {operation.constraint_name or '(unnamed)'}",
        distinct=not operation.kw.get(f"{seen.dialect.name}_nulls_not_distinct"),
    )


def _index(seen: TableChanges, operation: ops.CreateIndexOp) -> Iterator[RowCheck]:
    name = seen.dialect.name
    where = operation.kw.get(f"{name}_where")
    lengths = operation.kw.get(f"{name}_length") or {}
    columns: list[Any] = list(operation.columns)
    if lengths:  # a prefix index requires unique prefixes
        of = lengths if isinstance(lengths, Mapping) else dict.fromkeys(map(str, columns), lengths)
        known = seen.columns(operation.schema, str(operation.table_name)) or {}
        if not {str(one) for one in columns} <= known.keys():
            return
        columns = [
            sa.func.left(sa.column(str(one)), of[str(one)]) if of.get(str(one)) else one for one in columns
        ]
    yield from _duplicates(
        seen,
        operation.schema,
        str(operation.table_name),
        columns,
        f"the index {operation.index_name or '(unnamed)'}",
        None if where is None else seen.text(where),
        distinct=not operation.kw.get(f"{name}_nulls_not_distinct"),
    )


def _duplicates(
    seen: TableChanges,
    schema: str | None,
    table: str,
    columns: list[Any],
    what: str,
    where: str | None = None,
    *,
    distinct: bool = True,
) -> Iterator[RowCheck]:
    """Check for values in several rows; NULLs count as distinct unless the constraint says otherwise."""
    known = seen.columns(schema, table)
    names = {one for one in columns if isinstance(one, str)}
    come = {name for name, value in seen.new(schema, table).items() if value is not None}
    if known is None or not columns or not names <= known.keys() | come:
        return
    parts: list[sa.ColumnElement[Any]] = [
        sa.column(one) if isinstance(one, str) else sa.literal_column(f"({_ORDER.sub('', seen.text(one))})")
        for one in columns
    ]
    rows = sa.select(*parts).select_from(seen.source(schema, table)).group_by(*parts)
    rows = rows.having(sa.func.count() > sa.literal_column("1"))
    if distinct:
        rows = rows.where(*(one.is_not(None) for one in parts))
    if where is not None:
        rows = rows.where(sa.literal_column(f"({where})"))
    yield RowCheck(
        f"makes {what} on {_named(schema, table)} unique",
        "occur in several rows",
        rows,
        "give all but one row of each another value, or take these rows out",
        counts="value",
        tentative=bool(come),
    )


def _check(seen: TableChanges, operation: ops.CreateCheckConstraintOp) -> RowCheck | None:
    schema, table = operation.schema, str(operation.table_name)
    condition = operation.condition
    if (schema, table) in seen.renamed or seen.columns(schema, table) is None:
        return None
    name = str(operation.constraint_name or "(unnamed)")
    text = seen.text(condition)
    unknown = [column for column, value in seen.new(schema, table).items() if value is None]
    if any(re.search(rf"\b{re.escape(column)}\b", text, re.IGNORECASE) for column in unknown):
        return None
    if name.startswith(f"nn_{table}_"[:_LONGEST]) and text.upper().endswith(" IS NOT NULL"):
        return None  # a step of `online.set_not_null`, whose column is checked separately
    return _breaks(seen, schema, table, name, text)


def _breaks(seen: TableChanges, schema: str | None, table: str, name: object, text: str) -> RowCheck:
    return RowCheck(
        f"checks {name} on {_named(schema, table)}",
        f"break it ({' '.join(text.split())})",
        _rows(seen, schema, table, sa.literal_column(f"NOT ({text})")),
        "give them a value that it takes",
        tentative=bool(seen.new(schema, table)),
    )


def _key(seen: TableChanges, operation: ops.CreateForeignKeyOp) -> RowCheck | None:
    schema, table = operation.kw.get("source_schema"), str(operation.source_table)
    other = operation.kw.get("referent_schema"), str(operation.referent_table)
    return _orphans(
        seen,
        (schema, table),
        list(operation.local_cols),
        other,
        list(operation.remote_cols),
        operation.constraint_name or "(unnamed)",
        full=str(operation.kw.get("match")).upper() == "FULL",
    )


def _orphans(
    seen: TableChanges,
    place: tuple[str | None, str],
    local: list[str],
    other: tuple[str | None, str],
    remote: list[str],
    name: object,
    *,
    full: bool = False,
) -> RowCheck | None:
    """Check for rows without a referenced row; MATCH FULL also rejects rows that are NULL in only some columns."""
    known = seen.columns(*place)
    come = {name for name, value in seen.new(*place).items() if value is not None}
    if known is None or not set(local) <= known.keys() | come:
        return None
    schema, table = place
    if come & set(local):
        child = seen.source(schema, table).alias("a")
    else:
        child = sa.table(table, *map(sa.column, known), schema=schema).alias("a")
    condition = sa.and_(*(child.c[one].is_not(None) for one in local))
    parents = seen.columns(*other)
    if parents is None or not set(remote) <= parents.keys():
        if other not in seen.made:
            return None  # renamed, or new and filled by the server: its values are unknown
    else:
        parent = sa.table(other[1], *map(sa.column, remote), schema=other[0]).alias("b")
        pairs = zip(local, remote, strict=True)
        same = sa.and_(*(parent.c[there] == child.c[here] for here, there in pairs))
        condition &= ~sa.exists(sa.select(sa.literal_column("1")).select_from(parent).where(same))
    if full:
        empty = [child.c[one].is_(None) for one in local]
        condition |= sa.and_(sa.or_(*empty), ~sa.and_(*empty))
    rows = sa.select(*(child.c[one] for one in seen.keys(*place))).where(condition)
    return RowCheck(
        f"makes the foreign key {name} of {_named(*place)}",
        f"refer to no row of {_named(*other)}",
        rows,
        "correct or delete them",
        tentative=bool(come & set(local)),
    )


def _or_later(seen: TableChanges, name: object, options: Any, look: RowCheck | None) -> Iterator[RowCheck]:
    """Yield the check; for a constraint added NOT VALID on PostgreSQL, keep it until the constraint is validated."""
    if look is None:
        return
    if options.get(f"{seen.dialect.name}_not_valid"):
        seen.later[str(name)] = look
    else:
        yield look


def _validated(seen: TableChanges, statement: str) -> Iterator[RowCheck]:
    """Check the rows for a constraint that is validated, whether from a pending revision or from the database."""
    names = validated_constraint(statement)
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


def _labels(seen: TableChanges, operation: ChangeLabelsOp, gone: list[str]) -> Iterator[RowCheck]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None or column not in known:
        return
    cell = sa.cast(sa.column(column, sa.String()), sa.String(255))
    held = ", ".join(map(repr, gone))
    yield RowCheck(
        f"takes labels from {_named(schema, table, column)}",
        f"hold {held}",
        _rows(seen, schema, table, cell.in_(gone)),
        "give them another value first",
    )
