"""How a column of a database is named in what is kept of it."""

ColumnPath = tuple[str | None, str, str]
"""Schema, table and column, with the schema None for the default one."""
