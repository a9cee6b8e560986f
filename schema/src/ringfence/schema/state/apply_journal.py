"""How far an apply came, where each of its statements commits by itself: what a failure half-way leaves behind.

What is left to do is always found by comparing anew, so that a statement that was begun is looked at and not believed.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}
_LONGEST = 4000  # characters of a statement, or of an error, that are kept

table = sa.Table(
    "ringfence_apply",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("statement", sa.Text, nullable=False),
    sa.Column("failure", sa.Text),
    **_OPTIONS,
)
_ROW = 1


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An apply that ended in the middle: at which of its statements, and why, where that could still be written."""

    step: int
    steps: int
    statement: str
    failure: str | None

    def __str__(self) -> str:
        why = f": {self.failure}" if self.failure else ", whose outcome was never known"
        return f"statement {self.step} of {self.steps}, {self.statement}{why}"


def unfinished(connection: sa.Connection, tables: Iterable[str]) -> Unfinished | None:
    """Where the last apply stopped, if it did not come to its end; `tables` are those that are there."""
    if table.name not in tables:
        return None
    row = connection.execute(sa.select(table).where(table.c.id == _ROW)).one_or_none()
    return None if row is None else Unfinished(row.step, row.steps, row.statement, row.failure)


class Journal:
    """Written before each statement, and emptied at the end. Statements are written as shown, without a secret."""

    def __init__(self, connection: sa.Connection, steps: int) -> None:
        self._connection = connection
        self._steps = steps
        self._step = 0
        table.create(connection, checkfirst=True)
        connection.execute(sa.delete(table))

    def begin(self, statement: str) -> None:
        """Say that the next statement is about to be sent."""
        self._step += 1
        values = {
            "step": self._step,
            "steps": self._steps,
            "statement": statement[:_LONGEST],
            "failure": None,
        }
        if self._step == 1:
            self._connection.execute(sa.insert(table).values(id=_ROW, **values))
        else:
            self._connection.execute(sa.update(table).where(table.c.id == _ROW).values(values))
        self._connection.commit()

    def fail(self, failure: str) -> None:
        """Say why it failed, if the connection still takes that."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._connection.rollback()
            self._connection.execute(
                sa.update(table).where(table.c.id == _ROW).values(failure=failure[:_LONGEST])
            )
            self._connection.commit()

    def end(self) -> None:
        """Say that all is done."""
        self._connection.execute(sa.delete(table))
        self._connection.commit()
