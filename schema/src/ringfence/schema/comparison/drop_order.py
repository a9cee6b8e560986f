"""In which order tables can be dropped, and what their foreign keys need to be written back."""

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import sqlalchemy as sa

from ringfence.schema.comparison.model_objects import Modelled
from ringfence.schema.models.columns import keep

_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
"""What SQLAlchemy takes for one in a text."""
_Gone = Mapping[tuple[str, str], sa.Table]


def in_order(tables: _Gone, modelled: Modelled) -> list[tuple[sa.Table, list[sa.ForeignKeyConstraint]]]:
    """Tables, those that refer to others first; with each the foreign keys that must go before any table can.

    Args:
        tables: those that go, by (schema, table); the schema is "" for the default one.
        modelled: says which schema is the default one.
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


def again(table: sa.Table) -> sa.Table:
    """A table as SQLAlchemy read it, of which a revision can write columns.

    A default such as ':a' would be a text with a parameter (2.1.9), and a copy of a type would lose part of it.

    Args:
        table: as it was read from the database; its MetaData is changed.
    """
    for column in table.columns:
        keep(column.type)
        default = column.server_default
        if isinstance(default, sa.DefaultClause) and isinstance(default.arg, sa.TextClause):
            column.server_default = sa.DefaultClause(sa.text(_PARAMETER.sub(r"\\:", default.arg.text)))
    return table


def with_targets(table: sa.Table) -> sa.Table:
    """The table; each one that its foreign keys refer to stands beside it, with the columns that they name.

    Args:
        table: as it was read from the database; its MetaData is changed.
    """
    for key in table.foreign_key_constraints:
        schema, name = _target(key)
        target = sa.Table(name, table.metadata, schema=schema, keep_existing=True)
        for element in key.elements:
            column = element.target_fullname.rpartition(".")[2]
            if column not in target.columns:
                target.append_column(sa.Column(column, element.parent.type))
    return table


def _target(key: sa.ForeignKeyConstraint) -> tuple[str | None, str]:
    """The schema and the table that a foreign key refers to."""
    schema, _, table = key.elements[0].target_fullname.rpartition(".")[0].rpartition(".")
    return schema or None, table
