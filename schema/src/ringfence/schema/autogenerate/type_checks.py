"""Names the CHECK constraints that Enum and Boolean types create, as `create_all` names them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.naming import conv

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.models.columns import copied

_NATIVE = "postgresql"
"""The dialect on which an Enum's name is that of a type; the native enums of MySQL and MariaDB have no name."""

Names = Mapping[tuple[str | None, str, str], str]


def name_checks(container: ops.OpContainer, metadata: Iterable[sa.MetaData]) -> None:
    """Give the types of new columns the full names of their CHECKs, in place.

    A naming convention turns a type's name `flag` into `ck_t_flag`. A revision has no convention, and would use `flag`.

    Args:
        container: the operations of a revision; they are changed.
        metadata: of the models, with their conventions.
    """
    tables = [table for one in metadata for table in one.tables.values()]
    _name(container, {key: name for table in tables for key, name in _names_of(table)})


def named_type(column: sa.Column[Any]) -> Any:
    """The type of a column of the models, with the full name of its CHECK; the type itself where it has no CHECK."""
    names = dict(_names_of(column.table))
    return _type(column.type, names.get((column.table.schema, str(column.table.name), str(column.name))))


def _names_of(table: sa.Table) -> Iterator[tuple[tuple[str | None, str, str], str]]:
    for check in table.constraints:
        if sqlalchemy_compat.belongs_to_type(check) and isinstance(check.name, str):
            for column in getattr(check, "columns", ()):
                yield (table.schema, str(table.name), str(column.name)), str(check.name)


def _name(container: ops.OpContainer, names: Names) -> None:
    for operation in container.ops:
        if isinstance(operation, ops.OpContainer):
            _name(operation, names)
        elif isinstance(operation, ops.CreateTableOp):
            place = (operation.schema, operation.table_name)
            operation.columns = [_named(each, place, names) for each in operation.columns]
        elif isinstance(operation, ops.AddColumnOp):
            place = (operation.schema, operation.table_name)
            operation.column = _named(operation.column, place, names)
        elif isinstance(operation, ops.AlterColumnOp) and operation.modify_type is not None:
            key = (operation.schema, operation.table_name, operation.column_name)
            operation.modify_type = _type(operation.modify_type, names.get(key))


def _named(item: Any, place: tuple[str | None, str], names: Names) -> Any:
    """Copy a column with the full name of its type's CHECK; anything else is returned unchanged."""
    if not isinstance(item, sa.Column):
        return item
    kind = _type(item.type, names.get((*place, str(item.name))))
    if kind is item.type and not isinstance(kind, mysql.ENUM):
        return item
    # A copy without a table: Alembic copies a column that belongs to one, and loses what `copied` keeps.
    column = copied(item)
    column.type = kind
    return column


def _type(given: Any, name: str | None) -> Any:
    """Copy a type with this name for its CHECK; the type itself where it creates no CHECK."""
    kind: Any = given
    while isinstance(kind, sa.TypeDecorator):
        kind = kind.impl_instance
    if name is None or not getattr(kind, "create_constraint", False) or kind.name == name:
        return given
    named = kind.copy()
    named.name = conv(name)
    if getattr(kind, "native_enum", False):
        native = kind.copy()
        native.create_constraint = False
        named = named.with_variant(native, _NATIVE)
    return named
