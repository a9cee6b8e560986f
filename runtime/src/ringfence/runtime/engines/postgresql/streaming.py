"""PostgreSQL's cursors: portals of the transaction, with names of their own, that PgBouncer passes on too."""

from typing import Any

from ringfence.runtime.engines.base import Run


class Portal:
    """A cursor that DECLARE made and FETCH reads; it sees the rows as they were when it began."""

    def __init__(self, number: int) -> None:
        self._name = f"ringfence_stream_{number}"

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """DECLARE and the first FETCH, in one message."""
        # The whole result is wanted, not its first tenth, for which the planner would take another way.
        declare = f"SET LOCAL cursor_tuple_fraction = 1; DECLARE {self._name} NO SCROLL CURSOR FOR {sql}"
        rows: list[Any] = run(f"{declare}; FETCH {count} FROM {self._name}").fetchall()
        return rows

    def fetch(self, run: Run, count: int) -> list[Any]:
        """FETCH."""
        rows: list[Any] = run(f"FETCH {count} FROM {self._name}").fetchall()
        return rows

    def disturbed_by(self, sql: str) -> bool:
        """Never."""
        return False

    def end(self) -> str:
        """CLOSE, in the message of the next statement."""
        return f"CLOSE {self._name}; "
