"""Order changes of indexes and unique constraints of existing tables.

On MySQL and MariaDB a foreign key needs an index, and the last one that serves it cannot be dropped.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp, UnindexForeignKeyOp
from ringfence.schema.operations.operations import OnlineOp
from ringfence.schema.revisions.serving_indexes import serves
from ringfence.schema.sql.table_keys import key_of

NewKeys = Collection[tuple[str, tuple[str, ...]]]
"""(table, columns) of the foreign keys that a revision creates."""
_CREATES = ops.CreateIndexOp | ops.CreateUniqueConstraintOp


def changes_index(one: ops.MigrateOperation) -> bool:
    """Whether an operation creates or drops an index or a unique constraint.

    Args:
        one: a single operation, not a `ModifyTableOps`.
    """
    return isinstance(one, _CREATES | ops.DropIndexOp) or (
        isinstance(one, ops.DropConstraintOp) and one.constraint_type == "unique"
    )


def order_index_operations(
    operations: Sequence[ops.MigrateOperation],
    models: Mapping[str, sa.Table],
    new_keys: NewKeys,
    *,
    keys_need_indexes: bool,
) -> list[ops.MigrateOperation]:
    """Order index operations, creations before drops, and wrap each in its online variant.

    If the last index that serves a foreign key is dropped, an index with the key's name is created first, as MySQL and
    MariaDB do by themselves when the key is created: without it they refuse the drop (error 1553). If a new index
    becomes the only one that serves a key, the key's extra index is dropped, and the downgrade creates it again.

    Args:
        operations: the operations, in the order in which they were found.
        models: the tables of the models, by `table` or `schema.table`.
        new_keys: the foreign keys that the script creates; none of them exists yet.
        keys_need_indexes: whether the deployment has an engine that requires an index for a foreign key.
    """
    made = [one for one in operations if isinstance(one, _CREATES)]
    names = {(_key(one), _name(one)) for one in made}
    gone = [one for one in operations if not isinstance(one, _CREATES)]
    again = {(_key(one), _name(one)) for one in gone} & names
    order: list[ops.MigrateOperation] = [one for one in made if (_key(one), _name(one)) not in again]
    # An index with the name of a dropped one can only be created after the drop.
    for drop in gone:
        order.append(drop)
        order += [one for one in made if (_key(one), _name(one)) == (_key(drop), _name(drop))]
    if not keys_need_indexes:
        return [OnlineOp(one) for one in order]
    serving: dict[str, _KeyIndexes] = {}
    done: list[ops.MigrateOperation] = []
    for one in order:
        key = _key(one)
        if key not in models:
            done.append(OnlineOp(one))
            continue
        if key not in serving:
            serving[key] = _KeyIndexes(
                models[key], new_keys, [other for other in order if _key(other) == key]
            )
        done += serving[key].with_key_indexes(one)
    return done


class _KeyIndexes:
    """Tracks which indexes of a table serve its foreign keys while the operations run in order."""

    def __init__(self, table: sa.Table, coming: NewKeys, order: Sequence[Any]) -> None:
        self._table = table
        self._own: set[str] = set()
        """Names of the foreign keys that currently have an extra index of their own."""
        self._keys = sorted(
            (fk for fk in table.foreign_key_constraints if (table.key, tuple(_local(fk))) not in coming),
            key=_local,
        )
        new = {_name(one) for one in order if isinstance(one, _CREATES)}
        self._present = {
            name: columns for name, columns in _indexes(table) if name is None or name not in new
        }
        for one in order:
            if not isinstance(one, _CREATES):
                self._present[_name(one)] = _columns(one)

    def with_key_indexes(self, one: Any) -> Iterator[ops.MigrateOperation]:
        """Yield the operation, with the creation or drop of the extra indexes that it requires."""
        columns = _columns(one)
        if isinstance(one, _CREATES):
            yield OnlineOp(one)
            for fk in self._served_by(columns):
                self._own.discard(_fk_name(fk))
                yield self._of(UnindexForeignKeyOp, fk)
            self._present[_name(one)] = columns
            return
        self._present.pop(_name(one), None)
        for fk in self._served_by(columns):
            if _fk_name(fk) not in self._own:
                self._own.add(_fk_name(fk))
                yield self._of(IndexForeignKeyOp, fk)
        yield OnlineOp(one)

    def _served_by(self, columns: Sequence[str]) -> list[sa.ForeignKeyConstraint]:
        """Return the foreign keys that an index on these columns serves and no other existing index does."""
        return [
            fk
            for fk in self._keys
            if serves(columns, _local(fk))
            and not any(serves(other, _local(fk)) for other in self._present.values())
        ]

    def _of(self, kind: type[IndexForeignKeyOp], fk: sa.ForeignKeyConstraint) -> ops.MigrateOperation:
        return kind(_fk_name(fk), self._table.name, _local(fk), schema=self._table.schema)


def _local(fk: sa.ForeignKeyConstraint) -> list[str]:
    return [str(element.parent.name) for element in fk.elements]


def _fk_name(fk: sa.ForeignKeyConstraint) -> str:
    """Return the name that MySQL and MariaDB give the index of a foreign key: the key's, or its first column's."""
    return str(fk.name) if fk.name else _local(fk)[0]


def _indexes(table: sa.Table) -> Iterator[tuple[str | None, list[str]]]:
    yield None, [column.name for column in table.primary_key.columns]
    for index in table.indexes:
        yield _text(index.name), [column.name for column in index.columns]
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield _text(constraint.name), [column.name for column in constraint.columns]


def _key(one: Any) -> str:
    return key_of(one.schema, one.table_name or "")


def _name(one: Any) -> str | None:
    return _text(
        one.index_name if isinstance(one, ops.CreateIndexOp | ops.DropIndexOp) else one.constraint_name
    )


def _text(name: Any) -> str | None:
    return None if name is None else str(name)


def _columns(one: Any) -> list[str]:
    if isinstance(one, ops.DropIndexOp | ops.DropConstraintOp):
        try:
            item: Any = one.to_index() if isinstance(one, ops.DropIndexOp) else one.to_constraint()
        except ValueError:  # a hand-written drop, which does not say which columns the index has
            return []
        return [str(column.name) for column in item.columns]
    return [str(getattr(column, "name", column)) for column in one.columns]
