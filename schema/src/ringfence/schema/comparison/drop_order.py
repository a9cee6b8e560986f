"""The order in which tables can be dropped, and what their downgrade needs to create them again."""

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import sqlalchemy as sa

from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.models.columns import preserve_on_copy
from ringfence.schema.sql.table_keys import referred_column, referred_table, split_key

_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
"""The colon of what SQLAlchemy takes for a bound parameter in a text."""
_DroppedTables = Mapping[tuple[str, str], sa.Table]


def in_drop_order(
    tables: _DroppedTables, modelled: ModelLookup
) -> list[tuple[sa.Table, list[sa.ForeignKeyConstraint]]]:
    """Sort tables for dropping: referring tables first.

    Args:
        tables: the tables to drop, by (schema, table); the schema is "" for the default one.
        modelled: knows which schema is the default one.

    Returns:
        Each table with the foreign keys that must be dropped before any of the tables; these lists are empty unless the
        foreign keys are circular.
    """
    refers = {
        table_key: {
            key: modelled.schema(_target(key)[0])
            for key in table.foreign_key_constraints
            if _target(key)[1] != table.name
        }
        for table_key, table in tables.items()
    }
    graph = {
        table_key: {(schema, _target(key)[1]) for key, schema in keys.items()} & tables.keys()
        for table_key, keys in refers.items()
    }
    try:
        order = [*TopologicalSorter(graph).static_order()]
    except CycleError:
        return [
            (
                table,
                [
                    key
                    for key in refers[table_key]
                    if key.name and (refers[table_key][key], _target(key)[1]) in tables
                ],
            )
            for table_key, table in sorted(tables.items())
        ]
    return [(tables[table_key], []) for table_key in reversed(order)]


def renderable(table: sa.Table) -> sa.Table:
    """Prepare a reflected table so that Alembic can render its columns into a revision.

    SQLAlchemy 2.1.9 would take a default such as ':a' for a text with a bound parameter, and a copy of a reflected type
    would lose part of it.

    Args:
        table: the reflected table; its columns are changed in place.

    Returns:
        The same table.
    """
    for column in table.columns:
        preserve_on_copy(column.type)
        default = column.server_default
        if isinstance(default, sa.DefaultClause) and isinstance(default.arg, sa.TextClause):
            column.server_default = sa.DefaultClause(sa.text(_PARAMETER.sub(r"\\:", default.arg.text)))
    return table


def with_target_stubs(table: sa.Table) -> sa.Table:
    """Add stubs of the tables that a table's foreign keys refer to, with the referred columns, to its MetaData.

    Args:
        table: the reflected table; its MetaData is changed in place.

    Returns:
        The same table.
    """
    for key in table.foreign_key_constraints:
        schema, name = _target(key)
        target = sa.Table(name, table.metadata, schema=schema, keep_existing=True)
        for element in key.elements:
            column = referred_column(element)
            if column not in target.columns:
                target.append_column(sa.Column(column, element.parent.type))
    return table


def _target(key: sa.ForeignKeyConstraint) -> tuple[str | None, str]:
    """Return the schema and the table that a foreign key refers to."""
    return split_key(referred_table(key.elements[0]))
