"""SQL as it is written: colons are not parameters, and percent signs are not doubled."""

import sqlalchemy as sa

from ringfence.schema import sqlalchemy_compat


def verbatim(sql: str) -> sa.TextClause:
    """Return SQL for SQLAlchemy, with escaped colons: SQLAlchemy would take a colon before a word for a parameter.

    Args:
        sql: A statement, or a part of one.
    """
    return sa.text(sql.replace(":", "\\:"))


def single_percents(sql: str, dialect: sa.Dialect) -> str:
    """Return SQL that SQLAlchemy compiled or quoted with each percent sign once: for some drivers it doubles them.

    Args:
        sql: The SQL.
        dialect: The dialect for which SQLAlchemy compiled it.
    """
    doubled = sqlalchemy_compat.doubles_percents(dialect)
    return sql.replace("%%", "%") if doubled else sql


def identifier(dialect: sa.Dialect, *path: str | None) -> str:
    """Return a name for a statement, in quotes where it needs them.

    Args:
        dialect: The dialect of the statement.
        path: The schema, which may be None or empty, and the name; or the name alone.
    """
    quote = dialect.identifier_preparer.quote
    return single_percents(".".join(quote(part) for part in path if part), dialect)


def literal(text: str, *, backslash_escapes: bool = False) -> str:
    """Return a text as a literal of standard SQL.

    Args:
        text: The text.
        backslash_escapes: Whether the server reads a backslash in it as an escape, as MySQL and MariaDB do.
    """
    escaped = text.replace("\\", "\\\\") if backslash_escapes else text
    return "'" + escaped.replace("'", "''") + "'"
