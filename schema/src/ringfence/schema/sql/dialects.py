"""SQLAlchemy's dialects without a connection, to compile SQL for an engine."""

from functools import cache

import sqlalchemy as sa

# The drivers that the admin side installs; the dialects' own defaults may name others.
_DRIVERS = {"postgresql": "+psycopg2", "mysql": "+pymysql", "mariadb": "+pymysql"}


@cache
def unconnected(dialect: str) -> sa.Dialect:
    """Return a dialect without a connection.

    Args:
        dialect: SQLAlchemy's name of the dialect: postgresql, mysql, mariadb or sqlite.

    Returns:
        One shared instance, which callers must not change.
    """
    return sa.make_url(f"{dialect}{_DRIVERS.get(dialect, '')}://").get_dialect()()
