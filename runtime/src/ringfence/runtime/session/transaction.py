"""The transaction of a session on a pooled connection, from its first statement to its end."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ringfence.runtime.engines import NO_CONTEXT, Backend, Mode, StatementContext
from ringfence.runtime.errors import (
    CommitUnknown,
    Conflict,
    ConnectionLost,
    InterfaceError,
    RingfenceError,
    TransactionTooLarge,
    Unavailable,
)
from ringfence.runtime.interrupts import interrupt_of
from ringfence.runtime.pool import Pool
from ringfence.runtime.pool.lease import Lease
from ringfence.runtime.pool.owner import Owner, Process
from ringfence.runtime.session.stream import Streams

_SAVEPOINT = "ringfence_"
# After these errors the server may have rolled back the whole transaction, savepoints included, and would then commit
# each further statement by itself.
_ENDS_TRANSACTION = (Conflict, Unavailable, TransactionTooLarge, CommitUnknown)


class Transaction:
    """The base of `Session`: begins with the first statement, and ends with a commit or rollback.

    A foreign exception, for example from a signal handler, may interrupt the driver at work. The connection's state is
    unknown then, so it is closed and another caller may open one in its stead.

    Args:
        backend: the database's engine.
        pool: lends the connection.
        opened_by: the holder's name in messages to callers that wait for a connection.
        wait: the longest wait for a connection, in seconds; the pool's own when None.
        keeper: a weak reference to an object of the session's owner; when it is collected, the connection is closed.
    """

    owner: Owner
    mode: Mode
    depth = 0  # how many nested sessions are open
    transaction_number = 0  # how many transactions have ended
    _streams: Streams | None = None
    _lease: Lease | None = None
    _connection: Any = None
    _cursor: Any = None
    _begun = False
    _failed: RingfenceError | None = None

    def __init__(
        self,
        backend: Backend,
        pool: Pool,
        opened_by: str,
        wait: float | None,
        keeper: "weakref.ref[Any] | None",
    ) -> None:
        self._backend = backend
        self._pool = pool
        self._opened_by = opened_by
        self._wait = wait
        self._keeper = keeper

    def _check(self) -> None:
        """Raise an error if no statement may run now."""
        raise NotImplementedError

    @property
    def connection(self) -> Any:
        """The driver's connection, borrowed from the pool at first use."""
        if self._connection is None:
            self._check()
            self._lease = lease = Lease(self._opened_by, self._keeper)
            connection = self._pool.lend(lease, self._wait)
            self._guard(lambda: self._open_cursor(connection))
            self._connection = connection
        return self._connection

    def _open_cursor(self, connection: Any) -> None:
        self._cursor = connection.cursor()

    @property
    def cursor(self) -> Any:
        """The driver's cursor of this session."""
        if self._cursor is None:
            _ = self.connection
        return self._cursor

    def reading(self, fetch: Callable[[], Any], context: StatementContext = NO_CONTEXT) -> Any:
        """Call a function that reads from the cursor, with errors translated as for a statement.

        Args:
            fetch: reads from the driver.
            context: the statement whose rows are read.

        Returns:
            The result of `fetch`.

        Raises:
            RingfenceError: the translated error of the driver.
        """
        try:
            return fetch()
        except self._backend.driver_error as error:
            raise self._fail(error, context) from error
        except RingfenceError:
            raise
        except BaseException as error:
            self._interrupted(error)
            raise

    def _fail(self, error: Exception, context: StatementContext = NO_CONTEXT) -> BaseException:
        """Mark the session as failed by a driver's error, and return the exception to raise.

        That is the translated error, or the foreign exception (such as a signal handler's) that the driver wrapped.
        """
        interrupt = interrupt_of(error, self._backend.driver_error)
        if interrupt is None and self._connection is not None:
            interrupt = self._backend.take_swallowed_exception(self._connection)
        if interrupt is not None:
            self._interrupted(interrupt)
            return interrupt
        translated = self._backend.translate(error, context)
        self._failed = translated
        return translated

    def _interrupted(self, error: BaseException) -> None:
        """Mark the session as failed and abort its connection after a foreign exception: its state is unknown."""
        if self._lease is not None:
            self._lease.busy = True
        if self._connection is not None and self._backend.features.interruptible:
            # Immediately, because a cursor held by the traceback reads remaining rows when it is collected, and would
            # wait for ever.
            self._backend.abort(self._connection)
        if not isinstance(self._failed, ConnectionLost | CommitUnknown):
            self._failed = ConnectionLost(
                f"{type(error).__name__} cut off a statement: its connection is closed"
            )

    def _guard(self, act: Callable[[], None], context: StatementContext = NO_CONTEXT) -> None:
        try:
            act()
        except self._backend.driver_error as error:
            raise self._fail(error, context) from error
        except RingfenceError as error:
            self._failed = error
            raise
        except BaseException as error:
            self._interrupted(error)
            raise

    def _start(self, context: StatementContext = NO_CONTEXT) -> Any:
        connection = self.connection
        if not self._begun:
            self._guard(lambda: self._backend.begin(connection, self.mode), context)
            self._begun = True
        return connection

    # -- savepoints

    def savepoint(self) -> str:
        """Begin a nested unit of work; returns the savepoint's name, for `release` or `rollback_to`."""
        self._check()
        connection = self._start()
        name = self.name_of(self.depth + 1)
        self._control(connection, f"SAVEPOINT {name}")
        self.depth += 1
        return name

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Put a savepoint around a block: released at its end, rolled back by any exception."""
        name = self.savepoint()
        try:
            yield
        except BaseException:
            self.rollback_to(name)
            raise
        self.release(name)

    def name_of(self, depth: int) -> str:
        """Return the savepoint's name of the nested session at this depth, counted from 1."""
        return f"{_SAVEPOINT}{depth}"

    def release(self, name: str) -> None:
        """Release a savepoint: the nested work becomes part of the outer transaction.

        Args:
            name: the savepoint, as `savepoint` returned it.

        Raises:
            RingfenceError: as for any statement.
        """
        self._check()
        self._control(self.connection, f"RELEASE SAVEPOINT {name}")
        self.depth = _depth_of(name)

    def _control(self, connection: Any, sql: str) -> None:
        before = self._streams.prepare_for(sql) if self._streams is not None else ""
        self._guard(lambda: self._backend.control(connection, before + sql))

    def rollback_to(self, name: str) -> None:
        """Roll back to a savepoint, and clear a failure of the nested work.

        The session stays failed after an error that ends the whole transaction on some engine, and if the savepoint no
        longer exists. Errors of the rollback are recorded and not raised, so that the original error propagates; only
        foreign exceptions are raised.

        Args:
            name: the savepoint, as `savepoint` returned it.
        """
        depth = _depth_of(name)
        try:
            self._undo(name, depth)
        except BaseException as error:
            self._interrupted(error)
            raise
        finally:
            self.depth = depth

    def _undo(self, name: str, depth: int) -> None:
        if self._connection is None or not self._begun or self.owner[0] is not Process.token:
            return
        if isinstance(self._failed, _ENDS_TRANSACTION):
            return
        failed, self._failed = self._failed, None
        connection, backend = self._connection, self._backend
        try:
            self._end_streams("the nested session that they were read in was undone", depth + 1)
            if not backend.in_transaction(connection):
                raise failed or InterfaceError(
                    "the transaction has ended, and what it did before is not stored"
                )
            backend.control(connection, f"ROLLBACK TO SAVEPOINT {name}")
            backend.control(connection, f"RELEASE SAVEPOINT {name}")
        except backend.driver_error as error:
            translated = self._fail(error)
            if not isinstance(translated, RingfenceError):
                raise translated from None
        except RingfenceError as error:
            self._failed = error

    def fail_outer(self, depth: int) -> None:
        """Make the session fail after the end of a nested one was interrupted, so that no part of it is stored.

        Args:
            depth: the depth of the nested session, counted from 1.
        """
        if self.depth >= depth:
            self.depth = depth - 1
            self._failed = self._failed or InterfaceError("an exception cut off the end of a nested session")

    # -- the end

    def commit(self) -> None:
        """Commit; the next statement begins a new transaction.

        Raises:
            ConnectionLost: the connection was lost before COMMIT was sent; nothing is stored.
            CommitUnknown: it was lost after that; the transaction may or may not be stored.
            Conflict: the server rejected the COMMIT in favour of another transaction.
            InterfaceError: a statement had failed before, or the session is nested.
        """
        self._check()
        if self.depth:
            raise InterfaceError("a nested session cannot commit the whole: leave it first")
        if not self._begun:
            return
        sent = False
        try:
            self._end_streams("their transaction was committed")
            sent = True
            self._backend.commit(self.connection)
        except self._backend.driver_error as error:
            translated = self._fail(error)
            if sent and isinstance(self._failed, Unavailable) and not self.mode.read_only:
                self._failed = CommitUnknown(
                    f"COMMIT was sent, and {self._failed}: what was done may or may not be stored"
                )
                raise (self._failed if isinstance(translated, RingfenceError) else translated) from error
            raise translated from error
        except RingfenceError as error:
            self._failed = error
            raise
        except BaseException as error:
            if sent:
                self._failed = CommitUnknown(
                    f"{type(error).__name__} cut off COMMIT: what was done may or may not be stored"
                )
            self._interrupted(error)
            raise
        self._begun = False
        self.transaction_number += 1

    def rollback(self) -> None:
        """Roll back to the last commit; the session can be used further.

        Raises:
            InterfaceError: the session is nested; leave it with an exception to roll it back.
        """
        if self.depth:
            raise InterfaceError("a nested session cannot roll back the whole: leave it by an error")
        self._forget()

    def _forget(self) -> None:
        begun, self._begun = self._begun, False
        failed, self._failed = self._failed, None
        self.transaction_number += 1
        if self._connection is None:
            return
        connection, backend = self._connection, self._backend
        try:
            if self._lease is not None and self._lease.busy:
                self._abandon()
                return
            self._end_streams("their transaction is over")
            if begun or failed is not None:
                backend.rollback(connection)
            fit = backend.usable(connection) and not backend.in_transaction(connection)
        except backend.driver_error as error:
            self._streams = None
            if (interrupt := interrupt_of(error, backend.driver_error)) is not None:
                self._abandon()
                raise interrupt from None
            fit = False  # the server rolls back the transaction of a lost connection
        except BaseException:
            self._abandon()
            raise
        if not fit or isinstance(failed, ConnectionLost | CommitUnknown):
            self._give_back(broken=True)

    def _end_streams(self, why: str, depth: int = 0) -> None:
        if self._streams is not None:
            self._streams.end(why, depth)

    def _give_back(self, *, broken: bool) -> None:
        """Return the connection to the pool; the lease makes a second call harmless."""
        self._connection = self._cursor = None
        lease = self._lease
        if lease is not None and lease.busy:
            self._pool.give_up(lease)
        elif lease is not None:
            self._pool.release(lease, broken=broken)

    def _abandon(self) -> None:
        """Give up the connection, which the pool then closes, because its state is unknown."""
        self._connection = self._cursor = None
        self._streams = None
        if self._lease is not None:
            self._pool.give_up(self._lease)

    def _unbound(self) -> bool:
        """Remove the session's scopes from the connection; returns whether that succeeded."""
        try:
            if self._connection is not None:
                self._backend.unbind(self._connection)
        except self._backend.driver_error as error:
            if (interrupt := interrupt_of(error, self._backend.driver_error)) is not None:
                raise interrupt from None
            return False
        return True


def _depth_of(name: str) -> int:
    """Return how many nested sessions are open outside the savepoint of this name."""
    return int(name.removeprefix(_SAVEPOINT)) - 1
