"""The SQL of a backfill: the statements of a batch, and the condition of the rows that it has not covered."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from ringfence.schema.backfills.declared import Backfill
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.engines.base import Introspection
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint.check import states

_WORD = re.compile(r"\w+")


def clause(
    deployment: Deployment, introspection: Introspection, connection: sa.Connection, key: str
) -> sa.TableClause | None:
    """Return a table with plain columns, without the models' `onupdate`, which a backfill must not trigger.

    Args:
        deployment: the deployment.
        introspection: that of its database.
        connection: a connection to it.
        key: the table as the models name it.

    Returns:
        The table with the columns of the database, and their types from the models or else from the revisions; None if
        it does not exist.
    """
    schema, name = _location(deployment, key)
    default = sa.inspect(connection).default_schema_name
    place = (None if schema == default else schema, name)
    names = sorted(column for *where, column in introspection.columns(connection) if tuple(where) == place)
    if not names:
        return None
    model = deployment.tables.get(key)
    columns = {column.name: column.type for column in model.columns} if model is not None else {}
    if any(name not in columns for name in names):
        for tables in states(deployment).values():
            columns = {**tables.get(key, {}), **columns}
    return sa.table(name, *(sa.column(column, columns.get(column)) for column in names), schema=schema)


def _location(deployment: Deployment, key: str) -> tuple[str | None, str]:
    model = deployment.tables.get(key)
    if model is not None:
        return model.schema, model.name
    schema, _, name = key.rpartition(".")
    return schema or None, name


def primary_key(deployment: Deployment, connection: sa.Connection, key: str) -> list[str]:
    """Return the columns of a table's primary key, from the models or else from the database."""
    model = deployment.tables.get(key)
    if model is not None:
        return [column.name for column in model.primary_key.columns]
    schema, name = _location(deployment, key)
    return list(sa.inspect(connection).get_pk_constraint(name, schema=schema)["constrained_columns"])


def reads(value: Any) -> frozenset[str]:
    """Return the columns that a value of `set` may depend on; for SQL text, every word in it."""
    if not isinstance(value, sa.ClauseElement):
        return frozenset()
    found: set[str] = set()
    for part in visitors.iterate(value):
        if isinstance(part, sa.TextClause):
            found |= set(_WORD.findall(part.text))
        elif isinstance(part, sa.ColumnClause):
            found |= set(_WORD.findall(part.name)) if part.is_literal else {part.name}
    return frozenset(found)


@dataclass(frozen=True)
class BackfillSql:
    """A backfill with the table it reads and the table it writes, which are the same unless it has `into`."""

    backfill: Backfill
    source: sa.TableClause
    target: sa.TableClause

    def _value(self, column: str) -> sa.ColumnElement[Any]:
        value = self.backfill.set[column]
        if isinstance(value, sa.ColumnElement):
            qualified: sa.ColumnElement[Any] = visitors.replacement_traverse(value, {}, self._of_source)
            return qualified
        if isinstance(value, sa.ClauseElement):  # text() is not a column expression yet
            return sa.literal_column(f"({value})")
        known = self.target.c.get(column)
        return sa.literal(value, known.type if known is not None else None)

    def _of_source(self, element: Any, **kw: Any) -> Any:
        """Assign a column without a table to the table that is read."""
        if isinstance(element, sa.ColumnClause) and element.table is None and not element.is_literal:
            return self.source.c.get(element.name)
        return None

    @property
    def _matched(self) -> sa.ColumnElement[bool]:
        """The condition that a row of the target corresponds to a row of the source."""
        pairs = self.backfill.key.items()
        return sa.and_(*(self.target.c[mine] == self.source.c[theirs] for mine, theirs in pairs))

    def missing(self) -> sa.ColumnElement[bool]:
        """Return the condition that a row of the source has no corresponding row in the target."""
        found = sa.select(sa.literal(1)).select_from(self.target).where(self._matched)
        return sa.not_(sa.exists(found.correlate(self.source)))

    # The statements of a batch.

    def statements(self, here: sa.ColumnElement[bool]) -> Iterator[sa.Insert | sa.Update]:
        """Yield the statements that copy a batch of the source's rows into the target; they can be repeated.

        Args:
            here: the condition of the batch's rows in the source.
        """
        columns = list(self.backfill.set)
        keys = [self.source.c[theirs] for theirs in self.backfill.key.values()]
        rows = sa.select(*keys, *(self._value(column) for column in columns)).select_from(self.source)
        yield sa.insert(self.target).from_select(
            [*self.backfill.key, *columns], rows.where(here, self.missing())
        )
        for column in columns:
            cell, value = self.target.c[column], self._value(column)
            of_row = sa.select(value).select_from(self.source).where(self._matched, here, value.is_not(None))
            inner = of_row.correlate(self.target)
            update = sa.update(self.target).where(cell.is_(None), sa.exists(inner))
            yield update.values({column: inner.scalar_subquery()})

    def put(self, connection: sa.Connection, row: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Write values into the target's row that corresponds to a row of the source; insert it if it is missing.

        Args:
            connection: the connection of the batch's transaction.
            row: the source's row, with at least the columns of the backfill's key.
            values: column of the target -> value.
        """
        key = {mine: row[theirs] for mine, theirs in self.backfill.key.items()}
        same = sa.and_(*(self.target.c[name] == value for name, value in key.items()))
        there = connection.execute(sa.select(sa.literal(1)).select_from(self.target).where(same)).first()
        if there is None:
            connection.execute(sa.insert(self.target).values({**key, **values}))
        elif values:
            connection.execute(sa.update(self.target).where(same).values(dict(values)))

    # What remains to be done.

    def uncovered(self, going: Iterable[str]) -> sa.ColumnElement[bool] | None:
        """Return the condition that a row of the source holds a value which is removed and has not been copied.

        Args:
            going: the columns of the source that are removed.

        Returns:
            The condition; None if the backfill cannot tell.
        """
        backfill, going = self.backfill, set(going)
        if backfill.covered is not None:
            covered = (
                sa.text(f"({backfill.covered})") if isinstance(backfill.covered, str) else backfill.covered
            )
            return sa.case((covered, 0), else_=1) == 1
        where = backfill.rows() if self._knows_where() else sa.true()
        if backfill.each is not None:
            held = [
                self.source.c[name].is_not(None) for name in backfill.reads if name in going & self._names
            ]
            if backfill.once or not held:
                return None
            return sa.and_(where, sa.or_(*held))
        kept = [
            self._lost(column) for column, value in backfill.set.items() if reads(value) & going & self._names
        ]
        return sa.and_(where, sa.or_(*kept)) if kept else None

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(column.name for column in self.source.columns)

    def _knows_where(self) -> bool:
        """Return whether the columns that the backfill writes exist, because its condition may refer to them."""
        return all(column in self.target.c for column in (*self.backfill.set, *self.backfill.key))

    def _lost(self, column: str) -> sa.ColumnElement[bool]:
        """Return the condition that a row has a value which its column in the target lacks."""
        value = self._value(column)
        if not self._knows_where():
            return value.is_not(None)
        cell = self.target.c[column]
        if self.backfill.into is None:
            return sa.and_(value.is_not(None), cell.is_(None))
        kept = sa.select(sa.literal(1)).select_from(self.target).where(self._matched, cell.is_not(None))
        return sa.and_(value.is_not(None), sa.not_(sa.exists(kept.correlate(self.source))))

    def differing(self, going: Iterable[str]) -> sa.ColumnElement[bool] | None:
        """Return the condition that a row's value was copied and one of the two was changed since; None if unknown.

        Args:
            going: the columns of the source that are removed.
        """
        backfill, going = self.backfill, set(going)
        if backfill.each is not None or not self._knows_where():
            return None
        found: list[sa.ColumnElement[bool]] = []
        for column, value in backfill.set.items():
            # In a subquery, a name in SQL text may resolve to a column of the target.
            if not reads(value) & going & self._names or isinstance(value, sa.TextClause):
                continue
            cell, said = self.target.c[column], self._value(column)
            other = sa.and_(said.is_not(None), cell.is_not(None), cell != said)
            if backfill.into is not None:
                rows = sa.select(sa.literal(1)).select_from(self.target).where(self._matched, cell != said)
                other = sa.exists(rows.correlate(self.source))
            found.append(other)
        return sa.or_(*found) if found else None


def first_keys(
    connection: sa.Connection, source: sa.TableClause, key: Sequence[str], condition: sa.ColumnElement[bool]
) -> tuple[int, list[str]]:
    """Count the rows that meet a condition, and return the keys of the first three.

    Args:
        connection: a connection to the database.
        source: the table.
        key: the columns of its primary key; empty if it has none.
        condition: a condition on its columns.

    Returns:
        The number of rows, and the keys as text, such as `3` or `(3, 'a')`.
    """
    count = connection.execute(sa.select(sa.func.count()).select_from(source).where(condition)).scalar_one()
    if not count or not key:
        return count, []
    columns = [source.c[name] for name in key]
    rows = sa.select(*columns).select_from(source).where(condition).order_by(*columns).limit(_SHOWN)
    found = connection.execute(rows).all()
    return count, [repr(row[0]) if len(row) == 1 else repr(tuple(row)) for row in found]


_SHOWN = 3


def move_of(
    deployment: Deployment, backend: Backend, connection: sa.Connection, name: str, backfill: Backfill
) -> BackfillSql:
    """Return a backfill with its tables as they are in the database.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: a connection to it.
        name: the backfill's name.
        backfill: the backfill.

    Raises:
        JobFailed: the database lacks a table, or a column that is written.
    """
    tables = {}
    for key in (backfill.table, backfill.into or backfill.table):
        found = clause(deployment, backend.introspection, connection, key)
        if found is None:
            raise JobFailed(_missing(name, f"table {key}"))
        tables[key] = found
    written = backfill.into or backfill.table
    for column in backfill.set:
        if column not in tables[written].c:
            raise JobFailed(_missing(name, f"column {written}.{column}"))
    return BackfillSql(backfill, tables[backfill.table], tables[written])


def _missing(name: str, what: str) -> str:
    return (
        f"the backfill {name}: the database has no {what}: `ringfence migrate --expand` makes it where its revision is"
        " still to run; where a contract has dropped it since, nothing is left to fill"
    )
