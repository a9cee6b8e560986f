"""Catalog checks of the online DDL for PostgreSQL, and sending of its statements."""

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
    """Return whether an invalid index of this name exists, which a failed build leaves.

    Args:
        name: the index.
        schema: its schema; None is the default one.
    """
    return _ask(_INVALID, name, schema) is not None


def is_partitioned(name: str, schema: str | None) -> bool:
    """Return whether a table, or the table of an index, is partitioned: its indexes cannot be built concurrently.

    Args:
        name: the table or the index.
        schema: its schema; None is the default one.
    """
    return bool(_ask(_PARTITIONED, name, schema))


def send(statement: str) -> None:
    """Run a statement unchanged: a colon in it starts no bind parameter.

    Args:
        statement: the SQL.
    """
    op.execute(verbatim(statement))


_IDENTIFIER = r'(?:"(?:[^"]|"")+"|\w+)'
_VALIDATES = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:ONLY\s+)?(?:({_IDENTIFIER})\.)?({_IDENTIFIER})\s+VALIDATE\s+CONSTRAINT\s+({_IDENTIFIER})"
    r"\s*;?\s*\Z",
    re.IGNORECASE,
)


def validated(statement: str) -> tuple[str | None, str, str] | None:
    """Return the constraint that a VALIDATE CONSTRAINT statement names.

    Args:
        statement: any SQL statement.

    Returns:
        Schema (None where the statement names none), table and constraint; None for another statement.
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
