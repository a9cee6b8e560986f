"""How a column of a database is identified."""

ColumnPath = tuple[str | None, str, str]
"""Schema (None for the default one), table and column."""
