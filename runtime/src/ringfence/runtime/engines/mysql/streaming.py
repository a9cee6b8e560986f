"""Unbuffered results of MySQL: rows arrive as they are read, and occupy the connection until the last one."""

import contextlib
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.constants import ER
from pymysql.cursors import SSCursor

from ringfence.runtime.engines.base import Run
from ringfence.runtime.engines.mysql.pymysql_compat import has_unread_rows, read_to_end

# The rest of a result must be read before the next statement: up to this many rows, reading is faster than cancelling.
_WORTH_READING = 20_000


class Unbuffered:
    """A result that the driver does not buffer.

    Args:
        connection: PyMySQL's connection.
        cancel: cancels the running statement, through another connection.
    """

    def __init__(self, connection: Any, cancel: Callable[[], object]) -> None:
        self._connection = connection
        self._cancel = cancel
        self._cursor: Any = None

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select and return its first rows."""
        self._cursor = run(sql, None, self._connection.cursor(SSCursor))
        if not self._active():
            raise pymysql.err.OperationalError(ER.QUERY_INTERRUPTED, "the time limit came between")
        return self.fetch(run, count)

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Read the next rows from the socket."""
        return list(self._cursor.fetchmany(count))

    def conflicts_with(self, sql: str) -> bool:
        """Return True: the connection accepts no other statement before the last row is read."""
        return True

    def end(self) -> str:
        """Read the remaining rows, or cancel the statement if there are many."""
        left = _WORTH_READING
        while self._active() and left:
            left -= len(self._cursor.fetchmany(min(left, 1_000)))
        if self._active():
            self._stop()
        return ""

    def _stop(self) -> None:
        self._cancel()
        try:
            read_to_end(self._cursor)
        except pymysql.Error as error:
            if error.args[:1] != (ER.QUERY_INTERRUPTED,):
                raise
        with contextlib.suppress(pymysql.err.OperationalError):
            self._connection.query(
                "DO 0"
            )  # a KILL QUERY that arrives late hits this statement instead of the next

    def _active(self) -> bool:
        return has_unread_rows(self._connection, self._cursor)
