"""SQL as it stands, in which a colon is a colon and a percent sign a percent sign."""

import sqlalchemy as sa


def verbatim(sql: str) -> sa.TextClause:
    """SQL for SQLAlchemy, which would take a colon before a word for a parameter.

    Args:
        sql: a statement, or a part of one.
    """
    return sa.text(sql.replace(":", "\\:"))


def single_percents(sql: str, dialect: sa.Dialect) -> str:
    """What SQLAlchemy wrote, with each percent sign once: for some drivers it doubles them, in names too.

    Args:
        sql: what it compiled or quoted.
        dialect: for which it did.
    """
    doubled = dialect.identifier_preparer._double_percents  # noqa: SLF001 - SQLAlchemy has no public way to ask
    return sql.replace("%%", "%") if doubled else sql


def identifier(dialect: sa.Dialect, *path: str | None) -> str:
    """A name as a statement has it, in quotes where it needs them.

    Args:
        dialect: in whose words.
        path: the schema, which may be None or "", and the name; or the name alone.
    """
    quote = dialect.identifier_preparer.quote
    return single_percents(".".join(quote(part) for part in path if part), dialect)


def literal(text: str) -> str:
    """A text in quotes, as standard SQL has it.

    Args:
        text: as it is meant.
    """
    return "'" + text.replace("'", "''") + "'"
