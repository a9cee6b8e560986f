"""One unit of work on one pooled connection, owned by the thread or asyncio task that opened it."""

import threading
import weakref
from typing import Any

from ringfence.runtime.engines import Backend, Mode
from ringfence.runtime.errors import BadValue, Misuse, RingfenceError, Timeout
from ringfence.runtime.interrupts import foreign
from ringfence.runtime.pool import Pool
from ringfence.runtime.pool.options import caller
from ringfence.runtime.pool.owner import Process, current_owner
from ringfence.runtime.session.scopes import Scopes
from ringfence.runtime.session.statements import leaves_traces, refuse_own
from ringfence.runtime.session.stream import Stream, Streams
from ringfence.runtime.session.transaction import Transaction

_ORDINARY = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


class Session(Transaction):
    """A transaction that begins with its first statement; the pool's connection is taken then, too.

    A statement that fails dooms the session on every engine, as it does on PostgreSQL: what may fail and be survived
    belongs in a nested session, which is a savepoint.

    Args:
        backend, pool: of the database.
        mode: how it runs.
        opened_by: who is named when others wait for its connection; the calling line when None.
        wait: the longest wait for a connection, in seconds; the pool's own when None.
        scopes: where a statement may need a scope that the session does not bind; else None.
        keeper: what stands for whoever opened it: once that is no more, its connection is closed.
    """

    closed = False
    _cancelled = False
    _traces = False

    def __init__(
        self,
        backend: Backend,
        pool: Pool,
        mode: Mode,
        opened_by: str | None = None,
        wait: float | None = None,
        scopes: Scopes | None = None,
        keeper: "weakref.ref[Any] | None" = None,
    ) -> None:
        super().__init__(backend, pool, opened_by or caller(), wait, keeper)
        self.owner = current_owner()
        self.mode = mode
        self._scopes = scopes
        self._cancelling = threading.RLock()

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
        before = self._streams.make_way(sql) if self._streams is not None else ""
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
        except BaseException as error:
            self._failed = None if foreign(error, backend.driver_error) else _unsent(error)
            if self._failed is None:
                self._cut_off(error)
                raise
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
        if self._streams is None:
            self._streams = Streams(self)
        return self._streams.start(self._backend, self.connection, sql, count)

    def check_rows(self) -> None:
        """Raise an error unless the calling thread and task may read rows of this session now."""
        if self.owner != current_owner():
            raise Misuse("these rows belong to the session of another thread or task: read them there")
        self._check()

    def close(self) -> None:
        """Roll back what is not committed and give the connection back."""
        # A cancel request that is on its way must not meet the connection's next session.
        with self._cancelling:
            if self.closed:
                return
            self.closed = True
        if self.owner[0] is not Process.token:
            return  # a fork's copy: the connection is the parent's
        self._forget()
        self._give_back(broken=self._traces or not self._unbound())

    def abandon(self) -> None:
        """End what `close` could not, from wherever: the connection is closed, and the server rolls back."""
        self.closed = True
        if self._lease is not None and self.owner[0] is Process.token:
            self._pool.lose(self._lease)

    def cancel(self) -> None:
        """Stop, from another thread, the statement that runs now; no further one will run.

        Where the server cannot be reached for that, the connection is ended.
        """
        self._cancelled = True
        with self._cancelling:
            connection = self._connection
            if connection is not None and not self.closed and not self._backend.cancel(connection):
                self.sever()  # before the session can end: the request may yet arrive

    def sever(self) -> None:
        """End the connection, from another thread: what runs on it fails at once, and no further one will run."""
        self._cancelled = self._traces = True  # a driver that is not at work does not notice
        if self._lease is not None:
            self._pool.sever(self._lease)


def _unsent(error: BaseException) -> RingfenceError | None:
    """What it means that a driver refused to send a statement; None for an exception that is no such refusal."""
    if isinstance(error, ValueError | OverflowError):
        return BadValue(f"a parameter cannot be sent to the server: {type(error).__name__}")
    if isinstance(error, TypeError | LookupError):
        return Misuse(f"the parameters do not fit the placeholders: {type(error).__name__}")
    return None
