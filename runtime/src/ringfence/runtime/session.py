"""One unit of work on one pooled connection, owned by the thread or asyncio task that opened it."""

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

from ringfence.runtime.backends import Backend, Doing, Mode
from ringfence.runtime.errors import (
    BadValue,
    CommitUnknown,
    Conflict,
    ConnectionLost,
    Misuse,
    RingfenceError,
    Timeout,
    TransactionTooLarge,
    Unavailable,
)
from ringfence.runtime.lending import caller
from ringfence.runtime.owner import Process, current_owner
from ringfence.runtime.pool import Pool, Pooled
from ringfence.runtime.scopes import Scopes
from ringfence.runtime.statements import leaves_traces, refuse_own
from ringfence.runtime.stream import Stream

log = logging.getLogger("ringfence.session")

_ORDINARY = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
# The server may have undone the whole transaction, savepoints too, and would commit what follows by itself.
_ENDS_ALL = (Conflict, Unavailable, TransactionTooLarge, CommitUnknown)


class Session:
    """A transaction that begins with its first statement; the pool's connection is taken then, too.

    A statement that fails dooms the session on every engine, as it does on PostgreSQL: what may fail and be survived
    belongs in a nested session, which is a savepoint.

    Args:
        backend, pool: of the database.
        mode: how it runs.
        opened_by: who is named when others wait for its connection; the calling line when None.
        wait: the longest wait for a connection, in seconds; the pool's own when None.
        scopes: where a statement may need a scope that the session does not bind; else None.
    """

    def __init__(
        self,
        backend: Backend,
        pool: Pool,
        mode: Mode,
        opened_by: str | None = None,
        wait: float | None = None,
        scopes: Scopes | None = None,
    ) -> None:
        self.owner = current_owner()
        self.mode = mode
        self.closed = False
        self.doing = Doing()
        self._backend = backend
        self._pool = pool
        self._opened_by = opened_by or caller()
        self._wait = wait
        self._scopes = scopes
        self._pooled: Pooled | None = None
        self._cursor: Any = None
        self._begun = False
        self._failed: RingfenceError | None = None
        self._depth = 0
        self._at_end: list[Callable[[], None]] = []
        self._cancelling = threading.Lock()
        self._cancelled = False
        self._traces = False
        self._streams: list[Stream] = []
        self._streamed = 0
        self.era = 0  # how many transactions have ended

    @property
    def connection(self) -> Any:
        """The driver's connection, taken from the pool at first use."""
        if self._pooled is None:
            self._check()
            self._pooled = self._pool.acquire(self._opened_by, self._wait)
            self._guard(self._open_cursor)
        return self._pooled.connection

    def _open_cursor(self) -> None:
        self._cursor = self._pooled.connection.cursor() if self._pooled else None

    @property
    def connected(self) -> Any | None:
        """The connection if one has been taken, else None."""
        return self._pooled.connection if self._pooled else None

    @property
    def cursor(self) -> Any:
        """The driver's cursor of this session."""
        if self._cursor is None:
            _ = self.connection
        return self._cursor

    def _check(self) -> None:
        if self.closed:
            raise Misuse("this session has ended: open another with `with db.session() as dal:`")
        if self.owner[0] is not Process.token:
            raise Misuse(
                "this session belongs to the process that this one was forked from: open another with "
                "`with db.session() as dal:`"
            )
        if self._cancelled:
            raise Timeout("this session was cancelled")
        if self._failed is not None:
            raise Misuse(
                f"the transaction has failed before ({self._failed}) and nothing of it will be stored: let the error "
                "end the session, or put what may fail into a nested `with db.session():`"
            ) from self._failed

    def look_at(self, sql: str) -> None:
        """Look at SQL of the program's own before it runs: what leaves traces on the connection makes it be closed.

        Raises:
            Misuse: for what would end the session's transaction, or outlive it on purpose.
        """
        if leaves_traces(sql, local_settings_end=self._backend.local_settings_end):
            self._traces = True

    def execute(self, sql: str, parameters: Any = None, cursor: Any = None) -> Any:
        """Run one statement; the first one begins the transaction.

        Args:
            sql, parameters: in the driver's style.
            cursor: another cursor of the connection than the session's own.

        Returns:
            The cursor. Raises a RingfenceError.
        """
        self._check()
        if sql[:6].upper() not in _ORDINARY:
            refuse_own(sql)
        if self._scopes is not None:
            self._scopes.demand(self.doing, self.mode.scope)
        connection, backend = self.connection, self._backend
        before = self._make_way(sql) if self._streams else ""
        sql = before + backend.statement(sql, self.mode)
        cursor = cursor or self._cursor
        if not self._begun:
            opening = backend.opening(self.mode)
            if opening is None:
                self._start()
            else:
                sql = opening + sql  # one round trip less
                self._begun = True
        try:
            backend.execute(connection, cursor, sql, parameters, self.mode)
        except backend.driver_error as error:
            raise self._doom(error) from error
        except RingfenceError as error:
            self._failed = error
            raise
        except (ValueError, OverflowError) as error:
            self._failed = BadValue(f"a parameter cannot be sent to the server: {type(error).__name__}")
            raise self._failed from error
        except (TypeError, LookupError) as error:
            self._failed = Misuse(f"the parameters do not fit the placeholders: {type(error).__name__}")
            raise self._failed from error
        if not backend.in_transaction(connection):
            self._traces = True
            self._failed = Misuse(
                "the statement ended the session's transaction: what was done before it may be stored already; leave "
                "COMMIT, ROLLBACK and what implies them to the session"
            )
            raise self._failed
        return cursor

    # -- rows that are read bit by bit

    def stream(self, sql: str, count: int) -> tuple[Stream, list[Any]]:
        """Run a select whose rows are read batch by batch; returns the first `count` of them, too."""
        self._check()
        self._streamed += 1
        source = self._backend.stream(self.connection, self.mode, self._streamed)
        stream = Stream(self, source, self._depth)
        first = stream.start(sql, count)
        self._streams.append(stream)
        return stream, first

    def check_rows(self) -> None:
        """Raise an error unless the calling thread and task may read rows of this session now."""
        if self.owner != current_owner():
            raise Misuse("these rows belong to the session of another thread or task: read them there")
        self._check()

    def _make_way(self, sql: str) -> str:
        """Have a statement's way free; returns what must stand before it."""
        before = ""
        for stream in list(self._streams):
            if not stream.done and stream.disturbed_by(sql):
                stream.store()
            if stream.done:
                self._streams.remove(stream)
                before += self.reading(functools.partial(stream.end, "they were let go"))
        return before

    def _end_streams(self, why: str, depth: int = 0) -> None:
        """Close those that began in a nested session so deep. Raises a driver's error."""
        for stream in [each for each in self._streams if each.depth >= depth]:
            self._streams.remove(stream)
            stream.end(why)

    def reading(self, fetch: Callable[[], Any]) -> Any:
        """Fetch from the cursor, with errors told like those of a statement."""
        try:
            return fetch()
        except self._backend.driver_error as error:
            raise self._doom(error) from error

    def _doom(self, error: Exception) -> RingfenceError:
        told = self._backend.translate(error, self.doing)
        self._failed = told
        return told

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except self._backend.driver_error as error:
            raise self._doom(error) from error
        except RingfenceError as error:
            self._failed = error
            raise

    def _start(self) -> Any:
        connection = self.connection
        if not self._begun:
            self._guard(lambda: self._backend.begin(connection, self.mode))
            self._begun = True
        return connection

    # -- savepoints

    def savepoint(self) -> str:
        """Begin a nested unit of work; returns its name, for `keep` or `undo`."""
        self._check()
        connection = self._start()
        name = f"ringfence_{self._depth + 1}"
        self._control(connection, f"SAVEPOINT {name}")
        self._depth += 1
        return name

    def keep(self, name: str) -> None:
        """End a nested unit of work: what it did stays part of the outer one."""
        self._check()
        self._control(self.connection, f"RELEASE SAVEPOINT {name}")
        self._depth -= 1

    def _control(self, connection: Any, sql: str) -> None:
        before = self._make_way(sql) if self._streams else ""
        self._guard(lambda: self._backend.control(connection, before + sql))

    def undo(self, name: str) -> None:
        """End a nested unit of work and take back what it did, its failure included.

        What may have ended the whole transaction on some engine leaves it failed on all; so does a savepoint that is
        not there any more. Never raises: the error that led here goes on.
        """
        self._depth -= 1
        if self._pooled is None or not self._begun or self.owner[0] is not Process.token:
            return
        if isinstance(self._failed, _ENDS_ALL):
            return
        failed, self._failed = self._failed, None
        connection, backend = self._pooled.connection, self._backend
        try:
            self._end_streams("the nested session that they were read in was undone", self._depth + 1)
            if not backend.in_transaction(connection):
                raise failed or Misuse("the transaction has ended, and what it did before is not stored")
            backend.control(connection, f"ROLLBACK TO SAVEPOINT {name}")
            backend.control(connection, f"RELEASE SAVEPOINT {name}")
        except backend.driver_error as error:
            self._doom(error)
        except RingfenceError as error:
            self._failed = error

    # -- the end

    def commit(self) -> None:
        """Commit what was done so far; the next statement begins a new transaction.

        Raises:
            CommitUnknown: when the connection was lost on the way.
            Conflict: when another transaction won at the last moment.
            Misuse: when a statement had failed before.
        """
        self._check()
        if self._depth:
            raise Misuse("a nested session cannot commit the whole: leave it first")
        if not self._begun:
            return
        try:
            if self._streams:
                self._end_streams("their transaction was committed")
            self._backend.commit(self.connection)
        except self._backend.driver_error as error:
            told = self._doom(error)
            if isinstance(told, Unavailable) and not self.mode.read_only:
                self._failed = CommitUnknown(
                    "the connection was lost during COMMIT: what was done may or may not be stored"
                )
                raise self._failed from error
            raise told from error
        except RingfenceError as error:
            self._failed = error
            raise
        self._begun = False
        self.era += 1

    def rollback(self) -> None:
        """Undo what was done since the last commit; the session may go on.

        Raises:
            Misuse: in a nested session, which is rolled back by leaving it with an error.
        """
        if self._depth:
            raise Misuse("a nested session cannot roll back the whole: leave it by an error")
        self._forget()

    def _forget(self) -> None:
        begun, self._begun = self._begun, False
        failed, self._failed = self._failed, None
        self.era += 1
        if self._pooled is None:
            return
        connection, backend = self._pooled.connection, self._backend
        try:
            if self._streams:
                self._end_streams("their transaction is over")
            if begun or failed is not None:
                backend.rollback(connection)
            fit = backend.usable(connection) and not backend.in_transaction(connection)
        except backend.driver_error:
            fit = False  # the server rolls back what a lost connection left
            self._streams.clear()
        if not fit or isinstance(failed, ConnectionLost | CommitUnknown):
            self._discard()

    def _discard(self) -> None:
        pooled, self._pooled, self._cursor = self._pooled, None, None
        if pooled is not None:
            self._pool.release(pooled, broken=True)

    def on_close(self, act: Callable[[], None]) -> None:
        """Call this when the session ends, however it ends."""
        self._at_end.append(act)

    def close(self) -> None:
        """Roll back what is not committed and give the connection back."""
        with (
            self._cancelling
        ):  # a cancel request that is on its way must not meet the connection's next session
            if self.closed:
                return
            self.closed = True
        if self.owner[0] is not Process.token:
            return  # a fork's copy: the connection is the parent's
        for act in self._at_end:
            try:
                act()
            except Exception:
                log.exception("what was to happen at the end of a session failed")
        try:
            self._forget()
        except BaseException:
            self._discard()
            raise
        pooled, self._pooled, self._cursor = self._pooled, None, None
        if pooled is not None:
            self._pool.release(pooled, broken=self._traces or not self._unbound(pooled))

    def _unbound(self, pooled: Pooled) -> bool:
        """Whether nothing of the session's scopes is left on the connection."""
        try:
            self._backend.unbind(pooled.connection)
        except self._backend.driver_error:
            return False
        return True

    def cancel(self) -> None:
        """Stop, from another thread, the statement that runs now; no further one will run."""
        self._cancelled = True
        with self._cancelling:
            pooled = self._pooled
            if pooled is not None and not self.closed:
                self._backend.cancel(pooled.connection)
