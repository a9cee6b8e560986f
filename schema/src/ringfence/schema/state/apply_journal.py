"""The journal of an apply where each statement commits by itself: it shows what a failed apply left unfinished.

The remaining work is always found by a new comparison: a statement that was begun is checked on the server, and not
assumed to have taken effect.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.state.table_options import INNODB_OPTIONS

_LONGEST = 4000  # characters of a statement, or of an error, that are kept

table = sa.Table(
    "ringfence_apply",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("statement", sa.Text, nullable=False),
    sa.Column("failure", sa.Text),
    **INNODB_OPTIONS,
)
_ROW = 1


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An apply that stopped at one of its statements.

    `failure` is None where the error could not be written, so that the outcome is unknown.
    """

    step: int
    steps: int
    statement: str
    failure: str | None

    def __str__(self) -> str:
        why = f": {self.failure}" if self.failure else ", whose outcome was never known"
        return f"statement {self.step} of {self.steps}, {self.statement}{why}"


def unfinished(connection: sa.Connection, tables: Iterable[str]) -> Unfinished | None:
    """Return where the last apply stopped; None if it was completed.

    Args:
        connection: A connection of the admin account.
        tables: The names of the tables that exist.
    """
    if table.name not in tables:
        return None
    row = connection.execute(sa.select(table).where(table.c.id == _ROW)).one_or_none()
    return None if row is None else Unfinished(row.step, row.steps, row.statement, row.failure)


class Journal:
    """Written before each statement, and emptied at the end; statements are stored as shown, without secrets."""

    def __init__(self, connection: sa.Connection, steps: int) -> None:
        """Create the table of the journal where it does not exist, and empty it.

        Args:
            connection: The connection on which the apply runs.
            steps: The number of its statements.
        """
        self._connection = connection
        self._steps = steps
        self._step = 0
        table.create(connection, checkfirst=True)
        connection.execute(sa.delete(table))

    def begin(self, statement: str) -> None:
        """Record the next statement before it is sent, and commit.

        Args:
            statement: The statement as it is shown.
        """
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
        """Record why the statement failed, if the connection still works."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._connection.rollback()
            self._connection.execute(
                sa.update(table).where(table.c.id == _ROW).values(failure=failure[:_LONGEST])
            )
            self._connection.commit()

    def end(self) -> None:
        """Record that the apply is complete: empty the journal."""
        self._connection.execute(sa.delete(table))
        self._connection.commit()
