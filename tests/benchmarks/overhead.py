"""`python -m benchmarks.overhead`: the processor time that Ringfence itself takes, with a stub in the driver's place.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.overhead [--profile CASE]

The least of several rounds of processor time, so what else the machine does matters little. `--profile` prints where it
goes in one case.
"""

import argparse
import contextlib
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any, Self

from benchmarks import data
from benchmarks.place import HERE
from ringfence.runtime import Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror

_ENV = {
    "DB_TYPE": "postgresql",
    "DB_HOST": "nowhere",
    "DB_NAME": "none",
    "DB_USER": "nobody",
    "DB_PASS": "none",
}
_ROUNDS, _CALLS = 15, 300


class _Cursor:
    """Answers each statement at once."""

    rowcount = 1
    description = ((1,),)
    statusmessage = "COMMIT"

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, sql: str, parameters: Any = None) -> None:
        self._connection.busy = not sql.startswith(("COMMIT", "ROLLBACK"))
        self._rows = [self._connection.row] if "SELECT" in sql else [(7,)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...]:
        return self._rows[0]

    def close(self) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing."""


class _Connection:
    closed = 0
    busy = False
    info: Any

    def __init__(self) -> None:
        self.row = (1, *data.items(1)[0].values())
        self.info = type("Info", (), {"transaction_status": 0})

    def cursor(self, *arguments: Any) -> _Cursor:
        return _Cursor(self)

    def close(self) -> None:
        """Nothing."""


class _Quote:
    def text(self, value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    def octets(self, value: bytes) -> str:
        return f"'\\x{value.hex()}'"


def stubbed() -> Database:
    """The benchmark's deployment on a driver that is none."""
    deployment = Deployment.load(HERE / "deployment")
    mirror = make_mirror(deployment, next(iter(deployment.accounts.values())), None)
    database = Database(Settings.from_env(_ENV), mirror)
    backend: Any = database.backend
    quote = _Quote()
    backend.connect = lambda *login: _Connection()
    backend.quote = lambda connection: quote
    backend.in_transaction = lambda connection: connection.busy
    return database


def cases(database: Database) -> dict[str, tuple[Callable[[], Any], bool]]:
    """What is timed, and whether it runs within a session that is open already."""
    dal = database.dal
    new, change = data.items(2, seed=5)

    def session() -> None:
        with database.session() as within:
            within.executesql("SELECT 1")

    def empty() -> None:
        with database.session():
            pass

    return {
        "one row by key": (lambda: dal(dal.item.id == 7).select().first(), True),
        "insert one": (lambda: dal.entry.insert(**new), True),
        "update by key": (
            lambda: dal(dal.item.id == 7).update(price=change["price"], active=change["active"]),
            True,
        ),
        "upsert": (lambda: dal.counter.upsert(name="counter 5", value=7, changed=data.START), True),
        "session of one SELECT 1": (session, False),
        "session of nothing": (empty, False),
    }


def main() -> int:
    """Print microseconds of processor time for one call of each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("--profile", metavar="CASE", help="print where the time goes in this case")
    arguments = parser.parse_args()
    with stubbed() as database:
        for name, (work, within) in cases(database).items():
            with database.session() if within else contextlib.nullcontext():
                if arguments.profile == name:
                    profile = cProfile.Profile()
                    profile.runcall(lambda work=work: [work() for _ in range(2_000)])
                    pstats.Stats(profile).sort_stats("tottime").print_stats(20)
                elif arguments.profile is None:
                    print(f"{name}: {least(work):.1f} µs")
    return 0


def least(work: Callable[[], Any]) -> float:
    """The least processor time of a call, in microseconds."""
    taken = []
    for _ in range(_ROUNDS):
        begin = time.process_time()
        for _ in range(_CALLS):
            work()
        taken.append(time.process_time() - begin)
    return min(taken) / _CALLS * 1e6


if __name__ == "__main__":
    sys.exit(main())
