"""Runs a backfill in batches by key, from where the last run stopped, and slows down when the server is under load."""

import json
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.backoff import backoff
from ringfence.runtime.engines.mysql.transaction_size import LIMITS, too_large
from ringfence.runtime.errors import BadSettings, NotReady
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.settings.addresses import BadAddress, read_hosts
from ringfence.schema.backfills.declared import Backfill, load
from ringfence.schema.backfills.keys import Keys
from ringfence.schema.backfills.statements import move_of, primary_key
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import check_engine, first_line, reach
from ringfence.schema.engines.base import Backend
from ringfence.schema.engines.server_load import Gauge
from ringfence.schema.errors import JobFailed, LockLost
from ringfence.schema.state import releases
from ringfence.schema.text import MessageCallback, counted

STALE = 10.0
"""Seconds after which another run whose row does not change counts as ended; measured by the local clock."""
_POLL = 0.25
_TRIES = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_HEARTBEAT_SECONDS = 1.0  # seconds between two heartbeats
_SLOW = 0.5  # seconds between two checks of a server under load
_PAUSED = 0.1  # the share of time in flow control above which the cluster counts as overloaded
_table = releases.backfill


@dataclass(frozen=True)
class Pace:
    """How fast a backfill may run."""

    rate: float | None = None
    """Rows per second; None for no limit."""
    batch: int | None = None
    """Rows in one transaction; None for the backfill's own number."""
    lag: float = 5.0
    """Seconds that a replica may lag before the backfill waits for it; infinity to wait for none."""
    replicas: tuple[Host, ...] = ()
    """Replicas of MySQL and MariaDB, which have to be queried themselves; PostgreSQL's primary knows its own."""


@dataclass
class Progress:
    """How far a run has come."""

    total: int
    seen: int = 0
    changed: int = 0
    resumed: bool = False
    """Whether it continued where an earlier run had stopped."""
    _began: float = field(default_factory=time.monotonic)
    _first: int = 0

    @property
    def left(self) -> float | None:
        """The estimated seconds until it is done; None while there is no estimate."""
        done, passed = self.seen - self._first, time.monotonic() - self._began
        return max(0, self.total - self.seen) * passed / done if done > 0 else None

    def __str__(self) -> str:
        left = self.left
        about = "" if left is None else f", about {left:.0f} s left"
        return f"{self.seen} of {counted(self.total, 'row')}, {self.changed} changed{about}"


def run(
    deployment: Deployment,
    name: str,
    env: Mapping[str, str] | Settings | None = None,
    *,
    pace: Pace | None = None,
    again: bool = False,
    stale: float = STALE,
    show: Callable[[Progress], None] = lambda progress: None,
    on_message: MessageCallback = lambda text: None,
) -> Progress:
    """Run a backfill to its end.

    Each batch is one transaction that also stores the key where the next one begins. When a run is interrupted, no
    row is changed twice, and the next run continues from there. It does not take the deployment's lock.

    Args:
        deployment: the deployment.
        name: the backfill's name.
        env: environment variables with the admin's login (`DB_*`), or settings; the process's own environment when
            None.
        pace: how fast it may run.
        again: whether a backfill that runs only once may run again.
        stale: the seconds without a heartbeat after which another run counts as ended and is taken over.
        show: called with the progress after each batch.
        on_message: called with a line of text when the run waits for something.

    Returns:
        The progress at its end.

    Raises:
        BadDeployment: there is no such backfill, or it is wrong.
        BadSettings: a host in `replicas` is not a replica, or its lag cannot be read; nothing was changed.
        AccessDenied: a host in `replicas` refuses the admin.
        Unavailable: a host in `replicas` cannot be reached.
        NotReady: another run of the backfill is active.
        LockLost: another run took over; everything committed stays.
        JobFailed: a statement failed; all batches before it stay.
    """
    backfill = load(deployment, name)
    settings = env if isinstance(env, Settings) else Settings.from_env(env)
    backend = reach(settings, on_message, existing=True)
    check_engine(deployment, backend)
    runner = _Runner(deployment, name, backfill, backend, pace or Pace(), on_message)
    runner.check()
    with backend.engine().connect() as connection:
        releases.ensure(connection)
        connection.commit()
    runner.acquire(stale, again=again)
    try:
        return runner.run(show)
    finally:
        runner.release()


class _Runner:
    def __init__(
        self,
        deployment: Deployment,
        name: str,
        backfill: Backfill,
        backend: Backend,
        pace: Pace,
        on_message: MessageCallback,
    ) -> None:
        self._name, self._backfill, self._backend, self._pace, self._on_message = (
            name,
            backfill,
            backend,
            pace,
            on_message,
        )
        self._engine = backend.engine()
        self._holder = secrets.token_hex(16)
        with self._engine.connect() as connection:
            self._move = move_of(deployment, backend, connection, name, backfill)
            self._source = self._move.source
            key = primary_key(deployment, connection, backfill.table)
            self._keys = Keys([self._source.c[column] for column in key])
        self._gauge = Gauge(backend, pace.replicas, lag=math.isfinite(pace.lag))
        # A service may insert the same row into the target meanwhile; the next attempt finds it.
        self._conflicts = (sa.exc.IntegrityError,) if backfill.into is not None else ()
        self._hidden = False
        self._size = pace.batch or backfill.batch
        self._progress = Progress(0)
        self._last_heartbeat = time.monotonic()

    def check(self) -> None:
        """Check the server and its replicas before anything is changed.

        Raises:
            BadSettings: the lag of a replica cannot be read.
        """
        with self._engine.connect() as connection:
            pressure = self._gauge.read(connection)
        if pressure.lag_unreadable:
            raise BadSettings(pressure.lag_unreadable)

    # The lease: one row per backfill, and only its holder may continue.

    def acquire(self, stale: float, *, again: bool) -> None:
        """Take the backfill's lease.

        Args:
            stale: the seconds without a heartbeat after which another run counts as ended.
            again: whether a backfill that runs only once may run again.

        Raises:
            JobFailed: it runs only once, and has run.
            NotReady: another run is active, or took the lease at the same moment.
        """
        row = self._row()
        if row["state"] == "done" and self._backfill.once and not again:
            raise JobFailed(
                f"the backfill {self._name} ran to its end at {row['changed_at']}, and a second run would do its work"
                " twice: --again runs it nevertheless"
            )
        if row["holder"] is not None:
            self._on_message(
                f"another run of {self._name} has not recorded its end; checking whether it still runs"
            )
        deadline = time.monotonic() + stale
        heartbeats = row["heartbeats"]
        while row["holder"] is not None and time.monotonic() < deadline:
            time.sleep(min(_POLL, stale / 4))
            row = self._row()
            if row["heartbeats"] != heartbeats:
                raise NotReady(
                    f"another run of the backfill {self._name} is still running; wait for it, or stop it",
                    "locked",
                )
        values: dict[str, Any] = {
            "holder": self._holder,
            "state": "running",
            "heartbeats": row["heartbeats"] + 1,
        }
        if row["state"] == "done":
            values |= {"last_key": None, "seen": 0, "changed": 0}
        taken = self._mine(values, holder=row["holder"], heartbeats=row["heartbeats"])
        if not taken:
            raise NotReady(
                f"another run of the backfill {self._name} began at the same moment; wait for it", "locked"
            )

    def release(self) -> None:
        """Release the lease, so that the next run can begin at once."""
        try:
            self._mine({"holder": None}, holder=self._holder)
        except sa.exc.DBAPIError:
            self._on_message(
                "the end of this run could not be recorded; the next one waits a while for a sign of it"
            )

    def _mine(self, values: Mapping[str, Any], **held: Any) -> bool:
        statement = sa.update(_table).where(_table.c.name == self._name).values(**values)
        for word, value in held.items():
            statement = statement.where(
                _table.c[word].is_(None) if value is None else _table.c[word] == value
            )
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def _row(self) -> Mapping[str, Any]:
        for _ in range(_TRIES):
            try:
                with self._engine.begin() as connection:
                    found = connection.execute(sa.select(_table).where(_table.c.name == self._name))
                    if row := found.mappings().first():
                        return dict(row)
                    now = sa.func.current_timestamp()
                    new = {
                        "name": self._name,
                        "state": "new",
                        "seen": 0,
                        "changed": 0,
                        "heartbeats": 0,
                        "changed_at": now,
                    }
                    connection.execute(sa.insert(_table).values(new))
            except (sa.exc.IntegrityError, sa.exc.OperationalError):  # another run inserted it meanwhile
                time.sleep(_FIRST_PAUSE)
        raise JobFailed(f"the row of {self._name} in ringfence_backfill can neither be read nor made")

    # Running the batches.

    def run(self, show: Callable[[Progress], None]) -> Progress:
        """Run batch after batch until no rows are left.

        Raises:
            JobFailed: a statement failed, or kept failing when it was retried.
            LockLost: another run took over.
        """
        row = self._row()
        with self._engine.connect() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(self._source)).scalar_one()
        self._progress = Progress(
            total, row["seen"], row["changed"], row["last_key"] is not None, _first=row["seen"]
        )
        show(self._progress)
        failures = 0
        while True:
            self._wait()
            began = time.monotonic()
            try:
                done = self._batch()
                failures = 0
            except (sa.exc.OperationalError, sa.exc.InternalError, *self._conflicts) as error:
                # A conflict, or a broken connection: the backfill's row has the last key, and the next attempt
                # continues there.
                failures += 1
                if failures >= _TRIES or too_large(error.orig):
                    raise self._failed(error) from error
                time.sleep(backoff(failures, 2 * _FIRST_PAUSE, _LONGEST_PAUSE))
                continue
            except sa.exc.DBAPIError as error:
                raise self._failed(error) from error
            if done is None:
                show(self._progress)
                return self._progress
            show(self._progress)
            if self._pace.rate:
                self._sleep(done / self._pace.rate - (time.monotonic() - began))

    def _failed(self, error: sa.exc.DBAPIError) -> JobFailed:
        statement = " ".join((error.statement or "COMMIT").split())
        way = ""
        if too_large(error.orig):
            fewer = f"--batch {self._size // 2}, or fewer; {LIMITS}" if self._size > 1 else LIMITS
            way = f"\n  {counted(self._size, 'row')} are too many for one transaction of this server: {fewer}"
        return JobFailed(
            f"the backfill {self._name} stopped after {self._progress.seen} rows, which are kept: {first_line(error)}\n"
            f"  in: {statement}{way}"
        )

    def _batch(self) -> int | None:
        """Run one transaction; return how many rows it read, None if there were none left."""
        keys = self._keys
        with self._engine.begin() as connection:
            # The backfill's own row comes first: this locks it, and shows whether another run took over.
            mine = sa.and_(_table.c.name == self._name, _table.c.holder == self._holder)
            heartbeat = sa.update(_table).where(mine).values(heartbeats=_table.c.heartbeats + 1)
            if connection.execute(heartbeat).rowcount != 1:
                raise self._lost()
            row = connection.execute(sa.select(_table).where(mine)).mappings().one()
            after = keys.decode(json.loads(row["last_key"])) if row["last_key"] else None
            found = connection.execute(
                sa.select(*keys.columns).where(keys.after(after)).order_by(*keys.columns).limit(self._size)
            ).all()
            now = sa.func.current_timestamp()
            if not found:
                connection.execute(sa.update(_table).where(mine).values(state="done", changed_at=now))
                return None
            here = sa.and_(keys.after(after), keys.until(tuple(found[-1])), self._backfill.condition())
            changed = self._each(connection, here) if self._backfill.each else self._set(connection, here)
            seen = row["seen"] + len(found)
            values = {"last_key": json.dumps(keys.encode(tuple(found[-1]))), "seen": seen, "changed_at": now}
            values["changed"] = row["changed"] + changed
            connection.execute(sa.update(_table).where(mine).values(values))
        self._progress.seen, self._progress.changed = seen, row["changed"] + changed
        self._last_heartbeat = time.monotonic()
        return len(found)

    def _lost(self) -> LockLost:
        return LockLost(f"another run of the backfill {self._name} took over; what this one did is kept")

    def _set(self, connection: sa.Connection, here: sa.ColumnElement[bool]) -> int:
        if self._backfill.into is not None:
            return sum(connection.execute(one).rowcount for one in self._move.statements(here))
        return connection.execute(
            sa.update(self._source).where(here).values(dict(self._backfill.set))
        ).rowcount

    def _each(self, connection: sa.Connection, here: sa.ColumnElement[bool]) -> int:
        names = [*self._keys.names, *(name for name in self._backfill.reads if name not in self._keys.names)]
        into = self._backfill.into is not None
        names += [name for name in self._backfill.key.values() if name not in names]
        if into and self._backfill.where is None:
            here = sa.and_(here, self._move.missing())
        columns: Sequence[Any] = [self._source.c.get(name, sa.column(name)) for name in names]
        each = self._backfill.each or (lambda row: None)
        changed = 0
        for row in (
            connection.execute(sa.select(*columns).select_from(self._source).where(here)).mappings().all()
        ):
            if values := each(dict(row)):
                if into:
                    self._move.put(connection, dict(row), values)
                else:
                    key = self._keys.equal(tuple(row[name] for name in self._keys.names))
                    connection.execute(sa.update(self._source).where(key).values(dict(values)))
                changed += 1
        return changed

    def _wait(self) -> None:
        """Wait while the server is under load."""
        began, told = time.monotonic(), False
        while reason := self._pressed():
            if not told:
                self._on_message(f"waiting: {reason}")
                told = True
            self._sleep(_SLOW)
        if told:
            self._on_message(f"continuing after {time.monotonic() - began:.1f} s")

    def _pressed(self) -> str | None:
        try:
            with self._engine.connect() as connection:
                pressure = self._gauge.read(connection)
        except (sa.exc.OperationalError, sa.exc.InternalError):
            return None  # the next batch fails the same way, and is retried
        if pressure.lag_unreadable and not self._hidden:
            self._on_message(pressure.lag_unreadable)  # a replica that was added meanwhile
            self._hidden = True
        if pressure.flow_control_active:
            return "flow control has paused the cluster"
        if pressure.paused > _PAUSED:
            return f"flow control paused the cluster for {pressure.paused:.0%} of the time"
        slowest = pressure.slowest
        return str(slowest) if slowest and slowest.seconds > self._pace.lag else None

    def _sleep(self, seconds: float) -> None:
        """Sleep with a heartbeat each second, so that no other run takes over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(_HEARTBEAT_SECONDS, left))
            if time.monotonic() - self._last_heartbeat >= _HEARTBEAT_SECONDS:
                self._heartbeat()

    def _heartbeat(self) -> None:
        try:
            mine = self._mine({"heartbeats": _table.c.heartbeats + 1}, holder=self._holder)
        except (sa.exc.OperationalError, sa.exc.InternalError):
            return  # see _pressed
        if not mine:
            raise self._lost()
        self._last_heartbeat = time.monotonic()


def hosts(texts: Iterable[str], port: int) -> tuple[Host, ...]:
    """Parse the addresses of the command line, each in the form of DB_HOST.

    Args:
        texts: `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
        port: the port of hosts without one.

    Raises:
        BadSettings: a text is not an address.
    """
    try:
        return tuple(host for text in texts for host in read_hosts(text, port))
    except BadAddress as error:
        raise BadSettings(f"--replica: {error}") from None
