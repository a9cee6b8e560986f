"""SQLAlchemy's dialects without a connection: to write what an engine would be sent."""

from functools import cache

import sqlalchemy as sa

# The drivers that the admin side installs; the dialects' own defaults may name others.
_DRIVERS = {"postgresql": "+psycopg2", "mysql": "+pymysql", "mariadb": "+pymysql"}


@cache
def unconnected(dialect: str) -> sa.Dialect:
    """A dialect that is connected to nothing.

    Args:
        dialect: SQLAlchemy's name of it: postgresql, mysql, mariadb or sqlite.

    Returns:
        One instance for all who ask; it is not to be changed.
    """
    return sa.make_url(f"{dialect}{_DRIVERS.get(dialect, '')}://").get_dialect()()
