"""Choose existing rows inside and outside a scope, on which a proof tries an account."""

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
from ringfence.schema.portability import is_unconditional_unique
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
"""A value for each type that a session can bind."""
_BILLION = 1_000_000_000
_NEAR = frozenset({"date", "datetime", "interval", "time"})
"""Types whose values must be close to the present: some engines store them in 32 bits."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The values to bind for a verb's scope, its condition, and existing rows inside and outside it, if any."""

    bound: Mapping[str, Any]
    where: sa.ColumnElement[bool]
    inside: Row | None
    outside: tuple[Row, ...]


class Samples:
    """Reads sample rows as the admin.

    Args:
        deployment: the tables.
        admin: a connection that sees every row, in autocommit mode.
    """

    def __init__(self, deployment: Deployment, admin: sa.Connection) -> None:
        self._deployment = deployment
        self._admin = admin

    def sample(self, table: sa.Table, scope: Scope, select: Scope) -> Sample | None:
        """Choose values to bind and rows to try.

        Args:
            table: a table of the models.
            scope: the scope of the verb.
            select: the scope of SELECT, to also try a row that the account sees but must not write; None to skip that.

        Returns:
            The sample; None if the scope binds values and no row has them.
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
        # Names for which no row has a value are bound too, because leaving one unbound could be an error.
        for name in self._names(scope) - bound.keys():
            bound[name] = SOME[self._deployment.policy.scopes[name].type]
        where = self._where(table, scope, bound)
        outside = [self._row(table, _not(where))]
        if select is not None:  # a row that the account sees but must not write
            outside.append(self._row(table, sa.and_(self._where(table, select, bound), _not(where))))
        rows = tuple(
            row for place, row in enumerate(outside) if row is not None and row not in outside[:place]
        )
        return Sample(bound, where, inside, rows)

    def _names(self, scope: Scope) -> set[str]:
        return {c.value for part in scope or () for c in part if c.kind == "bound"}

    def beyond(self, table: sa.Table, scopes: Iterable[Scope], bound: Mapping[str, Any]) -> Row | None:
        """Find a row that is in none of the scopes.

        Args:
            table: a table of the models.
            scopes: the scopes of some verbs.
            bound: the values that the session binds.

        Returns:
            The row, or None if there is none.
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
        """Read a row of the table, with made-up values in its sensitive columns."""
        sql = sa.select(table).where(where).limit(1)
        found = self._admin.execute(sql).mappings().first()
        if found is None:
            return None
        return {
            str(column.name): self.made_up(column) if column.info.get("sensitive") else found[column]
            for column in table.columns
        }

    def made_up(self, column: sa.Column[Any]) -> Any:
        """Return a value for the column that no row is likely to have."""
        return made_up(column, self._deployment.engines, self._admin)

    def distinct(self, column: sa.Column[Any]) -> Any:
        """Return a value that conflicts with no row on a unique key.

        NULL if the column is nullable, because every type and CHECK constraint accepts it.
        """
        return None if column.nullable else self.made_up(column)

    def counted(self, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
        """Count the rows of the table that meet the condition, as the admin sees them."""
        return int(
            self._admin.execute(sa.select(sa.func.count()).select_from(table).where(where)).scalar_one()
        )


def _not(where: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the complement of the condition, including the rows for which it is NULL."""
    return sa.case((where, 1), else_=0) == 0


def unique_keys(table: sa.Table) -> list[tuple[str, ...]]:
    """Return the columns of each key and of each unique index that can decide an upsert, without duplicates."""
    indexes = sorted(
        (each for each in table.indexes if is_unconditional_unique(each)), key=lambda each: str(each.name)
    )
    found = [tuple(str(column.name) for column in each.columns) for each in (*keys(table), *indexes)]
    return list(dict.fromkeys(key for key in found if key))


def made_up(column: sa.Column[Any], engines: Iterable[str], admin: sa.Connection, step: int = 0) -> Any:
    """Make a value of the column's type that no row is likely to have, as far as the type has enough values.

    For an auto-increment key it is the next number: InnoDB continues from the largest number that was inserted, even
    after a rollback, so a distant number would use up the range of the column.

    Args:
        column: a column of the models.
        engines: the engines of the deployment.
        admin: a connection that sees every row.
        step: a number that selects different values.

    Returns:
        The value in the Python type of the column.
    """
    if column.table.autoincrement_column is column:
        return int(admin.execute(sa.select(sa.func.max(column))).scalar() or 0) + 1 + step
    form = portable(column.type, engines)
    start = secrets.randbelow(1000) if form.type in _NEAR else _BILLION + secrets.randbelow(_BILLION)
    return value(form.type, form.params, start + step, str(column.name))
