"""Settings of a role, database or server that change how a session reads values or finds tables."""

from typing import Any

FORMAT_QUERY = "SELECT current_setting('intervalstyle'), current_setting('extra_float_digits')::int"
"""Reads how intervals and floats are written."""

SCHEMA_QUERY = (
    "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE'), current_setting('search_path') FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s AND c.relkind IN ('r', 'p')"
    " AND NOT pg_table_is_visible(c.oid) ORDER BY 1 LIMIT 1"
)
"""Finds the schema of a table that is not on the search path."""


def format_settings(row: Any) -> str:
    """Return SQL that begins a transaction so that values have the form that the codecs read, with all digits.

    It is local to each transaction, as a pooler would not keep session settings for this client.

    Args:
        row: the row that `FORMAT_QUERY` returns.
    """
    style, digits = row
    sql = "" if style == "postgres" else "SET LOCAL intervalstyle = 'postgres'; "
    return sql if digits > 0 else sql + "SET LOCAL extra_float_digits = 3; "


def hidden_table_reason(name: str, row: Any) -> str | None:
    """Return why a table is not found by its unqualified name, to follow `the account …`; None where no table exists.

    Args:
        name: the table's name.
        row: the row that `SCHEMA_QUERY` returns.
    """
    if row is None:
        return None
    schema, may, path = row
    if not may:
        return f"may not use the schema {schema}, where {name} is"
    return f"does not look into the schema {schema}, where {name} is: its search_path is {path}"
