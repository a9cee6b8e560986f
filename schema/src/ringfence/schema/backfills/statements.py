"""What a backfill does as SQL: within its table or into another one, and which rows it has not covered."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from ringfence.schema.backfills.declared import Backfill
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint.check import states

_WORD = re.compile(r"\w+")


def clause(
    deployment: Deployment, backend: Backend, connection: sa.Connection, key: str
) -> sa.TableClause | None:
    """A table as plain columns: `onupdate` of the models is for changes that somebody makes.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: to it.
        key: of the table, as the models name it.

    Returns:
        The columns that the database has, with the types of the models, or else those that revisions declared; None
        without the table.
    """
    schema, name = _place(deployment, key)
    default = sa.inspect(connection).default_schema_name
    place = (None if schema == default else schema, name)
    names = sorted(column for *where, column in backend.columns(connection) if tuple(where) == place)
    if not names:
        return None
    model = deployment.tables.get(key)
    columns = {column.name: column.type for column in model.columns} if model is not None else {}
    if any(name not in columns for name in names):
        for tables in states(deployment).values():
            columns = {**tables.get(key, {}), **columns}
    return sa.table(name, *(sa.column(column, columns.get(column)) for column in names), schema=schema)


def _place(deployment: Deployment, key: str) -> tuple[str | None, str]:
    model = deployment.tables.get(key)
    if model is not None:
        return model.schema, model.name
    schema, _, name = key.rpartition(".")
    return schema or None, name


def primary_key(deployment: Deployment, connection: sa.Connection, key: str) -> list[str]:
    """The columns of a table's primary key, from the models or else from the database."""
    model = deployment.tables.get(key)
    if model is not None:
        return [column.name for column in model.primary_key.columns]
    schema, name = _place(deployment, key)
    return list(sa.inspect(connection).get_pk_constraint(name, schema=schema)["constrained_columns"])


def reads(value: Any) -> frozenset[str]:
    """The columns that a value of `set` may be made of: in SQL text, every word."""
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
class Move:
    """A backfill, with the table it reads and the one it writes: the same, unless it says `into`."""

    backfill: Backfill
    source: sa.TableClause
    target: sa.TableClause

    def _value(self, column: str) -> sa.ColumnElement[Any]:
        value = self.backfill.set[column]
        if isinstance(value, sa.ColumnElement):
            qualified: sa.ColumnElement[Any] = visitors.replacement_traverse(value, {}, self._of_source)
            return qualified
        if isinstance(value, sa.ClauseElement):  # text() is no column yet
            return sa.literal_column(f"({value})")
        known = self.target.c.get(column)
        return sa.literal(value, known.type if known is not None else None)

    def _of_source(self, element: Any, **kw: Any) -> Any:
        """A column without a table is one of the table that is read."""
        if isinstance(element, sa.ColumnClause) and element.table is None and not element.is_literal:
            return self.source.c.get(element.name)
        return None

    @property
    def _matched(self) -> sa.ColumnElement[bool]:
        """Whether a row of the target is that of a row of the source."""
        pairs = self.backfill.key.items()
        return sa.and_(*(self.target.c[mine] == self.source.c[theirs] for mine, theirs in pairs))

    def missing(self) -> sa.ColumnElement[bool]:
        """Whether a row of the source has no row in the target."""
        found = sa.select(sa.literal(1)).select_from(self.target).where(self._matched)
        return sa.not_(sa.exists(found.correlate(self.source)))

    # What a run does with the rows of a batch.

    def statements(self, here: sa.ColumnElement[bool]) -> Iterator[sa.Insert | sa.Update]:
        """What is done for the rows of the source for which `here` holds; it may be done again."""
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
        """Give the target's row of one row of the source these values; it is made where it is not there."""
        key = {mine: row[theirs] for mine, theirs in self.backfill.key.items()}
        same = sa.and_(*(self.target.c[name] == value for name, value in key.items()))
        there = connection.execute(sa.select(sa.literal(1)).select_from(self.target).where(same)).first()
        if there is None:
            connection.execute(sa.insert(self.target).values({**key, **values}))
        elif values:
            connection.execute(sa.update(self.target).where(same).values(dict(values)))

    # What is left to do.

    def uncovered(self, going: Iterable[str]) -> sa.ColumnElement[bool] | None:
        """Whether a row of the source holds a value that goes, and that nothing has kept.

        Args:
            going: the columns of the source that go.

        Returns:
            The condition; None where nothing here says so.
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
        """Whether the columns that the backfill writes are there yet: its condition may speak of them."""
        return all(column in self.target.c for column in (*self.backfill.set, *self.backfill.key))

    def _lost(self, column: str) -> sa.ColumnElement[bool]:
        """Whether a row has a value that its column in the target does not have."""
        value = self._value(column)
        if not self._knows_where():
            return value.is_not(None)
        cell = self.target.c[column]
        if self.backfill.into is None:
            return sa.and_(value.is_not(None), cell.is_(None))
        kept = sa.select(sa.literal(1)).select_from(self.target).where(self._matched, cell.is_not(None))
        return sa.and_(value.is_not(None), sa.not_(sa.exists(kept.correlate(self.source))))

    def differing(self, going: Iterable[str]) -> sa.ColumnElement[bool] | None:
        """Whether a row's value was kept, and is another one now: old or new services wrote it after it was copied."""
        backfill, going = self.backfill, set(going)
        if backfill.each is not None or not self._knows_where():
            return None
        found: list[sa.ColumnElement[bool]] = []
        for column, value in backfill.set.items():
            # Within a subquery, a word of SQL text may be taken for a column of the target.
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
    """How many rows meet a condition, and the keys of the first of them, as `3` or `(3, 'a')`."""
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
) -> Move:
    """A backfill, with its tables as the database has them.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: to it.
        name: of the backfill.
        backfill: the backfill itself.

    Raises:
        JobFailed: the database lacks a table, or a column that is written.
    """
    tables = {}
    for key in (backfill.table, backfill.into or backfill.table):
        found = clause(deployment, backend, connection, key)
        if found is None:
            raise JobFailed(_lacking(name, f"table {key}"))
        tables[key] = found
    written = backfill.into or backfill.table
    for column in backfill.set:
        if column not in tables[written].c:
            raise JobFailed(_lacking(name, f"column {written}.{column}"))
    return Move(backfill, tables[backfill.table], tables[written])


def _lacking(name: str, what: str) -> str:
    return (
        f"the backfill {name}: the database has no {what}: `ringfence migrate --expand` makes it where its revision is"
        " still to run; where a contract has dropped it since, nothing is left to fill"
    )
