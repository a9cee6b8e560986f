"""Streams selects on SQLite, which computes rows as they are fetched."""

from typing import Any

from ringfence.runtime.engines.base import Mode, Run
from ringfence.runtime.engines.sqlite.connection import Connection


class Stepping:
    """A select that is stepped through, each batch within the session's timeout."""

    def __init__(self, connection: Connection, mode: Mode) -> None:
        self._connection = connection
        self._mode = mode
        self._cursor: Any = None

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select and return its first rows."""
        self._cursor = run(sql, None, self._connection.cursor())
        rows: list[Any] = self._cursor.fetchmany(count)
        return rows

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Return the next rows."""
        self._connection.limit(self._mode.timeout)
        rows: list[Any] = self._cursor.fetchmany(count)
        return rows

    def conflicts_with(self, sql: str) -> bool:
        """Return whether the statement may write: SQLite does not define whether a running select sees a write."""
        return sql[:6].upper() not in ("SELECT", "SAVEPO", "RELEAS")

    def end(self) -> str:
        """Close the cursor."""
        if self._cursor is not None:
            self._cursor.close()
        return ""
