"""The database of the demonstration: on a private server, in a new file, or the one of DATABASE_URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa

from demo.processes import ROOT, run
from demo.transcript import Transcript
from ringfence.runtime.errors import BadSettings, RingfenceError
from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Identity, reach
from ringfence.schema.privileges.apply import apply
from servers import registry
from servers.process import Unavailable

_LOCK_TIMEOUT = 30
"""Seconds to wait for a job that may hold the deployment's lock."""

DOWNGRADE = ("alembic", "-c", "services/alembic.ini", "downgrade", "base")


class NoDatabase(Exception):
    """No such server is available, or the given database cannot be used."""


@dataclass(frozen=True)
class DemoDatabase:
    """A database, its administrator's settings, and which server it is."""

    settings: Settings
    identity: Identity
    secrets: Path
    created: list[str] = field(default_factory=list)
    """The logins that did not exist before."""

    @property
    def name(self) -> str:
        """The engine and its version."""
        return f"{self.identity.engine} {self.identity.version}"

    @property
    def has_accounts(self) -> bool:
        """Whether the engine has accounts."""
        return bool(self.settings.hosts)

    @property
    def admin(self) -> dict[str, str]:
        """The environment of the admin's commands."""
        secret = self.settings.secret()
        if secret is None:
            return self._environment(self.settings.user, None)
        path = self.secrets / "admin"
        path.touch(mode=0o600)
        path.write_text(secret + "\n")
        return self._environment(self.settings.user, path)

    def service(self, login: str, secret: Path, threads: int) -> dict[str, str]:
        """The environment of one service: its own login, its own secret, as many connections as threads."""
        return self._environment(login, secret) | {"DB_POOL_SIZE": str(threads)}

    def _environment(self, login: str | None, secret: Path | None) -> dict[str, str]:
        settings = self.settings
        environment = {"DB_TYPE": settings.db_type, "DB_NAME": settings.name}
        if settings.hosts:
            environment["DB_HOST"] = ",".join(
                host.host if host.host.startswith("/") else str(host) for host in settings.hosts
            )
            environment["DB_PORT"] = str(settings.hosts[0].port)
            environment["DB_USER"] = login or ""
            if secret:
                environment["DB_PASS_FILE"] = str(secret)
            environment["DB_SSLMODE"] = settings.sslmode or ""
            environment["DB_SSLROOTCERT"] = settings.sslrootcert or ""
        return {name: value for name, value in environment.items() if value}


@contextmanager
def open_database(
    engine: str | None, env: Mapping[str, str], secrets: Path, transcript: Transcript
) -> Iterator[DemoDatabase]:
    """Open a database for the demonstration; it is removed or emptied at the end.

    Args:
        engine: the engine that was asked for; None for the one of DATABASE_URL, or SQLite.
        env: environment variables; DATABASE_URL names an existing database.
        secrets: a folder for the admin's secret.
        transcript: prints what was removed at the end.

    Raises:
        NoDatabase: this machine has no such server, or the given database cannot be used.
    """
    if env.get("DATABASE_URL"):
        with _given(engine, env, secrets, transcript) as database:
            yield database
        return
    try:
        server = registry.start(engine or "sqlite")
    except Unavailable as error:
        raise NoDatabase(
            f"{engine} cannot be started here: {error}\nDATABASE_URL, the admin's address of an empty database, "
            "runs the demonstration on a server of your own"
        ) from error
    try:
        created = server.database()
        try:
            yield _reach(Settings.from_env(created.env()), engine, secrets)
        finally:
            created.drop()
    finally:
        server.close()


@contextmanager
def _given(
    engine: str | None, env: Mapping[str, str], secrets: Path, transcript: Transcript
) -> Iterator[DemoDatabase]:
    try:
        settings = Settings.from_env(
            {name: env[name] for name in env if name.startswith(("DB_SSL", "DATABASE_URL"))}
        )
    except BadSettings as error:
        raise NoDatabase(str(error)) from error
    database = _reach(settings, engine, secrets)
    if tables := _tables(database.settings):
        raise NoDatabase(
            f"{settings} is not empty ({', '.join(sorted(tables)[:4])} …): the demonstration needs "
            "a separate database, because it drops its tables at the end"
        )
    try:
        yield database
    finally:
        _empty(database, transcript)


def _empty(database: DemoDatabase, transcript: Transcript) -> None:
    """Drop the tables, if the demonstration created them."""
    if _tables(database.settings):
        run(DOWNGRADE, database.admin)
        transcript.print(
            f"The tables in {database.settings} are dropped again, and {_drop_accounts(database)} accounts."
        )


def _drop_accounts(database: DemoDatabase) -> int:
    """Revoke every grant of the accounts that were created here, drop them, and return their number."""
    if not database.created:
        return 0
    backend = reach(database.settings)
    no_accounts = replace(Deployment.load(ROOT / "services"), accounts={})
    with backend.locks.hold(patience=_LOCK_TIMEOUT, on_message=lambda _text: None):
        apply(backend, no_accounts, {})
    with backend.engine().begin() as connection:
        quote = connection.dialect.identifier_preparer.quote_identifier
        for login in database.created:
            connection.exec_driver_sql(f"DROP USER {quote(login)}")
    return len(database.created)


def _reach(settings: Settings, engine: str | None, secrets: Path) -> DemoDatabase:
    try:
        identity = reach(replace(settings, max_retries=3, retry_delay=1.0)).identity
    except RingfenceError as error:
        raise NoDatabase(str(error)) from error
    if engine not in (None, identity.engine):
        raise NoDatabase(f"{settings} is {identity.engine} {identity.version}, but {engine} was requested")
    return DemoDatabase(settings, identity, secrets)


def _tables(settings: Settings) -> list[str]:
    """The tables in the database that are not the project's own."""
    with reach(settings).engine().connect() as connection:
        names = sa.inspect(connection).get_table_names()
    return [name for name in names if name != "alembic_version" and not name.startswith("ringfence_")]
