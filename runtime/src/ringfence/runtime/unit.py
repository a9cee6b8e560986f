"""The context manager behind `with db.session() as dal:`."""

import contextlib
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, overload

from ringfence.runtime.dal import DALType
from ringfence.runtime.engines import Backend, Mode
from ringfence.runtime.errors import InterfaceError
from ringfence.runtime.pool import Pool
from ringfence.runtime.session import Session
from ringfence.runtime.session.scopes import Scopes

Leave = Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], None]


class Sessions(Protocol):
    """A database as a unit of work uses it."""

    backend: Backend
    pool: Pool
    has_required_scopes: Scopes | None
    current_session: ContextVar[Session | None]

    @property
    def dal(self) -> Any:
        """PyDAL's DAL of the mirror's tables."""
        ...

    def own_session(self) -> Session | None:
        """Return the open session of the calling thread or task, or None."""
        ...

    def mode(self, read_only: bool, timeout: float | None, scope: Mapping[str, Any] | None) -> Mode:
        """Check the options of a session; raises a UsageError or DataError for invalid ones."""
        ...


class _EndedKeeper:
    """The class of a unit's keeper after the unit has ended: without `__del__`."""

    __slots__ = ("__weakref__", "unit")
    unit: "Unit[Any]"


class _Keeper(_EndedKeeper):
    """An object that only the `with` statement references: when it is collected, the unit is abandoned.

    An asynchronous exception may arrive after `with` has called `__exit__` and before its first line runs. The
    traceback then references the arguments of that call, but not the keeper, which is therefore collected.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.unit.abandon()


class _Exit:
    """The descriptor of `__exit__`: gives `with` a callable that references the keeper without passing it on."""

    @overload
    def __get__(self, unit: None, kind: type) -> Callable[..., None]: ...

    @overload
    def __get__(self, unit: "Unit[Any]", kind: type) -> Leave: ...

    def __get__(self, unit: "Unit[Any] | None", kind: type) -> Callable[..., None]:
        if unit is None:  # `contextlib.ExitStack` looks `__exit__` up on the class
            return _leave_unit
        keeper = unit.keep()
        leave = partial(_leave, weakref.ref(keeper))
        leave.keeper = keeper  # type: ignore[attr-defined]  # a partial has a __dict__
        return leave


def _leave_unit(
    unit: "Unit[Any]",
    kind: type[BaseException] | None = None,
    error: BaseException | None = None,
    trace: TracebackType | None = None,
) -> None:
    unit.end(kind is None)


def _leave(
    keeper: "weakref.ref[_EndedKeeper]",
    kind: type[BaseException] | None = None,
    error: BaseException | None = None,
    trace: TracebackType | None = None,
) -> None:
    keeper().unit.end(kind is None)  # type: ignore[union-attr]  # the caller holds a reference, so it is not None


class Unit(contextlib.ContextDecorator, Generic[DALType]):
    """A session, or a savepoint in the caller's open session: begun by `with`, committed or rolled back at its end.

    Args:
        database: the database of the session.
        read_only, timeout, scope, opened_by, wait: as for `Database.session`.
    """

    _session: Session | None = None
    _before: Session | None = None
    _depth = 0
    """The depth of a nested session, counted from 1; 0 for the outermost one."""
    _over = False
    _keeper: "weakref.ref[_EndedKeeper] | None" = None
    _kept: _EndedKeeper | None = None

    def __init__(
        self,
        database: Sessions,
        read_only: bool = False,
        timeout: float | None = None,
        scope: Mapping[str, Any] | None = None,
        opened_by: str | None = None,
        wait: float | None = None,
    ) -> None:
        self._database = database
        self._options = read_only, timeout, scope
        self._opened_by = opened_by
        self._wait = wait

    def _recreate_cm(self) -> Self:
        # Called by ContextDecorator for `@db.session()`: each call of the function gets its own unit.
        return type(self)(self._database, *self._options, self._opened_by, self._wait)

    def keep(self) -> _EndedKeeper:
        """Return the unit's keeper, made at the first call; the unit is abandoned when it is collected.

        `with` references it; in a unit that is entered without `with`, the unit itself does.
        """
        keeper = self._keeper() if self._keeper is not None else None
        if keeper is None:
            keeper = _EndedKeeper()
            keeper.unit = self
            if not self._over:
                keeper.__class__ = _Keeper
            self._keeper = weakref.ref(keeper)
        return keeper

    def __enter__(self) -> DALType:
        if self._session is not None or self._over:
            raise InterfaceError("this session was entered before: call db.session() for each")
        database = self._database
        try:
            mode = database.mode(*self._options)
            outer = database.own_session()
            if outer is None:
                if self._keeper is None:
                    self._kept = self.keep()
                self._session = session = Session(
                    database.backend,
                    database.pool,
                    mode,
                    self._opened_by,
                    self._wait,
                    database.has_required_scopes,
                    self._keeper,
                )
                self._before = database.current_session.get()
                database.current_session.set(session)
            else:
                self._nest(outer, mode)
            dal: DALType = database.dal
            return dal
        except BaseException:
            self._interrupted()
            raise

    def _nest(self, outer: Session, mode: Mode) -> None:
        has = outer.mode
        if mode.scope and mode.scope != has.scope:
            raise InterfaceError(
                "a nested session is a savepoint of the outer one: it cannot have another scope"
            )
        kind = (mode.read_only, mode.timeout)
        if kind not in ((False, None), (has.read_only, has.timeout), (has.read_only, None)):
            raise InterfaceError(
                "a nested session is a savepoint of the outer one: it cannot have another mode or timeout"
            )
        if self._keeper is None:
            self._kept = self.keep()
        self._depth = outer.depth + 1
        self._session = outer
        outer.savepoint()

    __exit__ = _Exit()

    def end(self, well: bool) -> None:
        """Commit or roll back; a second call does nothing.

        Args:
            well: whether to commit.

        Raises:
            RingfenceError: the commit failed.
        """
        session = self._session
        if session is None or self._over:
            return
        try:
            if self._depth:
                self._end_nested(session, well)
            else:
                try:
                    if well:
                        session.commit()
                finally:
                    session.close()
                    self._restore(session)
            self._finish()
        except BaseException:
            self._interrupted()
            raise

    def _end_nested(self, outer: Session, well: bool) -> None:
        name = outer.name_of(self._depth)
        if well:
            try:
                outer.release(name)
            except BaseException:
                outer.rollback_to(name)
                raise
        else:
            outer.rollback_to(name)

    def _restore(self, session: Session) -> None:
        here = self._database.current_session
        if here.get() is session:  # a generator may be closed in another thread or task
            here.set(self._before)

    def _finish(self) -> None:
        self._over = True
        keeper = self._keeper() if self._keeper is not None else None
        if keeper is not None:
            keeper.__class__ = _EndedKeeper
        self._kept = None

    def _interrupted(self) -> None:
        """End the unit after an exception, and restore the session that the thread or task had before."""
        session = self._session
        try:
            if session is not None and 0 < self._depth <= session.depth:
                session.rollback_to(session.name_of(self._depth))
        finally:
            self.abandon()
            if session is not None and not self._depth:
                self._restore(session)
            self._finish()

    def abandon(self) -> None:
        """End a unit that could not end normally: its connection is closed; a nested one makes the outer one fail."""
        session = self._session
        if session is None or self._over:
            return
        if self._depth:
            session.fail_outer(self._depth)
        else:
            session.abandon()
