"""One unit of work on one pooled connection, owned by the thread or asyncio task that opened it."""

import threading
import weakref
from typing import Any

from ringfence.runtime.engines import NO_CONTEXT, Backend, Mode, StatementContext
from ringfence.runtime.errors import ArgumentError, DataError, InterfaceError, RingfenceError, Timeout
from ringfence.runtime.interrupts import interrupt_of
from ringfence.runtime.pool import Pool
from ringfence.runtime.pool.owner import Process, caller, current_owner
from ringfence.runtime.session.scopes import Scopes
from ringfence.runtime.session.statements import may_leave_state, refuse_transaction_sql
from ringfence.runtime.session.stream import Stream, Streams
from ringfence.runtime.session.transaction import Transaction

_ORDINARY = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


class Session(Transaction):
    """A transaction that begins, and borrows a connection, with its first statement.

    A failed statement makes the whole session fail on every engine, as on PostgreSQL. A statement that may fail
    belongs in a nested session, which is a savepoint.

    Args:
        backend: the database's engine.
        pool: lends the connection.
        mode: whether it is read-only, its statement timeout, and the bound scopes.
        opened_by: the holder's name in messages to callers that wait for a connection; the calling line when None.
        wait: the longest wait for a connection, in seconds; the pool's own when None.
        scopes: the scopes to check before each statement; None if no statement requires a bound scope.
        keeper: a weak reference to an object of the session's owner; when it is collected, the connection is closed.
    """

    closed = False
    _cancelled = False
    _may_leave_state = False

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
            raise InterfaceError("this session has ended: open another with `with db.session() as dal:`")
        if self.owner[0] is not Process.token:
            raise InterfaceError(
                "this session belongs to the process that this one was forked from: open another with "
                "`with db.session() as dal:`"
            )
        if self._cancelled:
            raise Timeout("this session was cancelled")
        if self._failed is not None:
            raise InterfaceError(
                f"the transaction has failed before ({self._failed}) and nothing of it will be stored: let the error "
                "end the session, or put what may fail into a nested `with db.session():`"
            ) from self._failed

    def check_sql(self, sql: str) -> None:
        """Check SQL of the program before it runs; if it may leave traces, the connection is closed after the session.

        Args:
            sql: one statement, or several where the engine takes them.

        Raises:
            InterfaceError: a statement begins or ends a transaction, or changes a setting beyond it.
        """
        if may_leave_state(sql, local_settings_end=self._backend.features.local_settings_end):
            self._may_leave_state = True

    def execute(
        self,
        sql: str,
        parameters: Any = None,
        cursor: Any = None,
        context: StatementContext = NO_CONTEXT,
    ) -> Any:
        """Run one statement; the first one begins the transaction.

        Args:
            sql: the statement, with placeholders in the driver's style.
            parameters: the values for the placeholders.
            cursor: a cursor to use in place of the session's own.
            context: the verb and tables of the statement, for error messages and the check of required scopes.

        Returns:
            The cursor.

        Raises:
            InterfaceError: the session may not run statements, or the statement ended its transaction.
            RingfenceError: the translated error of the driver.
        """
        self._check()
        if sql[:6].upper() not in _ORDINARY:
            refuse_transaction_sql(sql)
        if self._scopes is not None:
            self._scopes.require(context, self.mode.scope)
        connection, backend = self.connection, self._backend
        before = self._streams.prepare_for(sql) if self._streams is not None else ""
        sql = before + backend.statement(sql, self.mode)
        cursor = cursor or self._cursor
        if not self._begun:
            opening = backend.opening(self.mode)
            if opening is None:
                self._start(context)
            else:
                sql = opening + sql  # sent together, which saves a round trip
                self._begun = True
        try:
            backend.execute(connection, cursor, sql, parameters, self.mode)
        except backend.driver_error as error:
            raise self._fail(error, context) from error
        except RingfenceError as error:
            self._failed = error
            raise
        except BaseException as error:
            self._failed = None if interrupt_of(error, backend.driver_error) else _unsent(error)
            if self._failed is None:
                self._interrupted(error)
                raise
            raise self._failed from error
        if not backend.in_transaction(connection):
            self._may_leave_state = True
            self._failed = InterfaceError(
                "the statement ended the session's transaction: what was done before it may be stored already; leave "
                "COMMIT, ROLLBACK and what implies them to the session"
            )
            raise self._failed
        return cursor

    # -- streams

    def stream(
        self, sql: str, count: int, context: StatementContext = NO_CONTEXT
    ) -> tuple[Stream, list[Any]]:
        """Run a SELECT whose rows are read in batches.

        Args:
            sql: the SELECT, without placeholders.
            count: the number of rows in the first batch.
            context: the verb and tables of the statement.

        Returns:
            The stream, and the first batch of rows.
        """
        self._check()
        if self._streams is None:
            self._streams = Streams(self)
        return self._streams.start(self._backend, self.connection, sql, count, context)

    def check_rows(self) -> None:
        """Check that the calling thread and task own this session, and that it has not ended.

        Raises:
            InterfaceError: another thread or task owns it, or it has ended.
        """
        if self.owner != current_owner():
            raise InterfaceError(
                "these rows belong to the session of another thread or task: read them there"
            )
        self._check()

    def close(self) -> None:
        """Roll back what is not committed and return the connection to the pool."""
        # Wait for a cancel request under way: it must not hit the connection's next session.
        with self._cancelling:
            if self.closed:
                return
            self.closed = True
        if self.owner[0] is not Process.token:
            return  # a copy in a forked process: the connection belongs to the parent
        self._forget()
        self._give_back(broken=self._may_leave_state or not self._unbound())

    def abandon(self) -> None:
        """End the session where `close` could not: its connection is closed, so the server rolls back."""
        self.closed = True
        if self._lease is not None and self.owner[0] is Process.token:
            self._pool.give_up_async(self._lease)

    def cancel(self) -> None:
        """Cancel the running statement from another thread, and refuse further ones.

        If the cancel request cannot be sent, the connection is broken instead.
        """
        self._cancelled = True
        with self._cancelling:
            connection = self._connection
            if connection is not None and not self.closed and not self._backend.cancel(connection):
                # Under the lock, because a late cancel request must not hit the connection's next session.
                self.break_connection()

    def break_connection(self) -> None:
        """Break the connection from another thread: a running statement fails at once, and further ones are refused."""
        # Traces, because a driver that is idle at this moment does not notice the break.
        self._cancelled = self._may_leave_state = True
        if self._lease is not None:
            self._pool.break_connection(self._lease)


def _unsent(error: BaseException) -> RingfenceError | None:
    """Return the error for a driver's refusal to send a statement; None if the exception is no such refusal."""
    if isinstance(error, ValueError | OverflowError):
        return DataError(f"a parameter cannot be sent to the server: {type(error).__name__}")
    if isinstance(error, TypeError | LookupError):
        return ArgumentError(f"the parameters do not fit the placeholders: {type(error).__name__}")
    return None
