"""Everything that this project asks of SQLAlchemy beyond its public face.

Each function uses one private name and says why. They were checked with SQLAlchemy 2.1.9, and
a test of the repository fails when a version changes one of them.

Two hooks cannot be functions, because SQLAlchemy calls them: `models.columns` overrides `_set_parent` of a type, which
runs when a column gets it, and `_static_cache_key`, which tells apart types whose DDL differs; `engines.mysql.ddl`
passes `_force_column_to_nullable` to the compiler of columns.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import naming
from sqlalchemy.sql.ddl import DDLIf
from sqlalchemy.sql.elements import _truncated_label
from sqlalchemy.types import TypeEngine

# Types.


def variants(type_: TypeEngine[Any]) -> Mapping[str, TypeEngine[Any]]:
    """Return dialect -> the type that `with_variant` set for it; it can only be set publicly, not read."""
    found: Mapping[str, TypeEngine[Any]] = type_._variant_mapping  # noqa: SLF001 - see above
    return found


def add_variant(type_: TypeEngine[Any], dialect: str, variant: TypeEngine[Any]) -> None:
    """Set the variant of a dialect in place; `with_variant` returns a copy, which a column does not get.

    Args:
        type_: the type of a column, which is changed.
        dialect: SQLAlchemy's name of the dialect.
        variant: the type for that dialect.
    """
    type_._variant_mapping = type_._variant_mapping.union({dialect: variant})  # noqa: SLF001 - see above


def is_integer(type_: TypeEngine[Any]) -> bool:
    """Return whether a type holds integers; SQLAlchemy decides by this affinity whether a key is generated."""
    return type_._type_affinity is sa.Integer  # noqa: SLF001 - see above


def static_cache_key(type_: TypeEngine[Any]) -> Any:
    """Return the key that tells apart types whose compiled SQL differs, for a type that wraps another."""
    return type_._static_cache_key  # noqa: SLF001 - see above


def enum_members(type_: sa.Enum) -> Mapping[str, Any]:
    """Return label -> the member of the enum's class; publicly an Enum tells the labels alone."""
    lookup: Mapping[Any, Any] = type_._object_lookup  # noqa: SLF001 - see above
    return lookup


def compilers(cls: type[Any]) -> MutableMapping[str, Callable[..., Any]] | None:
    """Return dialect -> the function that `@compiles` registered for this very class; None where it registered none."""
    dispatcher = vars(cls).get("_compiler_dispatcher")
    specs: MutableMapping[str, Callable[..., Any]] | None = None if dispatcher is None else dispatcher.specs
    return specs


# Columns, tables and metadata.


def copy_column(column: sa.Column[Any]) -> sa.Column[Any]:
    """Copy a column with its constraints; the copy belongs to no table. `Column.copy` was removed without another."""
    return column._copy()  # noqa: SLF001 - see above


def on_table_attach(column: sa.Column[Any], function: Callable[[sa.Column[Any], sa.Table], None]) -> None:
    """Have a function called when a column gets its table: the public event does not pass to copies of the column."""
    column._on_table_attach(function)  # noqa: SLF001 - see above


def set_server_default(column: sa.Column[Any], default: sa.DefaultClause) -> None:
    """Set another server default; the constructor of a column does the same, and assigning it leaves it unattached."""
    default._set_parent_with_dispatch(column)  # noqa: SLF001 - see above


def add_table(metadata: sa.MetaData, table: sa.Table) -> None:
    """Add a table again that `MetaData.remove` took out; publicly only a copy can be added."""
    metadata._add_table(str(table.name), table.schema, table)  # noqa: SLF001 - see above


def sequences(metadata: sa.MetaData) -> Iterator[sa.Sequence]:
    """Yield the sequences of a metadata, also those that no column draws from; it lists its tables alone."""
    yield from metadata._sequences.values()  # noqa: SLF001 - see above


def creator_statement(table: sa.Table) -> Any:
    """Return the statement that creates a table which SQLAlchemy 2.1 defines as a view; None for another table."""
    return getattr(table, "_creator_ddl", None)


# Constraints, indexes and their names.


def is_truncated(name: object) -> bool:
    """Return whether SQLAlchemy shortens a name that is too long for a dialect: one of a naming convention."""
    return isinstance(name, _truncated_label)


def conventional_name(item: sa.Constraint | sa.Index, table: sa.Table) -> Any:
    """Return the name that the naming convention of the table's metadata gives; None where it gives none.

    SQLAlchemy applies it when the constraint is attached or compiled, and to unnamed ones alone.

    Raises:
        InvalidRequestError: the convention needs a name, and the constraint has none.
    """
    return naming._constraint_name_for_table(item, table)  # type: ignore[no-untyped-call]  # noqa: SLF001 - see above


def creation_order(constraint: sa.Constraint) -> int:
    """Return the number by which CREATE TABLE sorts the constraints of a table."""
    return constraint._creation_order  # noqa: SLF001 - see above


def belongs_to_type(constraint: sa.Constraint) -> bool:
    """Return whether a CHECK was created by a Boolean or Enum of a column, and not by the models."""
    return bool(getattr(constraint, "_type_bound", False))


def create_rule(constraint: Any) -> Any:
    """Return the function that decides whether the CHECK of a type is created on a dialect; None for always."""
    return getattr(constraint, "_create_rule", None)


# DDL.


def condition(item: Any) -> DDLIf | None:
    """Return the condition that `ddl_if` or `execute_if` gave a constraint, index or DDL; None for one without."""
    found: DDLIf | None = getattr(item, "_ddl_if", None)
    return found


def set_condition(item: Any, given: DDLIf) -> None:
    """Replace the condition in place; `ddl_if` refuses a second one, and `execute_if` adds a dialect to none."""
    item._ddl_if = given  # noqa: SLF001 - see above


def holds(given: DDLIf, ddl: Any, item: Any, connection: sa.Connection | None, **options: Any) -> bool:
    """Return whether a condition lets DDL be executed; SQLAlchemy asks this only while it executes.

    Args:
        given: the condition.
        ddl: the statement.
        item: the table, constraint or index that it is about.
        connection: the database; None to ask for a compiler's dialect.
        options: `compiler` and `checkfirst`, as SQLAlchemy passes them.
    """
    return bool(given._should_execute(ddl, item, connection, **options))  # noqa: SLF001 - see above


def creates_or_drops(statement: Any) -> bool:
    """Return whether a statement is CREATE or DROP of a schema item; publicly there is a class for each kind alone."""
    return isinstance(statement, sa.schema._CreateDropBase)  # noqa: SLF001 - see above


# Text.


def doubles_percents(dialect: sa.Dialect) -> bool:
    """Return whether SQL that is compiled for a dialect has each percent sign twice, for its driver's placeholders."""
    return bool(dialect.identifier_preparer._double_percents)  # noqa: SLF001 - see above


def has_parameters(text: sa.TextClause) -> bool:
    """Return whether SQL text has parameters, which cannot be written into DDL."""
    return bool(text._bindparams)  # noqa: SLF001 - see above
