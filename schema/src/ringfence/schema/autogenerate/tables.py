"""Order in which tables are created and dropped, and foreign keys that must be created after all tables."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.alembic_compat import set_reverse
from ringfence.schema.models.object_names import shortened_name
from ringfence.schema.sql.table_keys import key_of, referred_column, referred_table


@dataclass
class OrderedTables:
    """Operations of tables in order, and the foreign keys to create after them, or to drop before them."""

    tables: list[Any] = field(default_factory=list)
    keys: list[ops.CreateForeignKeyOp] = field(default_factory=list)
    before_tables: list[ops.MigrateOperation] = field(default_factory=list)
    """Creations of unique indexes and constraints that must run before the tables."""


def order_created(found: Sequence[ops.MigrateOperation]) -> OrderedTables:
    """Order the tables that a script creates, each after those that it refers to.

    A foreign key becomes a separate operation if tables refer to each other in a circle, if it has `use_alter`, or if
    it refers to its own table by columns whose unique index must be created first. `needed` has the operations that
    make referred columns unique.

    Args:
        found: the operations of the script, flattened by `ordering.flat`.
    """
    tables = [one for one in found if isinstance(one, ops.CreateTableOp)]
    done = OrderedTables()
    wanted = set()
    indexed = {_unique(one) for one in found}
    for table in tables:
        for key in _keys(table.columns):
            referred = (_target(key), frozenset(_remote(key)))
            wanted.add(referred)
            itself = referred[0] == key_of(table.schema, table.table_name)
            if key.use_alter or (itself and referred in indexed):
                _separate_key(table, key, done)
    done.before_tables = [one for one in found if _unique(one) in wanted]
    done.tables = list(_sorted(tables, done))
    return done


def order_dropped(found: Sequence[ops.MigrateOperation]) -> OrderedTables:
    """Order the tables that a script drops, each before those that it refers to.

    Args:
        found: the operations of the script, flattened by `ordering.flat`; the drops get a matching reverse in place.
    """
    given = [one for one in found if isinstance(one, ops.DropTableOp)]
    made = {
        key_of(one.schema, one.table_name): (one, ops.CreateTableOp.from_table(one.to_table()))
        for one in given
    }
    done = OrderedTables()
    order = list(_sorted([create for _, create in made.values()], done))
    for create in reversed(order):
        drop = made[key_of(create.schema, create.table_name)][0]
        set_reverse(drop, create)
        done.tables.append(drop)
    return done


def _sorted(tables: Sequence[ops.CreateTableOp], done: OrderedTables) -> Iterator[ops.CreateTableOp]:
    left = {key_of(one.schema, one.table_name): one for one in tables}
    while left:
        free = [
            key
            for key, one in left.items()
            if not any(_target(fk) in left and _target(fk) != key for fk in _keys(one.columns))
            and not any(parent in left for parent in _parents(one))
        ]
        if not free:  # a circle: create one of its tables first, and its foreign keys into the circle later
            first = _table_in_cycle(left)
            for fk in list(_keys(left[first].columns)):
                if _target(fk) in left and _target(fk) != first and _refers_to(left, _target(fk), first):
                    _separate_key(left[first], fk, done)
            continue
        for key in free:
            yield left.pop(key)


def _parents(one: ops.CreateTableOp) -> Iterator[str]:
    """Yield the tables that a table inherits from (`postgresql_inherits`), as given and with its schema."""
    given = one.kw.get("postgresql_inherits") or ()
    for parent in (given,) if isinstance(given, str) else given:
        yield parent
        yield key_of(one.schema, parent)


def _table_in_cycle(left: dict[str, ops.CreateTableOp]) -> str:
    """Return a table that is part of a circle of foreign keys, not one that only refers to a circle."""
    for start, one in left.items():
        if any(_target(fk) != start and _refers_to(left, _target(fk), start) for fk in _keys(one.columns)):
            return start
    raise AssertionError("every table that is left refers to another that is left")


def _refers_to(left: dict[str, ops.CreateTableOp], start: str, end: str) -> bool:
    """Whether one table refers to another, directly or through other tables."""
    seen, ahead = {start}, [start]
    while ahead:
        at = ahead.pop()
        if at == end:
            return True
        if at in left:
            fresh = {_target(fk) for fk in _keys(left[at].columns)} - seen
            seen |= fresh
            ahead += fresh
    return False


def _separate_key(table: ops.CreateTableOp, key: sa.ForeignKeyConstraint, done: OrderedTables) -> None:
    table.columns = [item for item in table.columns if item is not key]
    create = ops.CreateForeignKeyOp.from_constraint(key)
    create.kw.pop("use_alter", None)
    if create.constraint_name is None:  # without a name it could not be dropped
        wanted = (
            f"{table.table_name}_{'_'.join(create.local_cols)}_fkey"  # the name that PostgreSQL would give it
        )
        taken = {(one.source_table, one.constraint_name) for one in done.keys}
        number = 0
        while (table.table_name, shortened_name(f"{wanted}{number or ''}")) in taken:
            number += 1
        create.constraint_name = shortened_name(f"{wanted}{number or ''}")
    done.keys.append(create)


def _keys(columns: Sequence[Any]) -> Iterator[sa.ForeignKeyConstraint]:
    return (item for item in columns if isinstance(item, sa.ForeignKeyConstraint))


def _target(key: sa.ForeignKeyConstraint) -> str:
    """Return the table that a foreign key refers to, as the models name it."""
    return referred_table(key.elements[0])


def _remote(key: sa.ForeignKeyConstraint) -> list[str]:
    return [referred_column(element) for element in key.elements]


def _unique(one: ops.MigrateOperation) -> tuple[str, frozenset[str]] | None:
    """Return the table and the columns that an operation makes unique; None for other operations."""
    if isinstance(one, ops.CreateUniqueConstraintOp) or (isinstance(one, ops.CreateIndexOp) and one.unique):
        columns = frozenset(str(getattr(column, "name", column)) for column in one.columns)
        return key_of(one.schema, one.table_name), columns
    return None


def indexes_of_created(
    found: Sequence[ops.MigrateOperation], created_keys: Collection[str]
) -> dict[str, list[ops.MigrateOperation]]:
    """Return the indexes and unique constraints of each new table, by table: foreign keys may refer to them.

    Args:
        found: the operations of the script, flattened by `ordering.flat`.
        created_keys: the new tables, as `table` or `schema.table`.
    """
    belongs: dict[str, list[ops.MigrateOperation]] = {}
    for one in found:
        key = key_of(getattr(one, "schema", None), getattr(one, "table_name", None) or "")
        if key in created_keys and isinstance(one, ops.CreateIndexOp | ops.CreateUniqueConstraintOp):
            belongs.setdefault(key, []).append(one)
    return belongs
