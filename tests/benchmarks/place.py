"""Where a benchmark runs: a fresh database with the deployment's tables, filled, and every way to log in to it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import data
from ringfence.runtime import Mirror, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database, Server

HERE = Path(__file__).parent
_DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
_ASYNC_DRIVERS = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql", "sqlite": "sqlite+aiosqlite"}


@dataclass(frozen=True)
class Place:
    """One filled database, and how big it is."""

    database: Database
    mirror: Mirror
    tables: dict[str, sa.Table]
    sizes: data.Sizes

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.database.server.engine

    @property
    def db_type(self) -> str:
        """postgresql, mysql or sqlite: what the drivers differ by."""
        return self.database.server.db_type

    @property
    def env(self) -> dict[str, str]:
        """The environment of a service that logs in here."""
        return self.database.env()

    @property
    def login(self) -> dict[str, Any]:
        """host, port, user, password and database; on SQLite the file alone, as `database`."""
        env = self.env
        if self.db_type == "sqlite":
            return {"database": env["DB_NAME"]}
        return {
            "host": env["DB_HOST"],
            "port": int(env["DB_PORT"]),
            "user": env["DB_USER"],
            "password": env["DB_PASS"],
            "database": env["DB_NAME"],
        }

    def url(self, asynchronous: bool = False) -> sa.URL:
        """SQLAlchemy's URL, with the driver named."""
        login = self.login
        login["username"] = login.pop("user", None)
        drivers = _ASYNC_DRIVERS if asynchronous else _DRIVERS
        query = {"charset": "utf8mb4"} if self.db_type == "mysql" else {}
        return sa.URL.create(drivers[self.db_type], query=query, **login)


@contextlib.contextmanager
def prepared(server: Server, sizes: data.Sizes) -> Iterator[Place]:
    """A fresh database on a server, with tables and rows; dropped at the end."""
    deployment = Deployment.load(HERE / "deployment")
    mirror = make_mirror(deployment, deployment.accounts["benchmark"], None)
    with server.database() as database:
        place = Place(database, mirror, dict(deployment.tables), sizes)
        fill(place)
        yield place


def open_place(env: dict[str, str], mirror: Path) -> tuple[Settings, Mirror]:
    """What a process that did not fill the database needs of it."""
    return Settings.from_env(env), Mirror.load(mirror)


def fill(place: Place) -> None:
    """Make the tables and their rows."""
    engine = reach(Settings.from_env(place.env)).engine()
    tables, sizes = place.tables, place.sizes
    try:
        with engine.begin() as connection:
            tables["item"].metadata.create_all(connection)
        with engine.begin() as connection:
            for name, rows in (
                ("item", data.items(max(sizes.listed, 1000))),
                ("wide", data.wides(sizes.wide)),
                *data.shop(sizes.joined),
                ("counter", data.counters()),
            ):
                connection.execute(tables[name].insert(), rows)
            _fill_events(connection, tables, sizes.streamed)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in tables:
                connection.execute(sa.text(_ANALYZE[place.db_type].format(name)))
    finally:
        engine.dispose()


_ANALYZE = {"postgresql": "VACUUM ANALYZE {}", "mysql": "ANALYZE TABLE {}", "sqlite": "ANALYZE {}"}


def _fill_events(connection: sa.Connection, tables: dict[str, sa.Table], count: int) -> None:
    """As many rows as wanted: the items, each over and over."""
    item, again = tables["item"], tables["item"].alias("again")
    columns = [item.c[name] for name in data.NEW]
    every = sa.select(*columns).select_from(item.join(again, sa.true()))
    if count > 1_000_000:
        every = sa.select(*columns).select_from(
            item.join(again, sa.true()).join(tables["item"].alias("third"), sa.true())
        )
    connection.execute(tables["event"].insert().from_select(data.NEW, every.limit(count)))
