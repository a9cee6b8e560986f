"""Rows on which a proof tries an account: existing rows inside and outside a scope, and generated rows to insert.

Existing rows are read by the admin account. A generated row is inserted in a transaction that is rolled back: an INSERT
of no row does not need all privileges that a real one needs, because a default draws from a sequence, and a domain, a
trigger or a partition key calls functions, only when there is a row.
"""

import functools
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ringfence.runtime import AccessDenied, CheckViolation, Database, IntegrityError, RingfenceError
from ringfence.runtime.mirror import names as field_names
from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Account, Grant, Scope
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.manifest.rows import constant
from ringfence.schema.models.enums import label_of
from ringfence.schema.models.object_names import keys
from ringfence.schema.models.types import portable
from ringfence.schema.portability import is_unconditional_unique
from ringfence.schema.sampling.rows import value
from ringfence.schema.verification.proof import Finding, Proof, RollBack

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
            matching = sa.and_(fixed, *(column.is_not(None) for column in names.values()))
            if (row := self._row(table, matching)) is None:
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
            row for index, row in enumerate(outside) if row is not None and row not in outside[:index]
        )
        return Sample(bound, where, inside, rows)

    def _names(self, scope: Scope) -> set[str]:
        return {c.value for part in scope or () for c in part if c.kind == "bound"}

    def outside_all(self, table: sa.Table, scopes: Iterable[Scope], bound: Mapping[str, Any]) -> Row | None:
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


_TEXTS = frozenset({"string", "text", "citext", "enum"})
_TRIES = 5


@dataclass(frozen=True, slots=True)
class SampleRows:
    """The values to bind, and a row inside and one outside a scope, as column -> value for the required columns."""

    bound: Mapping[str, Any]
    inside: Row
    outside: Row | None


class RowMaker:
    """Makes up rows that an account can insert.

    Args:
        deployment: the tables.
        admin: a connection that sees every row, in autocommit mode; it reads rows for foreign keys to point at.
    """

    def __init__(self, deployment: Deployment, admin: sa.Connection) -> None:
        self._deployment = deployment
        self._admin = admin

    def make(self, table: sa.Table, grant: Grant, *also: Scope) -> SampleRows | None:
        """Make a row inside the scope of an INSERT grant, and one outside it.

        Args:
            table: a table of the models.
            grant: the grant of INSERT, with its columns and its scope.
            also: other scopes that must hold the row too, such as that of SELECT, because the row is read again.

        Returns:
            The rows, and the values to bind for them; None if no row can be made.
        """
        may = {str(c.name) for c in table.columns if grant.columns is None or c.name in grant.columns}
        for part in grant.scope or ((),):
            made = self._inside(table, grant.scope, part, may)
            if made is not None and all(_in_scope(scope, made.inside, made.bound) for scope in also):
                return made
        return None

    def value(self, column: sa.Column[Any]) -> Any:
        """Make a value for a column of the models; None if it is a foreign key and there is no row to point at."""
        return next(iter(self._values(column)), None)

    def _inside(
        self, table: sa.Table, scope: Scope, part: tuple[Any, ...], may: set[str]
    ) -> SampleRows | None:
        fixed: dict[str, Any] = {}
        bound = {
            c.value: SOME[self._deployment.policy.scopes[c.value].type]
            for each in scope or ()
            for c in each
            if c.kind == "bound"
        }
        for condition in part:
            column = table.c[condition.column]
            plain = condition.value[0] if condition.kind == "in" else condition.value
            if condition.kind == "bound":
                candidates = self._bindable(column, bound[condition.value])
                if not candidates:
                    return None
                plain = bound[condition.value] = candidates[0]
            fit = functools.partial(constant, column, self._deployment.engines)
            try:
                fixed[condition.column] = None if condition.kind == "null" else fit(plain)
            except (RingfenceError, ValueError):  # one name bound to columns that hold different values
                return None
        if not fixed.keys() <= may:
            return None
        row = self._row(table, may, fixed)
        if row is None:
            return None
        # With its key given, the row is not read back after the INSERT, which the scope of SELECT would refuse.
        keys = {
            str(c.name): c for c in table.primary_key.columns if str(c.name) in may and str(c.name) not in row
        }
        keyed = {**row, **{name: self.value(column) for name, column in keys.items()}}
        return SampleRows(bound, row, self._outside(table, scope, keyed, bound))

    def _bindable(self, column: sa.Column[Any], plain: Any) -> list[Any]:
        """Return values to bind for a column: referenced keys, texts that fit its labels and length, or the default."""
        if column.foreign_keys:
            return [label_of(column.type, each) for each in self._parents(column)]
        if portable(column.type, self._deployment.engines).type in _TEXTS:
            return self._values(column)
        return [plain]

    def _row(self, table: sa.Table, may: set[str], fixed: Row) -> Row | None:
        row = dict(fixed)
        for column in table.columns:
            name = str(column.name)
            if name in row or not _needs_value(table, column):
                continue
            if name not in may:
                return None
            values = self._values(column)
            if not values:
                return None
            row[name] = values[0]
        # Some engines refuse an INSERT without any column under a grant on columns.
        if (
            not row
            and (spare := next((c for c in table.columns if self._is_spare(c, may)), None)) is not None
        ):
            row[str(spare.name)] = self.value(spare)
        return row

    def _is_spare(self, column: sa.Column[Any], may: set[str]) -> bool:
        return str(column.name) in may and not column.primary_key and column.computed is None

    def _outside(self, table: sa.Table, scope: Scope, inside: Row, bound: Mapping[str, Any]) -> Row | None:
        for name in dict.fromkeys(c.column for part in scope or () for c in part):
            for other in self._values(table.c[name]):
                row = {**inside, name: other}
                if not _in_scope(scope, row, bound):
                    return row
        return None

    def _parents(self, column: sa.Column[Any]) -> list[Any]:
        """Return some values of the column that a foreign key points at."""
        for key in column.foreign_keys:
            sql = sa.select(key.column).where(key.column.is_not(None)).distinct().limit(_TRIES)
            return list(self._admin.execute(sql).scalars())
        return []

    def _values(self, column: sa.Column[Any]) -> list[Any]:
        """Return some values for a column; none if it is a foreign key and there is no row to point at."""
        if column.foreign_keys:
            return self._parents(column)
        return [made_up(column, self._deployment.engines, self._admin, step) for step in range(_TRIES)]


def without_nontransactional_tables(
    account: Account, nontransactional: Collection[tuple[str | None, str]], proof: Proof
) -> Account:
    """Drop the grants on tables that do not roll back from a copy of the account, so that these are not tried.

    Args:
        account: the account as declared.
        nontransactional: tables, by schema and name, whose rows stay after a rollback.
        proof: a warning is added to it for each dropped table.

    Returns:
        The account with its other grants.
    """
    left = dict.fromkeys(g.key for g in account.grants if (g.schema, g.table) in nontransactional)
    proof.warnings += [
        f"not proven: {account.service}: {key} is of a storage engine that keeps rows after a rollback: none was tried"
        for key in left
    ]
    return replace(account, grants=tuple(g for g in account.grants if g.key not in left))


def prove_inserts(
    database: Database, account: Account, deployment: Deployment, admin: sa.Connection, proof: Proof
) -> None:
    """Insert a row into each table that the account may insert into, and roll back.

    A violated constraint counts as allowed, because the server checks privileges first. Errors other than that and a
    denial do not show what the privileges allow, so they become a "not proven" warning. Tables for which no row can be
    made are only tried by the statements that touch no row.

    Args:
        database: opened as the account.
        account: its grants.
        deployment: the tables.
        admin: a connection that sees every row, in autocommit mode.
        proof: denials are added to it, such as that of a sequence or of a function that a default calls.
    """
    maker = RowMaker(deployment, admin)
    scopes = {(grant.key, grant.verb): grant.scope for grant in account.grants}
    for grant in account.grants:
        table = deployment.tables.get(grant.key)
        if grant.verb != "insert" or table is None or is_view(table):
            continue
        made = maker.make(table, grant, scopes.get((grant.key, "select")))
        if made is None:
            continue
        proof.attempts += 1
        try:
            with database.session(scope=made.bound) as dal:
                insert_row(database, dal, table, made.inside)
                raise RollBack
        except AccessDenied as error:
            proof.refused += 1
            message = f"{grant.origin} gives it, and the database refuses an insert of a row: {error}"
            proof.findings.append(
                Finding("missing", account.service, account.login, "insert", grant.key, (), message)
            )
            proof.row_findings.add((account.login, "insert", grant.key))
        except RollBack:
            proof.allowed += 1
        except RingfenceError as error:
            if _after_privileges(error):
                proof.allowed += 1
                continue
            message = f"a generated row was refused, for another reason than a privilege: {error}"
            proof.warnings.append(f"not proven: {account.service}: insert on {grant.key}: {message}")


def _after_privileges(error: RingfenceError) -> bool:
    """Whether the error is one that comes after the check of privileges.

    A CHECK violation counts only with the name of its constraint: triggers, policies and check options of views raise
    it without one.
    """
    if isinstance(error, CheckViolation):
        return error.constraint is not None
    return isinstance(error, IntegrityError)


def insert_row(database: Database, dal: Any, table: sa.Table, row: Row) -> Any:
    """Insert a row through PyDAL, as a service does.

    Args:
        database: opened as the account.
        dal: the DAL of an open session.
        table: a table of the models.
        row: column -> value.

    Returns:
        The key of the new row.

    Raises:
        RingfenceError: the database refuses it.
    """
    key = field_names.table_name(str(table.name), table.schema)
    columns = database.mirror.tables[key].columns.values()
    return dal[key].insert(**{c.field: row[c.name] for c in columns if c.name in row and c.insertable})


def _needs_value(table: sa.Table, column: sa.Column[Any]) -> bool:
    by_itself = (
        column.nullable
        or column.default is not None
        or column.server_default is not None
        or column.computed is not None
        or column.identity is not None
    )
    return not by_itself and (table.autoincrement_column is not column or bool(column.foreign_keys))


def _in_scope(scope: Scope, row: Row, bound: Mapping[str, Any]) -> bool:
    """Whether a row is in a scope, compared as text; a scope of None holds every row."""
    return scope is None or any(all(_satisfies(c, row.get(c.column), bound) for c in part) for part in scope)


def _satisfies(condition: Any, has: Any, bound: Mapping[str, Any]) -> bool:
    if condition.kind == "null" or has is None:
        return condition.kind == "null" and has is None
    values = condition.value if condition.kind == "in" else [condition.value]
    if condition.kind == "bound":
        values = [bound.get(condition.value)]
    return str(has) in map(str, values)
