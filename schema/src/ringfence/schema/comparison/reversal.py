"""What drops an index or a constraint, with a way back in the server's own words: SQLAlchemy reads too little."""

import re

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.attached import StatementOp
from ringfence.schema.comparison.manual_changes import ByHandOp
from ringfence.schema.comparison.server_definitions import in_own_words
from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.sql.text import identifier, verbatim

_CLAUSE = re.compile(r"(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY|EXCLUDE)\b")
_WAITS = re.compile(r"(?<!NOT) DEFERRABLE\b")
_COLLATED = re.compile(r"\bCOLLATE\b")


def removed_in_words(name: Name, found: Facets, dialect: sa.Dialect) -> ops.MigrateOperation:
    """What drops a constraint that SQLAlchemy does not read, such as EXCLUDE.

    Args:
        name: of the constraint.
        found: what the catalog says of it.
        dialect: of the database.
    """
    definition = found.get("definition") or ""
    if not _CLAUSE.match(definition):
        return ByHandOp(f"remove {name}: SQLAlchemy cannot read what is to be written back")
    table, label = identifier(dialect, name.schema, name.table), identifier(dialect, name.name)
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {label}"
    back = f"ALTER TABLE {table} ADD CONSTRAINT {label} {definition}"
    return StatementOp(dialect.name, drop, back)


def with_times(read: sa.Constraint, found: Facets) -> sa.Constraint:
    """A constraint as SQLAlchemy reads it; it passes over when a unique one is looked at.

    Args:
        read: the constraint; it is changed where that is said.
        found: what the catalog says of it.
    """
    definition = (found.get("definition") or "").upper()
    if isinstance(read, sa.UniqueConstraint) and _WAITS.search(definition):
        read.deferrable = True
        read.initially = "DEFERRED" if definition.endswith(" INITIALLY DEFERRED") else None
    return read


def dropped_in_words(
    name: Name, found: Facets, schema: str | None, existing: sa.Index | None
) -> ops.DropIndexOp | None:
    """What drops an index that has more than plain columns, with the way back in the server's words for them.

    SQLAlchemy reads no collation of an index of PostgreSQL; for what else it passes over see `in_own_words`.

    Args:
        name: of the index.
        found: what the catalog says of it.
        schema: as the models write it.
        existing: the index, as SQLAlchemy reads it.

    Returns:
        None where SQLAlchemy reads all that there is.
    """
    if existing is not None and (words := _collated(found.get("definition") or "")):
        return _with_words(existing, words)
    return in_own_words(name, found, schema)


def _with_words(existing: sa.Index, words: str) -> ops.DropIndexOp:
    """What drops an index; the way back has its columns in these words."""
    made = ops.CreateIndexOp.from_index(existing)
    options = {word: value for word, value in made.kw.items() if not word.endswith("_ops")}
    back = ops.CreateIndexOp(
        made.index_name, made.table_name, [verbatim(words)], schema=made.schema, unique=made.unique, **options
    )
    return ops.DropIndexOp(
        str(made.index_name), made.table_name, schema=made.schema, _reverse=back, **made.kw
    )


def _collated(definition: str) -> str | None:
    """The columns of an index, `btree (a COLLATE "C", lower(b)) WHERE …`, where one of them has a collation."""
    start = definition.find("(")
    depth, quoted = 0, ""
    for at in range(max(start, 0), len(definition)):
        mark = definition[at]
        if quoted:
            quoted = "" if mark == quoted else quoted
        elif mark in "'\"":
            quoted = mark
        else:
            depth += (mark == "(") - (mark == ")")
            if not depth:
                inner = definition[start + 1 : at]
                return inner if _COLLATED.search(inner) else None
    return None
