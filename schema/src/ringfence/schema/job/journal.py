"""The journal of revisions whose statements commit one by one, so that the next run can continue after a failure.

On MySQL and MariaDB each DDL statement commits by itself; on PostgreSQL each statement of an `autocommit_block` does.
Every statement of such a revision is recorded before it is sent and again when it is done. Statements that write rows
share one transaction with their journal entry, so that each takes effect exactly once.

The next run of a half-finished revision goes through its statements again, from the first. What it does with each
depends on the entry at its position, see `Journal._took_effect_earlier`:

- `done`: the statement is skipped.
- `failed`: it is sent again; an index that was left incomplete is dropped first.
- `started`: its outcome is unknown; the run waits until the server has ended it, and asks `recovery`.
- another statement than the one recorded: the file was edited, and the operator decides (`DecisionNeeded`).

When the revision is recorded as applied, its entries are deleted in the same transaction (`Journal.finish`).
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ringfence.runtime.errors import NotReady
from ringfence.schema.engines.base import Backend
from ringfence.schema.errors import DecisionNeeded, JobFailed
from ringfence.schema.job import recovery
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.state.journal_entries import (
    DONE,
    FAILED,
    STARTED,
    Entry,
    fingerprint,
    last,
    packed,
    source_line,
    unpacked,
)
from ringfence.schema.state.releases import journal
from ringfence.schema.text import MessageCallback

RESOLUTIONS = ("done", "again")
_POLL = 0.5  # seconds between two checks whether a statement of an earlier job still runs


class RestartRevision(Exception):
    """Raised when the operator decided to run the revision again from its beginning; its journal is empty then."""


@dataclass
class _Run:
    """The state of the revision that is running."""

    revision: str
    direction: str
    path: str
    known: dict[int, Entry]
    position: int = 0
    autocommit: bool = False
    session: str = ""
    unwritten: list[Entry] = field(default_factory=list)
    """Entries of statements done in the open transaction; written just before an `autocommit_block` commits it."""
    accept_edited: bool = False
    """Whether the operator decided that the journal's statements count as done for the file as it is now."""


class Journal:
    """Records the statements of revisions that run on an engine, and skips those that took effect in an earlier run.

    Args:
        backend: the database.
        resolve: the operator's decision about a half-finished revision: `done` or `again`.
        patience: how long to wait for a statement that an earlier job left running, in seconds.
        on_message: called with a line of text when a half-finished revision is resumed or waited for.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        resolve: str | None = None,
        wait_timeout: float = 60.0,
        on_message: MessageCallback = lambda text: None,
    ) -> None:
        self._backend = backend
        self._resolve = resolve
        self._wait_timeout = wait_timeout
        self._on_message = on_message
        self.rows: dict[tuple[str, str], dict[int, Entry]] = {}
        """(revision, direction) -> the entries that earlier runs left, by position."""
        self._run: _Run | None = None
        self._columns: Callable[[], frozenset[ColumnPath]] = frozenset
        self._columns_recorded = False

    def listen(self, engine: sa.Engine) -> None:
        """Intercept each statement that the engine sends while a revision runs."""
        event.listen(engine, "do_execute", self._on_execute)
        event.listen(engine, "do_executemany", self._on_execute)
        event.listen(engine, "do_execute_no_params", self._on_execute_bare)

    def read(self, connection: sa.Connection) -> None:
        """Read what earlier runs left.

        Raises:
            JobFailed: `resolve` was given, and no revision is half-finished.
        """
        self.rows = {}
        for row in connection.execute(sa.select(journal)).mappings():
            entry = Entry(**{key: row[key] for key in Entry.__dataclass_fields__})
            self.rows.setdefault((row["revision"], row["direction"]), {})[entry.position] = entry
        if self._resolve is not None and not self.rows:
            raise JobFailed(
                f"--resolve {self._resolve}: no revision is half-finished, so there is nothing to decide"
            )

    def check(self, steps: Iterable[tuple[str, str]]) -> None:
        """Check that each half-finished revision is among those that will run now.

        Args:
            steps: (revision, direction) of the revisions that will run.

        Raises:
            DecisionNeeded: a half-finished revision is not among them.
        """
        going = set(steps)
        for (revision, direction), rows in self.rows.items():
            if (revision, direction) not in going:
                back = "upgrade" if direction == "up" else "downgrade"
                raise DecisionNeeded(
                    f"revision {revision} is half-finished: its {back} stopped after {last(rows)}; finish it with the"
                    f" same {back}, or correct the database by hand and record its revision with `alembic stamp`"
                )

    @property
    def half_finished(self) -> bool:
        """Whether a revision is half-finished."""
        return bool(self.rows)

    def before(self, revision: str, direction: str) -> frozenset[ColumnPath] | None:
        """Return the columns that existed before a resumed revision; None when the journal recorded none."""
        for entry in self.rows.get((revision, direction), {}).values():
            if entry.before:
                return unpacked(entry.before)
        return None

    @contextlib.contextmanager
    def revision(
        self, ctx: Any, revision: str, direction: str, path: str, columns: Callable[[], frozenset[ColumnPath]]
    ) -> Iterator[None]:
        """Record the statements of one revision in the journal while the context is open.

        Args:
            ctx: Alembic's migration context.
            revision: the revision's name.
            direction: `up` or `down`.
            path: the revision's file.
            columns: returns the columns that existed before the revision.

        Raises:
            DecisionNeeded: the operator must decide how to continue.
        """
        known = self.rows.get((revision, direction), {})
        self._columns, self._columns_recorded = columns, any(entry.before for entry in known.values())
        self._run = run = _Run(revision, direction, path, known)
        if known:
            self._on_message(f"revision {revision} is half-finished: continuing after {last(known)}")
        original = ctx.autocommit_block
        vars(ctx)["autocommit_block"] = lambda: self._autocommit_block(ctx, run, original)
        try:
            yield
            if known and max(known) > run.position and not run.accept_edited:
                self._resolve_edited(ctx.connection, run, known[max(known)], None)
        finally:
            self._run = None
            del vars(ctx)["autocommit_block"]

    def finish(self, connection: sa.Connection, revisions: Iterable[str] = ()) -> None:
        """Delete the entries of finished revisions, in the transaction that records them.

        Args:
            connection: the connection of that transaction.
            revisions: the finished revisions; all when empty.
        """
        names = tuple(revisions)
        gone = [key for key in self.rows if not names or key[0] in names]
        for key in gone:
            del self.rows[key]
        if gone:
            condition = journal.c.revision.in_(names) if names else sa.true()
            connection.execute(sa.delete(journal).where(condition))

    @contextlib.contextmanager
    def _autocommit_block(self, ctx: Any, run: _Run, original: Callable[[], Any]) -> Iterator[None]:
        """Wrap Alembic's `autocommit_block`, which commits the open transaction, and first write its entries."""
        self._run = None  # the journal's own statements are not recorded
        for entry in run.unwritten:
            self._write(ctx.connection, run, entry)
        run.unwritten.clear()
        self._run = run
        with original():
            run.autocommit = True
            try:
                yield
            finally:
                run.autocommit = False

    def _on_execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        run, self._run = self._run, None  # the journal's own statements are not recorded
        try:
            return None if run is None else self._carry_out(run, cursor, statement, parameters, context)
        finally:
            self._run = run

    def _on_execute_bare(self, cursor: Any, statement: str, context: Any) -> bool | None:
        return self._on_execute(cursor, statement, (), context)

    def _carry_out(
        self, run: _Run, cursor: Any, statement: str, parameters: Any, context: Any
    ) -> bool | None:
        """Return True when the statement was sent or need not be; None to let SQLAlchemy send it."""
        element = context.compiled.statement if context.compiled else None
        kind = recovery.kind(statement, element)
        if kind is recovery.Kind.QUERY:
            return None
        connection = context.root_connection
        run.position += 1
        entry = Entry(
            run.position,
            fingerprint(statement, parameters, context),
            statement,
            source_line(run.path),
            STARTED,
        )
        known = run.known.get(run.position)
        if known is not None and self._took_effect_earlier(connection, run, known, entry, element):
            _answer_nothing(cursor, context)
            return True
        if self._in_transaction(run, kind):
            done = entry.at(DONE)
            if self._backend.features.transactional_ddl:
                run.unwritten.append(done)
            else:
                self._write(connection, run, done)
            return None

        def send() -> None:
            context.dialect.do_execute(cursor, statement, parameters, context)

        self._send(connection, run, entry, send)
        return True

    def _in_transaction(self, run: _Run, kind: recovery.Kind) -> bool:
        """Return whether the statement and its journal entry commit or roll back together."""
        if run.autocommit:
            return False
        return self._backend.features.transactional_ddl or (kind is recovery.Kind.WRITE)

    def _send(self, connection: sa.Connection, run: _Run, entry: Entry, send: Callable[[], None]) -> None:
        run.session = run.session or self._backend.sessions.identifier(connection)
        entry = entry.at(STARTED, session=run.session)
        self._write(connection, run, entry)
        connection.connection.commit()
        try:
            send()
        except Exception as error:
            # After an error from the server nothing has happened; after a lost connection that is unknown.
            if not self._lost(connection, error):
                with contextlib.suppress(sa.exc.DBAPIError):
                    self._write(connection, run, entry.at(FAILED))
                    connection.connection.commit()
            raise
        self._write(connection, run, entry.at(DONE))
        connection.connection.commit()

    def _lost(self, connection: sa.Connection, error: Exception) -> bool:
        dialect = connection.dialect
        return isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(
            error, connection.connection.dbapi_connection, None
        )

    def _write(self, connection: sa.Connection, run: _Run, entry: Entry) -> None:
        """Insert the entry, or update the one at its position."""
        line = (journal.c.revision == run.revision) & (journal.c.direction == run.direction)
        line &= journal.c.position == entry.position
        values = vars(entry) | {"revision": run.revision, "direction": run.direction}
        old = run.known.get(entry.position)
        if old is not None and old.before:
            values["before"] = old.before
        elif not self._columns_recorded:
            values["before"], self._columns_recorded = packed(self._columns()), True
        if old is not None:
            connection.execute(sa.update(journal).where(line).values(values))
        else:
            connection.execute(sa.insert(journal).values(values))
        run.known[entry.position] = replace(entry, before=values["before"])
        self.rows[run.revision, run.direction] = run.known

    def _took_effect_earlier(
        self, connection: sa.Connection, run: _Run, known: Entry, entry: Entry, element: Any
    ) -> bool:
        """Return whether the statement took effect in an earlier run."""
        if run.accept_edited:
            return True
        if known.state == FAILED:
            self._clear(connection, element)
            return False
        if known.fingerprint != entry.fingerprint:
            return self._resolve_edited(connection, run, known, entry)
        if known.state == DONE:
            return True
        self._wait(run, known)
        done = self._probe_outcome(connection, run, known, element)
        if done:
            self._write(connection, run, known.at(DONE))
            connection.connection.commit()
        return done

    def _probe_outcome(self, connection: sa.Connection, run: _Run, known: Entry, element: Any) -> bool:
        """Return whether a statement that was started, and whose outcome was not recorded, took effect.

        Raises:
            DecisionNeeded: the database does not show it, and the operator has not decided.
        """
        if recovery.repeatable(known.statement, element):
            return False
            # An index whose build was interrupted exists by name on some engines.
        if self._clear(connection, element):
            return False
        with self._backend.engine().connect() as looking:
            found = recovery.happened(looking, element)
        if found is not None:
            return found
        if self._resolve is not None:
            return self._decided() == "done"
        raise DecisionNeeded(
            f"revision {run.revision} ({known.source_line}) stopped in a statement whose outcome was not recorded, and"
            f" which the database does not show:\n  {known}\nFind out whether it took effect. Then run\n"
            "  ringfence migrate --resolve done     it did: continue after it\n"
            "  ringfence migrate --resolve again    it did not: run it again\n"
            "(with Alembic: `alembic -x resolve=done upgrade head`)"
        )

    def _clear(self, connection: sa.Connection, element: Any) -> bool:
        """Drop an index that exists by name but was not finished; return whether there was one."""
        index = getattr(element, "element", None)
        if not isinstance(element, sa.schema.CreateIndex) or index is None or index.name is None:
            return False
        with self._backend.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as clearing:
            drop = self._backend.ddl.drop_incomplete_index(clearing, index.table.schema, index.name)
            if drop is None:
                return False
            clearing.exec_driver_sql(drop.sql)
        return True

    def _wait(self, run: _Run, known: Entry) -> None:
        """Wait until the server has finished the statement that the earlier job left running.

        Raises:
            NotReady: it still runs after `patience` seconds.
        """
        deadline = time.monotonic() + self._wait_timeout
        told = False
        while known.session and self._backend.sessions.is_busy(known.session):
            if not told:
                self._on_message(
                    f"a statement that an earlier job sent still runs ({known.session}); waiting for it"
                )
                told = True
            if time.monotonic() > deadline:
                raise NotReady(
                    f"revision {run.revision} ({known.source_line}): the statement of an earlier job still runs after"
                    f" {self._wait_timeout:g} s, in the server's session {known.session}: {known}",
                    "locked",
                )
            time.sleep(_POLL)

    def _resolve_edited(
        self, connection: sa.Connection, run: _Run, known: Entry, entry: Entry | None
    ) -> bool:
        """Resolve a difference between journal and file by the operator's decision.

        Returns:
            True: the statement counts as done.

        Raises:
            RestartRevision: the operator decided to run the revision again from its beginning.
            DecisionNeeded: the operator has not decided.
        """
        if self._resolve is not None:
            if self._decided() == "done":
                run.accept_edited = True
                return True
            rows = journal.c.revision == run.revision
            connection.execute(sa.delete(journal).where(rows))
            connection.connection.commit()
            self.rows.pop((run.revision, run.direction), None)
            raise RestartRevision
        now = f"it now has\n  {entry} ({entry.source_line})" if entry else "it now ends before that"
        raise DecisionNeeded(
            f"revision {run.revision} was edited while it was half-finished: statement {known.position} of its"
            f" {len(run.known)} that were sent was\n  {known} ({known.source_line})\nand {now}\nPut the file back as it"
            " was, finish it, and write the change as a revision of its own. Or correct the database by hand, and run\n"
            "  ringfence migrate --resolve done     what was sent so far is what the file says up to here\n"
            "  ringfence migrate --resolve again    all of it was undone: run the revision from its beginning\n"
            "(with Alembic: `alembic -x resolve=done upgrade head`)"
        )

    def _decided(self) -> str:
        """Return the operator's decision; it is valid once."""
        word, self._resolve = self._resolve, None
        return word or ""


def _answer_nothing(cursor: Any, context: Any) -> None:
    """Give a skipped statement with RETURNING a result: one row of NULLs."""
    returning = getattr(context.compiled, "effective_returning", ())
    if returning:
        cursor.execute("SELECT " + ", ".join(["NULL"] * len(returning)))
