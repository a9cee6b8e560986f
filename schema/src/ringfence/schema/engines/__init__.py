"""One file per engine; the registry is the only place on the admin side that turns `DB_TYPE` into code."""

import importlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.runtime.errors import AccessDenied, BadSettings, Unavailable
from ringfence.runtime.settings import Settings
from ringfence.schema.engines.base import (
    Accounts,
    Backend,
    Change,
    Exposure,
    Findings,
    Held,
    Identity,
    Login,
    Opened,
    Say,
    Statement,
)
from ringfence.schema.engines.messages import first_line
from ringfence.schema.engines.mysql import views
from ringfence.schema.engines.postgresql import leakproof_indexes
from ringfence.schema.errors import JobFailed
from ringfence.schema.manifest.model import Account
from ringfence.schema.text import counted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.online_ddl import OnlineDDL

__all__ = [
    "Accounts",
    "Backend",
    "Change",
    "Exposure",
    "Findings",
    "Held",
    "Identity",
    "Login",
    "Opened",
    "Statement",
    "absent",
    "check_engine",
    "first_line",
    "is_a_file",
    "lost_indexes",
    "needs_batch",
    "offline",
    "online_ddl",
    "reach",
    "refuse_absent",
    "relations",
    "scratch",
]

# DB_TYPE -> the module of its backends and the extra that brings the driver.
_MODULES = {
    "postgresql": ("ringfence.schema.engines.postgresql.server", "ringfence-schema[postgresql]"),
    "mysql": ("ringfence.schema.engines.mysql_detection", "ringfence-schema[mysql]"),
    "sqlite": ("ringfence.schema.engines.sqlite.server", None),
}
# Engines on which verbs may go through another relation than the table: who says which.
_RELATIONS = dict.fromkeys(("mysql", "mariadb", "galera"), views.relations)
# Engines on which a scope may take an index from a condition.
_LOST = {"postgresql": leakproof_indexes.lost}
_FIRST_PAUSE = 0.2
# Engines that need no server.
_FILES = frozenset({"sqlite"})
# Engines that can alter a table only by building it anew: migrations for them are written in Alembic's batch mode.
_REBUILDS = frozenset({"sqlite"})


def is_a_file(settings: Settings) -> bool:
    """Whether the database is a file of this machine, and no server."""
    return not settings.hosts


def absent(settings: Settings) -> bool:
    """Whether the database is a file of this machine, and there is no such file.

    Args:
        settings: they name the database.

    Returns:
        False for a server, whether it has the database or not.
    """
    return is_a_file(settings) and not Path(settings.name).is_file()


def refuse_absent(settings: Settings) -> None:
    """Refuse a database file that does not exist, for a command that only reads makes none.

    Args:
        settings: they name the database.

    Raises:
        Unavailable: the database is a file, and there is no such file.
    """
    if absent(settings):
        path = Path(settings.name).absolute()
        raise Unavailable(
            f"there is no database file {path}: `ringfence bootstrap` makes it; one that is elsewhere is named by"
            " DB_NAME, or DATABASE_URL"
        )


def scratch(engines: Iterable[str], folder: Path) -> Settings | None:
    """A database of its own in a folder, of one of these engines; None when all of them need a server."""
    if _FILES.isdisjoint(engines):
        return None
    return Settings(db_type="sqlite", name=str(folder / "scratch.sqlite"))


def needs_batch(engines: Iterable[str]) -> bool:
    """Whether migrations that are to run on all these engines must be written in batch mode."""
    return not _REBUILDS.isdisjoint(engines)


def relations(
    engines: Iterable[str], account: Account, tables: Mapping[str, sa.Table]
) -> dict[tuple[str, str], dict[str, str]]:
    """Where an account's verbs go through another relation than the table: (table's key, verb) -> engine -> relation.

    Args:
        engines: those of the deployment.
        account: with its grants.
        tables: those of the models, by key.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for engine in engines:
        if engine in _RELATIONS:
            for place, name in _RELATIONS[engine](account, tables).items():
                found.setdefault(place, {})[engine] = name
    return found


def lost_indexes(
    engines: Iterable[str], table: sa.Table, scoped: Sequence[str]
) -> Iterator[leakproof_indexes.Lost]:
    """Indexes that conditions of a scoped account do not search, on one of the engines.

    Args:
        engines: those of the deployment.
        table: of the models.
        scoped: the columns of the account's rows.
    """
    for engine in engines:
        if engine in _LOST:
            yield from _LOST[engine](table, scoped)


def _module(settings: Settings) -> Any:
    name, extra = _MODULES[settings.db_type]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BadSettings(
            f"DB_TYPE={settings.db_type} needs a driver that is not installed: pip install '{extra}'"
        ) from error


def offline(settings: Settings, engines: Iterable[str]) -> Backend:
    """The backend for SQL that is only printed: no server is asked, so `engines` of the deployment decides.

    Args:
        settings: where the database would be.
        engines: those of the deployment; the first of this `DB_TYPE` is meant.
    """
    kinds: dict[str, type[Backend]] = _module(settings).KINDS
    engine = next((engine for engine in engines if engine in kinds), next(iter(kinds)))
    backend: Any = kinds[engine]
    made: Backend = backend(settings, Identity(engine, "not asked"))
    return made


def reach(settings: Settings, say: Say = lambda text: None, *, existing: bool = False) -> Backend:
    """Wait for the server, log in, and ask which engine it is.

    Args:
        settings: `max_retries` is how often to try again, `retry_delay` the longest pause, in seconds.
        say: told about each attempt that failed.
        existing: whether a database file that is not there is an error; else SQLite makes it.

    Raises:
        AccessDenied: the server refuses the login or has no such database, which waiting does not mend.
        Unavailable: the server could not be reached, or there is no such file.
        BadSettings: the driver is not installed.
    """
    if existing:
        refuse_absent(settings)
    module = _module(settings)
    probe: Any = next(iter(module.KINDS.values()))(settings, Identity("", ""))
    engine: sa.Engine = probe.engine()
    pause = min(_FIRST_PAUSE, settings.retry_delay)
    for left in range(settings.max_retries, -1, -1):
        try:
            with engine.connect() as connection:
                identity: Identity = module.identify(connection)
            made: Backend = module.KINDS[identity.engine](settings, identity)
            return made
        except sa.exc.DBAPIError as error:
            if reason := probe.refused(error):
                raise AccessDenied(f"{settings}: {reason}", account=settings.user) from error
            if not left:
                raise Unavailable(
                    f"{settings} could not be reached in {settings.max_retries + 1} attempts: {first_line(error)}"
                ) from error
            say(f"{settings} does not answer yet ({first_line(error)}); {counted(left, 'more attempt')}")
        time.sleep(pause)
        pause = min(pause * 2, settings.retry_delay)
    raise AssertionError("unreachable")


def check_engine(deployment: "Deployment", backend: Backend, meant: Settings | None = None) -> None:
    """See that the models and the manifest were checked for the server's engine.

    Args:
        deployment: with its engines.
        backend: the server.
        meant: what a message names, where another database stands for that one; the server's own settings when None.

    Raises:
        JobFailed: they were not.
    """
    engine = backend.identity.engine
    if engine not in deployment.engines:
        raise JobFailed(
            f"{meant or backend.settings} is {engine} ({backend.identity.version}), and ringfence.toml names"
            f" {', '.join(deployment.engines)}: add {engine!r} to its engines, so that models and manifest are checked"
        )


def online_ddl(dialect: str) -> "OnlineDDL":
    """How tables are changed on a dialect while services use them.

    Args:
        dialect: SQLAlchemy's name of it.
    """
    name, attribute = _ONLINE.get(dialect, ("ringfence.schema.engines.online_ddl", "OnlineDDL"))
    found: type[OnlineDDL] = getattr(importlib.import_module(name), attribute)
    return found()


# SQLAlchemy's dialect -> the module and class of its safe paths, where these are not the plain ones.
_ONLINE = {
    "postgresql": ("ringfence.schema.engines.postgresql.online_ddl", "PostgreSQLOnlineDDL"),
    "mysql": ("ringfence.schema.engines.mysql.online_ddl", "MySQLOnlineDDL"),
    "mariadb": ("ringfence.schema.engines.mysql.online_ddl", "MySQLOnlineDDL"),
}
