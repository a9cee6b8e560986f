"""Rows that a pending revision cannot be run over: NULL, values that stand twice, and what breaks a CHECK or a key."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.sql import ClauseElement

from ringfence.schema.arranged_ops import ChangeLabelsOp, labels_gone
from ringfence.schema.backends import Backend, first_line
from ringfence.schema.backends.bounded import bounded
from ringfence.schema.backends.online_looks import validated
from ringfence.schema.counting import counted
from ringfence.schema.migrate.foresight import pasted
from ringfence.schema.migrate.lint.recorder import record
from ringfence.schema.migrate.pending import Pending
from ringfence.schema.migrate.there import writes_rows
from ringfence.schema.sql_text import single_percents

_MOST = 1000
"""Rows that are counted."""
_SHOWN = 5
"""Rows that the query in a message gives."""
_PATIENCE = 5.0
"""Seconds for each query."""
_LONGEST = 63
"""Bytes of a name on PostgreSQL."""
_FILL = "fill them first, by `ringfence backfill` where one is declared (`ringfence backfill --list`)"


@dataclass(frozen=True)
class Unfit:
    """Rows that one operation of a pending revision would fail over."""

    revision: str
    does: str
    """What the operation does, as `makes customer.nick NOT NULL`."""
    rows: int | None
    """How many there are, 1,000 at most are counted; None where the server did not say in time."""
    more: bool
    """Whether there are more than that."""
    holds: str
    way_out: str
    query: str
    """Shows some of them."""
    sure: bool
    """Whether nothing that runs before it can change these rows."""

    def as_dict(self) -> dict[str, object]:
        """For a JSON document."""
        return asdict(self)

    def __str__(self) -> str:
        told = f"revision {self.revision} {self.does}, "
        if self.rows is None:
            return (
                f"{told}and whether rows stand against it could not be told: {self.holds}; see: {self.query}"
            )
        count = f"more than {self.rows:,} rows" if self.more else counted(self.rows, "row")
        before = "" if self.sure else " unless a statement that runs before it changes them"
        return f"{told}and {count} {self.holds}{before}: {self.way_out}; see them by: {self.query}"


@dataclass(frozen=True)
class _Look:
    """One question to the rows."""

    does: str
    holds: str
    rows: sa.Select[Any]
    way_out: str


@dataclass
class _Seen:
    """The tables as the database has them, and what pending revisions make of them."""

    inspector: sa.Inspector
    dialect: sa.Dialect
    added: dict[tuple[str | None, str], dict[str, bool]] = field(default_factory=dict)
    """table -> column that is to be added -> whether rows that are there get a value."""
    other: set[tuple[str | None, str]] = field(default_factory=set)
    """Tables that are made, dropped or renamed: what stands under their name now is something else."""
    later: dict[str, _Look] = field(default_factory=dict)
    """Constraints that bind new rows alone until they are validated."""
    written: bool = False
    """Whether a statement that may write rows runs before."""

    def columns(self, schema: str | None, table: str) -> dict[str, bool] | None:
        """column -> whether it may be NULL; None for a table that is not there, or is not the one that is meant."""
        if (schema, table) in self.other or not self.inspector.has_table(table, schema):
            return None
        return {one["name"]: bool(one["nullable"]) for one in self.inspector.get_columns(table, schema)}

    def keys(self, schema: str | None, table: str) -> list[str]:
        """The columns of the primary key, or all."""
        key = self.inspector.get_pk_constraint(table, schema)["constrained_columns"]
        return list(key) or [one["name"] for one in self.inspector.get_columns(table, schema)]

    def text(self, element: ClauseElement | str) -> str:
        """A condition or an expression in the dialect's words."""
        if isinstance(element, str):
            return element
        words = {"literal_binds": True, "include_table": False}
        return single_percents(str(element.compile(dialect=self.dialect, compile_kwargs=words)), self.dialect)


def unfit(backend: Backend, pending: Pending) -> list[Unfit]:
    """Ask the rows, as they are, what the pending revisions would fail over; nothing is changed.

    Args:
        backend: the database.
        pending: the revisions that are to run.
    """
    if not pending.revisions:
        return []
    engine = backend.engine()
    found = []
    with engine.connect() as connection:
        seen = _Seen(sa.inspect(connection), connection.dialect)
        for revision in pending.revisions:
            recording = record(
                pending.scripts, pending.scripts.get_revision(revision), "upgrade", seen.dialect.name
            )
            for done in recording.whole:
                for look in _looks(seen, done.operation):
                    one = _ask(engine, seen, revision, look)
                    found += [one] if one is not None else []
                _note(seen, done.operation)
            if recording.error is not None:  # what follows is only known when it runs
                break
    return found


def _ask(engine: sa.Engine, seen: _Seen, revision: str, look: _Look) -> Unfit | None:
    some = look.rows.limit(_MOST + 1).subquery()
    query = pasted(look.rows.limit(_SHOWN), seen.dialect)
    try:
        with bounded(engine, _PATIENCE) as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    except sa.exc.DBAPIError as error:
        return Unfit(revision, look.does, None, False, first_line(error), look.way_out, query, False)
    if not count:
        return None
    sure = not seen.written
    return Unfit(revision, look.does, min(count, _MOST), count > _MOST, look.holds, look.way_out, query, sure)


def _note(seen: _Seen, operation: MigrateOperation) -> None:
    """What an operation changes for those after it."""
    match operation:
        case ops.CreateTableOp() | ops.DropTableOp():
            seen.other.add((operation.schema, str(operation.table_name)))
        case ops.RenameTableOp():
            seen.other |= {
                (operation.schema, str(operation.table_name)),
                (operation.schema, operation.new_table_name),
            }
        case ops.AddColumnOp():
            column = operation.column
            filled = column.server_default is not None or column.computed is not None or not column.nullable
            place = operation.schema, str(operation.table_name)
            seen.added.setdefault(place, {})[str(column.name)] = filled or column.identity is not None
        case ops.AlterColumnOp() if operation.modify_name is not None or operation.modify_type is not None:
            seen.written = True  # a new type may make NULL of a value, and the name is another's from now on
        case ops.BulkInsertOp():
            seen.written = True
        case ops.ExecuteSQLOp():
            element = operation.sqltext
            seen.written = seen.written or writes_rows(str(element), element)


def _looks(seen: _Seen, operation: MigrateOperation) -> Iterator[_Look]:
    match operation:
        case ops.AlterColumnOp() if operation.modify_nullable is False:
            yield from _null(seen, operation)
        case ops.CreatePrimaryKeyOp() | ops.CreateUniqueConstraintOp():
            name = operation.constraint_name or "(unnamed)"
            table = str(operation.table_name)
            yield from _twice(
                seen, operation.schema, table, list(operation.columns), f"the constraint {name}"
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


def _rows(seen: _Seen, schema: str | None, table: str, condition: Any) -> sa.Select[Any]:
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in seen.keys(schema, table)]
    return sa.select(*columns).select_from(sa.table(table, schema=schema)).where(condition)


def _null(seen: _Seen, operation: ops.AlterColumnOp) -> Iterator[_Look]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None:
        return
    does, holds = f"makes {_named(schema, table, column)} NOT NULL", "hold NULL there"
    if known.get(column):
        condition: sa.ColumnClause[Any] = sa.column(column)
        yield _Look(does, holds, _rows(seen, schema, table, condition.is_(None)), _FILL)
    elif seen.added.get((schema, table), {}).get(column) is False:
        way_out = "run `ringfence migrate --expand`, which goes up to a contract, and fill them by `ringfence backfill`"
        yield _Look(does, "will hold NULL in the new column", _rows(seen, schema, table, sa.true()), way_out)


def _index(seen: _Seen, operation: ops.CreateIndexOp) -> Iterator[_Look]:
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
    seen: _Seen,
    schema: str | None,
    table: str,
    columns: list[Any],
    what: str,
    where: str | None = None,
    *,
    distinct: bool = True,
) -> Iterator[_Look]:
    """Values that stand in several rows; NULL is like no other, unless said so."""
    known = seen.columns(schema, table)
    names = {one for one in columns if isinstance(one, str)}
    if known is None or not columns or not names <= known.keys():
        return
    parts: list[sa.ColumnElement[Any]] = [
        sa.column(one) if isinstance(one, str) else sa.literal_column(f"({seen.text(one)})")
        for one in columns
    ]
    rows = sa.select(*parts).select_from(sa.table(table, schema=schema)).group_by(*parts)
    rows = rows.having(sa.func.count() > sa.literal_column("1"))
    if distinct:
        rows = rows.where(*(one.is_not(None) for one in parts))
    if where is not None:
        rows = rows.where(sa.literal_column(f"({where})"))
    yield _Look(
        f"makes {what} on {_named(schema, table)} unique",
        "would be of values that stand in several rows",
        rows,
        "give all but one of each another value, or take them out",
    )


def _check(seen: _Seen, operation: ops.CreateCheckConstraintOp) -> _Look | None:
    schema, table = operation.schema, str(operation.table_name)
    condition = operation.condition
    if seen.columns(schema, table) is None or seen.added.get((schema, table)):
        return None
    name = str(operation.constraint_name or "(unnamed)")
    text = seen.text(condition)
    if name.startswith(f"nn_{table}_"[:_LONGEST]) and text.upper().endswith(" IS NOT NULL"):
        return None  # a step of `online.set_not_null`, whose column is looked at by itself
    return _breaks(seen, schema, table, name, text)


def _breaks(seen: _Seen, schema: str | None, table: str, name: object, text: str) -> _Look:
    return _Look(
        f"checks {name} on {_named(schema, table)}",
        f"break it ({' '.join(text.split())})",
        _rows(seen, schema, table, sa.literal_column(f"NOT ({text})")),
        "give them a value that it takes",
    )


def _key(seen: _Seen, operation: ops.CreateForeignKeyOp) -> _Look | None:
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
    seen: _Seen,
    place: tuple[str | None, str],
    local: list[str],
    other: tuple[str | None, str],
    remote: list[str],
    name: object,
) -> _Look | None:
    known = seen.columns(*place)
    if known is None or not set(local) <= known.keys():
        return None
    schema, table = place
    child = sa.table(table, *map(sa.column, known), schema=schema).alias("a")
    condition = sa.and_(*(child.c[one].is_not(None) for one in local))
    parents = seen.columns(*other)
    if parents is not None and set(remote) <= parents.keys():
        parent = sa.table(other[1], *map(sa.column, remote), schema=other[0]).alias("b")
        pairs = zip(local, remote, strict=True)
        same = sa.and_(*(parent.c[there] == child.c[here] for here, there in pairs))
        condition &= ~sa.exists(sa.select(sa.literal_column("1")).select_from(parent).where(same))
    rows = sa.select(*(child.c[one] for one in seen.keys(*place))).where(condition)
    return _Look(
        f"makes the foreign key {name} of {_named(*place)}",
        f"refer to no row of {_named(*other)}",
        rows,
        "mend them, or take them out",
    )


def _or_later(seen: _Seen, name: object, options: Any, look: _Look | None) -> Iterator[_Look]:
    """On PostgreSQL one may bind new rows alone: then its `validate` fails over the old ones."""
    if look is None:
        return
    if options.get(f"{seen.dialect.name}_not_valid"):
        seen.later[str(name)] = look
    else:
        yield look


def _validated(seen: _Seen, statement: str) -> Iterator[_Look]:
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


def _labels(seen: _Seen, operation: ChangeLabelsOp, gone: list[str]) -> Iterator[_Look]:
    schema, table, column = operation.schema, str(operation.table_name), str(operation.column_name)
    known = seen.columns(schema, table)
    if known is None or column not in known:
        return
    cell = sa.cast(sa.column(column, sa.String()), sa.String(255))
    held = ", ".join(map(repr, gone))
    yield _Look(
        f"takes labels from {_named(schema, table, column)}",
        f"hold {held}",
        _rows(seen, schema, table, cell.in_(gone)),
        "give them another value first",
    )
