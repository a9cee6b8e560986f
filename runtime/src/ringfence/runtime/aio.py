"""asyncio: each session is pinned to a thread of its own, so that transactions of tasks never mix."""

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from ringfence.runtime.dal import RingfenceDAL
from ringfence.runtime.database import Database, pause_before_again
from ringfence.runtime.errors import Misuse, RingfenceError, Timeout
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.pool import PoolOptions
from ringfence.runtime.pool.options import caller
from ringfence.runtime.readiness import Report
from ringfence.runtime.session import Session
from ringfence.runtime.settings import Credentials, Settings

Result = TypeVar("Result")

_CANCEL_AGAIN_SECONDS = 0.1
_CANCEL_SECONDS = 3.0
"""How long a cancelled task waits for its statement to be stopped, before the connection is ended under it."""
_LEAVE_SECONDS = 1.0
"""How long it waits for its thread after that, before it goes on without: the thread ends by itself."""


class AsyncDatabase:
    """A Database for tasks: at most as many sessions at once as the pool has connections, the others wait in turn.

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
        self.database = Database(settings, mirror, options, credentials=credentials)
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
    ) -> "AsyncDatabase":
        """From a mirror file and the environment, as `Database.from_env`."""
        return cls(Settings.from_env(env), Mirror.load(mirror), options, credentials=credentials)

    @contextlib.asynccontextmanager
    async def session(
        self,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
        *,
        opened_by: str | None = None,
    ) -> AsyncIterator["AsyncSession"]:
        """A unit of work, as `Database.session`; its queries run by `await s.run(...)`.

        Cancelling the task stops the running statement, rolls back and gives the connection back.
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
        work: Callable[[RingfenceDAL], Result],
        *,
        attempts: int = 5,
        idempotent: bool = False,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a function as one transaction, and the whole of it again, as `Database.run`."""
        turn = self._turn()
        for attempt in range(1, attempts + 1):
            try:
                # Until its turn has come a task does little: a thousand may begin in one step of the loop.
                await turn.acquire()
                try:
                    worker = self._worker()
                    try:
                        session = AsyncSession(self.database, worker)
                        return await session.whole(work, read_only, timeout, scope, _task_and_line())
                    finally:
                        self._put_back(worker)
                finally:
                    turn.release()
            except RingfenceError as error:
                pause = pause_before_again(error, attempt, attempts, idempotent=idempotent)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        raise Misuse(f"attempts={attempts}: it must be 1 or more")

    async def readiness(self) -> Report:
        """As `Database.readiness`, without blocking the event loop."""
        return await asyncio.to_thread(self.database.readiness)

    async def wait_until_ready(self, timeout: float | None = None) -> Report:
        """As `Database.wait_until_ready`, without blocking the event loop."""
        return await asyncio.to_thread(self.database.wait_until_ready, timeout)

    async def close(self, deadline: float = 10.0) -> None:
        """Wait for running sessions, at most `deadline` seconds, and close every connection and thread."""
        self._closed = True
        await asyncio.to_thread(self.database.close, deadline)
        while self._idle:
            self._idle.pop().stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _turn(self) -> asyncio.Semaphore:
        """One per event loop, to which a semaphore is bound; the pool is the cap of them all."""
        loop = asyncio.get_running_loop()
        if loop not in self._turns:
            self._turns[loop] = asyncio.Semaphore(self.database.pool.options.size)
        return self._turns[loop]

    def _worker(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:  # a fork leaves threads behind
                return worker
        return _Worker()

    def _put_back(self, worker: "_Worker") -> None:
        if self._closed or worker.left:
            worker.stop()
        else:
            self._idle.append(worker)


class AsyncSession:
    """A session of one task; `run` is its only verb."""

    def __init__(self, database: Database, worker: "_Worker") -> None:
        self._database = database
        self._worker = worker
        self._task = asyncio.current_task()
        self._stack = contextlib.ExitStack()
        self._context = contextvars.Context()
        self._session: Session | None = None
        self._unwanted = False

    async def run(self, work: Callable[[RingfenceDAL], Result]) -> Result:
        """Call `work(dal)` in the session's thread and give back what it returns.

        Rows that come out are plain data; what would query later (a reference, a lazy set) belongs inside `work`.

        Raises:
            Misuse: in another task than the one that opened the session, and after its end.
        """
        if asyncio.current_task() is not self._task:
            raise Misuse(
                "the session belongs to another task, whose transaction this would join: open one here with "
                "`async with adb.session() as s:`"
            )
        if self._session is None or self._session.closed:
            raise Misuse("this session has ended: open another with `async with adb.session() as s:`")
        return await self._call(lambda: work(self._database.dal))

    async def open(
        self, read_only: bool, timeout: float | None, scope: Mapping[str, Any] | None, opened_by: str
    ) -> None:
        """Begin; `AsyncDatabase.session` does this."""

        def enter() -> None:
            session = self._database.session(read_only, timeout, scope, opened_by=opened_by)
            self._stack.enter_context(session)
            self._session = self._database.current()

        await self._call(enter)

    async def whole(
        self,
        work: Callable[[RingfenceDAL], Result],
        read_only: bool,
        timeout: float | None,
        scope: Mapping[str, Any] | None,
        opened_by: str,
    ) -> Result:
        """A session with one call in it, from its beginning to its commit in one visit to the thread."""

        def everything() -> Result:
            self._still_wanted()
            with self._database.session(read_only, timeout, scope, opened_by=opened_by) as dal:
                self._session = self._database.current()
                result = work(dal)
                self._still_wanted()
                return result

        return await self._call(everything)

    def _still_wanted(self) -> None:
        """Stop here when the task was cancelled before a statement ran that could be stopped."""
        if self._unwanted:
            raise Timeout("the task that asked for this was cancelled")

    async def close(self, error: BaseException | None) -> None:
        """Commit, or roll back on an error; `AsyncDatabase.session` does this."""

        def leave() -> None:
            if error is None:
                self._stack.close()
                return
            with contextlib.suppress(type(error)):
                self._stack.__exit__(type(error), error, error.__traceback__)

        if self._worker.left:  # its thread ends the session when it comes to it
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
                else:  # it connects, or is in code of the program's own
                    self._worker.left = True
                    break
            except asyncio.CancelledError as error:
                self._unwanted = True
                if cancelled is None:
                    until = time.monotonic() + _CANCEL_SECONDS + _LEAVE_SECONDS
                    # From a thread of its own: on some engines this opens a connection.
                    arguments = (self, ended, cancellable)
                    threading.Thread(target=_stop, args=arguments, daemon=True).start()
                cancelled = error
            except BaseException:  # noqa: BLE001  # see the next line
                break  # the work's own; it is raised below
        if cancelled is not None:
            future.add_done_callback(_seen)  # the cancellation says why
            raise cancelled
        return future.result()

    def stop(self, *, sever: bool) -> None:
        """Stop what runs, from another thread: by a request, or by ending the connection."""
        session = self._session
        if session is not None:
            (session.sever if sever else session.cancel)()


def _seen(future: "asyncio.Future[Any]") -> None:
    """Nobody asks for this outcome any more, and asyncio need not complain of it."""
    if not future.cancelled():
        future.exception()


def _stop(session: AsyncSession, ended: threading.Event, cancellable: bool) -> None:
    """Cancel until the call is over: the first request may come before the statement is at the server.

    What does not end by that, or must not be cancelled, loses its connection.
    """
    end = time.monotonic() + _CANCEL_SECONDS
    pause = 0.0
    while not ended.wait(min(pause, max(0.0, end - time.monotonic()))):
        if time.monotonic() >= end:
            session.stop(sever=True)
            return
        if cancellable:
            session.stop(sever=False)
        pause = min(2.0, pause * 2 or _CANCEL_AGAIN_SECONDS)


def _task_and_line() -> str:
    task = asyncio.current_task()
    return f"task {task.get_name() if task else '?'}, {caller()}"


class _Worker:
    """A thread that runs the calls of one session after another."""

    def __init__(self) -> None:
        self.left = False  # whether its task has gone on without it
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="ringfence-aio", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, call: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self._calls.put((call, future))

    def stop(self) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            call, future = given
            try:
                result = call()
            except StopIteration as error:  # a future takes none, and its task would wait for ever
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

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        future.get_loop().call_soon_threadsafe(done)
