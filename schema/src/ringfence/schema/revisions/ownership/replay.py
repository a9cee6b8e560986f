"""Applies a migration's operations to the catalog of objects that migrations created."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from alembic.operations.ops import ExecuteSQLOp
from sqlalchemy import schema as ddl
from sqlalchemy.dialects import postgresql

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.operations.operations import (
    CreateEnumOp,
    CreateExcludeOp,
    CreateSequenceOp,
    DropEnumOp,
    DropSequenceOp,
)
from ringfence.schema.revisions.ownership import ddl as sql
from ringfence.schema.revisions.ownership.objects import Objects

Conventions = Sequence[Mapping[str, Any]]
"""The models' naming conventions; Alembic names an operation's constraints by the first one, if there is one."""

_KINDS: tuple[tuple[type[Any], str], ...] = (
    (sa.PrimaryKeyConstraint, "primary key"),
    (sa.ForeignKeyConstraint, "foreign key"),
    (sa.UniqueConstraint, "unique"),
    (postgresql.ExcludeConstraint, "exclude"),
    (sa.CheckConstraint, "check"),
    (sa.Index, "index"),
)
_CONSTRAINTS = tuple(kind for _, kind in _KINDS)


def replay(objects: Objects, operation: MigrateOperation, conventions: Conventions = ()) -> None:  # noqa: C901, PLR0912 - one branch for each operation
    """Apply the changes of one operation.

    Args:
        objects: the catalog, which is changed.
        operation: an operation of a migration.
        conventions: the naming conventions of the models.
    """
    match operation:
        case ops.CreateTableOp():
            make_table(objects, operation.to_table(), conventions)
            _references(objects, operation)
        case ops.DropTableOp():
            objects.drop("table", operation.schema, operation.table_name)
        case ops.RenameTableOp():
            schema = operation.schema
            objects.rename("table", schema, operation.table_name, operation.new_table_name, schema)
        case ops.AddColumnOp():
            _add_column(objects, operation, conventions)
        case ops.DropColumnOp():
            objects.drop_column(operation.schema, operation.table_name, operation.column_name)
        case ops.AlterColumnOp() if operation.modify_name is not None:
            place = operation.schema, operation.table_name
            objects.rename_column(*place, operation.column_name, operation.modify_name)
        case ops.CreateIndexOp():
            _make_on(objects, operation.schema, operation.table_name, operation.to_index(), conventions)
        case ops.DropIndexOp():
            objects.drop_on(operation.schema, operation.table_name, str(operation.index_name), _CONSTRAINTS)
        case ops.AddConstraintOp():
            item: Any = operation.to_constraint()
            _make_on(objects, item.table.schema, item.table.name, item, conventions)
        case ops.DropConstraintOp():
            place = operation.schema, operation.table_name
            objects.drop_on(*place, str(operation.constraint_name), _CONSTRAINTS)
        case ExecuteSQLOp():
            execute(objects, operation.sqltext, conventions)
        case CreateExcludeOp():
            objects.make_on("exclude", operation.schema, operation.table_name, operation.constraint_name)
        case DropEnumOp():
            objects.drop("enum", operation.schema, operation.name)
        case DropSequenceOp():
            objects.drop("sequence", operation.schema, operation.name)
        case CreateEnumOp():
            objects.make("enum", operation.schema, operation.name)
        case CreateSequenceOp():
            objects.make("sequence", operation.schema, operation.name)
        case _:
            pass


def execute(objects: Objects, statement: Any, conventions: Conventions = ()) -> None:
    """Apply the changes of a statement, given as text or as a SQLAlchemy construct.

    Args:
        objects: the catalog, which is changed.
        statement: anything that `op.execute` accepts.
        conventions: the naming conventions of the models.
    """
    match statement:
        case ddl.CreateTable():
            make_table(objects, statement.element, conventions)
        case postgresql.CreateEnumType() | postgresql.CreateDomainType():
            objects.make("enum", statement.element.schema, str(statement.element.name))
        case postgresql.DropEnumType() | postgresql.DropDomainType():
            objects.drop("enum", statement.element.schema, str(statement.element.name))
        case sa.DDL():
            sql.replay(objects, statement.statement)
        case str() | sa.TextClause():
            sql.replay(objects, str(statement))
        case sa.ClauseElement():
            sql.replay(objects, _text(statement))
        case _:
            pass


def _text(statement: sa.ClauseElement) -> str:
    """Return a construct of another library as SQL; empty if it cannot be compiled."""
    try:
        return str(statement)
    except Exception:  # noqa: BLE001 - another library's compiler may raise anything; the statement is then ignored
        return ""


def make_table(objects: Objects, table: sa.Table, conventions: Conventions = ()) -> None:
    """Add a table with everything that `CREATE TABLE` and the statements after it create.

    Args:
        objects: the catalog, which is changed.
        table: the table, with its constraints and indexes.
        conventions: the naming conventions of the models.
    """
    objects.make("table", table.schema, table.name)
    for column in table.columns:
        _make_column(objects, table.schema, table.name, column)
    items: Iterable[Any] = (*table.constraints, *table.indexes)
    for item in items:
        _make_on(objects, table.schema, table.name, item, conventions)


def _references(objects: Objects, operation: ops.CreateTableOp) -> None:
    """Add the foreign keys declared on columns, which SQLAlchemy copies only once, into the recorder's copy."""
    columns: Iterable[Any] = operation.columns
    for column in columns:
        for key in column.foreign_keys if isinstance(column, sa.Column) else ():
            constraint = key.constraint
            name = key.name or (constraint.name if constraint is not None else None)
            place = operation.schema, operation.table_name
            objects.make_on("foreign key", *place, name if isinstance(name, str) else None, [column.name])


def _add_column(objects: Objects, operation: ops.AddColumnOp, conventions: Conventions) -> None:
    schema, name = operation.schema, operation.table_name
    _make_column(objects, schema, name, operation.column)
    copied = sqlalchemy_compat.copy_column(operation.column)
    table = sa.Table(name, sa.MetaData(), copied, schema=schema)
    items: Iterable[Any] = (*table.constraints, *table.indexes)
    for item in items:
        if not isinstance(item, sa.PrimaryKeyConstraint) or list(item.columns):
            _make_on(objects, schema, name, item, conventions)


def _make_column(objects: Objects, schema: str | None, table: str, column: sa.Column[Any]) -> None:
    objects.make_column(schema, table, column.name)
    checks: Any = column.constraints
    for check in checks:
        name = check.name if isinstance(check.name, str) else None
        objects.make_on("check", schema, table, name, [column.name])
    kind = column.type
    if isinstance(kind, sa.Enum | postgresql.DOMAIN) and getattr(kind, "native_enum", True) and kind.name:
        objects.make("enum", kind.schema or schema, kind.name)
        objects.make("enum", kind.schema, kind.name)
    if isinstance(column.default, sa.Sequence):
        objects.make("sequence", column.default.schema, column.default.name)
    elif objects.spelling.serial and (isinstance(kind, sa.Integer) or column.primary_key):
        objects.make("sequence", schema, f"{table}_{column.name}_seq")


def _make_on(
    objects: Objects, schema: str | None, table: str, item: sa.Constraint | sa.Index, conventions: Conventions
) -> None:
    kind = next((kind for base, kind in _KINDS if isinstance(item, base)), None)
    if kind is None:
        return
    columns = [column.name for column in getattr(item, "columns", ())]
    if isinstance(item, sa.CheckConstraint):  # SQLAlchemy does not parse SQL text for columns
        words = set(re.findall(r"\w+", str(item.sqltext)))
        columns = [one.name for one in getattr(item.table, "columns", ()) if one.name in words]
    name = item.name if isinstance(item.name, str) else None
    objects.make_on(kind, schema, table, None if name is None else str(name), columns)
    if name is None or not isinstance(name, sa.sql.elements.conv):
        for convention in conventions:
            if conventional := _conventional(item, name, schema, table, convention):
                objects.make_on(kind, schema, table, conventional)


def _conventional(
    item: sa.Constraint | sa.Index,
    name: str | None,
    schema: str | None,
    table: str,
    convention: Mapping[str, Any],
) -> str | None:
    """Return the name that a naming convention gives; None if it has no rule for this kind."""
    metadata = sa.MetaData(naming_convention=convention)
    columns = [sa.Column(column.name, column.type) for column in getattr(item, "columns", ())]
    made = sa.Table(table, metadata, *columns, schema=schema)
    try:
        copied = _copy(item, name, made)
        given = sqlalchemy_compat.conventional_name(copied, made)
    except (sa.exc.SQLAlchemyError, AttributeError, TypeError):  # the convention uses something unknown
        return None
    return str(given) if isinstance(given, str) and given != name else None


def _copy(item: Any, name: str | None, table: sa.Table) -> Any:
    match item:
        case sa.UniqueConstraint():
            copied: Any = sa.UniqueConstraint(*(c.name for c in item.columns), name=name)
        case sa.PrimaryKeyConstraint():
            copied = sa.PrimaryKeyConstraint(*(c.name for c in item.columns), name=name)
        case sa.ForeignKeyConstraint():
            copied = sa.ForeignKeyConstraint(
                list(item.column_keys), [one.target_fullname for one in item.elements], name=name
            )
        case sa.Index():
            return sa.Index(name, *(table.c[column.name] for column in item.columns))
        case _:
            copied = sa.CheckConstraint(sa.true(), name=name)
    table.append_constraint(copied)
    return copied
