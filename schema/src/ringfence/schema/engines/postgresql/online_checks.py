"""What the safe paths of PostgreSQL look at before they choose a way, and how they send a statement."""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

from ringfence.schema.sql.text import verbatim

_INVALID = """
    SELECT 1 FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND n.nspname = COALESCE(:schema, current_schema()) AND NOT i.indisvalid
"""
_PARTITIONED = """
    SELECT c.relkind IN ('p', 'I') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND n.nspname = coalesce(:schema, current_schema())
"""


def is_invalid(name: str, schema: str | None) -> bool:
    """Whether an index of this name exists that a build which failed left behind.

    Args:
        name: the index.
        schema: its schema; None is the default one.
    """
    return _ask(_INVALID, name, schema) is not None


def is_partitioned(name: str, schema: str | None) -> bool:
    """Whether a table is partitioned, or an index is that of such a table: nothing of it can be made concurrently.

    Args:
        name: the table or the index.
        schema: its schema; None is the default one.
    """
    return bool(_ask(_PARTITIONED, name, schema))


def send(statement: str) -> None:
    """Run a statement as it stands: a colon in a name begins no parameter.

    Args:
        statement: of SQL.
    """
    op.execute(verbatim(statement))


_IDENTIFIER = r'(?:"(?:[^"]|"")+"|\w+)'
_VALIDATES = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:ONLY\s+)?(?:({_IDENTIFIER})\.)?({_IDENTIFIER})\s+VALIDATE\s+CONSTRAINT\s+({_IDENTIFIER})"
    r"\s*;?\s*\Z",
    re.IGNORECASE,
)


def validated(statement: str) -> tuple[str | None, str, str] | None:
    """Which constraint a statement of PostgreSQL validates.

    Args:
        statement: of SQL.

    Returns:
        Schema (None where the statement names none), table and name of the constraint; None for another statement.
    """
    if (found := _VALIDATES.match(statement)) is None:
        return None
    schema, table, name = (_plain(part) for part in found.groups())
    return schema, table or "", name or ""


def _plain(identifier: str | None) -> str | None:
    if identifier is None or not identifier.startswith('"'):
        return identifier and identifier.lower()
    return identifier[1:-1].replace('""', '"')


def _ask(query: str, name: str, schema: str | None) -> Any:
    if op.get_context().as_sql:
        return None
    return op.get_bind().execute(sa.text(query), {"name": name, "schema": schema}).scalar()
