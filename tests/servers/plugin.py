"""The pytest side of the servers: fixtures, the choice of engines, and what the run says of engines it lacked."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from servers import external
from servers.base import Database, Server
from servers.capabilities import ENGINES, engines_with
from servers.process import Unavailable
from servers.redis import RedisServer
from servers.registry import NEWER, Registry, start, start_replicated
from servers.tls import Certificate

MISSING_EXIT = 4
"""The exit status of a run in which every test passed that could run, but an engine of `--require` was missing."""

_SCHEMA_TESTS = Path(__file__).parents[1] / "integration/schema"
_LACKS = "engine that could not be had"
_WITHOUT = "RINGFENCE_TEST_WITHOUT"
_SERVERS = {*ENGINES, NEWER, "redis", "pgbouncer"}
# A Galera node is the program of the MariaDB server: what differs is not which values and statements it accepts.
_SAME_PROGRAM = {"galera": "mariadb"}
Kind = TypeVar("Kind")


def _left_out() -> set[str]:
    return {name.strip() for name in os.environ.get(_WITHOUT, "").split(",") if name.strip()}


def chosen_engines(marks: list[pytest.Mark]) -> list[str]:
    """The ids of the servers that a test with these marks runs on. Raises UsageError for a name nobody knows."""
    chosen = set(ENGINES)
    for mark in marks:
        if mark.name == "engines":
            unknown = set(mark.args) - set(ENGINES)
            if unknown:
                raise pytest.UsageError(f"engines{mark.args}: there is no engine {sorted(unknown)}")
            chosen &= set(mark.args)
        elif mark.name == "requires":
            try:
                chosen &= set(engines_with(*mark.args))
            except ValueError as error:
                raise pytest.UsageError(str(error)) from error
    names = [engine for engine in ENGINES if engine in chosen]
    newer = os.environ.get(external.variable(NEWER)) and any(mark.name == "newer" for mark in marks)
    if newer and "postgresql" in names:
        names.insert(names.index("postgresql") + 1, NEWER)
    return names


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a server once on each engine that its marks leave."""
    if "server" in metafunc.fixturenames:
        names = chosen_engines(list(metafunc.definition.iter_markers()))
        metafunc.parametrize("server", names, indirect=True, scope="session")


# The fixtures that stand for one server, and whose tests belong to the worker that has it.
_OF = {
    "sqlite_server": "sqlite",
    "postgres_server": "postgresql",
    "pgbouncer": "postgresql",
    "mariadb_server": "mariadb",
    "galera_server": "galera",
    "mysql_server": "mysql",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out repeated cases, and let one worker of `--dist loadgroup` run all tests of an engine."""
    if not config.getoption("--every-case"):
        _leave_out_repeated_cases(config, items)
    if not config.pluginmanager.hasplugin(
        "xdist"
    ):  # which brings the mark: the runtime's wheel is tested without
        return
    given_by_url = os.environ.get(external.variable("postgresql"))  # one server, which only one worker uses
    for item in items:
        given = getattr(item, "callspec", None)
        name = given.params.get("server") if given else None
        for fixture in getattr(item, "fixturenames", ()):
            name = name or _OF.get(fixture)
        if name == "postgresql" and item.path.is_relative_to(_SCHEMA_TESTS) and not given_by_url:
            name = "postgresql-schema"  # the longest group would end last, on one worker: another server halves it
        if name:
            item.add_marker(pytest.mark.xdist_group(str(name)))


def _leave_out_repeated_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a server that is the same program as another, keep the first case of each parametrized test.

    A test that does not run on the other server, or that is marked `every_case`, keeps all of them.
    """
    elsewhere = {(test, server) for item in items for test, server, _ in _cases(item)}
    kept: set[tuple[str, str, str]] = set()
    left_out: list[pytest.Item] = []
    for item in items:
        for test, server, side in _cases(item):
            if (test, _SAME_PROGRAM.get(server, "")) in elsewhere and not item.get_closest_marker(
                "every_case"
            ):
                if (test, server, side) in kept:
                    left_out.append(item)
                kept.add((test, server, side))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def _cases(item: pytest.Item) -> Iterator[tuple[str, str, str]]:
    """The test function, the server and the library of a parametrized item; nothing for a test without a server."""
    given = getattr(item, "callspec", None)
    if given and "server" in given.params:
        name = item.nodeid.partition("[")[0]
        yield name, str(given.params["server"]), str(given.params.get("side", ""))


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """The servers of this run, each started when it is first asked for."""
    servers = Registry()
    yield servers
    servers.close()


def _had(name: str, get: Callable[[], Kind]) -> Kind:
    """The server, or a skip that the end of the run reports by name."""
    if name in _left_out():
        reason = f"left out by {_WITHOUT}"
    else:
        try:
            return get()
        except Unavailable as error:
            reason = str(error)
    pytest.skip(f"{_LACKS}: {name}: {reason}")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, registry: Registry) -> Server:
    """A running server, once for each engine; restrict it by the marks `engines` and `requires`."""
    return _had(request.param, lambda: registry.server(request.param))


@pytest.fixture
def db(server: Server) -> Iterator[Database]:
    """A fresh, empty database on `server`."""
    with server.database() as database:
        yield database


@pytest.fixture(scope="session")
def sqlite_server(registry: Registry) -> Server:
    """SQLite alone."""
    return _had("sqlite", lambda: registry.server("sqlite"))


@pytest.fixture(scope="session")
def postgres_server(registry: Registry) -> Server:
    """The PostgreSQL server alone."""
    return _had("postgresql", lambda: registry.server("postgresql"))


@pytest.fixture(scope="session")
def mariadb_server(registry: Registry) -> Server:
    """The MariaDB server alone."""
    return _had("mariadb", lambda: registry.server("mariadb"))


@pytest.fixture(scope="session")
def galera_server(registry: Registry) -> Server:
    """The Galera cluster alone."""
    return _had("galera", lambda: registry.server("galera"))


@pytest.fixture(scope="session")
def mysql_server(registry: Registry) -> Server:
    """The MySQL server alone."""
    return _had("mysql", lambda: registry.server("mysql"))


@pytest.fixture(scope="session")
def pgbouncer(registry: Registry) -> Server:
    """PgBouncer in transaction mode, in front of `postgres_server`; `db.through(pgbouncer)` leads through it."""
    return _had("pgbouncer", registry.pgbouncer)


@pytest.fixture(scope="session")
def redis_server(registry: Registry) -> RedisServer:
    """The Redis server."""
    return _had("redis", registry.redis)


@pytest.fixture
def own_server() -> Iterator[Callable[..., Server]]:
    """Start a private server of the named engine for this test alone, whose processes it may stop, kill and start.

    A second argument, a Certificate, makes it one with TLS.
    """
    started: list[Server] = []

    def begin(engine: str, tls: Certificate | None = None) -> Server:
        started.append(_had(engine, lambda: start(engine, tls)))
        return started[-1]

    yield begin
    for own in started:
        own.close()


@pytest.fixture
def own_replicated() -> Iterator[Callable[[str], tuple[Server, Server]]]:
    """Start a private server of the named engine and a replica of it, both with the same admin, for this test alone."""
    started: list[Server] = []

    def begin(engine: str) -> tuple[Server, Server]:
        primary, replica = _had(engine, lambda: start_replicated(engine))
        started.extend((replica, primary))
        return primary, replica

    yield begin
    for own in started:
        own.close()


@pytest.fixture(scope="session")
def _templates() -> Iterator[dict[tuple[Server, str], Database]]:
    made: dict[tuple[Server, str], Database] = {}
    yield made
    for template in made.values():
        template.drop()


@pytest.fixture
def from_template(
    server: Server, _templates: dict[tuple[Server, str], Database]
) -> Iterator[Callable[[str, Callable[[Database], object]], Database]]:
    """Call it with a key and a function that fills a database: it is called once per engine and key, and cloned.

    Each call returns a fresh copy of the tables and rows, dropped after the test. Accounts are not copied.
    """
    copies: list[Database] = []

    def copy(key: str, build: Callable[[Database], object]) -> Database:
        if (server, key) not in _templates:
            template = server.database()
            try:
                build(template)
            except BaseException:
                template.drop()
                raise
            _templates[server, key] = template
        copies.append(_templates[server, key].clone())
        return copies[-1]

    yield copy
    for database in copies:
        database.drop()


@pytest.fixture(scope="session")
def _recycled() -> Iterator[dict[tuple[Server, str], tuple[Database, object]]]:
    kept: dict[tuple[Server, str], tuple[Database, object]] = {}
    yield kept
    for database, _ in kept.values():
        database.drop()


@pytest.fixture
def recycled(
    server: Server, _recycled: dict[tuple[Server, str], tuple[Database, object]]
) -> Iterator[Callable[[str, Callable[[Database], object]], Database]]:
    """Call it with a key and a function that makes tables: every test gets the same database, without rows.

    It costs less than a copy. After a test its rows and its accounts are deleted; where the test changed the schema,
    the next one gets a new database.
    """
    used: set[tuple[Server, str]] = set()

    def take(key: str, build: Callable[[Database], object]) -> Database:
        if (server, key) not in _recycled:
            database = server.database()
            try:
                build(database)
            except BaseException:
                database.drop()
                raise
            _recycled[server, key] = database, database.fingerprint()
        used.add((server, key))
        return _recycled[server, key][0]

    yield take
    for place in used:
        database, fingerprint = _recycled[place]
        database.empty()
        if database.fingerprint() != fingerprint:
            del _recycled[place]
            database.drop()


class Report:
    """Gathers the engines that tests wanted and did not get, and makes the run say so."""

    def __init__(self, required: set[str]) -> None:
        self.required = required
        self.lacking: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Read the name and the reason out of the skips of `_had`."""
        if report.skipped and isinstance(report.longrepr, tuple):
            _, found, rest = report.longrepr[2].partition(f"{_LACKS}: ")
            if found:
                name, _, reason = rest.partition(": ")
                self.lacking[name] = reason
            else:
                self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def missed(self) -> set[str]:
        """The required engines that were not to be had."""
        return self.required & set(self.lacking)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A green run that lacked a required engine exits 4."""
        if session.exitstatus == pytest.ExitCode.OK and self.missed():
            session.exitstatus = MISSING_EXIT

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why tests were skipped, and name each lacking engine: in yellow when it was left out on purpose."""
        for why, count in self.skipped.items():
            terminalreporter.write_line(f"SKIPPED {count}: {why}", yellow=True)
        for name, reason in sorted(self.lacking.items()):
            colour = {"yellow": True} if name in _left_out() else {"red": True, "bold": True}
            terminalreporter.write_line(f"NOT TESTED: {name}: {reason}", **colour)
        if self.missed():
            names = ", ".join(sorted(self.missed()))
            terminalreporter.write_line(
                f"REQUIRED, AND NOT TESTED: {names}: exit status {MISSING_EXIT}", red=True
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--require` and `--every-case`."""
    parser.addoption(
        "--every-case",
        action="store_true",
        help="run every case of a parametrized test on Galera too, and not the first alone",
    )
    parser.addoption(
        "--require",
        metavar="ENGINES",
        default="",
        help=f"'all', or names with commas: end with status {MISSING_EXIT} when one of them cannot be had",
    )


def _required(config: pytest.Config) -> set[str]:
    """The engines of `--require`. Raises UsageError for a name nobody knows, or that is left out as well."""
    names = {name.strip() for name in config.getoption("--require").split(",") if name.strip()}
    for where, unknown in (("--require", names - _SERVERS - {"all"}), (_WITHOUT, _left_out() - _SERVERS)):
        if unknown:
            raise pytest.UsageError(f"{where}: there is no {sorted(unknown)}; there are {sorted(_SERVERS)}")
    if both := names & _left_out():
        raise pytest.UsageError(f"--require: {sorted(both)} is left out by {_WITHOUT}")
    return _SERVERS - _left_out() if "all" in names else names


def pytest_configure(config: pytest.Config) -> None:
    """Report from the process that talks to the terminal, which under xdist is not a worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(_required(config)), "ringfence-servers-report")
