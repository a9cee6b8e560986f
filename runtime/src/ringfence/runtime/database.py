"""Database: what a service opens its sessions on, and through these its tables."""

import dataclasses
import logging
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self, TypeVar

from ringfence.runtime.dal import RingfenceDAL, build
from ringfence.runtime.engines import NO_SCOPE, Mode, backend_for
from ringfence.runtime.errors import CommitUnknown, Conflict, ConnectionLost, Misuse, RingfenceError
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.pool import Pool, PoolOptions
from ringfence.runtime.pool.options import caller
from ringfence.runtime.pool.owner import current_owner
from ringfence.runtime.readiness import Report, check, wait_until_ready
from ringfence.runtime.session import Session
from ringfence.runtime.session.scopes import Scopes
from ringfence.runtime.settings import Credentials, Settings
from ringfence.runtime.unit import Unit

log = logging.getLogger("ringfence.database")
Result = TypeVar("Result")

_PLAIN, _READING = Mode(), Mode(read_only=True)
_LONGEST = 2_147_483
"""The longest time limit of a statement, in seconds: PostgreSQL counts the milliseconds in 32 bits."""


class Database:
    """One service's way to its database: a pool, one DAL, and sessions.

    Args:
        settings: where the database is and who logs in.
        mirror: what the service may know and touch.
        options: the pool's cap and times; from the settings when None.
        credentials: asked for the login in place of the settings' password; see `Settings.login`. When it gives
            another one than before, new connections use that, and the old ones are drained.
    """

    def __init__(
        self,
        settings: Settings,
        mirror: Mirror,
        options: PoolOptions | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        if credentials is not None:
            settings = dataclasses.replace(
                settings, credentials=credentials, password=None, password_file=None
            )
        self.settings = settings
        self.mirror = mirror
        self.backend = backend_for(settings, mirror)
        self._scopes = Scopes(mirror, self.backend.codecs)
        self.demanding = self._scopes if self._scopes.demanding else None
        self.pool = Pool(self.backend, settings, options)
        self.session_here: ContextVar[Session | None] = ContextVar(
            f"ringfence:{mirror.service}", default=None
        )
        self._dal: RingfenceDAL | None = None
        self.begin_anew()
        _databases.add(self)

    def begin_anew(self) -> None:
        """Nobody is making the DAL: a fork has none of the threads that were at it."""
        self._dal_lock = threading.RLock()

    @classmethod
    def from_env(
        cls,
        mirror: str | Path,
        env: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> "Database":
        """From a mirror file and the environment.

        Args:
            mirror: the path of the service's mirror.
            env: `DB_*`, or `DATABASE_URL`; the process's own when None.
            options, credentials: as for the class itself.

        Raises:
            BadSettings, BadMirror: naming everything that is wrong.
        """
        return cls(Settings.from_env(env), Mirror.load(mirror), options, credentials=credentials)

    @property
    def dal(self) -> RingfenceDAL:
        """PyDAL's DAL of the mirror's tables; queries on it run in the caller's session."""
        if self._dal is None:
            with self._dal_lock:
                if self._dal is None:
                    self._dal = build(self.mirror, self.backend, self.settings.db_type, self)
        return self._dal

    def session(
        self,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
        *,
        opened_by: str | None = None,
        wait: float | None = None,
    ) -> Unit:
        """A unit of work: committed at the end, rolled back on an error; nested in another one it is a savepoint.

        An exception from outside, such as a signal's handler raises, may come at any point: it goes on as it is, and
        the connection comes back or is closed. Whether the work is stored is not known when it comes during COMMIT.

        Args:
            read_only: refuse writes; on SQLite readers then never wait for writers.
            timeout: the longest that one statement may take, in seconds.
            scope: values for the scopes the mirror binds per session, by name; of those that are not named the
                session sees and writes no row, or gets an error, as the manifest says. A nested session has the
                outer one's.
            opened_by: who is named when others wait in vain for a connection; the calling line when None.
            wait: the longest wait for a connection, in seconds; the pool's own when None.

        Returns:
            What `with` enters, once; it gives the DAL. Entering and leaving it raise:

        Raises:
            Misuse: for a nested session of another mode or scope, for a scope that the mirror does not bind, and for
                times that are none.
            BadValue: for a scope's value that its type does not take.
            RingfenceError: whatever the commit meets.
        """
        if wait is not None and not _is_number(wait, -math.inf, math.inf):
            raise Misuse(f"wait={wait!r}: the longest wait for a connection is a number of seconds")
        return Unit(self, read_only, timeout, scope, opened_by, wait)

    def mode(self, read_only: bool, timeout: float | None, scope: Mapping[str, Any] | None) -> Mode:
        if timeout is not None and not _is_number(timeout, 0.0, _LONGEST):
            raise Misuse(
                f"timeout={timeout!r}: a time limit is a number of seconds above 0, and at most {_LONGEST} (24 days),"
                " or None for none"
            )
        if timeout is None and not scope:
            return _READING if read_only else _PLAIN
        return Mode(read_only, timeout, self._scopes.fit(scope) if scope else NO_SCOPE)

    def current(self) -> Session:
        """The session of the calling thread or task.

        Raises:
            Misuse: when there is none, or only one that another thread or task owns.
        """
        session = self.own_session()
        if session is not None:
            return session
        other = self.session_here.get()
        if other is None or other.closed:
            raise Misuse(
                "no session is open here: put the query inside `with db.session() as dal:` in this very function; one"
                " that a plain `def` dependency of FastAPI opened is in another thread: make it `async def`, with"
                " `async with adb.session() as s: yield s`"
            )
        raise Misuse(
            "the session belongs to another thread or task, whose transaction this would join: open one of its own "
            "here with `with db.session() as dal:`"
        )

    def connected(self) -> Any | None:
        """The driver's connection of the caller's session, taken from the pool if need be; None without a session.

        Literals are written for the connection that they are sent on, so the first statement needs it too.
        """
        session = self.own_session()
        return session.connection if session else None

    def own_session(self) -> Session | None:
        session = self.session_here.get()
        if session is None or session.closed or session.owner != current_owner():
            return None
        return session

    def run(
        self,
        work: Callable[[RingfenceDAL], Result],
        *,
        attempts: int = 5,
        idempotent: bool = False,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a function as one transaction, and the whole of it again when nothing of it was stored.

        That is when another transaction won, at COMMIT too, or when the connection was lost before COMMIT was sent.

        Args:
            work: gets the DAL; must have no effects outside the database that a second run would double.
            attempts: how often it is run at most.
            idempotent: also run it again when the outcome of COMMIT is unknown.
            read_only, timeout, scope: as for `session`.

        Raises:
            Conflict, ConnectionLost, CommitUnknown: when the last attempt met it.
            Misuse: inside another session, whose transaction could not be repeated.
        """
        if self.own_session() is not None:
            raise Misuse("run() repeats a whole transaction, so it cannot stand inside another session")
        opened_by = caller()
        for attempt in range(1, attempts + 1):
            try:
                with self.session(read_only, timeout, scope, opened_by=opened_by) as dal:
                    return work(dal)
            except RingfenceError as error:
                pause = pause_before_again(error, attempt, attempts, idempotent=idempotent)
                if pause is None:
                    raise
                time.sleep(pause)
        raise Misuse(f"attempts={attempts}: it must be 1 or more")

    def readiness(self) -> Report:
        """How ready the database is for this mirror now, without waiting."""
        return check(self)

    def wait_until_ready(self, timeout: float | None = None) -> Report:
        """Wait for what time can mend.

        Args:
            timeout: the longest wait, in seconds; `DB_READY_TIMEOUT` when None.

        Raises:
            NotReady: at once for what time cannot mend, else when the time is up; `state` says why.
        """
        return wait_until_ready(self, timeout)

    def close(self, deadline: float = 10.0) -> None:
        """Wait for running sessions, at most `deadline` seconds, and close every connection."""
        self.pool.close(deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_databases):
        database.begin_anew()


os.register_at_fork(after_in_child=_after_fork)


def _is_number(seconds: Any, above: float, most: float) -> bool:
    return isinstance(seconds, int | float) and above < seconds <= most


def pause_before_again(
    error: RingfenceError, attempt: int, attempts: int, *, idempotent: bool
) -> float | None:
    """How many seconds to wait before a transaction is run again, or None when it must not be.

    A `Misuse` whose cause is one of these counts as it: a session that went on after a conflict was told of it.
    """
    if isinstance(error, Misuse) and isinstance(error.__cause__, RingfenceError):
        error = error.__cause__
    again = (Conflict, ConnectionLost, CommitUnknown) if idempotent else (Conflict, ConnectionLost)
    if not isinstance(error, again) or attempt >= attempts:
        return None
    pause: float = random.uniform(0.5, 1.0) * 0.01 * 2.0**attempt
    log.info(
        "attempt %d of %d met %s (%s): again in %.3f s", attempt, attempts, type(error).__name__, error, pause
    )
    return pause
