"""Stock PyDAL and Ringfence behind one face, so that one test body can be held against both."""

import contextlib
import functools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pytest
from pydal import DAL, Field
from pydal._globals import THREAD_LOCAL
from pydal.connection import ConnectionPool
from pydal.helpers.classes import SQLCustomType

from ringfence.runtime import Database, Mirror, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from servers.base import Database as TestDatabase


class Side(Protocol):
    """One way to the tables of the workshop."""

    name: str
    engine: str
    database: TestDatabase

    def session(self) -> contextlib.AbstractContextManager[Any]:
        """A unit of work: committed at the end, rolled back on an error."""
        ...

    def run(self, work: Callable[[Any], Any]) -> Any:
        """A unit of work as one is told to write it where others write too."""
        ...

    def another(self, env: dict[str, str] | None = None, **options: Any) -> "Side":
        """The same tables through a door of its own, to another address or with other options."""
        ...

    def close(self) -> None:
        """Let all go."""
        ...


class Stock:
    """PyDAL as it is installed, with the same tables in its own words."""

    name = "stock"

    def __init__(
        self, database: TestDatabase, mirror: Mirror, env: dict[str, str] | None = None, **options: Any
    ) -> None:
        self.database, self.mirror = database, mirror
        self.engine = database.server.engine
        self._env = database.env() if env is None else env
        self._folder = tempfile.TemporaryDirectory()
        self._others: list[Stock] = []
        pool_size = options.pop("pool", 0)
        options.setdefault("attempts", 1)
        self.dal = DAL(
            self._uri(),
            folder=self._folder.name,
            pool_size=pool_size,
            migrate=False,
            migrate_enabled=False,
            **options,
        )
        define(self.dal)

    def _uri(self) -> str:
        env = self._env
        if env["DB_TYPE"] == "sqlite":
            return f"sqlite://{env['DB_NAME']}"
        kind = {"postgresql": "postgres:psycopg2", "mysql": "mysql:pymysql"}[env["DB_TYPE"]]
        host, port = env["DB_HOST"].split(",")[0], env["DB_PORT"]
        host = host if ":" in host else f"{host}:{port}"
        return f"{kind}://{env['DB_USER']}:{quote(env['DB_PASS'])}@{host}/{env['DB_NAME']}"

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """As its manual says: commit, or roll back."""
        try:
            yield self.dal
            self.dal.commit()
        except BaseException:
            with contextlib.suppress(Exception):  # the connection may be gone
                self.dal.rollback()
            raise
        finally:
            if self.dal._pool_size:
                self.dal._adapter.close("rollback", really=False)

    def run(self, work: Callable[[Any], Any]) -> Any:
        """It has nothing for that but a unit of work."""
        with self.session() as dal:
            return work(dal)

    def another(self, env: dict[str, str] | None = None, **options: Any) -> "Stock":
        """Another DAL."""
        options.pop("mirror", None)
        made = Stock(self.database, self.mirror, self._env if env is None else env, **options)
        self._others.append(made)
        return made

    def close(self) -> None:
        """Close the connections of this thread, and those that wait in the pool."""
        for other in self._others:
            other.close()
        with contextlib.suppress(Exception):  # it may be broken
            self.dal._adapter.close(None)
        for connection in ConnectionPool.POOLS.pop(self.dal._adapter.uri, []):
            with contextlib.suppress(Exception):
                connection.close()
        with contextlib.suppress(AttributeError):  # kept by thread; closed from another one
            THREAD_LOCAL._pydal_db_instances_.pop(self.dal._db_uid, None)
        self._folder.cleanup()


class Ours:
    """Ringfence."""

    name = "ringfence"

    def __init__(
        self, database: TestDatabase, mirror: Mirror, env: dict[str, str] | None = None, **options: Any
    ) -> None:
        self.database, self.mirror = database, mirror
        self.engine = database.server.engine
        self._env = dict(database.env() if env is None else env)
        if pool := options.get("pool"):
            self._env["DB_POOL_SIZE"] = str(pool)
        self.db = Database(Settings.from_env(self._env), mirror)
        self._others: list[Ours] = []

    @property
    def dal(self) -> Any:
        """The one DAL."""
        return self.db.dal

    def session(self) -> contextlib.AbstractContextManager[Any]:
        """A session."""
        return self.db.session()

    def run(self, work: Callable[[Any], Any]) -> Any:
        """With retries."""
        return self.db.run(work, attempts=30)

    def another(self, env: dict[str, str] | None = None, **options: Any) -> "Ours":
        """Another Database."""
        mirror = options.pop("mirror", self.mirror)
        made = Ours(self.database, mirror, self._env if env is None else env, **options)
        self._others.append(made)
        return made

    def close(self) -> None:
        """Close the pools."""
        for other in self._others:
            other.close()
        self.db.close(deadline=0.1)


SIDES: dict[str, Callable[..., Side]] = {"stock": Stock, "ringfence": Ours}


def define(dal: Any) -> None:
    """The workshop's tables, as one defines them in PyDAL."""
    specimen = [
        Field("boolean", "boolean"),
        Field("small", "integer"),
        Field("whole", "integer"),
        Field("big", "bigint"),
        Field("real", "double"),
        Field("price", "decimal(12,4)"),
        Field("name", "string", length=40),
        Field("story", "text"),
        Field("blob", "blob"),
        Field("day", "date"),
        Field("clock", "time"),
        Field("naive", "datetime"),
        Field("moment", "datetime"),
        Field("ident", "string", length=36),
        Field("document", "json"),
        Field("mood", "string"),
    ]
    dal.define_table("specimen", *specimen, migrate=False)
    dal.define_table("tally", Field("name", "string", length=40), Field("hits", "integer"), migrate=False)
    dal.define_table(
        "seat",
        Field("row", "integer"),
        Field("number", "integer"),
        Field("guest", "string"),
        primarykey=["row", "number"],
        migrate=False,
    )
    whole = SQLCustomType(
        type="integer", native="INTEGER", encoder=lambda value: value, decoder=lambda value: value
    )
    text = SQLCustomType(
        type="string", native="VARCHAR(40)", encoder=lambda value: value, decoder=lambda value: value
    )
    dal.define_table(
        "custom", Field("whole", whole), Field("name", text), rname=dal.specimen._rname, migrate=False
    )


def create(database: TestDatabase, deployment: Deployment) -> None:
    """Make a deployment's tables."""
    engine = reach(Settings.from_env(database.env())).engine()
    try:
        for metadata in deployment.metadata:
            metadata.create_all(engine)
    finally:
        engine.dispose()


class Results:
    """What came of each case, for the table in the documents."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, dict[str, dict[str, bool]]]] = defaultdict(dict)

    def expect(self, topic: str, title: str) -> None:
        """Give a case its place, whatever order the tests run in."""
        self.topics[topic][title] = {}

    def note(self, topic: str, title: str, engine: str, side: str, held: bool) -> None:
        """Remember one."""
        self.topics[topic][title].setdefault(engine, {})[side] = held

    def as_markdown(self, engines: tuple[str, ...]) -> str:
        """One table per topic: a line per case, a column per engine, stock's result before Ringfence's."""
        lines: list[str] = []
        for topic, cases in self.topics.items():
            lines += ["", f"## {topic}", "", f"| | {' | '.join(engines)} |", "|---|" + "---|" * len(engines)]
            for title, found in cases.items():
                if not found:
                    raise pytest.UsageError(f"{title!r} ran on no engine, and the table would lack it")
                cells = [_cell(found.get(engine, {})) for engine in engines]
                lines.append(f"| {title} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"


def _cell(sides: dict[str, bool]) -> str:
    said = {True: "holds", False: "**fails**", None: ""}
    return f"{said[sides.get('stock')]} / {said[sides.get('ringfence')]}" if sides else ""


RESULTS = Results()
Body = Callable[[Side], None]


def case(topic: str, title: str, *, copes: tuple[str, ...] = ()) -> Callable[[Body], Callable[..., None]]:
    """Make a test of both sides out of a body: Ringfence must pass it, and stock PyDAL must fail.

    Args:
        topic: the section of the table that it belongs to.
        title: what holds.
        copes: engines on which stock PyDAL passes too.
    """
    RESULTS.expect(topic, title)

    def decorate(body: Body) -> Callable[..., None]:
        @pytest.mark.parametrize("side", SIDES, indirect=True)
        @functools.wraps(body)
        def test(side: Side) -> None:
            fails = side.name == "stock" and side.engine not in copes
            try:
                body(side)
            except (Exception, pytest.fail.Exception):
                RESULTS.note(topic, title, side.engine, side.name, held=False)
                if not fails:
                    raise
            else:
                RESULTS.note(topic, title, side.engine, side.name, held=True)
                if fails:
                    pytest.fail("stock PyDAL passes this: say so in `copes`, or the claim is no longer true")

        return test

    return decorate


HEADER = Path(__file__).parents[1] / "integration" / "conformance" / "conformance.header.md"
