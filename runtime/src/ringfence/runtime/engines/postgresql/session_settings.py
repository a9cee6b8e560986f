"""What the settings of a role, a database or the server change in what a session reads."""

from typing import Any

FORMS = "SELECT current_setting('intervalstyle'), current_setting('extra_float_digits')::int"
"""How intervals are written, and how many digits of a float."""

SIGHT = (
    "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE'), current_setting('search_path') FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s AND c.relkind IN ('r', 'p')"
    " AND NOT pg_table_is_visible(c.oid) ORDER BY 1 LIMIT 1"
)
"""Where a table is that its name alone does not find."""


def same_forms(row: Any) -> str:
    """What a transaction begins with, so that values come in the forms that the codecs read, whole.

    It is local to each transaction: a pooler would not keep it for this client.

    Args:
        row: what `FORMS` gives.
    """
    style, digits = row
    sql = "" if style == "postgres" else "SET LOCAL intervalstyle = 'postgres'; "
    return sql if digits > 0 else sql + "SET LOCAL extra_float_digits = 3; "


def out_of_sight(name: str, row: Any) -> str | None:
    """Why a table is not found by its name alone, for `the account …`; None where there is none.

    Args:
        name: the table's.
        row: what `SIGHT` gives.
    """
    if row is None:
        return None
    schema, may, path = row
    if not may:
        return f"may not use the schema {schema}, where {name} is"
    return f"does not look into the schema {schema}, where {name} is: its search_path is {path}"
