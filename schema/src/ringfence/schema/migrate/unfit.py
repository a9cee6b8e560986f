"""Rows that a pending revision cannot be run over: NULL, values that stand twice, and what breaks a CHECK or a key."""

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ringfence.schema.backends import Backend, first_line
from ringfence.schema.backends.bounded import bounded
from ringfence.schema.counting import counted
from ringfence.schema.migrate.foresight import pasted
from ringfence.schema.migrate.lint.recorder import record
from ringfence.schema.migrate.pending import Pending
from ringfence.schema.migrate.unfit_looks import Look, Seen, looks, note

_MOST = 1000
"""Rows that are counted."""
_SHOWN = 5
"""Rows that the query in a message gives."""
_PATIENCE = 5.0
"""Seconds for each query."""


@dataclass(frozen=True)
class Unfit:
    """Rows that one operation of a pending revision would fail over."""

    revision: str
    does: str
    """What the operation does, as `makes customer.nick NOT NULL`."""
    rows: int | None
    """How many there are, 1,000 at most are counted; None where the server did not say in time."""
    more: bool
    """Whether there are more than that."""
    holds: str
    way_out: str
    query: str
    """Shows some of them."""
    sure: bool
    """Whether nothing that runs before it can change these rows."""

    def as_dict(self) -> dict[str, object]:
        """For a JSON document."""
        return asdict(self)

    def __str__(self) -> str:
        told = f"revision {self.revision} {self.does}, "
        if self.rows is None:
            return (
                f"{told}and whether rows stand against it could not be told: {self.holds}; see: {self.query}"
            )
        count = f"more than {self.rows:,} rows" if self.more else counted(self.rows, "row")
        before = "" if self.sure else " unless a statement that runs before it changes them"
        return f"{told}and {count} {self.holds}{before}: {self.way_out}; see them by: {self.query}"


def unfit(backend: Backend, pending: Pending) -> list[Unfit]:
    """Ask the rows, as they are, what the pending revisions would fail over; nothing is changed.

    Args:
        backend: the database.
        pending: the revisions that are to run.

    Returns:
        One for each operation over which rows would fail, in the order of the operations.
    """
    if not pending.revisions:
        return []
    engine = backend.engine()
    found = []
    with engine.connect() as connection:
        seen = Seen(sa.inspect(connection), connection.dialect)
        for revision in pending.revisions:
            recording = record(
                pending.scripts, pending.scripts.get_revision(revision), "upgrade", seen.dialect.name
            )
            for done in recording.whole:
                for look in looks(seen, done.operation):
                    one = _ask(engine, seen, revision, look)
                    found += [one] if one is not None else []
                note(seen, done.operation)
            if recording.error is not None:  # what follows is only known when it runs
                break
    return found


def _ask(engine: sa.Engine, seen: Seen, revision: str, look: Look) -> Unfit | None:
    some = look.rows.limit(_MOST + 1).subquery()
    query = pasted(look.rows.limit(_SHOWN), seen.dialect)
    try:
        with bounded(engine, _PATIENCE) as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    except sa.exc.DBAPIError as error:
        return Unfit(revision, look.does, None, False, first_line(error), look.way_out, query, False)
    if not count:
        return None
    sure = look.sure and not seen.written
    return Unfit(revision, look.does, min(count, _MOST), count > _MOST, look.holds, look.way_out, query, sure)
