"""Finds rows that would make a pending revision fail.

These are NULLs, duplicates, values that a new type cannot hold, and violations of a CHECK or a foreign key.
"""

import time
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from ringfence.schema.engines import first_line
from ringfence.schema.engines.base import Server
from ringfence.schema.engines.statement_timeouts import bounded
from ringfence.schema.job.planned_statements import inline_sql
from ringfence.schema.job.row_checks_operations import row_checks
from ringfence.schema.job.row_checks_tables import RowCheck, TableChanges, apply
from ringfence.schema.lint.pending import Pending
from ringfence.schema.text import counted

_MOST = 1000
"""The number of rows up to which they are counted."""
_SHOWN = 5
"""The number of rows that the query in a message returns."""
_QUERY_TIMEOUT = 5.0
"""The time limit of each query, in seconds."""
TOTAL_SECONDS = 60.0
"""The time limit of all queries together, in seconds."""


@dataclass(frozen=True)
class FailingRows:
    """Rows that would make one operation of a pending revision fail."""

    revision: str
    does: str
    """What the operation does, such as `makes customer.nick NOT NULL`."""
    rows: int | None
    """Their number, at most 1,000; None if the server did not answer in time."""
    counts: str
    """What is counted: `row`, or `value` for duplicate values of a key."""
    more: bool
    """Whether there are more than `rows`."""
    holds: str
    """What is wrong with the rows, such as `hold NULL there`; if `rows` is None, why they could not be counted."""
    resolution: str
    """How to resolve it."""
    query: str
    """SQL that shows some of the rows."""
    certain: bool
    """Whether no earlier statement of the pending revisions can change these rows."""

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary that can be written as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        begin = f"revision {self.revision} {self.does}, and"
        if self.rows is None:
            return f"{begin} whether rows are in its way is not known: {self.holds}; look by: {self.query}"
        count = f"more than {self.rows:,} {self.counts}s" if self.more else counted(self.rows, self.counts)
        verb, _, rest = self.holds.partition(" ")
        one = "s" if self.rows == 1 and not self.more and verb != "will" else ""
        before = "" if self.certain else " unless a statement that runs before it changes them"
        return f"{begin} {count} {verb}{one} {rest}{before}: {self.resolution}; see them by: {self.query}"


def failing_rows(backend: Server, pending: Pending) -> list[FailingRows]:
    """Find the existing rows that would make pending revisions fail; nothing is changed.

    Args:
        backend: the database.
        pending: the revisions that are to run.

    Returns:
        One entry for each operation that rows would make fail, in the order of the operations.
    """
    if not pending.revisions:
        return []
    engine = backend.engine()
    end = time.monotonic() + TOTAL_SECONDS
    found = []
    with engine.connect() as connection:
        changes = TableChanges(sa.inspect(connection), connection.dialect, backend.identity.engine)
        for revision in pending.revisions:
            recording = pending.scripts.recording(revision, changes.dialect.name)
            for done in recording.whole:
                for check in row_checks(changes, done.operation):
                    one = _ask(engine, changes, revision, check, end)
                    found += [one] if one is not None else []
                apply(changes, done.operation)
            if recording.error is not None:  # the operations after the error are unknown
                break
    return found


def _ask(
    engine: sa.Engine, changes: TableChanges, revision: str, check: RowCheck, end: float
) -> FailingRows | None:
    some = check.rows.limit(_MOST + 1).subquery()
    query = inline_sql(check.rows.limit(_SHOWN), changes.dialect)
    unknown = FailingRows(revision, check.does, None, check.counts, False, "", check.resolution, query, False)
    left = end - time.monotonic()
    if left <= 0:
        return replace(unknown, holds=f"the queries before it took {TOTAL_SECONDS:.0f} s")
    try:
        with bounded(engine, min(_QUERY_TIMEOUT, left)) as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    except sa.exc.DBAPIError as error:
        if check.tentative and isinstance(error, sa.exc.ProgrammingError):
            return None
        return replace(unknown, holds=first_line(error))
    if not count:
        return None
    certain = check.certain and not changes.written
    return replace(unknown, rows=min(count, _MOST), more=count > _MOST, holds=check.holds, certain=certain)
