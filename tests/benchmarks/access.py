"""`scripts/bench.sh --access`: plan and apply of many accounts on many tables, beside a library that declares grants.

The models and the manifest are made up: every service may touch a hundred tables of five hundred, in one of three ways.
"""

import argparse
import contextlib
import datetime as dt
import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from benchmarks.page import write_part
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, reach
from ringfence.schema.privileges.apply import apply
from ringfence.schema.privileges.plan import make_plan
from ringfence.schema.state import releases
from servers.base import Database, Server
from servers.process import Unavailable
from servers.registry import Registry

TABLES = 500
GRANTED = 100
"""Tables of each service."""
SIZES = (10, 100, 200)
WAYS = ("ro", "rw", "[select, insert]")
VERBS = {
    "ro": ("select",),
    "rw": ("select", "insert", "update", "delete"),
    "[select, insert]": ("select", "insert"),
}
PEER = "sqlalchemy-declarative-extensions"
_MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
for number in range({tables}):
    sa.Table(
        f"t{{number}}", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(f"c{{n}}", sa.Integer) for n in range(5)),
    )
"""


@dataclass(frozen=True)
class Size:
    """How much there is to grant."""

    services: int
    tables: int = TABLES
    granted: int = GRANTED

    def of(self, number: int) -> Iterator[tuple[str, str]]:
        """The tables of one service, each with a word of the manifest."""
        for step in range(self.granted):
            yield f"t{(number * 7 + step) % self.tables}", WAYS[(number + step) % len(WAYS)]


@dataclass
class Figures:
    """What was measured at one size; seconds, and bytes at the most."""

    ringfence: dict[str, list[float]] = field(default_factory=dict)
    peer: dict[str, list[float]] = field(default_factory=dict)
    queries: int = 0
    statements: int = 0
    memory: int = 0


def lay_out(folder: Path, size: Size, prefix: str, engine: str = "postgresql") -> Deployment:
    """Write the deployment and load it."""
    (folder / "ringfence.toml").write_text(
        f'name = "many"\nengines = ["{engine}"]\nmodels = ["many_models:metadata"]\n'
    )
    (folder / "many_models.py").write_text(_MODELS.format(tables=size.tables))
    lines = ["version: 1", "accounts:"]
    for number in range(size.services):
        lines += [f"  s{number}:", f"    login: {prefix}s{number}", "    tables:"]
        lines += [f"      {table}: {way}" for table, way in size.of(number)]
    (folder / "access.yaml").write_text("\n".join(lines) + "\n")
    return Deployment.load(folder)


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Every statement that SQLAlchemy sends meanwhile."""
    sent: list[str] = []

    def hear(*given: Any) -> None:
        sent.append(given[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def prepare(backend: Backend, deployment: Deployment) -> None:
    """Make the tables, and those of our own."""
    with backend.engine().connect() as connection:
        deployment.metadata[0].create_all(connection)
        releases.ensure(connection)
        connection.commit()


def timed(figures: dict[str, list[float]], name: str, work: Callable[[], Any]) -> Any:
    """Do it, and note how long it took."""
    gc.collect()
    began = time.perf_counter()
    done = work()
    figures.setdefault(name, []).append(time.perf_counter() - began)
    return done


def ringfence(database: Database, size: Size, found: Figures) -> None:
    """One round of our own: load, plan, apply, and plan again, when there is nothing to do."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        deployment = timed(
            found.ringfence, "load", lambda: lay_out(root, size, database.prefix, database.server.engine)
        )
        backend = reach(Settings.from_env(database.env()))
        prepare(backend, deployment)
        secrets = {a.login: Secret(f"of {a.login}, made up: 8kQ2zW5v") for a in deployment.accounts.values()}

        def plan() -> Any:
            with backend.engine().connect() as connection:
                return make_plan(connection, backend, deployment, None)

        with counted() as sent:
            timed(found.ringfence, "plan", plan)
        found.queries = len(sent)
        done = timed(found.ringfence, "apply", lambda: apply(backend, deployment, secrets))
        found.statements = len(done.statements)
        again = timed(found.ringfence, "plan again", plan)
        if not again.agrees:
            raise AssertionError(f"an apply left something to do: {again.sql()[:3]}")


def memory(database: Database, size: Size) -> int:
    """The most that a load and a plan held at once, in bytes."""
    with TemporaryDirectory() as folder:
        tracemalloc.start()
        deployment = lay_out(Path(folder), size, database.prefix, database.server.engine)
        backend = reach(Settings.from_env(database.env()))
        with backend.engine().connect() as connection:
            make_plan(connection, backend, deployment, None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most


def peer(database: Database, size: Size, found: Figures) -> None:
    """The same accounts and grants, declared with the other library; it sets no passwords here."""
    from sqlalchemy_declarative_extensions import Grants, Roles
    from sqlalchemy_declarative_extensions.dialects.postgresql import Grant, Role
    from sqlalchemy_declarative_extensions.grant.compare import compare_grants
    from sqlalchemy_declarative_extensions.role.compare import compare_roles

    env = database.env()
    url = sa.URL.create(
        "postgresql+psycopg2",
        env["DB_USER"],
        env["DB_PASS"],
        env["DB_HOST"],
        int(env["DB_PORT"]),
        env["DB_NAME"],
    )
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    for number in range(size.tables):
        columns = [sa.Column(f"c{n}", sa.Integer) for n in range(5)]
        sa.Table(
            f"t{number}",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            *columns,
        )

    def declared() -> tuple[Any, Any]:
        names = [f"{database.prefix}s{number}" for number in range(size.services)]
        roles = Roles(ignore_unspecified=True).are(*(Role(name, login=True) for name in names))
        grants = Grants(only_defined_roles=True).are(
            *(
                Grant.new(*VERBS[way], to=name).on_tables(f"public.{table}")
                for number, name in enumerate(names)
                for table, way in size.of(number)
            )
        )
        return roles, grants

    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.commit()
        roles, grants = timed(found.peer, "load", declared)

        def plan() -> list[Any]:
            return [*compare_roles(connection, roles), *compare_grants(connection, grants, roles)]

        operations = timed(found.peer, "plan", plan)

        def run() -> None:
            for operation in operations:
                sql = operation.to_sql()
                for one in sql if isinstance(sql, list) else [sql]:
                    connection.execute(sa.text(one) if isinstance(one, str) else one)
            connection.commit()

        timed(found.peer, "apply", run)
        timed(found.peer, "plan again", plan)
    engine.dispose()


def measure(server: Server, sizes: tuple[int, ...], rounds: int) -> dict[int, Figures]:
    """Every size in turn, in fresh databases; the two libraries take turns."""
    found: dict[int, Figures] = {}
    for services in sizes:
        size, figures = Size(services), found.setdefault(services, Figures())
        for _ in range(rounds):
            with server.database() as database:
                ringfence(database, size, figures)
            if server.db_type == "postgresql":
                with contextlib.suppress(ImportError), server.database() as database:
                    peer(database, size, figures)
        with server.database() as database:
            prepare(reach(Settings.from_env(database.env())), _made(size, database))
            figures.memory = memory(database, size)
        print(f"{services} services: {figures}", file=sys.stderr, flush=True)
    return found


def _made(size: Size, database: Database) -> Deployment:
    with TemporaryDirectory() as folder:
        return lay_out(Path(folder), size, database.prefix, database.server.engine)


def as_markdown(found: dict[int, Figures], server: Server) -> str:
    """The table, in seconds: medians, and how many times as long the other library took."""
    lines = [
        f"|  |  | ringfence | {PEER} | ratio |",
        "| --- | --- | --: | --: | --: |",
    ]
    for services, figures in found.items():
        size = Size(services)
        for step, taken in figures.ringfence.items():
            ours = statistics.median(taken)
            theirs = statistics.median(figures.peer[step]) if step in figures.peer else None
            told = ("—", "—") if theirs is None else (f"{theirs:.2f} s", f"{theirs / ours:.2f}")
            title = f"{services} services, {size.granted} of {size.tables} tables" if step == "load" else ""
            lines.append(f"| {title} | {step} | {ours:.2f} s | {' | '.join(told)} |")
    queries = ", ".join(str(figures.queries) for figures in found.values())
    sent = ", ".join(str(figures.statements) for figures in found.values())
    most = ", ".join(f"{figures.memory / 1e6:.0f} MB" for figures in found.values())
    notes = [
        f"queries of a plan: {queries}; statements of an apply: {sent}; the most Python memory of load and plan: {most}",
        "load: the manifest and the models read and checked; the other library's objects made",
        "apply: with a plan of its own, passwords and the closing of what everybody may do; the other library sets no"
        " passwords here and sends what its plan found",
        "plan again: after the apply, when there is nothing to do",
    ]
    if (load := os.getloadavg()[0]) > 0.75 * (os.cpu_count() or 1):
        notes.insert(0, f"**other work kept the machine busy** (load {load:.1f}): take it as rough")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def main() -> int:
    """Measure, and print the table. Exit 4: no such server here."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh --access", description="Plan and apply of many accounts."
    )
    parser.add_argument("--engine", default="postgresql", help="the other library takes part on PostgreSQL")
    parser.add_argument("--services", default=",".join(map(str, SIZES)), metavar="N,M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--docs", action="store_true", help="write the table into docs/reference/performance.md"
    )
    given = parser.parse_args()
    try:
        server = Registry().server(given.engine)
    except Unavailable as error:
        print(f"{given.engine} cannot be had: {error}", file=sys.stderr)
        return 4
    table = as_markdown(measure(server, tuple(map(int, given.services.split(","))), given.rounds), server)
    print(table)
    if given.docs:
        day = dt.datetime.now(dt.UTC).strftime("%d %B %Y").lstrip("0")
        write_part("access", f"`./scripts/bench.sh --access`, {day}\n\n{table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
