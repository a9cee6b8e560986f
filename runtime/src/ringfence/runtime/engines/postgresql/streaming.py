"""Streams selects through PostgreSQL's SQL cursors, whose unique names also work behind PgBouncer."""

from typing import Any

from ringfence.runtime.engines.base import Run


class Portal:
    """A cursor made by DECLARE and read by FETCH; it shows the rows as they were when it was declared."""

    def __init__(self, number: int) -> None:
        self._name = f"ringfence_stream_{number}"

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Send DECLARE and the first FETCH in one message."""
        # The whole result is read; by default the planner optimizes for the first tenth of it.
        declare = f"SET LOCAL cursor_tuple_fraction = 1; DECLARE {self._name} NO SCROLL CURSOR FOR {sql}"
        rows: list[Any] = run(f"{declare}; FETCH {count} FROM {self._name}").fetchall()
        return rows

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Send FETCH."""
        rows: list[Any] = run(f"FETCH {count} FROM {self._name}").fetchall()
        return rows

    def conflicts_with(self, sql: str) -> bool:
        """Return False: other statements do not affect the cursor."""
        return False

    def end(self) -> str:
        """Return CLOSE, to be sent with the next statement."""
        return f"CLOSE {self._name}; "
