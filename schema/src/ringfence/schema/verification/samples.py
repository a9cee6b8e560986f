"""Rows of the tables as they are, inside a scope and outside it, for a proof to try."""

import functools
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Scope
from ringfence.schema.manifest.rows import constant
from ringfence.schema.models.enums import label_of
from ringfence.schema.models.object_names import keys
from ringfence.schema.models.types import portable
from ringfence.schema.portability import decides
from ringfence.schema.sampling.rows import value

Row = Mapping[str, Any]
SOME: Mapping[str, Any] = {
    "boolean": True,
    **dict.fromkeys(("smallint", "integer", "bigint", "decimal"), 1),
    **dict.fromkeys(("string", "text", "citext", "enum"), "some"),
    "date": "2000-01-01",
    "datetime": "2000-01-01 00:00:00",
    "uuid": "00000000-0000-0000-0000-000000000001",
}
"""A value of each type that a session can bind."""
_BILLION = 1_000_000_000
_NEAR = frozenset({"date", "datetime", "interval", "time"})
"""Types whose values must not be far from today: some engines keep them in 32 bits."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a verb's scope is tried with: values to bind, and rows on both sides of the line, where there are any."""

    bound: Mapping[str, Any]
    where: sa.ColumnElement[bool]
    inside: Row | None
    outside: tuple[Row, ...]


class Samples:
    """Finds them.

    Args:
        deployment: the tables.
        admin: a connection that sees every row, in autocommit mode.
    """

    def __init__(self, deployment: Deployment, admin: sa.Connection) -> None:
        self._deployment = deployment
        self._admin = admin

    def sample(self, table: sa.Table, scope: Scope, select: Scope) -> Sample | None:
        """Values to bind and rows to try.

        Args:
            table: of the models.
            scope: of the verb.
            select: the scope of SELECT, where rows are tried that are seen and yet not to be written.

        Returns:
            None where there is no row to take a value from.
        """
        bound: dict[str, Any] = {}
        inside: Row | None = None
        for part in scope or ():
            names = {c.value: table.c[c.column] for c in part if c.kind == "bound"}
            fixed = self._where(table, (tuple(c for c in part if c.kind != "bound"),), {})
            there = sa.and_(fixed, *(column.is_not(None) for column in names.values()))
            if (row := self._row(table, there)) is None:
                continue
            inside = inside or row
            bound = {
                name: label_of(column.type, row[str(column.name)]) for name, column in names.items()
            } | bound
        if inside is None and self._names(scope):
            return None
        for name in self._names(scope) - bound.keys():  # no row has one; unbound, it could be an error
            bound[name] = SOME[self._deployment.policy.scopes[name].type]
        where = self._where(table, scope, bound)
        outside = [self._row(table, _not(where))]
        if select is not None:  # seen, and yet not to be written
            outside.append(self._row(table, sa.and_(self._where(table, select, bound), _not(where))))
        rows = tuple(
            row for place, row in enumerate(outside) if row is not None and row not in outside[:place]
        )
        return Sample(bound, where, inside, rows)

    def _names(self, scope: Scope) -> set[str]:
        return {c.value for part in scope or () for c in part if c.kind == "bound"}

    def beyond(self, table: sa.Table, scopes: Iterable[Scope], bound: Mapping[str, Any]) -> Row | None:
        """A row that is in none of the scopes.

        Args:
            table: of the models.
            scopes: those of the verbs.
            bound: what a session binds.

        Returns:
            None where there is no such row.
        """
        return self._row(
            table, sa.and_(sa.true(), *(_not(self._where(table, scope, bound)) for scope in scopes))
        )

    def _where(self, table: sa.Table, scope: Scope, bound: Mapping[str, Any]) -> sa.ColumnElement[bool]:
        return sa.or_(
            sa.false(),
            *(
                sa.and_(
                    sa.true(), *(self._condition(table.c[c.column], c.kind, c.value, bound) for c in part)
                )
                for part in scope or ()
            ),
        )

    def _condition(
        self, column: sa.Column[Any], kind: str, value: Any, bound: Mapping[str, Any]
    ) -> sa.ColumnElement[bool]:
        if kind == "null":
            return column.is_(None)
        if kind == "bound" and value not in bound:
            return sa.false()
        fit = functools.partial(constant, column, self._deployment.engines)
        if kind == "in":
            return column.in_([sa.literal(fit(each), column.type) for each in value])
        return column == sa.literal(fit(bound[value] if kind == "bound" else value), column.type)

    def _row(self, table: sa.Table, where: sa.ColumnElement[bool]) -> Row | None:
        """A row of the table, with something made up in place of what is sensitive."""
        sql = sa.select(table).where(where).limit(1)
        found = self._admin.execute(sql).mappings().first()
        if found is None:
            return None
        return {
            str(column.name): self.made_up(column) if column.info.get("sensitive") else found[column]
            for column in table.columns
        }

    def made_up(self, column: sa.Column[Any]) -> Any:
        """A value that no row is likely to have."""
        return made_up(column, self._deployment.engines, self._admin)

    def distinct(self, column: sa.Column[Any]) -> Any:
        """A value that meets no row on a unique key: NULL where that may be, which every CHECK and type takes."""
        return None if column.nullable else self.made_up(column)

    def counted(self, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
        return int(
            self._admin.execute(sa.select(sa.func.count()).select_from(table).where(where)).scalar_one()
        )


def _not(where: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """The rest, with what is neither true nor false."""
    return sa.case((where, 1), else_=0) == 0


def unique_keys(table: sa.Table) -> list[tuple[str, ...]]:
    indexes = sorted((each for each in table.indexes if decides(each)), key=lambda each: str(each.name))
    found = [tuple(str(column.name) for column in each.columns) for each in (*keys(table), *indexes)]
    return list(dict.fromkeys(key for key in found if key))


def made_up(column: sa.Column[Any], engines: Iterable[str], admin: sa.Connection, step: int = 0) -> Any:
    """A value of the column's type that no row is likely to have, as far as the type has so many.

    Of a key that the server counts up it is the next number: InnoDB counts on from the largest that it was given, also
    after a rollback, and one far away would use up the numbers of the table.

    Args:
        column: of the models.
        engines: those of the deployment.
        admin: a connection that sees every row.
        step: another number gives another value.

    Returns:
        The value, as the column's type has it in Python.
    """
    if column.table.autoincrement_column is column:
        return int(admin.execute(sa.select(sa.func.max(column))).scalar() or 0) + 1 + step
    form = portable(column.type, engines)
    start = secrets.randbelow(1000) if form.type in _NEAR else _BILLION + secrets.randbelow(_BILLION)
    return value(form.type, form.params, start + step, str(column.name))
