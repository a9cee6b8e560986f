"""Removes duplicates from models: equal tables in two MetaData, and equal indexes of one table."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ringfence.schema.models.adaptation import remove_until_reload
from ringfence.schema.sql.table_keys import referred_table


def remove_duplicates(metadata: Sequence[sa.MetaData]) -> Iterator[tuple[sa.Table, str]]:
    """Remove equal tables and indexes of the same name; duplicate names of unequal ones are refused elsewhere.

    A table that a foreign key of its MetaData refers to is not removed.

    Args:
        metadata: of the models; it is changed.

    Yields:
        The table that remains, and a note.
    """
    known: dict[str, sa.Table] = {}
    for one in metadata:
        for key, table in list(one.tables.items()):
            first = known.setdefault(key, table)
            if first is not table and _definition(first) == _definition(table) and not _referred(one, key):
                remove_until_reload(table)
                yield first, f"{key} is in two MetaData in the same words: it is taken once"
    for table in known.values():
        seen: dict[str, sa.Index] = {}
        for index in sorted(table.indexes, key=lambda each: (str(each.name), repr(each))):
            other = seen.setdefault(str(index.name), index)
            if (
                index.name is not None
                and other is not index
                and _index_definition(other) == _index_definition(index)
            ):
                table.indexes.discard(index)
                yield table, f"{table.key} has the index {str(index.name)!r} twice: it is taken once"


def _definition(table: sa.Table) -> Any:
    columns = [(c.name, repr(c.type), c.nullable, c.primary_key, _defaults(c)) for c in table.columns]
    keys = {(tuple(c.name for c in k.columns), k.referred_table.key) for k in table.foreign_key_constraints}
    unique = {
        tuple(c.name for c in each.columns)
        for each in table.constraints
        if isinstance(each, sa.UniqueConstraint)
    }
    return columns, keys, unique, {(str(each.name), _index_definition(each)) for each in table.indexes}


def _defaults(column: sa.Column[Any]) -> tuple[str, str]:
    return str(getattr(column.default, "arg", None)), str(getattr(column.server_default, "arg", None))


def _index_definition(index: sa.Index) -> tuple[Any, ...]:
    """The definition of an index without its name, for a comparison."""
    options = tuple(sorted((name, str(value)) for name, value in index.dialect_kwargs.items()))
    return tuple(str(each) for each in index.expressions), bool(index.unique), options


def _referred(metadata: sa.MetaData, key: str) -> bool:
    return any(
        referred_table(reference) == key
        for table in metadata.tables.values()
        for reference in table.foreign_keys
    )
