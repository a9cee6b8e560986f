"""Sessions for asyncio: each runs in its own thread, so that the transactions of tasks never mix."""

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from ringfence.runtime.backoff import backoff
from ringfence.runtime.dal import DALType
from ringfence.runtime.database import Database
from ringfence.runtime.errors import ArgumentError, InterfaceError, RingfenceError, Timeout
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.pool import PoolOptions
from ringfence.runtime.pool.owner import caller
from ringfence.runtime.readiness import Report
from ringfence.runtime.retries import retry_delay
from ringfence.runtime.session import Session
from ringfence.runtime.settings import Credentials, Settings

Result = TypeVar("Result")

_CANCEL_AGAIN_SECONDS = 0.1
CANCEL_SECONDS = 3.0
"""How long a cancelled task waits for its statement to be cancelled before the connection is broken."""
_LEAVE_SECONDS = 1.0
"""How long it then waits for its thread before it goes on without it; the thread ends by itself."""


class AsyncDatabase(Generic[DALType]):
    """A `Database` for asyncio tasks.

    At most as many sessions run at once as the pool has connections; others wait in the order of their arrival.

    Args:
        settings, mirror, options, credentials: as for `Database`.
    """

    def __init__(
        self,
        settings: Settings,
        mirror: Mirror,
        options: PoolOptions | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        self.database: Database[DALType] = Database(settings, mirror, options, credentials=credentials)
        self._idle: list[_Worker] = []
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._closed = False

    @classmethod
    def from_env(
        cls,
        mirror: str | Path,
        env: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> Self:
        """Make an AsyncDatabase from a mirror file and the environment; see `Database.from_env`."""
        return cls(Settings.from_env(env), Mirror.load(mirror), options, credentials=credentials)

    @contextlib.asynccontextmanager
    async def session(
        self,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
        *,
        opened_by: str | None = None,
    ) -> AsyncIterator["AsyncSession[DALType]"]:
        """Open a session like `Database.session`; its queries run in `await s.run(...)`.

        Cancelling the task cancels the running statement, rolls back and returns the connection.

        Args:
            read_only: as for `Database.session`.
            timeout: as for `Database.session`.
            scope: as for `Database.session`.
            opened_by: the holder's name in messages to callers that wait for a connection; the task and the calling
                line when None.

        Yields:
            The session, for this task only.
        """
        async with self._turn():
            worker = self._worker()
            try:
                session = AsyncSession(self.database, worker)
                try:
                    await session.open(read_only, timeout, scope, opened_by or _task_and_line())
                    yield session
                except BaseException as error:
                    await session.close(error)
                    raise
                await session.close(None)
            finally:
                self._put_back(worker)

    async def run(
        self,
        work: Callable[[DALType], Result],
        *,
        attempts: int = 5,
        idempotent: bool = False,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a function as one transaction, and repeat it after failures; as `Database.run`, with its arguments."""
        turn = self._turn()
        for attempt in range(1, attempts + 1):
            try:
                # Before its turn a task does little work, because a thousand may start in one step of the event loop.
                await turn.acquire()
                try:
                    worker = self._worker()
                    try:
                        session = AsyncSession(self.database, worker)
                        return await session.run_transaction(
                            work, read_only, timeout, scope, _task_and_line()
                        )
                    finally:
                        self._put_back(worker)
                finally:
                    turn.release()
            except RingfenceError as error:
                pause = retry_delay(error, attempt, attempts, idempotent=idempotent)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        raise ArgumentError(f"attempts={attempts}: it must be 1 or more")

    async def readiness(self) -> Report:
        """Do `Database.readiness` without blocking the event loop."""
        return await asyncio.to_thread(self.database.readiness)

    async def wait_until_ready(self, timeout: float | None = None) -> Report:
        """Do `Database.wait_until_ready` without blocking the event loop."""
        return await asyncio.to_thread(self.database.wait_until_ready, timeout)

    async def close(self, deadline: float = 10.0) -> None:
        """Close all connections and threads, after waiting at most `deadline` seconds for running sessions."""
        self._closed = True
        await asyncio.to_thread(self.database.close, deadline)
        while self._idle:
            self._idle.pop().stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _turn(self) -> asyncio.Semaphore:
        """Return the semaphore of the running loop, because one is bound to its loop; the pool limits all loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._turns:
            self._turns[loop] = asyncio.Semaphore(self.database.pool.options.size)
        return self._turns[loop]

    def _worker(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:  # threads do not survive a fork
                return worker
        return _Worker()

    def _put_back(self, worker: "_Worker") -> None:
        if self._closed or worker.abandoned:
            worker.stop()
        else:
            self._idle.append(worker)


class AsyncSession(Generic[DALType]):
    """A session of one task, in which `run` calls functions."""

    def __init__(self, database: Database[DALType], worker: "_Worker") -> None:
        self._database = database
        self._worker = worker
        self._task = asyncio.current_task()
        self._stack = contextlib.ExitStack()
        self._context = contextvars.Context()
        self._session: Session | None = None
        self._cancelled = False

    async def run(self, work: Callable[[DALType], Result]) -> Result:
        """Call `work(dal)` in the session's thread and return its result.

        Returned rows must be used as plain data; anything that queries later (a reference, a lazy set) belongs inside
        `work`.

        Raises:
            InterfaceError: called in another task than the one that opened the session, or after its end.
        """
        if asyncio.current_task() is not self._task:
            raise InterfaceError(
                "the session belongs to another task, whose transaction this would join: open one here with "
                "`async with adb.session() as s:`"
            )
        if self._session is None or self._session.closed:
            raise InterfaceError("this session has ended: open another with `async with adb.session() as s:`")
        return await self._call(lambda: work(self._database.dal))

    async def open(
        self, read_only: bool, timeout: float | None, scope: Mapping[str, Any] | None, opened_by: str
    ) -> None:
        """Open the session; called by `AsyncDatabase.session`."""

        def enter() -> None:
            session = self._database.session(read_only, timeout, scope, opened_by=opened_by)
            self._stack.enter_context(session)
            self._session = self._database.current()

        await self._call(enter)

    async def run_transaction(
        self,
        work: Callable[[DALType], Result],
        read_only: bool,
        timeout: float | None,
        scope: Mapping[str, Any] | None,
        opened_by: str,
    ) -> Result:
        """Open a session, call `work(dal)` and commit, in a single call in the thread; used by `AsyncDatabase.run`."""

        def everything() -> Result:
            self._check_not_cancelled()
            with self._database.session(read_only, timeout, scope, opened_by=opened_by) as dal:
                self._session = self._database.current()
                result = work(dal)
                self._check_not_cancelled()
                return result

        return await self._call(everything)

    def _check_not_cancelled(self) -> None:
        """Raise Timeout if the task was cancelled while no statement ran that could be cancelled."""
        if self._cancelled:
            raise Timeout("the task that asked for this was cancelled")

    async def close(self, error: BaseException | None) -> None:
        """Commit, or roll back if there is an error; called by `AsyncDatabase.session`."""

        def leave() -> None:
            if error is None:
                self._stack.close()
                return
            with contextlib.suppress(type(error)):
                self._stack.__exit__(type(error), error, error.__traceback__)

        if self._worker.abandoned:  # not awaited: the thread ends the session after its present call
            self._submit(leave).add_done_callback(_seen)
            return
        await self._call(leave, cancellable=error is None)

    def _submit(
        self, work: Callable[[], Result], ended: threading.Event | None = None
    ) -> "asyncio.Future[Result]":
        def call() -> Result:
            try:
                return self._context.run(work)
            finally:
                if ended is not None:
                    ended.set()

        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._worker.submit(call, future)
        return future

    async def _call(self, work: Callable[[], Result], cancellable: bool = True) -> Result:
        ended = threading.Event()
        future = self._submit(work, ended)
        cancelled: asyncio.CancelledError | None = None
        until = 0.0
        while not future.done():
            try:
                if cancelled is None:
                    await asyncio.shield(future)
                elif (left := until - time.monotonic()) > 0:
                    await asyncio.wait([future], timeout=left)
                else:  # the thread is opening a connection, or runs code of the program
                    self._worker.abandoned = True
                    break
            except asyncio.CancelledError as error:
                self._cancelled = True
                if cancelled is None:
                    until = time.monotonic() + CANCEL_SECONDS + _LEAVE_SECONDS
                    # In a new thread, because on some engines a cancel request opens a connection.
                    arguments = (self, ended, cancellable)
                    threading.Thread(target=_stop, args=arguments, daemon=True).start()
                cancelled = error
            except BaseException:  # noqa: BLE001  # see the next line
                break  # the exception of `work`, which `future.result()` raises below
        if cancelled is not None:
            future.add_done_callback(_seen)  # the task raises CancelledError instead of this outcome
            raise cancelled
        return future.result()

    def stop(self, *, sever: bool) -> None:
        """Stop the running statement from another thread.

        Args:
            sever: whether to break the connection, and not to send a cancel request.
        """
        session = self._session
        if session is not None:
            (session.break_connection if sever else session.cancel)()


def _seen(future: "asyncio.Future[Any]") -> None:
    """Retrieve the outcome of an abandoned future, so that asyncio does not log it as never retrieved."""
    if not future.cancelled():
        future.exception()


def _stop(session: AsyncSession[Any], ended: threading.Event, cancellable: bool) -> None:
    """Send cancel requests until the call ends, because a request may arrive before its statement does.

    A call that does not end in time, or that must not be cancelled, loses its connection.

    Args:
        session: the session of the call.
        ended: is set when the call has ended.
        cancellable: whether cancel requests may be sent.
    """
    end = time.monotonic() + CANCEL_SECONDS
    pause, sent = 0.0, 0
    while not ended.wait(min(pause, max(0.0, end - time.monotonic()))):
        if time.monotonic() >= end:
            session.stop(sever=True)
            return
        if cancellable:
            session.stop(sever=False)
        sent += 1
        pause = backoff(sent, _CANCEL_AGAIN_SECONDS, 2.0)


def _task_and_line() -> str:
    task = asyncio.current_task()
    return f"task {task.get_name() if task else '?'}, {caller()}"


class _Worker:
    """A thread that serves one session at a time and runs its calls in order."""

    def __init__(self) -> None:
        self.abandoned = False  # whether its task has stopped waiting for it
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="ringfence-aio", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, call: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        """Queue a call; its outcome becomes that of the future."""
        self._calls.put((call, future))

    def stop(self) -> None:
        """End the thread after the queued calls."""
        self._calls.put(None)

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            call, future = given
            try:
                result = call()
            except StopIteration as error:  # a future rejects it, and its task would wait for ever
                raised = RuntimeError("the function given to run() raised StopIteration")
                raised.__cause__ = error
                _settle(future, future.set_exception, raised)
            except BaseException as error:  # noqa: BLE001  # it belongs to the task that waits
                _settle(future, future.set_exception, error)
            else:
                _settle(future, future.set_result, result)
            given = call = future = result = None  # type: ignore[assignment]  # hold no rows while idle


def _settle(future: "asyncio.Future[Any]", settle: Callable[[Any], None], outcome: Any) -> None:
    def done() -> None:
        if not future.done():
            settle(outcome)

    with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for the outcome
        future.get_loop().call_soon_threadsafe(done)
