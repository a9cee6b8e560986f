"""Reading from a database in which a job may be making tables."""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

Result = TypeVar("Result")

_DEFINITION_CHANGED = 1412
"""MySQL, MariaDB: the table was made or altered after the first read of the transaction, which cannot see it."""
_TRIES = 5


def undisturbed(read: Callable[[], Result]) -> Result:
    """What a function reads, from a new beginning where a job made or altered one of the tables meanwhile.

    Args:
        read: reads in transactions that it begins itself, and changes nothing.

    Raises:
        sqlalchemy.exc.DBAPIError: what the server says else, or five times.
    """
    for _ in range(_TRIES - 1):
        try:
            return read()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", ())[:1] != (_DEFINITION_CHANGED,):
                raise
    return read()
