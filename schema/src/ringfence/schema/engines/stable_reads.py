"""Reads of a database in which a job may be creating or altering tables."""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

Result = TypeVar("Result")

_DEFINITION_CHANGED = 1412
"""MySQL, MariaDB: a table was created or altered after the first read of the transaction.

The transaction's snapshot cannot show such a table.
"""
_TRIES = 5


def undisturbed(read: Callable[[], Result]) -> Result:
    """Return what a function reads; call it again if a job created or altered one of the tables meanwhile.

    Args:
        read: begins its own transactions, and changes nothing.

    Raises:
        sqlalchemy.exc.DBAPIError: another error of the server, or the same error in the fifth call.
    """
    for _ in range(_TRIES - 1):
        try:
            return read()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", ())[:1] != (_DEFINITION_CHANGED,):
                raise
    return read()
