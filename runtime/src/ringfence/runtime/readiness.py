"""Check whether the database is what a mirror needs, stage by stage: connection, migrations, grants, limits."""

import contextvars
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ringfence.runtime.backoff import backoff
from ringfence.runtime.dal import RingfenceDAL, define_all
from ringfence.runtime.engines import Backend, StatementContext
from ringfence.runtime.errors import (
    AccessDenied,
    NotReady,
    PoolExhausted,
    ProgrammingError,
    RingfenceError,
    Timeout,
    Unavailable,
)
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.pool import Pool
from ringfence.runtime.session import Session
from ringfence.runtime.settings import Settings
from ringfence.runtime.unit import Unit

log = logging.getLogger("ringfence.readiness")

# The states that waiting may resolve; all others need a person.
TRANSIENT_STATES = frozenset({"unreachable", "busy", "starting", "behind", "joining"})
WAIT_SECONDS = 5.0  # for a connection of a busy pool
_STATEMENT_SECONDS = 10.0


class Openable(Protocol):
    """What the checks use of a `Database`, or of another object that opens sessions for a mirror."""

    settings: Settings
    mirror: Mirror
    backend: Backend
    pool: Pool

    def session(
        self,
        read_only: bool = False,
        timeout: float | None = None,
        *,
        opened_by: str | None = None,
        wait: float | None = None,
    ) -> Unit[Any]:
        """Open a session, as `Database.session` does."""
        ...

    def current(self) -> Session:
        """Return the open session of the calling thread or task."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """The result of one stage: `state` is `ok`, or the reason of the failure in one word."""

    name: str
    state: str
    detail: str = ""


@dataclass(slots=True)
class Report:
    """The results of the stages in order, up to the first that failed, and warnings."""

    service: str
    stages: list[Stage] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether every stage passed."""
        return bool(self.stages) and self.stages[-1].state == "ok"

    @property
    def state(self) -> str:
        """`ready`, or the state of the failed stage."""
        return "ready" if self.ready else self.stages[-1].state if self.stages else "unreachable"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary for a JSON document."""
        return {"service": self.service, "ready": self.ready, "state": self.state} | {
            "stages": [asdict(stage) for stage in self.stages],
            "warnings": self.warnings,
        }

    def __str__(self) -> str:
        lines = [
            f"{stage.name}: {stage.state}{f' ({stage.detail})' if stage.detail else ''}"
            for stage in self.stages
        ]
        return "\n".join([f"{self.service}: {self.state}", *lines, *self.warnings])


def check(db: Openable) -> Report:
    """Run the stages once, in a new session, and report failures instead of raising them.

    Args:
        db: the database and the mirror to check it for.
    """
    report = Report(db.mirror.service)
    # In an empty context, so that the caller's session is not used.
    contextvars.Context().run(_check, db, report)
    return report


def _check(db: Openable, report: Report) -> None:
    options: dict[str, Any] = {"timeout": _STATEMENT_SECONDS, "wait": WAIT_SECONDS}
    try:
        with db.session(True, **options, opened_by="a look at the readiness") as dal:
            _connect(db)
            _see_engine(db)
            report.stages.append(Stage("connected", "ok", db.backend.flavour()))
            for name, stage in _STAGES:
                try:
                    stage(db, dal, report)
                except db.backend.driver_error as error:
                    raise db.backend.translate(error, StatementContext()) from error
                report.stages.append(Stage(name, "ok"))
    except NotReady as error:
        another = _another(db) if error.state in ("login", "missing-grant") else ""
        report.stages.append(Stage(_next(report), error.state, f"{error}{another}"))
    except PoolExhausted as error:
        report.stages.append(Stage(_next(report), "busy", str(error)))
    except (Unavailable, Timeout) as error:
        report.stages.append(Stage(_next(report), "unreachable", str(error)))
    except RingfenceError as error:
        report.stages.append(Stage(_next(report), "misconfigured", str(error)))


def _next(report: Report) -> str:
    names = ["connected", *(name for name, _ in _STAGES)]
    return names[min(len(report.stages), len(names) - 1)]


def _connect(db: Openable) -> None:
    _ = db.current().connection


def _defined(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    define_all(dal)  # tables are otherwise defined at first use, where an error would come too late


def _see_engine(db: Openable) -> None:
    engine = db.backend.flavour()
    if engine not in db.mirror.engines:
        raise NotReady(
            f"{db.settings} is {engine}, and the mirror is for {', '.join(db.mirror.engines)}: add {engine} to"
            " ringfence.toml, so that models and manifest are checked for it, and make the mirror again",
            "misconfigured",
        )


def _login(db: Openable) -> str | None:
    """Return the name of the login, as far as the settings give it."""
    try:
        return db.settings.login().user
    except Exception as error:  # noqa: BLE001 - the service's own callable may raise anything; only a message needs it
        log.debug("asking for the login: %s", type(error).__name__)
        return db.settings.user


def _another(db: Openable) -> str:
    """Return a hint for messages if the mirror is for another login, else an empty text."""
    login = _login(db)
    if login is None or login == db.mirror.login:
        return ""
    return (
        f"; the mirror of {db.mirror.service} is for the login {db.mirror.login}, and this is {login}: is it another"
        " service's?"
    )


def _synced(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    db.backend.check_ready(db.current().connection)


def _read_own(
    db: Openable, dal: RingfenceDAL, table: str, columns: tuple[str, ...], what: str, where: str = ""
) -> list[tuple[Any, ...]]:
    """Read one of Ringfence's own tables.

    Args:
        db: the database.
        dal: the DAL of the open session.
        table: its name, without quotes.
        columns: their names, without quotes.
        what: what the table contains, in the plural, for messages.
        where: the condition as SQL, with a leading ` WHERE`.

    Raises:
        NotReady: the account cannot read or see the table (state `behind`).
    """
    quote = db.backend.quote_name
    listed = ", ".join(map(quote, columns))
    try:
        with db.session(read_only=True):
            rows: list[tuple[Any, ...]] = dal.executesql(f"SELECT {listed} FROM {quote(table)}{where}")
            return rows
    except AccessDenied as error:
        raise NotReady(
            f"{_login(db)} may not read the {what} of this database: the migration job has not granted it yet, or"
            f" the account's grants were taken{_another(db)}",
            "behind",
        ) from error
    except ProgrammingError as error:
        why = db.backend.why_not_found(db.current().connection, table)
        if why is not None:
            raise NotReady(f"{_login(db)} {why}{_another(db)}", "behind") from error
        raise NotReady(f"the database has no {what} yet: the migration job has not run", "behind") from error


def _migrated(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    quote = db.backend.quote_name
    wanted = db.mirror.revision
    if wanted is None:
        return
    releases = _read_own(db, dal, "ringfence_release", ("seq", "revision"), "releases")
    applied = [seq for seq, revision in releases if revision == wanted]
    if not applied:
        raise NotReady(f"the mirror is of revision {wanted}, which is not applied yet", "behind")
    where = f" WHERE {quote('seq')} > {int(max(applied))}"
    retired = _read_own(db, dal, "ringfence_retired", ("schema", "table", "column"), "retired columns", where)
    for schema, table, column in retired:
        for mine in db.mirror.tables.values():
            if (mine.schema or "", mine.name) == (schema or "", table) and (
                column is None or column in mine.columns
            ):
                what = table if column is None else f"{table}.{column}"
                raise NotReady(
                    f"{what}, which this mirror uses, was retired after revision {wanted}", "retired"
                )


def _granted(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    for table in db.mirror.tables.values():
        for verb in table.verbs:
            for sql in _probes(db, table, verb):
                try:
                    with db.session(read_only=True):
                        dal.executesql(sql)
                except AccessDenied as error:
                    way = "" if _another(db) else ": the migration job grants it"
                    raise NotReady(
                        f"{_login(db)} may not {verb} {table.key} as the mirror says{way}", "missing-grant"
                    ) from error
                except ProgrammingError as error:
                    if verb == "select" and not _raises_by_itself(db, table, error):
                        raise NotReady(
                            f"{table.key} is not as the mirror says: {error}", "missing-grant"
                        ) from error
                    if verb == "select":
                        report.warnings.append(
                            f"{table.key} may be read, and raises an error of its own: {error}"
                        )
                except (Unavailable, Timeout):
                    raise
                except RingfenceError as error:
                    # The server checks privileges first: another error means that the privilege is granted.
                    log.debug("probing %s on %s: %s", verb, table.key, error)


def _raises_by_itself(db: Openable, table: Table, error: RingfenceError) -> bool:
    """Whether the account may read a view, and the error comes from its own code, as when a scope is not bound."""
    cause = error.__cause__
    columns = [db.backend.quote_name(name) for name, column in table.columns.items() if column.selectable]
    if not isinstance(cause, Exception):
        return False
    try:
        with db.session(read_only=True):
            relation = db.backend.relation(table, "select")
            return bool(db.backend.readable(db.current().connection, cause, relation, columns))
    except Exception as failed:  # noqa: BLE001 - any driver's error means that it is not as the mirror says
        log.debug("asking whether %s may be read: %s", table.key, failed)
        return False


def _probes(db: Openable, table: Table, verb: str) -> list[str]:
    quote = db.backend.quote_name
    flag = {"select": "selectable", "insert": "insertable", "update": "updatable"}.get(verb)
    columns = [quote(name) for name, column in table.columns.items() if flag and getattr(column, flag)]
    return db.backend.probes(verb, db.backend.relation(table, verb), columns)


def _schema_protected(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    why = db.backend.can_alter(db.current().connection)
    if why is not None:
        raise NotReady(
            f"{_login(db)} {why}: a service account must not be able to alter the schema", "can-alter"
        )


def _budget(db: Openable, dal: RingfenceDAL, report: Report) -> None:
    limits = db.backend.connection_limits(db.current().connection)
    wanted = db.settings.workers * db.pool.options.size
    for what, limit in (("the account", limits.account), ("the server", limits.server)):
        if limit is not None and wanted > limit:
            report.warnings.append(
                f"DB_WORKERS x DB_POOL_SIZE = {db.settings.workers} x {db.pool.options.size} = {wanted} connections,"
                f" and {what} admits {limit}"
            )


_STAGES: tuple[tuple[str, Callable[[Openable, RingfenceDAL, Report], None]], ...] = (
    ("defined", _defined),
    ("synced", _synced),
    ("migrated", _migrated),
    ("granted", _granted),
    ("protected", _schema_protected),
    ("budgeted", _budget),
)


def wait_until_ready(db: Openable, timeout: float | None = None) -> Report:
    """Check repeatedly until the database is ready, or waiting cannot help.

    An unreachable server is tried `DB_MAX_RETRIES` more times, with pauses up to `DB_RETRY_DELAY`; other states that
    may resolve by waiting, such as a missing revision, are waited for until the timeout.

    Args:
        db: the database and the mirror to check it for.
        timeout: the longest wait, in seconds; `DB_READY_TIMEOUT` when None.

    Returns:
        The report of the last check.

    Raises:
        NotReady: the database is not ready; with the state and the reason.
    """
    report = wait(db, timeout)
    if not report.ready:
        last = report.stages[-1]
        raise NotReady(f"{db.mirror.service} is not ready: {last.name}: {last.detail}", last.state)
    return report


def wait(db: Openable, timeout: float | None = None) -> Report:
    """Wait as `wait_until_ready` does, but return the last report instead of raising NotReady.

    Args:
        db: as for `wait_until_ready`.
        timeout: as for `wait_until_ready`.
    """
    settings = db.settings
    deadline = time.monotonic() + (settings.ready_timeout if timeout is None else timeout)
    attempt, unreachable = 0, 0
    while True:
        attempt += 1
        report = check(db)
        if report.ready:
            for warning in report.warnings:
                log.warning("%s", warning)
            if attempt > 1:
                log.info("%s is ready (attempt %d)", db.mirror.service, attempt)
            return report
        last = report.stages[-1]
        unreachable = unreachable + 1 if last.state == "unreachable" else 0
        left = deadline - time.monotonic()
        over = last.state not in TRANSIENT_STATES or unreachable > settings.max_retries or left <= 0
        pause = backoff(attempt, 0.2, settings.retry_delay)
        pause = max(0.0, min(pause, left))  # the last check is at the deadline
        log.warning(
            "%s is not ready (attempt %d): %s: %s%s",
            db.mirror.service,
            attempt,
            last.state,
            last.detail,
            "" if over else f"; again in {pause:.1f} s",
        )
        if over:
            return report
        time.sleep(pause)
