"""The engines of the admin side: one folder per engine, and the only module that turns `DB_TYPE` into code.

In each folder `server` is the backend, and the other modules are named by what they do on this engine: `roles` and
`accounts`, `privileges`, `row_security` (policies, views and triggers that restrict rows), `introspection`, `ddl`,
`online_ddl`, `sessions` and so on. `base` has the protocols that the engines implement.
"""

import importlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.runtime.backoff import backoff
from ringfence.runtime.errors import AccessDenied, BadSettings, Unavailable
from ringfence.runtime.settings import Settings
from ringfence.schema import alembic_compat
from ringfence.schema.engines.base import (
    Accounts,
    Backend,
    Change,
    Exposure,
    Findings,
    HeldLock,
    Identity,
    Login,
    OpenConnections,
    Server,
    Statement,
)
from ringfence.schema.engines.messages import first_line
from ringfence.schema.engines.mysql import row_security as mysql_row_security
from ringfence.schema.engines.postgresql import leakproof_indexes
from ringfence.schema.errors import JobFailed
from ringfence.schema.features import FEATURES
from ringfence.schema.manifest.model import Account
from ringfence.schema.text import MessageCallback, counted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.online_ddl import OnlineDDL

__all__ = [
    "Accounts",
    "Backend",
    "Change",
    "Exposure",
    "Findings",
    "HeldLock",
    "Identity",
    "Login",
    "OpenConnections",
    "Statement",
    "absent",
    "check_engine",
    "first_line",
    "is_a_file",
    "lost_indexes",
    "needs_batch",
    "offline",
    "online_ddl_of",
    "reach",
    "refuse_absent",
    "relations",
    "scratch",
]

# DB_TYPE -> the module of its backends.
_MODULES = {
    "postgresql": "ringfence.schema.engines.postgresql.server",
    "mysql": "ringfence.schema.engines.mysql_detection",
    "sqlite": "ringfence.schema.engines.sqlite.server",
}
# Engine -> the function that names the relations used in place of tables.
_RELATIONS = dict.fromkeys(("mysql", "mariadb", "galera"), mysql_row_security.relations)
# Engine -> the function that finds indexes which conditions of a scoped account cannot use.
_LOST = {"postgresql": leakproof_indexes.unusable_indexes}
_FIRST_PAUSE = 0.2


def is_a_file(settings: Settings) -> bool:
    """Return whether the database is a file of this machine, and not on a server."""
    return not settings.hosts


def absent(settings: Settings) -> bool:
    """Return whether the database is a file of this machine that does not exist.

    Args:
        settings: They name the database.

    Returns:
        False for a server, whether it has the database or not.
    """
    return is_a_file(settings) and not Path(settings.name).is_file()


def refuse_absent(settings: Settings) -> None:
    """Refuse a database file that does not exist, for commands that only read and must not create one.

    Args:
        settings: They name the database.

    Raises:
        Unavailable: The database is a file, and the file does not exist.
    """
    if absent(settings):
        path = Path(settings.name).absolute()
        raise Unavailable(
            f"there is no database file {path}: `ringfence bootstrap` makes it; one that is elsewhere is named by"
            " DB_NAME, or DATABASE_URL"
        )


def scratch(engines: Iterable[str], folder: Path) -> Settings | None:
    """Return the settings of a scratch database in a folder, which needs no server.

    Args:
        engines: The engines to choose from.
        folder: Where the file of the database is created.

    Returns:
        None when each of the engines needs a server.
    """
    engine = next((each for each in engines if FEATURES[each].database_is_file), None)
    if engine is None:
        return None
    return Settings(db_type=engine, name=str(folder / "scratch.sqlite"))


def needs_batch(engines: Iterable[str]) -> bool:
    """Return whether migrations that must run on all these engines must be written in Alembic's batch mode."""
    return any(FEATURES[engine].rebuilds_tables for engine in engines)


def relations(
    engines: Iterable[str], account: Account, tables: Mapping[str, sa.Table]
) -> dict[tuple[str, str], dict[str, str]]:
    """Find the verbs for which an account uses another relation, such as a view, in place of the table.

    Args:
        engines: The engines of the deployment.
        account: The account with its grants.
        tables: The tables of the models, by key.

    Returns:
        (key of the table, verb) -> engine -> name of the relation.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for engine in engines:
        if engine in _RELATIONS:
            for place, name in _RELATIONS[engine](account, tables).items():
                found.setdefault(place, {})[engine] = name
    return found


def lost_indexes(
    engines: Iterable[str], table: sa.Table, scoped: Sequence[str]
) -> Iterator[leakproof_indexes.UnusableIndex]:
    """Find indexes that the conditions of an account with a scope cannot use, on one of the engines.

    Args:
        engines: The engines of the deployment.
        table: A table of the models.
        scoped: The columns by which the account's rows are selected.
    """
    for engine in engines:
        if engine in _LOST:
            yield from _LOST[engine](table, scoped)


def _module(settings: Settings) -> Any:
    alembic_compat.install()
    try:
        return importlib.import_module(_MODULES[settings.db_type])
    except ModuleNotFoundError as error:
        raise BadSettings(
            f"DB_TYPE={settings.db_type} needs a driver that is not installed:"
            f" pip install 'ringfence-schema[{FEATURES[settings.db_type].extra}]'"
        ) from error


def offline(settings: Settings, engines: Iterable[str]) -> Backend:
    """Return the backend for SQL that is only printed, without asking a server which engine it is.

    Args:
        settings: They name the database and its `DB_TYPE`.
        engines: The engines of the deployment; the first one of this `DB_TYPE` is used.
    """
    kinds: dict[str, type[Backend]] = _module(settings).KINDS
    engine = next((engine for engine in engines if engine in kinds), next(iter(kinds)))
    backend: Any = kinds[engine]
    made: Backend = backend(settings, Identity(engine, "not asked"))
    return made


def reach(
    settings: Settings, on_message: MessageCallback = lambda text: None, *, existing: bool = False
) -> Backend:
    """Wait for the server, log in, and ask which engine it is.

    Args:
        settings: `max_retries` is the number of further attempts, `retry_delay` the longest pause in seconds.
        on_message: Called for each attempt that failed.
        existing: Whether a database file that does not exist is an error; otherwise SQLite creates it.

    Raises:
        AccessDenied: The server refuses the login or has no such database, so that waiting does not help.
        Unavailable: The server could not be reached, or the file does not exist.
        BadSettings: The driver is not installed.
    """
    if existing:
        refuse_absent(settings)
    module = _module(settings)
    probe: Any = next(iter(module.KINDS.values()))(settings, Identity("", ""))
    engine: sa.Engine = probe.engine()
    for attempt in range(1, settings.max_retries + 2):
        left = settings.max_retries + 1 - attempt
        try:
            with engine.connect() as connection:
                identity: Identity = module.identify(connection)
            made: Backend = module.KINDS[identity.engine](settings, identity)
            return made
        except sa.exc.DBAPIError as error:
            if reason := probe.permanent_failure(error):
                raise AccessDenied(f"{settings}: {reason}", account=settings.user) from error
            if not left:
                raise Unavailable(
                    f"{settings} could not be reached in {settings.max_retries + 1} attempts: {first_line(error)}"
                ) from error
            on_message(
                f"{settings} does not answer yet ({first_line(error)}); {counted(left, 'more attempt')}"
            )
        time.sleep(backoff(attempt, _FIRST_PAUSE, settings.retry_delay))
    raise AssertionError("unreachable")


def check_engine(deployment: "Deployment", backend: Server, meant: Settings | None = None) -> None:
    """Check that the deployment names the server's engine, so that models and manifest were checked for it.

    Args:
        deployment: The deployment with its engines.
        backend: The server.
        meant: What a message names in place of the server's own settings, when another database stands in for it.

    Raises:
        JobFailed: The deployment does not name the engine.
    """
    engine = backend.identity.engine
    if engine not in deployment.engines:
        raise JobFailed(
            f"{meant or backend.settings} is {engine} ({backend.identity.version}), and ringfence.toml names"
            f" {', '.join(deployment.engines)}: add {engine!r} to its engines, so that models and manifest are checked"
        )


def online_ddl_of(dialect: str) -> "OnlineDDL":
    """Return the way in which a dialect changes tables while services use them.

    Args:
        dialect: SQLAlchemy's name of the dialect.
    """
    name, attribute = _ONLINE.get(dialect, ("ringfence.schema.engines.online_ddl", "OnlineDDL"))
    found: type[OnlineDDL] = getattr(importlib.import_module(name), attribute)
    return found()


# SQLAlchemy's dialect -> the module and class of its online DDL, where that differs from the base class.
_ONLINE = {
    "postgresql": ("ringfence.schema.engines.postgresql.online_ddl", "PostgreSQLOnlineDDL"),
    "mysql": ("ringfence.schema.engines.mysql.online_ddl", "MySQLOnlineDDL"),
    "mariadb": ("ringfence.schema.engines.mysql.online_ddl", "MySQLOnlineDDL"),
}
