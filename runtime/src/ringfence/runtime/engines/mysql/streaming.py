"""Rows that MySQL sends as they are read; it has the connection to itself until the last one."""

import contextlib
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.constants import ER
from pymysql.cursors import SSCursor

from ringfence.runtime.engines.base import Run

# What is left of a result has to be read before anything else: up to so many rows that is quicker than to stop it.
_WORTH_READING = 20_000


class Unbuffered:
    """A result that the driver does not hold.

    Args:
        connection: PyMySQL's.
        cancel: stops the statement that runs on the connection, from another one.
    """

    def __init__(self, connection: Any, cancel: Callable[[], object]) -> None:
        self._connection = connection
        self._cancel = cancel
        self._cursor: Any = None

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select; its rows begin to come."""
        self._cursor = run(sql, None, self._connection.cursor(SSCursor))
        if not self._active():
            raise pymysql.err.OperationalError(ER.QUERY_INTERRUPTED, "the time limit came between")
        return self.fetch(run, count)

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Read as many from the wire."""
        return list(self._cursor.fetchmany(count))

    def disturbed_by(self, sql: str) -> bool:
        """By any: the connection takes no other statement before the last row."""
        return True

    def end(self) -> str:
        """Read what is left, or stop it when that is much."""
        left = _WORTH_READING
        while self._active() and left:
            left -= len(self._cursor.fetchmany(min(left, 1_000)))
        if self._active():
            self._stop()
        return ""

    def _stop(self) -> None:
        self._cancel()
        try:
            self._cursor._result._finish_unbuffered_query()
        except pymysql.Error as error:
            if error.args[:1] != (ER.QUERY_INTERRUPTED,):
                raise
        with contextlib.suppress(pymysql.err.OperationalError):
            self._connection.query("DO 0")  # the request to stop may have come too late to meet anything else

    def _active(self) -> bool:
        result = self._cursor._result if self._cursor is not None else None
        if result is not None and not self._connection.open:
            result.unbuffered_active = (
                False  # else it would read from a closed connection when it is collected
            )
        return bool(result is not None and result.unbuffered_active)
