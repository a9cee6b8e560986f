"""Rows that SQLite finds as they are asked for."""

from typing import Any

from ringfence.runtime.engines.base import Mode, Run
from ringfence.runtime.engines.sqlite.connection import Connection


class Stepping:
    """A select that is stepped through, each batch within the session's time limit."""

    def __init__(self, connection: Connection, mode: Mode) -> None:
        self._connection = connection
        self._mode = mode
        self._cursor: Any = None

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select up to its first rows."""
        self._cursor = run(sql, None, self._connection.cursor())
        rows: list[Any] = self._cursor.fetchmany(count)
        return rows

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Step on."""
        self._connection.limit(self._mode.timeout)
        rows: list[Any] = self._cursor.fetchmany(count)
        return rows

    def disturbed_by(self, sql: str) -> bool:
        """By a write: SQLite does not say whether a select that is under way sees it."""
        return sql[:6].upper() not in ("SELECT", "SAVEPO", "RELEAS")

    def end(self) -> str:
        """Let the statement go."""
        if self._cursor is not None:
            self._cursor.close()
        return ""
