"""The `Database` of a service, which opens its sessions."""

import dataclasses
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

from ringfence.runtime.dal import DALType, build
from ringfence.runtime.engines import NO_SCOPE, Mode, backend_for
from ringfence.runtime.errors import (
    ArgumentError,
    InterfaceError,
    RingfenceError,
)
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.pool import Pool, PoolOptions
from ringfence.runtime.pool.owner import caller, current_owner
from ringfence.runtime.readiness import Report, check, wait_until_ready
from ringfence.runtime.retries import retry_delay
from ringfence.runtime.session import Session
from ringfence.runtime.session.scopes import Scopes
from ringfence.runtime.settings import Credentials, Settings
from ringfence.runtime.unit import Unit

Result = TypeVar("Result")

_PLAIN, _READING = Mode(), Mode(read_only=True)
_LONGEST = 2_147_483
"""The longest statement timeout, in seconds: PostgreSQL stores it in milliseconds, in a signed 32-bit integer."""


class Database(Generic[DALType]):
    """The database of one service: its connection pool, its PyDAL DAL, and its sessions.

    To a type checker, `Database[DAL]` has the tables of the class `DAL` that `ringfence mirror` writes in a stub.

    Args:
        settings: where the database is, and the login.
        mirror: the tables and columns that the service may use.
        options: the pool's size and times; when None, the size of the settings and the default times.
        credentials: returns the login in place of the settings' password; see `Settings.login`. When its result
            changes, new connections use the new login, and the old connections are retired.
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
        self.has_required_scopes = self._scopes if self._scopes.has_required else None
        self.pool = Pool(self.backend, settings, options)
        self.current_session: ContextVar[Session | None] = ContextVar(
            f"ringfence:{mirror.service}", default=None
        )
        self._dal: DALType | None = None
        self.reset_lock()
        _databases.add(self)

    def reset_lock(self) -> None:
        """Make a new lock for building the DAL; also called after a fork, where the thread that held it is gone."""
        self._dal_lock = threading.RLock()

    @classmethod
    def from_env(
        cls,
        mirror: str | Path,
        env: Mapping[str, str] | None = None,
        options: PoolOptions | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> Self:
        """Make a Database from a mirror file and the environment.

        Args:
            mirror: the path of the service's mirror.
            env: `DB_*`, or `DATABASE_URL`; the process's own variables when None.
            options: as for the class.
            credentials: as for the class.

        Raises:
            BadSettings: the environment does not describe a database.
            BadMirror: the mirror cannot be read, or has an unknown format.
        """
        return cls(Settings.from_env(env), Mirror.load(mirror), options, credentials=credentials)

    @property
    def dal(self) -> DALType:
        """PyDAL's DAL of the mirror's tables; its queries run in the session of the calling thread or task."""
        if self._dal is None:
            with self._dal_lock:
                if self._dal is None:
                    self._dal = cast("DALType", build(self.mirror, self.backend, self.settings.db_type, self))
        return self._dal

    def session(
        self,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
        *,
        opened_by: str | None = None,
        wait: float | None = None,
    ) -> Unit[DALType]:
        """Open a session: committed at its end, rolled back on an exception; inside another session, a savepoint.

        A signal handler may raise an exception at any point: it propagates unchanged, and the connection is returned
        or closed. If it arrives during COMMIT, it is unknown whether the work is stored.

        Args:
            read_only: refuse writes; on SQLite, such sessions never wait for writers.
            timeout: the longest time for one statement, in seconds; None for no limit.
            scope: name of a bound scope -> value. Without a value for a scope, the session sees and writes none of its
                rows, or gets an error, as the manifest says. A nested session has the scopes of the outer one.
            opened_by: the holder's name in messages to callers that wait for a connection; the calling line when None.
            wait: the longest wait for a connection, in seconds; the pool's own when None.

        Returns:
            A context manager, to be entered once, that gives the DAL. The exceptions below are raised when it is
            entered or left, or, for `wait`, at once.

        Raises:
            InterfaceError: a nested session has another mode or scope than the outer one.
            UnknownName: the mirror does not bind the scope.
            ArgumentError: a time is invalid.
            DataError: the value of a scope does not fit its type.
            RingfenceError: the commit failed.
        """
        if wait is not None and not _is_number(wait, -math.inf, math.inf):
            raise ArgumentError(f"wait={wait!r}: the longest wait for a connection is a number of seconds")
        return Unit(self, read_only, timeout, scope, opened_by, wait)

    def mode(self, read_only: bool, timeout: float | None, scope: Mapping[str, Any] | None) -> Mode:
        """Check the options of a session, and convert the values of its scopes.

        Args:
            read_only: as for `session`.
            timeout: as for `session`.
            scope: as for `session`.

        Raises:
            ArgumentError: the timeout is invalid.
            UnknownName: the mirror does not bind the scope.
            DataError: the value of a scope does not fit its type.
        """
        if timeout is not None and not _is_number(timeout, 0.0, _LONGEST):
            raise ArgumentError(
                f"timeout={timeout!r}: a time limit is a number of seconds above 0, and at most {_LONGEST} (24 days),"
                " or None for none"
            )
        if timeout is None and not scope:
            return _READING if read_only else _PLAIN
        return Mode(read_only, timeout, self._scopes.fit(scope) if scope else NO_SCOPE)

    def current(self) -> Session:
        """Return the open session of the calling thread or task.

        Raises:
            InterfaceError: no session is open, or another thread or task owns it.
        """
        session = self.own_session()
        if session is not None:
            return session
        other = self.current_session.get()
        if other is None or other.closed:
            raise InterfaceError(
                "no session is open here: put the query inside `with db.session() as dal:` in this very function; one"
                " that a plain `def` dependency of FastAPI opened is in another thread: make it `async def`, with"
                " `async with adb.session() as s: yield s`"
            )
        raise InterfaceError(
            "the session belongs to another thread or task, whose transaction this would join: open one of its own "
            "here with `with db.session() as dal:`"
        )

    def connected(self) -> Any | None:
        """Return the driver's connection of the caller's session, borrowed if necessary; None without a session.

        PyDAL needs it before the first statement, because literals are quoted for the connection they are sent on.
        """
        session = self.own_session()
        return session.connection if session else None

    def own_session(self) -> Session | None:
        """Return the open session that the calling thread or task owns, or None."""
        session = self.current_session.get()
        if session is None or session.closed or session.owner != current_owner():
            return None
        return session

    def run(
        self,
        work: Callable[[DALType], Result],
        *,
        attempts: int = 5,
        idempotent: bool = False,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a function as one transaction, and repeat it after a failure that stored nothing.

        It is repeated after a conflict with another transaction, also at COMMIT, and after the connection was lost
        before COMMIT was sent.

        Args:
            work: gets the DAL; must have no effects outside the database, because it may run several times.
            attempts: the maximum number of runs.
            idempotent: whether to repeat it also if the outcome of COMMIT is unknown.
            read_only: as for `session`.
            timeout: as for `session`.
            scope: as for `session`.

        Returns:
            The result of `work`.

        Raises:
            Conflict: the last attempt conflicted with another transaction.
            ConnectionLost: the last attempt lost its connection before COMMIT.
            CommitUnknown: an attempt ended during COMMIT, and it is unknown whether it is stored.
            InterfaceError: called inside another session, whose transaction cannot be repeated.
            ArgumentError: `attempts` is below 1.
        """
        if self.own_session() is not None:
            raise InterfaceError("run() repeats a whole transaction, so it cannot run inside another session")
        opened_by = caller()
        for attempt in range(1, attempts + 1):
            try:
                with self.session(read_only, timeout, scope, opened_by=opened_by) as dal:
                    return work(dal)
            except RingfenceError as error:
                pause = retry_delay(error, attempt, attempts, idempotent=idempotent)
                if pause is None:
                    raise
                time.sleep(pause)
        raise ArgumentError(f"attempts={attempts}: it must be 1 or more")

    def readiness(self) -> Report:
        """Check once, without waiting, whether the database is what the mirror needs."""
        return check(self)

    def wait_until_ready(self, timeout: float | None = None) -> Report:
        """Wait until the database is what the mirror needs.

        Args:
            timeout: the longest wait, in seconds; `DB_READY_TIMEOUT` when None.

        Returns:
            The report of the last check.

        Raises:
            NotReady: at once if waiting cannot help, otherwise after the timeout; `state` says why.
        """
        return wait_until_ready(self, timeout)

    def close(self, deadline: float = 10.0) -> None:
        """Close all connections, after waiting at most `deadline` seconds for running sessions."""
        self.pool.close(deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_databases: "weakref.WeakSet[Database[Any]]" = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_databases):
        database.reset_lock()


os.register_at_fork(after_in_child=_after_fork)


def _is_number(seconds: Any, above: float, most: float) -> bool:
    return isinstance(seconds, int | float) and above < seconds <= most
