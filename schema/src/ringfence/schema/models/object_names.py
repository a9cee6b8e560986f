"""The names of constraints and indexes in a database, where the models give none, or a longer one than it takes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import _truncated_label
from sqlalchemy.sql.naming import _constraint_name_for_table
from sqlalchemy.sql.schema import ColumnCollectionConstraint
from sqlalchemy.util import md5_hex

from ringfence.schema.models.types import MYSQL_FAMILY, POSTGRESQL

NAME_LIMITS: Mapping[str, int] = {"postgresql": 63, "mysql": 64, "mariadb": 64, "galera": 64}
"""The longest name that an engine takes, in bytes on PostgreSQL and in characters on the others; SQLite takes any.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS,
https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html
"""

# PostgreSQL, src/backend/commands/indexcmds.c and tablecmds.c: what ends the name that it makes.
_ENDS = (
    (sa.PrimaryKeyConstraint, "pkey"),
    (sa.UniqueConstraint, "key"),
    (sa.ForeignKeyConstraint, "fkey"),
    (sa.CheckConstraint, "check"),
)


def constraints(table: sa.Table) -> Iterable[sa.Constraint]:
    """Every constraint of a table, with the CHECKs that are written at a column.

    Args:
        table: of the models.
    """
    yield from table.constraints
    for column in table.columns:
        yield from column.constraints


def keys(table: sa.Table) -> list[sa.PrimaryKeyConstraint | sa.UniqueConstraint]:
    """The keys of a table: the primary key first, then the unique constraints by name and columns.

    SQLAlchemy keeps them in a set, whose order changes from one process to the next.

    Args:
        table: of the models.

    Returns:
        The same list in every process.
    """
    found = [
        one for one in table.constraints if isinstance(one, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
    ]
    return sorted(
        found,
        key=lambda one: (
            isinstance(one, sa.UniqueConstraint),
            str(one.name or ""),
            [str(column.name) for column in one.columns],
        ),
    )


def named_items(table: sa.Table) -> tuple[sa.Constraint | sa.Index, ...]:
    """Everything of a table that has a name of its own in the database.

    Args:
        table: of the models.
    """
    return (*constraints(table), *table.indexes)


def constraint_name(item: sa.Constraint | sa.Index, *, shortens: bool = True) -> str | None:
    """The name by the models and their naming convention; None where the database makes one up.

    Args:
        item: the constraint or index.
        shortens: whether a name counts that SQLAlchemy shortens where it is too long.
    """
    if not isinstance(item.name, str) or (isinstance(item.name, _truncated_label) and not shortens):
        return None
    return str(item.name)


def names_in(item: sa.Constraint | sa.Index, table: sa.Table, engines: Iterable[str]) -> tuple[str, ...]:
    """Every name that a constraint or index has on one of the engines, each once.

    Args:
        item: the constraint or index.
        table: of the models.
        engines: those of the deployment, by their names.
    """
    engines = tuple(engines)
    name = constraint_name(item)
    if name is not None:
        return tuple(dict.fromkeys(shortened(item, engine) or name for engine in engines)) or (name,)
    found: list[str] = []
    if not POSTGRESQL.isdisjoint(engines):
        found += _made_by_postgresql(item, table)
    if not MYSQL_FAMILY.isdisjoint(engines):
        found += _made_by_mysql(item, table)
    return tuple(dict.fromkeys(found))


def shortened(item: sa.Constraint | sa.Index, engine: str) -> str | None:
    """The name as SQLAlchemy shortens one of a naming convention; None for a name that it leaves as it is.

    As `IdentifierPreparer.truncate_and_render_maxlen_name` of SQLAlchemy does it.

    Args:
        item: the constraint or index.
        engine: one of the deployment's, by its name.
    """
    limit, name = NAME_LIMITS.get(engine), item.name
    if limit is None or not isinstance(name, _truncated_label) or len(name) <= limit:
        return None
    return f"{name[: limit - 8]}_{md5_hex(str(name))[-4:]}"


def too_long(name: str | None, engine: str) -> bool:
    """Whether an engine refuses a name, or cuts it off.

    Args:
        name: of a table, a column, a constraint or an index; None where it has none.
        engine: one of the deployment's.
    """
    if name is None or engine not in NAME_LIMITS:
        return False
    length = len(name.encode()) if engine in POSTGRESQL else len(name)
    return length > NAME_LIMITS[engine]


def fitted(name: str) -> str:
    """A name of our own making that every engine takes: one that is too long is cut, and made different by its digest.

    Args:
        name: as it would be without a limit.
    """
    limit = min(NAME_LIMITS.values())
    if len(name.encode()) <= limit:
        return name
    end = f"_{md5_hex(name)[-8:]}"
    return name.encode()[: limit - len(end)].decode(errors="ignore") + end


def name_by(metadata: sa.MetaData, convention: Mapping[str, str]) -> None:
    """Give the unnamed constraints and indexes of models the names of a convention, where it has one for their kind.

    A CHECK without a name cannot have one by a convention that builds on its name.

    Args:
        metadata: of the models; it is changed.
        convention: as `MetaData` takes it: kind -> pattern.
    """
    metadata.naming_convention = {**_given(metadata), **convention}
    for table in metadata.tables.values():
        for item in named_items(table):
            if constraint_name(item) is None and (
                not isinstance(item, sa.CheckConstraint) or "ck" in convention
            ):
                try:
                    item.name = _constraint_name_for_table(item, table)  # type: ignore[no-untyped-call]
                except sa.exc.InvalidRequestError:
                    item.name = None


def check_columns(item: sa.CheckConstraint, table: sa.Table) -> tuple[str, ...]:
    """The columns that a CHECK speaks of, in the order of the table.

    Args:
        item: the constraint or index.
        table: of the models.
    """
    words = {column.name for column in item.columns} or set(re.findall(r"\w+", str(item.sqltext)))
    return tuple(str(column.name) for column in table.columns if column.name in words)


def _given(metadata: sa.MetaData) -> dict[Any, Any]:
    return {**metadata.naming_convention}


def _columns(item: Any) -> Sequence[str]:
    if isinstance(item, ColumnCollectionConstraint | sa.Index):
        return [str(column.name) for column in item.columns]
    return []


def _made_by_postgresql(item: Any, table: sa.Table) -> Iterator[str]:
    end = next(
        (end for cls, end in _ENDS if isinstance(item, cls)), "idx" if isinstance(item, sa.Index) else None
    )
    if end is None:
        return
    columns = list(_columns(item))
    if isinstance(item, sa.CheckConstraint):
        columns = list(check_columns(item, table))
        columns = columns if len(columns) == 1 else []
    middle = "" if end == "pkey" else "_".join(columns)
    yield _joined(str(table.name), middle, end)


def _joined(first: str, second: str, end: str) -> str:
    """As PostgreSQL's makeObjectName: of the two names the longer one is cut until all fits."""
    one, other = first.encode(), second.encode()
    room = NAME_LIMITS["postgresql"] - len(end) - 1 - (1 if other else 0)
    while len(one) + len(other) > room:
        if len(one) > len(other):
            one = one[:-1]
        else:
            other = other[:-1]
    parts = [part.decode(errors="ignore") for part in (one, other) if part]
    return "_".join([*parts, end])


def _made_by_mysql(item: Any, table: sa.Table) -> Iterator[str]:
    """A unique key is called as its first column there, and a foreign key counted."""
    if isinstance(item, sa.UniqueConstraint) and (columns := _columns(item)):
        yield columns[0]
    elif isinstance(item, sa.ForeignKeyConstraint):
        unnamed = [each for each in _in_order(table) if constraint_name(each) is None]
        yield f"{table.name}_ibfk_{unnamed.index(item) + 1}"


def _in_order(table: sa.Table) -> list[sa.ForeignKeyConstraint]:
    """The foreign keys in the order in which CREATE TABLE has them."""
    keys = [item for item in table.constraints if isinstance(item, sa.ForeignKeyConstraint)]
    return sorted(keys, key=lambda key: key._creation_order)  # noqa: SLF001 - the order of CREATE TABLE


# Which kinds of names must differ between the tables of one schema: on PostgreSQL those that have an index of their
# own (which is a relation), in InnoDB those of foreign keys, and of CHECKs on MySQL; on SQLite those of indexes.
_SHARED: Mapping[str, tuple[type[Any], ...]] = {
    "postgresql": (sa.Index, sa.PrimaryKeyConstraint, sa.UniqueConstraint),
    "mysql": (sa.ForeignKeyConstraint, sa.CheckConstraint),
    "mariadb": (sa.ForeignKeyConstraint,),
    "galera": (sa.ForeignKeyConstraint,),
    "sqlite": (sa.Index,),
}


def clashes(tables: Mapping[str, sa.Table], engines: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The names that two tables have and an engine takes once, by the table's key, with a way out.

    Args:
        tables: of the models, by `table` or `schema.table`.
        engines: those of the deployment, by their names.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for engine in engines:
        owners: dict[tuple[str | None, type[Any] | None, str], str] = {}
        for key, table in tables.items():
            for item in named_items(table):
                name = constraint_name(item)
                kind = next((cls for cls in _SHARED.get(engine, ()) if isinstance(item, cls)), None)
                if name is None or kind is None:
                    continue
                name = shortened(item, engine) or name
                # Relations are of one kind, whatever they belong to; foreign keys and CHECKs are apart.
                apart = kind if kind in (sa.ForeignKeyConstraint, sa.CheckConstraint) else None
                if (other := owners.setdefault((table.schema, apart, name), key)) != key:
                    for one, two in ((key, other), (other, key)):
                        problem = f"{one} and {two} both have a {name!r}: rename one"
                        found.setdefault(one, {}).setdefault(problem, []).append(engine)
    return {
        key: [
            f"{problem}, for {', '.join(dict.fromkeys(where))} takes it once"
            for problem, where in of_it.items()
        ]
        for key, of_it in found.items()
    }
