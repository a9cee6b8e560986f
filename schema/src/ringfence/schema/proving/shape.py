"""The shape of a database: what its tables, columns, keys and indexes are, to be compared with another's."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ringfence.schema.migrate.releases import PREFIX

Shape = dict[str, str]
"""What -> how it is, each a line for a person."""


def shape(engine: sa.Engine) -> Shape:
    """Look at the default schema; the order of columns, and tables of our own, do not count."""
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        found: Shape = {}
        for table in inspector.get_table_names():
            if not table.startswith(PREFIX) and table != "alembic_version":
                found |= dict(_table(inspector, connection.dialect, table))
        return found


def _table(inspector: sa.Inspector, dialect: sa.Dialect, table: str) -> Iterator[tuple[str, str]]:
    yield f"table {table}", "there"
    for column in inspector.get_columns(table):
        kind = column["type"].compile(dialect=dialect)
        null = "NULL" if column["nullable"] else "NOT NULL"
        default = column.get("default")
        # A sequence is called after the table it was made for.
        shown = "" if default is None else f" DEFAULT {'nextval' if 'nextval' in default else default}"
        yield f"column {table}.{column['name']}", f"{kind} {null}{shown}"
    primary = inspector.get_pk_constraint(table)
    yield f"primary key of {table}", f"({', '.join(primary['constrained_columns'])})"
    for key in inspector.get_foreign_keys(table):
        options = {name: value for name, value in key.get("options", {}).items() if value}
        refers = f"{key['referred_table']} ({', '.join(key['referred_columns'])}) {options or ''}"
        yield f"foreign key {table} ({', '.join(key['constrained_columns'])})", refers.strip()
    yield from _indexes(inspector, table)
    for check in inspector.get_check_constraints(table):
        if check["name"]:
            yield f"check {check['name']} of {table}", " ".join(str(check["sqltext"]).split())


def _indexes(inspector: sa.Inspector, table: str) -> Iterator[tuple[str, str]]:
    """A unique constraint is a unique index to some engines, so both are told alike."""
    for unique in inspector.get_unique_constraints(table):
        yield f"index {unique['name']} of {table}", f"({', '.join(unique['column_names'])}) unique"
    for index in inspector.get_indexes(table):
        columns: list[Any] = list(index.get("expressions") or index["column_names"])
        names = ", ".join(map(str, columns))
        yield f"index {index['name']} of {table}", f"({names}){' unique' if index['unique'] else ''}"


def difference(one: Shape, other: Shape, first: str, second: str) -> list[str]:
    """What is not the same in both, in words."""
    return [
        f"{what}: {one.get(what, 'absent')} {first}, {other.get(what, 'absent')} {second}"
        for what in sorted(one.keys() | other.keys())
        if one.get(what) != other.get(what)
    ]
