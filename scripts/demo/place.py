"""Where it takes place: on a private server, in a new file, or in the database of DATABASE_URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa

from demo.processes import ROOT, run
from demo.story import Story
from ringfence.runtime.errors import BadSettings, RingfenceError
from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Identity, reach
from ringfence.schema.privileges.apply import apply
from servers import registry
from servers.process import Unavailable

_PATIENCE = 30
"""Seconds to wait for a job that may hold the deployment's lock."""

DOWNGRADE = ("alembic", "-c", "services/alembic.ini", "downgrade", "base")


class NoPlace(Exception):
    """There is no such server to be had, or the given database is not fit for a demonstration."""


@dataclass(frozen=True)
class Place:
    """A database, its administrator's settings, and which server it is."""

    settings: Settings
    identity: Identity
    secrets: Path
    created: list[str] = field(default_factory=list)
    """The logins that did not exist before."""

    @property
    def name(self) -> str:
        """What it is, for a person."""
        return f"{self.identity.engine} {self.identity.version}"

    @property
    def has_accounts(self) -> bool:
        """Whether one logs in here."""
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
def take_place(engine: str | None, env: Mapping[str, str], secrets: Path, story: Story) -> Iterator[Place]:
    """A place for the demonstration, cleaned up at the end.

    Args:
        engine: the engine that was asked for; None for the one of DATABASE_URL, or SQLite.
        env: where DATABASE_URL may stand.
        secrets: a folder for the admin's secret.
        story: told what is left behind.

    Raises:
        NoPlace: when this machine has no such server, or the given database will not do.
    """
    if env.get("DATABASE_URL"):
        with _given(engine, env, secrets, story) as place:
            yield place
        return
    try:
        server = registry.start(engine or "sqlite")
    except Unavailable as error:
        raise NoPlace(
            f"{engine} cannot be started here: {error}\nDATABASE_URL, the admin's address of an empty database, "
            "shows it on a server of yours"
        ) from error
    try:
        database = server.database()
        try:
            yield _reach(Settings.from_env(database.env()), engine, secrets)
        finally:
            database.drop()
    finally:
        server.close()


@contextmanager
def _given(engine: str | None, env: Mapping[str, str], secrets: Path, story: Story) -> Iterator[Place]:
    try:
        settings = Settings.from_env(
            {name: env[name] for name in env if name.startswith(("DB_SSL", "DATABASE_URL"))}
        )
    except BadSettings as error:
        raise NoPlace(str(error)) from error
    place = _reach(settings, engine, secrets)
    if tables := _tables(place.settings):
        raise NoPlace(
            f"{settings} is not empty ({', '.join(sorted(tables)[:4])} …): the demonstration wants one "
            "of its own: it drops its tables at the end"
        )
    try:
        yield place
    finally:
        _empty(place, story)


def _empty(place: Place, story: Story) -> None:
    """Drop the tables again, if the demonstration came as far as to make them."""
    if _tables(place.settings):
        run(DOWNGRADE, place.admin)
        story.say(f"The tables in {place.settings} are dropped again, and {_drop_accounts(place)} accounts.")


def _drop_accounts(place: Place) -> int:
    """Take every grant from the accounts that were made here, and drop them. Returns how many there were."""
    if not place.created:
        return 0
    backend = reach(place.settings)
    nobody = replace(Deployment.load(ROOT / "services"), accounts={})
    with backend.locks.hold(patience=_PATIENCE, say=lambda _text: None):
        apply(backend, nobody, {})
    with backend.engine().begin() as connection:
        quote = connection.dialect.identifier_preparer.quote_identifier
        for login in place.created:
            connection.exec_driver_sql(f"DROP USER {quote(login)}")
    return len(place.created)


def _reach(settings: Settings, engine: str | None, secrets: Path) -> Place:
    try:
        identity = reach(replace(settings, max_retries=3, retry_delay=1.0)).identity
    except RingfenceError as error:
        raise NoPlace(str(error)) from error
    if engine not in (None, identity.engine):
        raise NoPlace(f"{settings} is {identity.engine} {identity.version}, and {engine} was asked for")
    return Place(settings, identity, secrets)


def _tables(settings: Settings) -> list[str]:
    """The tables in the database that are not the project's own."""
    with reach(settings).engine().connect() as connection:
        names = sa.inspect(connection).get_table_names()
    return [name for name in names if name != "alembic_version" and not name.startswith("ringfence_")]
